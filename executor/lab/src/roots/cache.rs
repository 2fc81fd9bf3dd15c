//! The folder with the roots: a tarball and a manifest of each, and the unpacked ones.
//!
//! A file is written under another name first and then renamed, so that one with its own name is whole. One process at a
//! time changes a root; what a lab uses is never removed.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::{GENERATIONS, Generation, Root, build};
use crate::{LabError, shell};

/// The variable of the environment that names the folder of the roots, if it is not the usual one.
pub const FOLDER_VARIABLE: &str = "WHIMBREL_LAB_ROOTS";
/// The machine's, because only root makes and uses them.
const FOLDER: &str = "/var/cache/whimbrel/lab-roots";
/// How much of a digest is in the name of what was unpacked.
const DIGEST_PREFIX: usize = 16;

/// The contents of a tarball.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The generation's name.
    pub name: String,
    /// Debian's release.
    pub suite: String,
    /// Where its packages came from.
    pub mirror: String,
    /// The requested packages, beside the smallest Debian: another request makes another root.
    pub requested: String,
    /// When it was made, in seconds since 1970.
    pub made_at_s: u64,
    /// The tarball's SHA-256, in hexadecimal.
    pub sha256: String,
    /// Every package with its version.
    pub packages: BTreeMap<String, String>,
}

/// How a root was prepared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prepared {
    /// It was there, and its digest is right.
    Kept(Manifest),
    /// It was made.
    Made(Manifest),
}

/// The folder.
#[derive(Clone, Debug)]
pub struct RootCache {
    folder: PathBuf,
}

impl Manifest {
    /// The versions of libvirt and QEMU, as their packages have them.
    #[must_use]
    pub fn summary(&self) -> String {
        let version = |package: &str| self.packages.get(package).map_or("not installed", String::as_str);
        format!("libvirt {}, QEMU {}", version("libvirt-daemon"), version("qemu-system-x86"))
    }
}

impl RootCache {
    /// The folder that `WHIMBREL_LAB_ROOTS` names, or `/var/cache/whimbrel/lab-roots`.
    #[must_use]
    pub fn of_environment() -> Self {
        Self::at(std::env::var_os(FOLDER_VARIABLE).map_or_else(|| FOLDER.into(), PathBuf::from))
    }

    /// This folder.
    #[must_use]
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Where it is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The manifest of a root, if the root was made. It says nothing about the tarball's present state.
    ///
    /// # Errors
    /// [`LabError::Root`] for a manifest that cannot be parsed.
    pub fn manifest(&self, generation: Generation) -> Result<Option<Manifest>, LabError> {
        let path = self.file(generation, "json");
        let Ok(text) = fs::read_to_string(&path) else { return Ok(None) };
        let parsed = serde_json::from_str(&text);
        parsed.map(Some).map_err(|error| unusable(generation, format!("`{}`: {error}", path.display())))
    }

    /// Makes a root, unless one is there with the right digest that was made by the same recipe. `tell` gets a line for
    /// people before each step.
    ///
    /// # Errors
    /// [`LabError::NotRoot`], [`LabError::NoMirror`] when no mirror provides the release, and whatever else failed.
    /// Nothing is left but a folder whose name ends in `.partial`, which the next attempt removes.
    pub fn prepare(&self, generation: Generation, tell: &mut dyn FnMut(&str)) -> Result<Prepared, LabError> {
        if !rustix::process::geteuid().is_root() {
            return Err(LabError::NotRoot);
        }
        fs::create_dir_all(&self.folder)
            .map_err(LabError::io(format!("create `{}`", self.folder.display())))?;
        let _turn = self.lock(generation)?;
        match self.verified(generation) {
            Ok(Some(manifest)) => return Ok(Prepared::Kept(manifest)),
            Ok(None) => {}
            Err(LabError::Root { reason, .. }) => tell(&format!("{}: made again: {reason}", generation.name)),
            Err(error) => return Err(error),
        }
        self.make(generation, tell).map(Prepared::Made)
    }

    /// A root to use. It is unpacked if it was not yet.
    ///
    /// # Errors
    /// [`LabError::Root`] when it was not made, or its tarball is not what the manifest records.
    pub fn open(&self, generation: Generation) -> Result<Root, LabError> {
        let made = self.manifest(generation)?;
        let manifest = made.ok_or_else(|| unusable(generation, "it was not made".to_owned()))?;
        let _turn = self.lock(generation)?;
        let path = self.unpacked(generation, &manifest);
        let lock = open_lock(&path.with_extension("used"))?;
        lock.lock_shared().map_err(LabError::io(format!("lock `{}`", path.display())))?;
        if !path.is_dir() {
            self.verified(generation)?;
            self.remove_older(generation, &path)?;
            self.unpack(generation, &path)?;
        }
        Ok(Root { path, _lock: Some(Arc::new(lock)) })
    }

    /// Every root that is there, with its versions, in the order of the generations.
    ///
    /// # Errors
    /// As [`RootCache::manifest`].
    pub fn list(&self) -> Result<Vec<(Generation, Option<Manifest>)>, LabError> {
        let row = |generation| Ok((generation, self.manifest(generation)?));
        GENERATIONS.into_iter().map(row).collect()
    }

    /// The manifest of a root whose tarball is as it was made, by the recipe of this program; none if nothing is there.
    fn verified(&self, generation: Generation) -> Result<Option<Manifest>, LabError> {
        let Some(manifest) = self.manifest(generation)? else { return Ok(None) };
        if manifest.requested != requested(generation) {
            return Err(unusable(generation, "it was made with other packages".to_owned()));
        }
        let tarball = self.file(generation, "tar.zst");
        if !tarball.is_file() {
            return Err(unusable(generation, format!("`{}` is missing", tarball.display())));
        }
        let digest = digest(&tarball)?;
        if digest != manifest.sha256 {
            let reason =
                format!("`{}` has the digest {digest} instead of {}", tarball.display(), manifest.sha256);
            return Err(unusable(generation, reason));
        }
        Ok(Some(manifest))
    }

    fn make(&self, generation: Generation, tell: &mut dyn FnMut(&str)) -> Result<Manifest, LabError> {
        let folder = self.file(generation, "partial");
        build::remove(&folder)?;
        let built = build::build(generation, &folder, tell)?;
        tell(&format!("{}: packing", generation.name));
        let (partial, tarball) = (self.file(generation, "tar.zst.partial"), self.file(generation, "tar.zst"));
        let mut tar = Command::new("tar");
        tar.args([
            "--create",
            "--numeric-owner",
            "--sort=name",
            "--zstd",
            "--exclude=./dev/*",
            "--exclude=./proc/*",
        ]);
        shell::run(tar.arg("--file").arg(&partial).arg("--directory").arg(&folder).arg("."))?;
        build::remove(&folder)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let manifest = Manifest {
            name: generation.name.to_owned(),
            suite: generation.suite.to_owned(),
            mirror: built.mirror,
            requested: requested(generation),
            made_at_s: now,
            sha256: digest(&partial)?,
            packages: built.packages,
        };
        let text = serde_json::to_string_pretty(&manifest)
            .map_err(|error| unusable(generation, format!("its manifest: {error}")))?;
        rename(&partial, &tarball)?;
        let partial = self.file(generation, "json.partial");
        fs::write(&partial, text + "\n").map_err(LabError::io(format!("write `{}`", partial.display())))?;
        rename(&partial, &self.file(generation, "json"))?;
        Ok(manifest)
    }

    fn unpack(&self, generation: Generation, path: &Path) -> Result<(), LabError> {
        let partial = path.with_extension("partial");
        build::remove(&partial)?;
        fs::create_dir_all(&partial).map_err(LabError::io(format!("create `{}`", partial.display())))?;
        let mut tar = Command::new("tar");
        tar.args(["--extract", "--numeric-owner", "--preserve-permissions", "--zstd", "--file"]);
        shell::run(tar.arg(self.file(generation, "tar.zst")).arg("--directory").arg(&partial))?;
        rename(&partial, path)
    }

    /// Removes what was unpacked of earlier tarballs and is not in use.
    fn remove_older(&self, generation: Generation, kept: &Path) -> Result<(), LabError> {
        let below = self.folder.join("unpacked");
        let prefix = format!("{}@", generation.name);
        for entry in fs::read_dir(&below).into_iter().flatten().flatten() {
            let path = entry.path();
            let is_older =
                entry.file_name().to_string_lossy().starts_with(&prefix) && path.is_dir() && path != kept;
            if !is_older {
                continue;
            }
            let lock = path.with_extension("used");
            match open_lock(&lock)?.try_lock() {
                Ok(()) => {
                    build::remove(&path)?;
                    build::remove(&lock)?;
                }
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(source)) => {
                    return Err(LabError::Io { what: format!("lock `{}`", lock.display()), source });
                }
            }
        }
        Ok(())
    }

    fn unpacked(&self, generation: Generation, manifest: &Manifest) -> PathBuf {
        let digest = manifest.sha256.get(..DIGEST_PREFIX).unwrap_or(&manifest.sha256);
        self.folder.join("unpacked").join(format!("{}@{digest}", generation.name))
    }

    fn file(&self, generation: Generation, ending: &str) -> PathBuf {
        self.folder.join(format!("{}.{ending}", generation.name))
    }

    /// Held while a root is made or unpacked.
    fn lock(&self, generation: Generation) -> Result<File, LabError> {
        let path = self.file(generation, "lock");
        let lock = open_lock(&path)?;
        lock.lock().map_err(LabError::io(format!("lock `{}`", path.display())))?;
        Ok(lock)
    }
}

fn requested(generation: Generation) -> String {
    let backports = generation.backports.map_or_else(String::new, |name| format!(" from {name}"));
    format!("{}{backports}", generation.packages)
}

fn digest(path: &Path) -> Result<String, LabError> {
    let text = shell::run(Command::new("sha256sum").arg("--binary").arg(path))?;
    Ok(text.split_whitespace().next().unwrap_or_default().to_owned())
}

fn rename(from: &Path, to: &Path) -> Result<(), LabError> {
    fs::rename(from, to).map_err(LabError::io(format!("rename `{}`", from.display())))
}

fn open_lock(path: &Path) -> Result<File, LabError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(LabError::io(format!("create `{}`", folder.display())))?;
    }
    let opened = fs::OpenOptions::new().write(true).create(true).truncate(false).open(path);
    opened.map_err(LabError::io(format!("open `{}`", path.display())))
}

fn unusable(generation: Generation, reason: String) -> LabError {
    LabError::Root { name: generation.name.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cache with a tarball of one file, as if it had been made.
    struct Scratch(RootCache);

    impl Scratch {
        fn with(name: &str, content: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("lab-roots-{}-{name}", std::process::id()));
            let _ = fs::remove_dir_all(&folder);
            let scratch = Self(RootCache::at(folder));
            scratch.pack(content);
            scratch
        }

        fn pack(&self, content: &str) {
            let (cache, generation) = (&self.0, GENERATIONS[0]);
            let source = cache.folder.join("source");
            fs::create_dir_all(&source).unwrap();
            fs::write(source.join("file"), content).unwrap();
            let tarball = cache.file(generation, "tar.zst");
            let mut tar = Command::new("tar");
            tar.args(["--create", "--zstd", "--file"]).arg(&tarball).arg("--directory").arg(&source).arg(".");
            shell::run(&mut tar).unwrap();
            let manifest = Manifest {
                name: generation.name.into(),
                suite: generation.suite.into(),
                mirror: "http://near.example/debian".into(),
                requested: requested(generation),
                made_at_s: 1,
                sha256: digest(&tarball).unwrap(),
                packages: [("qemu-system-x86".to_owned(), "1:5.2".to_owned())].into(),
            };
            fs::write(cache.file(generation, "json"), serde_json::to_string(&manifest).unwrap()).unwrap();
        }

        fn reason(&self) -> String {
            self.0.open(GENERATIONS[0]).unwrap_err().to_string()
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0.folder);
        }
    }

    #[test]
    fn a_root_is_unpacked_once_and_an_older_one_stays_while_it_is_used() {
        let scratch = Scratch::with("unpacked", "one");
        let first = scratch.0.open(GENERATIONS[0]).unwrap();
        assert_eq!(fs::read_to_string(first.path().join("file")).unwrap(), "one");
        fs::write(first.path().join("mark"), "").unwrap();
        assert!(scratch.0.open(GENERATIONS[0]).unwrap().path().join("mark").exists(), "not unpacked again");

        scratch.pack("two");
        let second = scratch.0.open(GENERATIONS[0]).unwrap();
        assert_eq!(fs::read_to_string(second.path().join("file")).unwrap(), "two");
        assert!(first.path().join("file").exists(), "it is in use");
        let gone = first.path().to_owned();
        drop((first, second));
        scratch.pack("three");
        scratch.0.open(GENERATIONS[0]).unwrap();
        assert!(!gone.exists());
    }

    #[test]
    fn a_root_that_is_not_what_was_made_is_refused_with_the_command_that_makes_it() {
        let scratch = Scratch::with("refused", "one");
        let tarball = scratch.0.file(GENERATIONS[0], "tar.zst");
        fs::write(&tarball, "another").unwrap();
        let reason = scratch.reason();
        assert!(reason.contains("instead of") && reason.contains("cargo xtask lab roots"), "{reason}");
        fs::remove_file(&tarball).unwrap();
        assert!(scratch.reason().contains("is missing"));
        let manifest = scratch.0.file(GENERATIONS[0], "json");
        let text = fs::read_to_string(&manifest).unwrap();
        fs::write(&manifest, text.replace("qemu-utils", "qemu-utils more")).unwrap();
        assert!(scratch.reason().contains("other packages"));
        fs::write(&manifest, "{}").unwrap();
        assert!(scratch.reason().contains("missing field"));
        fs::remove_file(&manifest).unwrap();
        assert!(scratch.reason().contains("it was not made"));
    }

    #[test]
    fn versions_that_are_not_there_are_not_invented() {
        let scratch = Scratch::with("summary", "one");
        let manifest = scratch.0.manifest(GENERATIONS[0]).unwrap().unwrap();
        assert_eq!(manifest.summary(), "libvirt not installed, QEMU 1:5.2");
        let listed = scratch.0.list().unwrap();
        assert_eq!(listed.iter().filter(|(_, manifest)| manifest.is_some()).count(), 1);
    }
}
