//! Storage that only one host sees: images in a folder of its own, and the pool of it.
//!
//! Both hosts have the folder under the same name and each has its own files there, as hosts with local disks do. It goes
//! with the lab. It must never hold anything that the other host can read.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{Host, LabError};

/// The folder, as each host sees its own.
pub const STORAGE: &str = "/var/lib/libvirt/images";

/// The name of the pool that [`Host::create_pool`] makes.
const POOL: &str = "images";
/// What an image is filled with: a block of one pattern in every so many bytes, the rest is zero.
const FILLED_EVERY: usize = 64 << 10;
const BLOCK: usize = 4 << 10;

/// How an image file is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageFormat {
    /// The disk's bytes, one for one.
    Raw,
    /// QEMU's own format, which grows as it is written.
    Qcow2,
}

impl ImageFormat {
    /// QEMU's and libvirt's name for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        }
    }
}

/// A disk of a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestDisk {
    /// The image, as the guest's host sees it.
    pub path: PathBuf,
    /// Its format.
    pub format: ImageFormat,
    /// libvirt's name for how the host caches it: `none` for shared storage; empty for QEMU's default.
    pub cache: &'static str,
}

impl GuestDisk {
    /// A disk with QEMU's default cache.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, format: ImageFormat) -> Self {
        Self { path: path.into(), format, cache: "" }
    }

    pub(crate) fn xml(&self, letter: char) -> String {
        let cache = if self.cache.is_empty() { String::new() } else { format!(" cache='{}'", self.cache) };
        format!(
            "    <disk type='file' device='disk'>\n      <driver name='qemu' type='{}'{cache}/>\n      \
             <source file='{}'/>\n      <target dev='vd{letter}' bus='virtio'/>\n    </disk>\n",
            self.format.name(),
            self.path.display()
        )
    }
}

impl Host {
    /// Makes a libvirt pool of the host's own storage, without which libvirt makes no disk that is copied there.
    ///
    /// # Errors
    /// [`LabError::Command`] with libvirt's message, such as that the pool exists.
    pub fn create_pool(&self) -> Result<(), LabError> {
        self.virsh(&["pool-create-as", POOL, "dir", "--target", STORAGE]).map(drop)
    }

    /// Makes an image in the host's own storage, replacing one of that name, and gives its path as the host sees it.
    /// `seed` decides its content.
    ///
    /// # Errors
    /// [`LabError::Io`] and [`LabError::Command`] when the file cannot be made.
    pub fn create_image(
        &self,
        name: &str,
        format: ImageFormat,
        size_mib: usize,
        seed: u8,
    ) -> Result<PathBuf, LabError> {
        let path = Path::new(STORAGE).join(name);
        let raw = match format {
            ImageFormat::Raw => path.clone(),
            ImageFormat::Qcow2 => Path::new(STORAGE).join(format!("{name}.scratch")),
        };
        let outside = self.outside(&raw);
        fs::write(&outside, content(size_mib << 20, seed))
            .map_err(LabError::io(format!("write `{}`", outside.display())))?;
        if format == ImageFormat::Qcow2 {
            let (from, to) = (raw.to_string_lossy(), path.to_string_lossy());
            self.run("qemu-img", &["convert", "-f", "raw", "-O", "qcow2", &from, &to])?;
            fs::remove_file(&outside).map_err(LabError::io(format!("remove `{}`", outside.display())))?;
        }
        Ok(path)
    }

    /// The SHA-256 of a file on this host, in hexadecimal. Of an image that a running guest has open it may be old.
    ///
    /// # Errors
    /// [`LabError::Command`] when there is no such file.
    pub fn file_digest(&self, path: &Path) -> Result<String, LabError> {
        let text = self.run("sha256sum", &["--binary", &path.to_string_lossy()])?;
        Ok(text.split_whitespace().next().unwrap_or_default().to_owned())
    }

    /// The SHA-256 of the disk that an image stands for, whatever its format: what a guest would read.
    ///
    /// # Errors
    /// [`LabError::Command`] when there is no such image, or it is not of this format.
    pub fn disk_digest(&self, path: &Path, format: ImageFormat) -> Result<String, LabError> {
        let copy = Path::new(STORAGE).join("digest.scratch");
        let (from, to) = (path.to_string_lossy(), copy.to_string_lossy());
        // Shared: a running guest may hold the image's lock.
        self.run("qemu-img", &["convert", "-U", "-f", format.name(), "-O", "raw", &from, &to])?;
        let digest = self.file_digest(&copy);
        let outside = self.outside(&copy);
        fs::remove_file(&outside).map_err(LabError::io(format!("remove `{}`", outside.display())))?;
        digest
    }

    /// Whether a file is there, as this host sees it.
    #[must_use]
    pub fn has_file(&self, path: &Path) -> bool {
        self.run("test", &["-e", &path.to_string_lossy()]).is_ok()
    }

    /// Where the machine has a file of the host's own storage.
    fn outside(&self, path: &Path) -> PathBuf {
        self.folder().join(path.strip_prefix("/").unwrap_or(path))
    }
}

fn content(bytes: usize, seed: u8) -> Vec<u8> {
    let mut content = vec![0; bytes];
    for (number, chunk) in content.chunks_mut(FILLED_EVERY).enumerate() {
        let byte = seed.wrapping_add(u8::try_from(number % 251).unwrap_or_default());
        chunk.iter_mut().take(BLOCK).for_each(|slot| *slot = byte.max(1));
    }
    content
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_the_content() {
        assert_eq!(content(1 << 20, 7), content(1 << 20, 7));
        assert_ne!(content(1 << 20, 7), content(1 << 20, 8));
        assert_eq!(content(1 << 20, 7).len(), 1 << 20);
    }

    #[test]
    fn a_disk_names_its_format_and_its_cache() {
        let mut disk = GuestDisk::new("/images/a.raw", ImageFormat::Raw);
        assert!(disk.xml('a').contains("<driver name='qemu' type='raw'/>"), "{}", disk.xml('a'));
        disk.cache = "none";
        assert!(disk.xml('b').contains("type='raw' cache='none'/>"), "{}", disk.xml('b'));
        assert!(disk.xml('b').contains("<target dev='vdb' bus='virtio'/>"));
    }
}
