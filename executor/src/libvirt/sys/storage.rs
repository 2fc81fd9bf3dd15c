//! Files in storage pools of a host: whether one is missing, and its removal.
//!
//! A pool lists what was there when it was looked through last, so it is looked through again first: a file that is
//! taken for missing would be taken for one that the migration made, and be removed.

use super::{Connection, c_string, check, check_pointer};
use crate::libvirt::error::{ErrorCode, LibvirtError};
use std::ptr::NonNull;
use virt_sys::{virStoragePool, virStorageVol};

struct Pool(NonNull<virStoragePool>);
struct Volume(NonNull<virStorageVol>);

impl Drop for Pool {
    fn drop(&mut self) {
        // SAFETY: this value owns one reference, given back once.
        unsafe { virt_sys::virStoragePoolFree(self.0.as_ptr()) };
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe { virt_sys::virStorageVolFree(self.0.as_ptr()) };
    }
}

impl Connection {
    /// Whether a storage pool is there in which libvirt would make this file, and the file is not.
    ///
    /// # Errors
    /// Whatever libvirt reports.
    pub fn lacks_volume(&self, path: &str) -> Result<bool, LibvirtError> {
        Ok(matches!(self.volume(path)?, Found::Missing))
    }

    /// Removes a file from its storage pool; one that is not there is removed already.
    ///
    /// # Errors
    /// Whatever libvirt reports.
    pub fn delete_volume(&self, path: &str) -> Result<(), LibvirtError> {
        let Found::Volume(volume) = self.volume(path)? else { return Ok(()) };
        // SAFETY: the handle is valid as long as `volume`.
        check("virStorageVolDelete", unsafe { virt_sys::virStorageVolDelete(volume.0.as_ptr(), 0) }).map(drop)
    }

    fn volume(&self, path: &str) -> Result<Found, LibvirtError> {
        let Some((directory, name)) = path.rsplit_once('/').filter(|(directory, _)| !directory.is_empty())
        else {
            return Ok(Found::NoPool);
        };
        let Some(pool) = self.pool_at(directory)? else { return Ok(Found::NoPool) };
        // SAFETY: the handle is valid as long as `pool`.
        check("virStoragePoolRefresh", unsafe { virt_sys::virStoragePoolRefresh(pool.0.as_ptr(), 0) })?;
        let call = "virStorageVolLookupByName";
        let name = c_string(call, "the volume's name", name)?;
        // SAFETY: the handle is valid as long as `pool`, and the name outlives the call.
        let raw = unsafe { virt_sys::virStorageVolLookupByName(pool.0.as_ptr(), name.as_ptr()) };
        match check_pointer(call, raw) {
            Ok(volume) => Ok(Found::Volume(Volume(volume))),
            Err(error) if error.code == ErrorCode::NoStorageVolume => Ok(Found::Missing),
            Err(error) => Err(error),
        }
    }

    fn pool_at(&self, directory: &str) -> Result<Option<Pool>, LibvirtError> {
        let call = "virStoragePoolLookupByTargetPath";
        let directory = c_string(call, "the directory", directory)?;
        // SAFETY: the handle is valid as long as `self`, and the path outlives the call.
        let raw = unsafe { virt_sys::virStoragePoolLookupByTargetPath(self.raw(), directory.as_ptr()) };
        match check_pointer(call, raw) {
            Ok(pool) => Ok(Some(Pool(pool))),
            Err(error) if matches!(error.code, ErrorCode::NoStoragePool | ErrorCode::NoSupport) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

enum Found {
    Volume(Volume),
    Missing,
    NoPool,
}
