//! Recorded migrations: one JSON object a line, the repeats of a case under one name.
//!
//! A line that cannot be understood in full is an error with its number; it must never be guessed at or left out.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use super::guest::GuestArguments;
use super::run::Run;
use crate::guest::Writer;

/// What the engine's memory map is practical for, in MiB: 1 TiB.
const MOST_MEMORY_MIB: u64 = 1 << 20;
/// Longest recording that is simulated, in seconds: a day.
const LONGEST_S: u64 = 86_400;
/// QEMU's own bound on the downtime limit, in ms.
const MOST_DOWNTIME_MS: u64 = 2_000_000;

/// A case: one set-up, recorded once or several times.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// Its name, the same for every repeat.
    pub name: String,
    /// What was set before the migrations began.
    pub setup: Setup,
    /// How each repeat went.
    pub repeats: Vec<Run>,
    /// Why the engine cannot be asked about it.
    pub not_modelled: Option<String>,
}

/// What was set before a migration began.
#[derive(Clone, Debug, PartialEq)]
pub struct Setup {
    /// Main memory.
    pub memory_mib: u64,
    /// The bandwidth limit; zero for none.
    pub max_bandwidth_bytes_per_second: u64,
    /// The downtime limit.
    pub downtime_limit_ms: u64,
    /// When the recorder cancelled.
    pub timeout_s: u64,
    /// Whether QEMU was to throttle the guest.
    pub auto_converge: bool,
    /// Pages that held something other than zeros.
    pub filled_pages: u64,
    /// What writes to the guest's memory.
    pub writers: Vec<Writer>,
}

/// A line that is not a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for RecordingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

impl std::error::Error for RecordingError {}

/// The cases in the order in which they first appear. Empty lines mean nothing.
///
/// # Errors
///
/// The first line that is not a recording, that contradicts an earlier one of the same name, or that asks for more
/// than the engine can hold.
pub fn read(text: &str) -> Result<Vec<Case>, RecordingError> {
    let mut cases: Vec<Case> = Vec::new();
    let mut asked: BTreeMap<String, (usize, RawSetup)> = BTreeMap::new();
    for (line, content) in (1..).zip(text.lines()).filter(|(_, content)| !content.trim().is_empty()) {
        let failed = |reason| RecordingError { line, reason };
        let raw: Raw = serde_json::from_str(content).map_err(|error| failed(json_reason(&error)))?;
        let (first_line, first) = asked.entry(raw.name.clone()).or_insert_with(|| (line, raw.cfg.clone()));
        if *first != raw.cfg {
            let reason = format!("`{}` has another set-up here than in line {first_line}", raw.name);
            return Err(failed(reason));
        }
        match cases.iter_mut().find(|case| case.name == raw.name) {
            Some(case) => case.add(&raw),
            None => cases.push(Case::new(&raw).map_err(failed)?),
        }
    }
    if cases.is_empty() {
        return Err(RecordingError { line: 1, reason: "there is no recording in the file".to_owned() });
    }
    Ok(cases)
}

impl Case {
    fn new(raw: &Raw) -> Result<Self, String> {
        let cfg = &raw.cfg;
        bounded("memory in MiB", cfg.ram, MOST_MEMORY_MIB)?;
        bounded("downtime limit in ms", cfg.dl, MOST_DOWNTIME_MS)?;
        bounded("timeout in s", cfg.timeout, LONGEST_S)?;
        let guest = GuestArguments::parse(&cfg.append)?;
        let setup = Setup {
            memory_mib: cfg.ram,
            max_bandwidth_bytes_per_second: cfg.bw,
            downtime_limit_ms: cfg.dl,
            timeout_s: cfg.timeout,
            auto_converge: cfg.has("auto-converge"),
            filled_pages: guest.filled_pages(),
            writers: guest.writers(whole(raw.rate))?,
        };
        let mut case =
            Self { name: raw.name.clone(), setup, repeats: Vec::new(), not_modelled: cfg.not_modelled() };
        case.add(raw);
        Ok(case)
    }

    fn add(&mut self, raw: &Raw) {
        let completed = raw.status == "completed";
        if !completed && raw.status != "timeout" {
            self.not_modelled.get_or_insert_with(|| format!("a repeat ended as `{}`", raw.status));
        }
        // A recorder that asks at the very end may be told zero for both: then it was told nothing.
        let told = raw.total_ms > 0;
        self.repeats.push(Run {
            completed,
            total_ms: told.then_some(raw.total_ms),
            downtime_ms: raw.down_ms.filter(|_| told && completed),
            normal_pages: raw.normal,
            syncs: raw.syncs,
        });
    }
}

/// A line, with what is needed of it.
#[derive(Debug, Deserialize)]
struct Raw {
    name: String,
    cfg: RawSetup,
    #[serde(default)]
    rate: f64,
    status: String,
    total_ms: u64,
    down_ms: Option<u64>,
    normal: u64,
    syncs: u64,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSetup {
    ram: u64,
    append: String,
    bw: u64,
    dl: u64,
    timeout: u64,
    #[serde(default)]
    caps: Option<BTreeMap<String, bool>>,
    #[serde(default)]
    params: Option<BTreeMap<String, serde_json::Value>>,
    #[serde(default)]
    pc_at: Option<f64>,
}

impl RawSetup {
    fn has(&self, capability: &str) -> bool {
        self.capabilities().any(|name| name == capability)
    }

    fn capabilities(&self) -> impl Iterator<Item = &str> {
        self.caps.iter().flatten().filter(|(_, on)| **on).map(|(name, _)| name.as_str())
    }

    /// What the engine cannot do, in words.
    fn not_modelled(&self) -> Option<String> {
        let foreign: Vec<&str> = self.capabilities().filter(|name| *name != "auto-converge").collect();
        if !foreign.is_empty() {
            return Some(format!("the engine has no `{}`", foreign.join("`, `")));
        }
        if self.pc_at.is_some() {
            return Some("the engine has no switch to post-copy".to_owned());
        }
        let names: Vec<&str> = self.params.iter().flatten().map(|(name, _)| name.as_str()).collect();
        (!names.is_empty()).then(|| format!("the engine has no parameter `{}`", names.join("`, `")))
    }
}

fn bounded(what: &str, value: u64, most: u64) -> Result<(), String> {
    if value <= most { Ok(()) } else { Err(format!("the {what} is {value}, more than {most}")) }
}

/// A measured rate as a whole number; below zero and not a number mean that nothing was measured.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the conversion saturates, and what is too fast is refused later"
)]
fn whole(rate: f64) -> u64 {
    rate.round() as u64
}

/// The parser's reason without its place, of which only the column means anything here.
fn json_reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let reason = text.rsplit_once(" at line ").map_or(text.as_str(), |(reason, _)| reason);
    format!("{reason} (column {})", error.column())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"name":"a","cfg":{"ram":64,"append":"m=1 w=256 n=2 c=489000","bw":1048576,"dl":100,"timeout":5},"rate":9.5,"status":"completed","total_ms":700,"down_ms":3,"normal":500,"syncs":3,"windows":[]}"#;

    #[test]
    fn repeats_are_one_case() {
        let cases = read(&format!("{LINE}\n\n{}\n", LINE.replace("500", "510"))).unwrap();
        let [case] = cases.as_slice() else { panic!("{cases:?}") };
        assert_eq!(case.repeats.iter().map(|run| run.normal_pages).collect::<Vec<_>>(), [500, 510]);
        let [writer] = case.setup.writers.as_slice() else { panic!("{case:?}") };
        assert_eq!((writer.pace.most_writes_per_second(), case.setup.filled_pages), (10_000, 256));
        assert_eq!(case.not_modelled, None);
    }

    #[test]
    fn a_reply_that_came_too_early_says_nothing_of_time() {
        let cases = read(&LINE.replace("700", "0")).unwrap();
        assert_eq!((cases[0].repeats[0].total_ms, cases[0].repeats[0].downtime_ms), (None, None));
        assert!(cases[0].repeats[0].completed);
    }

    #[test]
    fn a_guest_without_a_clock_writes_as_fast_as_it_did() {
        let cases = read(&LINE.replace(" c=489000", "")).unwrap();
        let [writer] = cases[0].setup.writers.as_slice() else { panic!("{cases:?}") };
        assert_eq!((writer.pace.most_writes_per_second(), writer.catches_up_ns), (10, 0));
    }

    #[test]
    fn a_line_that_is_no_recording_is_named() {
        for (from, to, words) in [
            (LINE, "{", "line 2: EOF while parsing"),
            (LINE, "[]", "line 2: "),
            ("\"syncs\":3,", "", "missing field `syncs`"),
            ("\"ram\":64", "\"ram\":-1", "invalid value"),
            ("\"ram\":64", "\"ram\":18446744073709551615", "the memory in MiB is"),
            ("\"timeout\":5", "\"timeout\":5,\"turbo\":1", "unknown field `turbo`"),
            ("m=1", "m=9", "`m=9` is not known"),
            ("n=2", "x=2", "`x=2` is not known"),
            ("n=2", "n", "`n` has no value"),
            ("n=2", "n=-2", "not a whole number"),
            ("w=256", "w=99999999999", "larger than"),
            ("c=489000", "c=1", "times a second"),
            ("m=1", "m=3", "`h=0` is not within"),
        ] {
            let text = format!("{LINE}\n{}", LINE.replace(from, to).replace("\"a\"", "\"b\""));
            let error = read(&text).unwrap_err().to_string();
            assert!(error.starts_with("line 2: ") && error.contains(words), "{from} {to}: {error}");
        }
        assert_eq!(read(" \n").unwrap_err().line, 1);
    }

    #[test]
    fn one_name_has_one_set_up() {
        let other = LINE.replace("\"dl\":100", "\"dl\":200");
        let error = read(&format!("{LINE}\n{other}")).unwrap_err();
        assert_eq!(error.to_string(), "line 2: `a` has another set-up here than in line 1");
    }

    #[test]
    fn what_the_engine_lacks_is_said() {
        for (extra, words) in [
            ("\"caps\":{\"multifd\":true,\"xbzrle\":true}", "no `multifd`, `xbzrle`"),
            ("\"pc_at\":1.0", "post-copy"),
            ("\"params\":{\"multifd-channels\":2}", "no parameter `multifd-channels`"),
        ] {
            let cases = read(&LINE.replace("\"dl\"", &format!("{extra},\"dl\""))).unwrap();
            assert!(cases[0].not_modelled.as_ref().unwrap().contains(words), "{:?}", cases[0]);
        }
        let off = LINE.replace("\"dl\"", "\"caps\":{\"multifd\":false},\"params\":{},\"pc_at\":null,\"dl\"");
        assert_eq!(read(&off).unwrap()[0].not_modelled, None);
        let failed = read(&LINE.replace("\"completed\"", "\"failed\"")).unwrap();
        assert_eq!(failed[0].not_modelled.as_deref(), Some("a repeat ended as `failed`"));
    }
}
