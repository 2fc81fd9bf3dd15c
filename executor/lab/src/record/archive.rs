//! Writes the archive that a Linux kernel takes its first files from: cpio in its "new ASCII" form, not compressed.
//!
//! Format: the kernel's `Documentation/driver-api/early-userspace/buffer-format.rst`. Owners and times are all zero,
//! so that the same files give the same archive.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const FOLDER: u32 = 0o040_755;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_777;
const LAST: &str = "TRAILER!!!";

/// An archive that is being written.
#[derive(Debug)]
pub(super) struct Archive<W> {
    to: W,
    entries: u32,
}

impl<W: Write> Archive<W> {
    pub(super) fn new(to: W) -> Self {
        Self { to, entries: 0 }
    }

    /// One file with its permissions.
    pub(super) fn file(&mut self, name: &str, permissions: u32, data: &[u8]) -> io::Result<()> {
        self.entry(name, FILE | (permissions & 0o777), data)
    }

    /// Everything below a folder for which `wanted` holds, in the order of the names; `name` is where it goes.
    pub(super) fn tree(
        &mut self,
        folder: &Path,
        name: &str,
        wanted: &dyn Fn(&str) -> bool,
    ) -> io::Result<()> {
        let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let own = entry.file_name().to_string_lossy().into_owned();
            let name = if name.is_empty() { own } else { format!("{name}/{own}") };
            if !wanted(&name) {
                continue;
            }
            let (path, kind) = (entry.path(), entry.file_type()?);
            if kind.is_symlink() {
                self.entry(&name, LINK, fs::read_link(&path)?.to_string_lossy().as_bytes())?;
            } else if kind.is_dir() {
                self.entry(&name, FOLDER, &[])?;
                self.tree(&path, &name, wanted)?;
            } else if kind.is_file() {
                self.file(&name, entry.metadata()?.permissions().mode(), &fs::read(&path)?)?;
            }
        }
        Ok(())
    }

    /// Writes the end.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.entry(LAST, 0, &[])?;
        self.to.flush()
    }

    fn entry(&mut self, name: &str, mode: u32, data: &[u8]) -> io::Result<()> {
        self.entries += 1;
        let long = |length: usize| {
            u32::try_from(length)
                .map_err(|_| io::Error::other(format!("`{name}` is too large for the archive")))
        };
        // Number, mode, owner, group, links, time, size, four device numbers, length of the name with its end, no sum.
        let fields =
            [self.entries, mode, 0, 0, 1, 0, long(data.len())?, 0, 0, 0, 0, long(name.len() + 1)?, 0];
        let mut head = b"070701".to_vec();
        for field in fields {
            write!(head, "{field:08X}")?;
        }
        head.extend_from_slice(name.as_bytes());
        head.push(0);
        self.padded(&head)?;
        self.padded(data)
    }

    /// Both the name and the data end at a multiple of four.
    fn padded(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.to.write_all(bytes)?;
        let rest = bytes.len().next_multiple_of(4) - bytes.len();
        self.to.write_all([0; 3].get(..rest).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::Archive;

    #[test]
    fn an_archive_has_the_kernels_form() {
        let folder = std::env::temp_dir().join(format!("archive-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("a/share")).unwrap();
        std::fs::write(folder.join("a/b"), "hello").unwrap();
        std::os::unix::fs::symlink("b", folder.join("a/c")).unwrap();
        let mut bytes = Vec::new();
        let mut archive = Archive::new(&mut bytes);
        archive.tree(&folder, "", &|name| !name.ends_with("share")).unwrap();
        archive.file("init", 0o755, b"#!").unwrap();
        archive.finish().unwrap();
        std::fs::remove_dir_all(&folder).unwrap();

        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text.len() % 4, 0);
        let entries: Vec<&str> = text.split("070701").skip(1).collect();
        let names: Vec<&str> = entries.iter().map(|entry| entry[104..].split('\0').next().unwrap()).collect();
        assert_eq!(names, ["a", "a/b", "a/c", "init", "TRAILER!!!"]);
        let modes: Vec<&str> = entries.iter().map(|entry| &entry[8..16]).collect();
        assert_eq!((modes[0], modes[2], modes[3]), ("000041ED", "0000A1FF", "000081ED"));
        assert!(entries[1].contains("00000005") && entries[1].ends_with("hello\0\0\0"), "{:?}", entries[1]);
    }
}
