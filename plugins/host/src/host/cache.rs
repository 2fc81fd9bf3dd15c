//! Compiled packs on disk.
//!
//! Machine code written by another user would run with all rights of this process, so a file is used only if it and its
//! folder belong to this user alone, its name fits the pack and this very engine, and it ends with the digest of its
//! own content. Any other file is ignored and the pack is compiled again. A cache must never make anything fail, nor
//! grow without bound.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use super::{hexadecimal, trusted};

/// A folder of compiled packs.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
}

/// Length of a digest in hexadecimal.
const DIGEST: usize = 64;
/// Bytes; a larger file is not a compiled pack and is ignored.
const BYTES_MOST: u64 = 256 << 20;
/// Number of files that are kept, the most recently used ones: a newer program or processor makes new ones of every
/// pack.
const FILES_MOST: usize = 64;
/// Precision of the time of last use.
const A_DAY: Duration = Duration::from_hours(24);
/// Read at once: what stays in the processor's own cache costs no memory.
const PART_BYTES: usize = 16 << 10;
/// Mode of the folder: only the owner may read or write it.
const OTHERS: u32 = 0o077;

impl Cache {
    /// A cache in this folder, which is created at the first write.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The user's own: below `$XDG_CACHE_HOME` or `~/.cache`.
    #[must_use]
    pub fn usual() -> Option<Self> {
        let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
        let folder = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home)?;
        Some(Self::new(folder.join("whimbrel").join("packs")))
    }

    /// The compiled pack of this key, if there is one that can be trusted.
    pub(super) fn load(&self, engine: &Engine, key: &str) -> Option<Component> {
        if !is_ours(&self.folder) {
            return None;
        }
        let file = OpenOptions::new().read(true).custom_flags(NO_SYMLINK).open(self.file(key)).ok()?;
        let about = file.metadata().ok()?;
        if !about.is_file() || !is_private(&about) || about.len() > BYTES_MOST {
            return None;
        }
        if about.modified().is_ok_and(|then| then.elapsed().is_ok_and(|ago| ago > A_DAY)) {
            // Marks it as used, so it is kept. If that fails, it may be removed and compiled again later.
            let _ = file.set_modified(SystemTime::now());
        }
        let mapped = is_local(&file).then(|| mapped(engine, key, &file, about.len())).flatten();
        mapped.or_else(|| copied(engine, key, &file, about.len()))
    }

    /// Stores a compiled pack; if that fails, the pack is compiled again the next time.
    pub(super) fn store(&self, key: &str, code: &[u8]) {
        // Not reported: a cache that cannot be written only costs time.
        let _ = self.write(key, code);
    }

    fn write(&self, key: &str, code: &[u8]) -> io::Result<()> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        if let Some(above) = self.folder.parent() {
            fs::create_dir_all(above)?;
        }
        match DirBuilder::new().mode(0o700).create(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        if !is_ours(&self.folder) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let draft = self.folder.join(format!(".{key}-{}-{number}", std::process::id()));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o400).open(&draft)?;
        let written = file
            .write_all(code)
            .and_then(|()| file.write_all(sum(key, code)?.as_bytes()))
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&draft, self.file(key)));
        match written {
            Ok(()) => self.forget(),
            Err(_) => fs::remove_file(&draft).and(written),
        }
    }

    /// Removes the least recently used files. A process that still runs one keeps it: a file without a name stays until
    /// its last user ends.
    fn forget(&self) -> io::Result<()> {
        let about = |entry: io::Result<fs::DirEntry>| {
            let entry = entry.ok()?;
            let about = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            Some((about.modified().ok()?, entry.path()))
        };
        let mut files: Vec<_> = fs::read_dir(&self.folder)?.filter_map(about).collect();
        files.sort_unstable();
        let too_many = files.len().saturating_sub(FILES_MOST);
        for (_, file) in files.iter().take(too_many) {
            // Another program may have removed it first.
            let _ = fs::remove_file(file);
        }
        Ok(())
    }

    fn file(&self, key: &str) -> PathBuf {
        self.folder.join(format!("{key}.code"))
    }
}

/// `O_NOFOLLOW`: a link could lead to a file that changes after the check.
const NO_SYMLINK: i32 = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();

/// Code mapped from disk: copying code that is never called makes a start slower by about half.
fn mapped(engine: &Engine, key: &str, file: &File, bytes: u64) -> Option<Component> {
    let code = bytes.checked_sub(DIGEST as u64)?;
    let mut written = [0; DIGEST];
    file.read_exact_at(&mut written, code).ok()?;
    (written == sum(key, file.take(code)).ok()?.as_bytes()).then(|| trusted::mapped(engine, file)).flatten()
}

/// A copy of the code, where it cannot be mapped: the file system forbids running code, or another host may change it.
fn copied(engine: &Engine, key: &str, file: &File, bytes: u64) -> Option<Component> {
    let mut all = vec![0; usize::try_from(bytes).ok()?];
    file.read_exact_at(&mut all, 0).ok()?;
    let (code, written) = all.split_last_chunk::<DIGEST>()?;
    (written == sum(key, code).ok()?.as_bytes()).then(|| trusted::copied(engine, code)).flatten()
}

/// Whether a file stays unchanged for as long as it is open, even after its name is removed. A file of another machine
/// may disappear under a program that has mapped it. Source of the numbers: Linux, `linux/magic.h` (ext2 to 4, XFS,
/// Btrfs, F2FS, tmpfs, overlayfs) and ZFS.
#[cfg(target_os = "linux")]
fn is_local(file: &File) -> bool {
    use rustix::fs::FsWord;
    const LOCAL: [FsWord; 7] =
        [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010, 0x0102_1994, 0x794c_7630, 0x2fc1_2fc1];
    rustix::fs::fstatfs(file).is_ok_and(|about| LOCAL.contains(&about.f_type))
}

#[cfg(not(target_os = "linux"))]
fn is_local(_: &File) -> bool {
    false
}

/// The key is part of the digest, so a renamed file is not taken for another pack's.
fn sum(key: &str, mut code: impl Read) -> io::Result<String> {
    let mut hasher = Sha256::new_with_prefix(key).chain_update(b"\n");
    let mut part = [0; PART_BYTES];
    loop {
        match code.read(&mut part)? {
            0 => return Ok(hexadecimal(hasher)),
            read => hasher.update(part.get(..read).unwrap_or_default()),
        }
    }
}

fn is_ours(folder: &Path) -> bool {
    fs::symlink_metadata(folder).is_ok_and(|about| about.is_dir() && is_private(&about))
}

fn is_private(about: &fs::Metadata) -> bool {
    about.uid() == rustix::process::geteuid().as_raw() && about.mode() & OTHERS == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_found_mapped_and_copied_and_under_its_own_key_only() {
        let folder = std::env::temp_dir().join(format!("whimbrel-cache-of-{}", std::process::id()));
        let cache = Cache::new(folder.clone());
        let engine = Engine::default();
        let code = Component::new(&engine, crate::shipped::SHIPPED[2].bytes).unwrap().serialize().unwrap();
        cache.write("key", &code).unwrap();
        let file = File::open(cache.file("key")).unwrap();
        let bytes = file.metadata().unwrap().len();
        for find in [mapped, copied] {
            assert!(find(&engine, "key", &file, bytes).is_some());
            assert!(find(&engine, "other", &file, bytes).is_none());
            assert!(find(&engine, "key", &file, bytes - 1).is_none());
            assert!(find(&engine, "key", &file, 7).is_none());
        }
        fs::remove_dir_all(folder).unwrap();
    }
}
