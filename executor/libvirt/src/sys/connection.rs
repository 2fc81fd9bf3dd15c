//! A connection to a host.
//!
//! Cloning shares it: libvirt's handles may be used by many threads at once, but one blocking call never
//! holds up another only as far as the daemon has workers, so pollers should open a connection of their own.

use super::{Domain, c_string, check, check_pointer, library, owned_string};
use crate::calls;
use crate::error::LibvirtError;
use crate::versions::Version;
use std::ffi::{c_int, c_uint, c_ulong};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::Arc;
use virt_sys::{virConnect, virConnectPtr};

/// A connection to a libvirt daemon, or to libvirt's built-in test driver.
#[derive(Debug, Clone)]
pub(crate) struct Connection(Arc<Handle>);

/// One reference to libvirt's connection, given back when dropped.
#[derive(Debug)]
struct Handle(NonNull<virConnect>);

// SAFETY: libvirt documents its connections as usable from any thread; the object is locked and counted
// inside.
unsafe impl Send for Handle {}
// SAFETY: as above: calls from several threads at once are allowed.
unsafe impl Sync for Handle {}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: this value owns one reference, given back once. A result below 0 leaves nothing that could
        // be done.
        unsafe { virt_sys::virConnectClose(self.0.as_ptr()) };
    }
}

fn boxed(domain: Domain) -> calls::Domain {
    Box::new(domain)
}

/// libvirt's library itself.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Installed;

impl calls::Library for Installed {
    fn open(&self, uri: &str) -> Result<calls::Connection, LibvirtError> {
        Ok(Arc::new(Connection::open(uri)?))
    }
}

impl Connection {
    /// Opens a connection, such as `qemu:///system` or `qemu+ssh://root@host/system`. The first one in a
    /// process also starts the thread that delivers events and keep-alives.
    ///
    /// # Errors
    /// Whatever libvirt reports, such as [`ErrorCode::SystemError`] without a listening daemon or
    /// [`ErrorCode::AuthFailed`].
    pub(crate) fn open(uri: &str) -> Result<Self, LibvirtError> {
        let call = "virConnectOpen";
        let uri = c_string(call, "the connection URI", uri)?;
        library::initialise()?;
        // SAFETY: the URI is a C string that outlives the call; the library is initialised.
        let raw = unsafe { virt_sys::virConnectOpen(uri.as_ptr()) };
        Ok(Self(Arc::new(Handle(check_pointer(call, raw)?))))
    }

    /// The handle for calls of this module.
    pub(super) fn raw(&self) -> virConnectPtr {
        self.0.0.as_ptr()
    }

    /// Asks the daemon for a sign of life after each `interval_s` seconds of silence; after `count`
    /// unanswered ones the connection is closed. Answers whether the daemon takes part.
    ///
    /// # Errors
    /// When the connection has no such thing, as a local test connection.
    pub(crate) fn set_keep_alive(&self, interval_s: u16, count: u16) -> Result<bool, LibvirtError> {
        // SAFETY: the handle is valid as long as `self`.
        let result = unsafe {
            virt_sys::virConnectSetKeepAlive(self.raw(), c_int::from(interval_s), c_uint::from(count))
        };
        check("virConnectSetKeepAlive", result).map(|result| result == 0)
    }

    /// Whether the connection is still open. It does not ask the daemon: without keep-alive a cut link looks
    /// alive.
    ///
    /// # Errors
    /// Whatever libvirt reports.
    pub(crate) fn is_alive(&self) -> Result<bool, LibvirtError> {
        // SAFETY: the handle is valid as long as `self`.
        check("virConnectIsAlive", unsafe { virt_sys::virConnectIsAlive(self.raw()) }).map(|alive| alive == 1)
    }

    /// The version of libvirt on the other side, not of the library in this process.
    ///
    /// # Errors
    /// Whatever libvirt reports.
    pub(crate) fn library_version(&self) -> Result<Version, LibvirtError> {
        let mut number: c_ulong = 0;
        // SAFETY: the handle is valid as long as `self`; `number` is ours to write.
        let result = unsafe { virt_sys::virConnectGetLibVersion(self.raw(), &raw mut number) };
        check("virConnectGetLibVersion", result).map(|_| Version::from_number(number))
    }

    /// The version of the hypervisor there, such as QEMU's.
    ///
    /// # Errors
    /// Whatever libvirt reports.
    pub(crate) fn hypervisor_version(&self) -> Result<Version, LibvirtError> {
        let mut number: c_ulong = 0;
        // SAFETY: the handle is valid as long as `self`; `number` is ours to write.
        let result = unsafe { virt_sys::virConnectGetVersion(self.raw(), &raw mut number) };
        check("virConnectGetVersion", result).map(|_| Version::from_number(number))
    }

    /// The host name as the daemon sees it.
    ///
    /// # Errors
    /// Whatever libvirt reports.
    pub(crate) fn hostname(&self) -> Result<String, LibvirtError> {
        // SAFETY: the handle is valid as long as `self`; the answer is null or a string for us to free.
        unsafe { owned_string("virConnectGetHostname", virt_sys::virConnectGetHostname(self.raw())) }
    }

    /// The host's capabilities as XML.
    ///
    /// # Errors
    /// Whatever libvirt reports.
    pub(crate) fn capabilities_xml(&self) -> Result<String, LibvirtError> {
        // SAFETY: the handle is valid as long as `self`; the answer is null or a string for us to free.
        unsafe { owned_string("virConnectGetCapabilities", virt_sys::virConnectGetCapabilities(self.raw())) }
    }

    /// Free memory of the host in bytes, as the kernel counts it (caches are not free).
    ///
    /// # Errors
    /// Whatever libvirt reports.
    pub(crate) fn free_memory_bytes(&self) -> Result<u64, LibvirtError> {
        // SAFETY: the handle is valid as long as `self`.
        let bytes = unsafe { virt_sys::virNodeGetFreeMemory(self.raw()) };
        if bytes == 0 { Err(super::last_error("virNodeGetFreeMemory")) } else { Ok(bytes) }
    }

    /// Finds a domain by name.
    ///
    /// # Errors
    /// [`ErrorCode::NoDomain`] when there is none.
    pub(crate) fn lookup(&self, name: &str) -> Result<calls::Domain, LibvirtError> {
        let call = "virDomainLookupByName";
        let name = c_string(call, "the domain's name", name)?;
        // SAFETY: the handle is valid as long as `self`, the name outlives the call; the answer is ours.
        let found = unsafe { virt_sys::virDomainLookupByName(self.raw(), name.as_ptr()) };
        // SAFETY: null, or a handle whose reference is ours.
        unsafe { Domain::from_raw(call, found) }.map(boxed)
    }

    /// Finds a domain by its uuid, which stays the same when it moves or changes its name.
    ///
    /// # Errors
    /// [`ErrorCode::NoDomain`] when there is none.
    pub(crate) fn lookup_uuid(&self, uuid: &str) -> Result<calls::Domain, LibvirtError> {
        self.find_uuid(uuid).map(boxed)
    }

    /// The same for calls of this module.
    pub(super) fn find_uuid(&self, uuid: &str) -> Result<Domain, LibvirtError> {
        let call = "virDomainLookupByUUIDString";
        let uuid = c_string(call, "the domain's uuid", uuid)?;
        // SAFETY: the handle is valid as long as `self`, the uuid outlives the call; the answer is ours.
        unsafe { Domain::from_raw(call, virt_sys::virDomainLookupByUUIDString(self.raw(), uuid.as_ptr())) }
    }

    /// All domains, running or only defined, in libvirt's order.
    ///
    /// # Errors
    /// Whatever libvirt reports.
    pub(crate) fn domains(&self) -> Result<Vec<calls::Domain>, LibvirtError> {
        let call = "virConnectListAllDomains";
        let mut list = ptr::null_mut();
        // SAFETY: the handle is valid as long as `self`; `list` is ours to write.
        let result = unsafe { virt_sys::virConnectListAllDomains(self.raw(), &raw mut list, 0) };
        let count = usize::try_from(check(call, result)?).unwrap_or(0);
        if list.is_null() {
            return Ok(Vec::new());
        }
        // SAFETY: on success libvirt allocated this many handles, and a null behind them.
        let handles = unsafe { slice::from_raw_parts(list, count) };
        // SAFETY: each handle carries a reference that is ours, taken over once.
        let own = |raw: &_| unsafe { Domain::from_raw(call, *raw) };
        let domains = handles.iter().filter_map(|raw| own(raw).ok().map(boxed)).collect();
        // SAFETY: the list itself is ours too, from C's allocator, and is not used any more.
        unsafe { libc::free(list.cast()) };
        Ok(domains)
    }
}
