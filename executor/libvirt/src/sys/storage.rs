//! Storage pools of a host and the files in them.
//!
//! A pool lists what was there when it was looked through last, so it is looked through again before a file is taken for
//! missing: such a file would be taken for one that the migration made, and be removed.

use super::{Connection, borrowed_string, c_string, check, check_pointer, last_error, owned_string};
use crate::calls;
use crate::error::{ErrorCode, LibvirtError};
use std::ffi::{c_char, c_int};
use std::ptr::NonNull;
use virt_sys::{virStoragePool, virStorageVol};

/// A pool that is active.
#[derive(Debug)]
pub(crate) struct StoragePool(NonNull<virStoragePool>);

// SAFETY: libvirt documents its objects as usable from any thread; they are locked and counted inside.
unsafe impl Send for StoragePool {}
// SAFETY: as above.
unsafe impl Sync for StoragePool {}

/// A file in a pool.
#[derive(Debug)]
pub(crate) struct StorageVolume(NonNull<virStorageVol>);

// SAFETY: as for pools.
unsafe impl Send for StorageVolume {}
// SAFETY: as above.
unsafe impl Sync for StorageVolume {}

impl Drop for StoragePool {
    fn drop(&mut self) {
        // SAFETY: this value owns one reference, given back once.
        unsafe { virt_sys::virStoragePoolFree(self.0.as_ptr()) };
    }
}

impl Drop for StorageVolume {
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe { virt_sys::virStorageVolFree(self.0.as_ptr()) };
    }
}

impl Connection {
    /// The active pool of a directory, if there is one.
    ///
    /// # Errors
    /// Whatever libvirt reports.
    pub(crate) fn pool_at(&self, directory: &str) -> Result<Option<calls::StoragePool>, LibvirtError> {
        let call = "virStoragePoolLookupByTargetPath";
        let directory = c_string(call, "the directory", directory)?;
        // SAFETY: the handle is valid as long as `self`, and the path outlives the call.
        let raw = unsafe { virt_sys::virStoragePoolLookupByTargetPath(self.raw(), directory.as_ptr()) };
        match check_pointer(call, raw) {
            Ok(pool) => Ok(Some(Box::new(StoragePool(pool)))),
            Err(error) if matches!(error.code, ErrorCode::NoStoragePool | ErrorCode::NoSupport) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Starts a pool that is forgotten when it is stopped.
    ///
    /// # Errors
    /// Whatever libvirt reports, such as a directory that is not there or has a pool already.
    pub(crate) fn create_pool(&self, xml: &str) -> Result<calls::StoragePool, LibvirtError> {
        let call = "virStoragePoolCreateXML";
        let xml = c_string(call, "the pool's definition", xml)?;
        // SAFETY: the handle is valid as long as `self`, and the text outlives the call; the answer is ours.
        let raw = unsafe { virt_sys::virStoragePoolCreateXML(self.raw(), xml.as_ptr(), 0) };
        Ok(Box::new(StoragePool(check_pointer(call, raw)?)))
    }

    /// The size of the storage at a path as a guest sees it, from the pool that it is in; none when no pool knows it.
    ///
    /// # Errors
    /// Whatever libvirt reports.
    pub(crate) fn volume_bytes(&self, path: &str) -> Result<Option<u64>, LibvirtError> {
        self.volume_at(path)?.map(|volume| volume.bytes()).transpose()
    }

    /// What the pool of the storage at a path knows it by: for logical volumes and SCSI devices an identity of the device,
    /// for files their path. None when no pool knows it.
    ///
    /// # Errors
    /// Whatever libvirt reports.
    pub(crate) fn volume_key(&self, path: &str) -> Result<Option<String>, LibvirtError> {
        self.volume_at(path)?.map(|volume| volume.key()).transpose()
    }

    /// The path of a volume that is named by its pool and its name; none when there is no such pool or volume.
    ///
    /// # Errors
    /// Whatever libvirt reports.
    pub(crate) fn volume_path(&self, pool: &str, name: &str) -> Result<Option<String>, LibvirtError> {
        let call = "virStoragePoolLookupByName";
        let pool = c_string(call, "the pool's name", pool)?;
        // SAFETY: the handle is valid as long as `self`, and the name outlives the call; the answer is ours.
        let raw = unsafe { virt_sys::virStoragePoolLookupByName(self.raw(), pool.as_ptr()) };
        let pool = match check_pointer(call, raw) {
            Ok(pool) => StoragePool(pool),
            Err(error) if matches!(error.code, ErrorCode::NoStoragePool | ErrorCode::NoSupport) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        match pool.volume(name) {
            Ok(volume) => volume.map(|volume| volume.path()).transpose(),
            // libvirt lists no volumes of a pool that is not active.
            Err(error) if error.code == ErrorCode::OperationInvalid => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The volume at a path, if a pool knows it.
    fn volume_at(&self, path: &str) -> Result<Option<StorageVolume>, LibvirtError> {
        let call = "virStorageVolLookupByPath";
        let path = c_string(call, "the path", path)?;
        // SAFETY: the handle is valid as long as `self`, and the path outlives the call; the answer is ours.
        let raw = unsafe { virt_sys::virStorageVolLookupByPath(self.raw(), path.as_ptr()) };
        match check_pointer(call, raw) {
            Ok(volume) => Ok(Some(StorageVolume(volume))),
            Err(error) if matches!(error.code, ErrorCode::NoStorageVolume | ErrorCode::NoSupport) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl StoragePool {
    /// Refreshes the list of its files.
    ///
    /// # Errors
    /// Whatever libvirt reports.
    pub(crate) fn refresh(&self) -> Result<(), LibvirtError> {
        // SAFETY: the handle is valid as long as `self`.
        check("virStoragePoolRefresh", unsafe { virt_sys::virStoragePoolRefresh(self.0.as_ptr(), 0) })
            .map(drop)
    }

    /// Its definition, with the room that is left.
    ///
    /// # Errors
    /// Whatever libvirt reports.
    pub(crate) fn xml(&self) -> Result<String, LibvirtError> {
        // SAFETY: the handle is valid as long as `self`; the answer is null or a string for us to free.
        unsafe {
            owned_string("virStoragePoolGetXMLDesc", virt_sys::virStoragePoolGetXMLDesc(self.0.as_ptr(), 0))
        }
    }

    /// A file in it, if it was there when it was looked through last.
    ///
    /// # Errors
    /// Whatever libvirt reports.
    pub(crate) fn volume(&self, name: &str) -> Result<Option<calls::StorageVolume>, LibvirtError> {
        let call = "virStorageVolLookupByName";
        let name = c_string(call, "the volume's name", name)?;
        // SAFETY: the handle is valid as long as `self`, and the name outlives the call.
        let raw = unsafe { virt_sys::virStorageVolLookupByName(self.0.as_ptr(), name.as_ptr()) };
        match check_pointer(call, raw) {
            Ok(volume) => Ok(Some(Box::new(StorageVolume(volume)))),
            Err(error) if error.code == ErrorCode::NoStorageVolume => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Names of the files that were in it when it was looked through last; of so many at most.
    ///
    /// # Errors
    /// Whatever libvirt reports.
    pub(crate) fn volume_names(&self, most: u16) -> Result<Vec<String>, LibvirtError> {
        let mut list = vec![std::ptr::null_mut::<c_char>(); usize::from(most)];
        // SAFETY: the handle is valid as long as `self`; the list has that much room.
        let result = unsafe {
            virt_sys::virStoragePoolListVolumes(self.0.as_ptr(), list.as_mut_ptr(), c_int::from(most))
        };
        let count = usize::try_from(check("virStoragePoolListVolumes", result)?).unwrap_or(0);
        // SAFETY: so many entries are strings of C's allocator that are ours, and each is freed once.
        let names = list
            .into_iter()
            .take(count)
            .map(|name| unsafe { owned_string("virStoragePoolListVolumes", name) });
        names.collect()
    }

    /// Makes a file in it.
    ///
    /// # Errors
    /// Whatever libvirt reports, such as a file of that name, or no room or right to write.
    pub(crate) fn create_volume(&self, xml: &str) -> Result<calls::StorageVolume, LibvirtError> {
        let call = "virStorageVolCreateXML";
        let xml = c_string(call, "the volume's definition", xml)?;
        // SAFETY: the handle is valid as long as `self`, and the text outlives the call; the answer is ours.
        let raw = unsafe { virt_sys::virStorageVolCreateXML(self.0.as_ptr(), xml.as_ptr(), 0) };
        Ok(Box::new(StorageVolume(check_pointer(call, raw)?)))
    }

    /// Stops it. One that was never defined is forgotten; its files stay.
    ///
    /// # Errors
    /// Whatever libvirt reports.
    pub(crate) fn stop(&self) -> Result<(), LibvirtError> {
        // SAFETY: the handle is valid as long as `self`.
        check("virStoragePoolDestroy", unsafe { virt_sys::virStoragePoolDestroy(self.0.as_ptr()) }).map(drop)
    }
}

impl StorageVolume {
    /// Its size as a guest sees it, in bytes.
    ///
    /// # Errors
    /// Whatever libvirt reports.
    pub(crate) fn bytes(&self) -> Result<u64, LibvirtError> {
        let mut info = virt_sys::virStorageVolInfo { type_: 0, capacity: 0, allocation: 0 };
        // SAFETY: the handle is valid as long as `self`; `info` is ours to write.
        let result = unsafe { virt_sys::virStorageVolGetInfo(self.0.as_ptr(), &raw mut info) };
        check("virStorageVolGetInfo", result).map(|_| info.capacity)
    }

    /// What its pool knows it by.
    ///
    /// # Errors
    /// Whatever libvirt reports.
    pub(crate) fn key(&self) -> Result<String, LibvirtError> {
        // SAFETY: the handle is valid as long as `self`; the text lives as long as the handle.
        let text = unsafe { borrowed_string(virt_sys::virStorageVolGetKey(self.0.as_ptr()).cast_mut()) };
        if text.is_empty() { Err(last_error("virStorageVolGetKey")) } else { Ok(text) }
    }

    /// Its path on the host.
    ///
    /// # Errors
    /// Whatever libvirt reports.
    pub(crate) fn path(&self) -> Result<String, LibvirtError> {
        // SAFETY: the handle is valid as long as `self`; the answer is null or a string for us to free.
        unsafe { owned_string("virStorageVolGetPath", virt_sys::virStorageVolGetPath(self.0.as_ptr())) }
    }

    /// Removes it.
    ///
    /// # Errors
    /// Whatever libvirt reports.
    pub(crate) fn delete(&self) -> Result<(), LibvirtError> {
        // SAFETY: the handle is valid as long as `self`.
        check("virStorageVolDelete", unsafe { virt_sys::virStorageVolDelete(self.0.as_ptr(), 0) }).map(drop)
    }
}
