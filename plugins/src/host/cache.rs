//! Compiled packs on disk.
//!
//! Machine code that somebody else wrote would run with all our rights, so a file is used only if it and its folder
//! belong to this user alone, its name fits the pack and this very engine, and it holds the digest of its own content.
//! Everything else is as good as no file: the pack is compiled again. A cache must never make anything fail.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use wasmtime::Engine;
use wasmtime::component::Component;

use super::digest;
use super::trusted;

/// A folder of compiled packs.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
}

/// Length of a digest in hexadecimal.
const DIGEST: usize = 64;
/// No compiled pack is larger.
const BYTES_MOST: u64 = 256 << 20;
/// Nobody but the owner may look into it or write.
const OTHERS: u32 = 0o077;

impl Cache {
    /// A cache in this folder, which is made when it is first written to.
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
        let mut bytes = Vec::new();
        file.take(BYTES_MOST).read_to_end(&mut bytes).ok()?;
        let (written, code) = bytes.split_at_checked(DIGEST)?;
        // The key belongs to the digest, so that a file that was renamed is not taken for another pack's.
        (written == sum(key, code).as_bytes()).then(|| trusted::component(engine, code)).flatten()
    }

    /// Keeps a compiled pack; when that is not possible, it is compiled again the next time.
    pub(super) fn store(&self, key: &str, code: &[u8]) {
        // Nobody is told: a cache that cannot be written is only slow.
        let _ = self.write(key, code);
    }

    fn write(&self, key: &str, code: &[u8]) -> std::io::Result<()> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        if let Some(above) = self.folder.parent() {
            fs::create_dir_all(above)?;
        }
        match DirBuilder::new().mode(0o700).create(&self.folder) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        if !is_ours(&self.folder) {
            return Err(std::io::ErrorKind::PermissionDenied.into());
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let draft = self.folder.join(format!(".{key}-{}-{number}", std::process::id()));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        let written = file
            .write_all(sum(key, code).as_bytes())
            .and_then(|()| file.write_all(code))
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&draft, self.file(key)));
        if written.is_err() {
            fs::remove_file(&draft)?;
        }
        written
    }

    fn file(&self, key: &str) -> PathBuf {
        self.folder.join(format!("{key}.code"))
    }
}

/// `O_NOFOLLOW`: a link could lead to a file that changes after it was looked at.
const NO_SYMLINK: i32 = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();

fn sum(key: &str, code: &[u8]) -> String {
    digest(&[key.as_bytes(), b"\n", code].concat())
}

fn is_ours(folder: &Path) -> bool {
    fs::symlink_metadata(folder).is_ok_and(|about| about.is_dir() && is_private(&about))
}

fn is_private(about: &fs::Metadata) -> bool {
    about.uid() == rustix::process::geteuid().as_raw() && about.mode() & OTHERS == 0
}
