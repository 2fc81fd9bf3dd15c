//! The file of recordings: what is in it already, and how one is added.
//!
//! A line is written whole or not at all as far as readers can tell: one that was cut off is taken away before the next
//! is added. It must never change or drop a whole one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::RecordError;
use super::case::Setup;
use super::row::Row;
use crate::LabError;

/// The file, open for adding.
#[derive(Debug)]
pub(super) struct Recordings {
    path: PathBuf,
    file: File,
    cases: BTreeMap<String, Recorded>,
    /// Lines by the QEMU that they name, each with the first of them.
    emulators: BTreeMap<Option<String>, usize>,
}

/// What is there of one case.
#[derive(Debug)]
struct Recorded {
    line: usize,
    setup: Value,
    reps: BTreeSet<u64>,
}

impl Recordings {
    /// Opens the file, or makes it.
    pub(super) fn open(path: &Path) -> Result<Self, RecordError> {
        let failed = |what: &str| format!("{what} `{}`", path.display());
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(LabError::io(failed("open")))?;
        let mut text = String::new();
        match file.read_to_string(&mut text) {
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                return Err(RecordError::Recordings {
                    path: path.to_owned(),
                    reason: "it is not text".to_owned(),
                });
            }
            other => other.map_err(LabError::io(failed("read")))?,
        };
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let (mut cases, mut emulators) = (BTreeMap::new(), BTreeMap::new());
        for (line, content) in (1..).zip(text.get(..whole).unwrap_or_default().lines()) {
            if content.trim().is_empty() {
                continue;
            }
            take(&mut cases, &mut emulators, line, content)
                .map_err(|reason| RecordError::Recordings { path: path.to_owned(), reason })?;
        }
        file.set_len(u64::try_from(whole).unwrap_or(0)).map_err(LabError::io(failed("shorten")))?;
        file.seek(SeekFrom::End(0)).map_err(LabError::io(failed("read")))?;
        Ok(Self { path: path.to_owned(), file, cases, emulators })
    }

    /// An error when a line is of another QEMU than this version, or does not say of which: runs of two versions are no
    /// repeats of each other.
    pub(super) fn require_qemu(&self, version: &str) -> Result<(), RecordError> {
        let Some((other, line)) = self.emulators.iter().find(|(one, _)| one.as_deref() != Some(version))
        else {
            return Ok(());
        };
        let other =
            other.as_ref().map_or_else(|| "an unknown QEMU".to_owned(), |other| format!("QEMU {other}"));
        Err(RecordError::Recordings {
            path: self.path.clone(),
            reason: format!("line {line} is of {other}, and QEMU {version} is to be recorded"),
        })
    }

    /// The numbers of the repeats that are missing up to `repeats`. An error when the case was recorded with another
    /// set-up: then the file is about another plan.
    pub(super) fn missing(&self, name: &str, setup: &Setup, repeats: u32) -> Result<Vec<u32>, RecordError> {
        let Some(recorded) = self.cases.get(name) else { return Ok((0..repeats).collect()) };
        if *setup != recorded.setup {
            return Err(RecordError::Recordings {
                path: self.path.clone(),
                reason: format!("line {} has another set-up of `{name}` than the plan", recorded.line),
            });
        }
        let wanted = usize::try_from(repeats).unwrap_or(usize::MAX).saturating_sub(recorded.reps.len());
        Ok((0..u32::MAX).filter(|rep| !recorded.reps.contains(&u64::from(*rep))).take(wanted).collect())
    }

    /// Adds one.
    pub(super) fn add(&mut self, row: &Row) -> Result<(), RecordError> {
        let mut line =
            serde_json::to_vec(row).map_err(|error| RecordError::Answer(format!("a recording: {error}")))?;
        line.push(b'\n');
        Ok(self.file.write_all(&line).map_err(LabError::io(format!("write `{}`", self.path.display())))?)
    }
}

impl PartialEq<Value> for Setup {
    fn eq(&self, other: &Value) -> bool {
        serde_json::to_value(self).is_ok_and(|own| own == *other)
    }
}

fn take(
    cases: &mut BTreeMap<String, Recorded>,
    emulators: &mut BTreeMap<Option<String>, usize>,
    line: usize,
    content: &str,
) -> Result<(), String> {
    let row: Value = serde_json::from_str(content).map_err(|error| format!("line {line}: {error}"))?;
    let name = row.get("name").and_then(Value::as_str);
    let (Some(name), Some(rep), Some(setup)) = (name, row.get("rep").and_then(Value::as_u64), row.get("cfg"))
    else {
        return Err(format!("line {line} is not a recording"));
    };
    let setup = setup.clone();
    emulators.entry(row.get("qemu").and_then(Value::as_str).map(str::to_owned)).or_insert(line);
    cases
        .entry(name.to_owned())
        .or_insert_with(|| Recorded { line, setup, reps: BTreeSet::new() })
        .reps
        .insert(rep);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Plan;
    use super::*;

    struct Scratch(PathBuf);

    impl Scratch {
        fn with(name: &str, text: &str) -> Self {
            let path = std::env::temp_dir().join(format!("recordings-{}-{name}", std::process::id()));
            std::fs::write(&path, text).unwrap();
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    fn setup() -> Setup {
        let text = "[[case]]\nname = \"a\"\nguest = \"m=0\"\n";
        Plan::parse(text, Path::new("p")).unwrap().cases[0].setup()
    }

    fn line(rep: u32) -> String {
        format!("{{\"name\":\"a\",\"rep\":{rep},\"cfg\":{}}}\n", serde_json::to_string(&setup()).unwrap())
    }

    #[test]
    fn what_is_there_is_not_recorded_again() {
        let file = Scratch::with("there", &format!("{}\n{}", line(0), line(2)));
        let recordings = Recordings::open(&file.0).unwrap();
        assert_eq!(recordings.missing("a", &setup(), 2).unwrap(), [0; 0]);
        assert_eq!(recordings.missing("a", &setup(), 4).unwrap(), [1, 3]);
        assert_eq!(recordings.missing("b", &setup(), 2).unwrap(), [0, 1]);
    }

    #[test]
    fn a_line_that_was_cut_off_is_taken_away() {
        let file = Scratch::with("cut", &format!("{}{{\"name\":\"a\",\"re", line(0)));
        drop(Recordings::open(&file.0).unwrap());
        assert_eq!(std::fs::read_to_string(&file.0).unwrap(), line(0));
    }

    #[test]
    fn another_set_up_is_another_plan() {
        let file = Scratch::with("other", &line(0).replace("\"dl\":100", "\"dl\":7"));
        let recordings = Recordings::open(&file.0).unwrap();
        let error = recordings.missing("a", &setup(), 3).unwrap_err().to_string();
        assert!(error.contains("line 1 has another set-up of `a`") && error.contains("--out"), "{error}");
    }

    #[test]
    fn recordings_of_another_qemu_are_another_file() {
        let of = |qemu: &str| line(0).replace("\"rep\"", &format!("\"qemu\":\"{qemu}\",\"rep\""));
        let file = Scratch::with("qemu", &format!("{}{}", of("7.2.22"), of("10.0.13")));
        let refused = |version: &str| {
            let refused = Recordings::open(&file.0).unwrap().require_qemu(version);
            refused.unwrap_err().to_string()
        };
        assert!(refused("7.2.22").contains("line 2 is of QEMU 10.0.13, and QEMU 7.2.22 is to be"));
        assert!(refused("10.0.13").contains("line 1 is of QEMU 7.2.22"));
        std::fs::write(&file.0, of("7.2.22")).unwrap();
        Recordings::open(&file.0).unwrap().require_qemu("7.2.22").unwrap();
        std::fs::write(&file.0, line(0)).unwrap();
        assert!(refused("7.2.22").contains("line 1 is of an unknown QEMU"));
        std::fs::write(&file.0, "").unwrap();
        Recordings::open(&file.0).unwrap().require_qemu("7.2.22").unwrap();
    }

    #[test]
    fn what_is_no_recording_is_left_alone() {
        for text in ["[]\n", "{\"name\":\"a\"}\n", "hello\n"] {
            let file = Scratch::with("none", text);
            assert!(Recordings::open(&file.0).is_err(), "{text}");
            assert_eq!(std::fs::read_to_string(&file.0).unwrap(), text);
        }
    }
}
