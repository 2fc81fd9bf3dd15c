//! What a host has that guests may need: pools, networks, devices and secrets, as libvirt lists them.

use crate::calls::{Listed, ListedInterface};
use std::ffi::{c_char, c_int};
use std::ptr;
use std::slice;

use super::{Connection, borrowed_string, c_string, check, check_pointer, owned_string};
use crate::error::LibvirtError;

/// The most secrets that are listed; a host with more has some in any case.
const SECRETS_MOST: usize = 1024;
/// The most memory nodes whose free pages are queried.
const NODES_MOST: usize = 256;

/// Both states have to be named: without any, older versions list none.
const INTERFACES_ALL: u32 =
    virt_sys::VIR_CONNECT_LIST_INTERFACES_ACTIVE | virt_sys::VIR_CONNECT_LIST_INTERFACES_INACTIVE;

impl Connection {
    /// All storage pools.
    ///
    /// # Errors
    /// Whatever libvirt reports, such as that there is no storage driver.
    pub(crate) fn pools(&self) -> Result<Vec<Listed>, LibvirtError> {
        let list = |list| {
            // SAFETY: the handle is valid as long as `self`; `list` is ours to write.
            unsafe { virt_sys::virConnectListAllStoragePools(self.raw(), list, 0) }
        };
        // SAFETY: the function lists handles of this type, which each of these calls takes.
        let tell = |raw| unsafe {
            let xml = owned_string("virStoragePoolGetXMLDesc", virt_sys::virStoragePoolGetXMLDesc(raw, 0));
            (xml, virt_sys::virStoragePoolIsActive(raw))
        };
        // SAFETY: each handle is given back once.
        listed("virConnectListAllStoragePools", list, tell, |raw| unsafe {
            virt_sys::virStoragePoolFree(raw);
        })
    }

    /// All virtual networks.
    ///
    /// # Errors
    /// Whatever libvirt reports, such as that there is no network driver.
    pub(crate) fn networks(&self) -> Result<Vec<Listed>, LibvirtError> {
        let list = |list| {
            // SAFETY: the handle is valid as long as `self`; `list` is ours to write.
            unsafe { virt_sys::virConnectListAllNetworks(self.raw(), list, 0) }
        };
        // SAFETY: the function lists handles of this type, which each of these calls takes.
        let tell = |raw| unsafe {
            let xml = owned_string("virNetworkGetXMLDesc", virt_sys::virNetworkGetXMLDesc(raw, 0));
            (xml, virt_sys::virNetworkIsActive(raw))
        };
        // SAFETY: each handle is given back once.
        listed("virConnectListAllNetworks", list, tell, |raw| unsafe {
            virt_sys::virNetworkFree(raw);
        })
    }

    /// All devices that the host knows: PCI, USB, storage, network.
    ///
    /// # Errors
    /// Whatever libvirt reports, such as that there is no driver for them.
    pub(crate) fn node_devices(&self) -> Result<Vec<String>, LibvirtError> {
        let list = |list| {
            // SAFETY: the handle is valid as long as `self`; `list` is ours to write.
            unsafe { virt_sys::virConnectListAllNodeDevices(self.raw(), list, 0) }
        };
        // SAFETY: the function lists handles of this type, which the call takes.
        let tell = |raw| unsafe {
            (owned_string("virNodeDeviceGetXMLDesc", virt_sys::virNodeDeviceGetXMLDesc(raw, 0)), 1)
        };
        // SAFETY: each handle is given back once.
        let all = listed("virConnectListAllNodeDevices", list, tell, |raw| unsafe {
            virt_sys::virNodeDeviceFree(raw);
        })?;
        Ok(all.into_iter().map(|one| one.xml).collect())
    }

    /// All network devices that the interface driver lists: other than node devices with bridges, bonds and VLANs, but
    /// without the ports of bridges, which are named in the bridge's XML.
    ///
    /// # Errors
    /// Whatever libvirt reports, such as that there is no interface driver: on newer systems it is a package of its own.
    pub(crate) fn interfaces(&self) -> Result<Vec<ListedInterface>, LibvirtError> {
        let mut found = Vec::new();
        let list = |list| {
            // SAFETY: the handle is valid as long as `self`; `list` is ours to write.
            unsafe { virt_sys::virConnectListAllInterfaces(self.raw(), list, INTERFACES_ALL) }
        };
        let mut tell = |raw: *mut virt_sys::virInterface| {
            // SAFETY: the handle was listed and is not freed yet. The name is null or belongs to it, and is copied before it
            // is freed; the XML is null or a string for us to free.
            let (name, xml, active) = unsafe {
                (
                    borrowed_string(virt_sys::virInterfaceGetName(raw)),
                    owned_string("virInterfaceGetXMLDesc", virt_sys::virInterfaceGetXMLDesc(raw, 0)),
                    virt_sys::virInterfaceIsActive(raw),
                )
            };
            found.push(ListedInterface { name, xml: xml.ok(), is_active: active == 1 });
        };
        // SAFETY: each handle is given back once.
        each("virConnectListAllInterfaces", list, &mut tell, |raw| unsafe {
            virt_sys::virInterfaceFree(raw);
        })?;
        Ok(found)
    }

    /// UUIDs of all secrets.
    ///
    /// # Errors
    /// Whatever libvirt reports, such as that there is no driver for them.
    pub(crate) fn secrets(&self) -> Result<Vec<String>, LibvirtError> {
        let mut list = vec![ptr::null_mut::<c_char>(); SECRETS_MOST];
        let room = c_int::try_from(list.len()).unwrap_or(c_int::MAX);
        // SAFETY: the handle is valid as long as `self`; the list has that much room.
        let result = unsafe { virt_sys::virConnectListSecrets(self.raw(), list.as_mut_ptr(), room) };
        let count = usize::try_from(check("virConnectListSecrets", result)?).unwrap_or(0);
        // SAFETY: so many entries are strings of C's allocator that are ours, and each is freed once.
        let texts =
            list.into_iter().take(count).map(|text| unsafe { owned_string("virConnectListSecrets", text) });
        texts.collect()
    }

    /// Free pages of one size on each memory node, by the nodes' numbers from 0.
    ///
    /// # Errors
    /// Whatever libvirt reports, such as that the host has no pages of this size.
    pub(crate) fn free_pages(&self, size_kib: u32) -> Result<Vec<u64>, LibvirtError> {
        let mut counts = vec![0_u64; NODES_MOST];
        let mut size = size_kib;
        let nodes = u32::try_from(counts.len()).unwrap_or(1);
        // SAFETY: the handle is valid as long as `self`; one size is read, and there is room for that many nodes.
        let result = unsafe {
            virt_sys::virNodeGetFreePages(self.raw(), 1, &raw mut size, 0, nodes, counts.as_mut_ptr(), 0)
        };
        // It reports how many nodes it filled in.
        counts.truncate(usize::try_from(check("virNodeGetFreePages", result)?).unwrap_or(0));
        Ok(counts)
    }

    /// Names of all network filters.
    ///
    /// # Errors
    /// Whatever libvirt reports, such as that there is no driver for them.
    pub(crate) fn network_filters(&self) -> Result<Vec<String>, LibvirtError> {
        let mut found = Vec::new();
        let list = |list| {
            // SAFETY: the handle is valid as long as `self`; `list` is ours to write.
            unsafe { virt_sys::virConnectListAllNWFilters(self.raw(), list, 0) }
        };
        let mut name = |raw: *mut virt_sys::virNWFilter| {
            // SAFETY: the handle was listed and is not freed yet; the name is null or belongs to it, and is copied.
            found.push(unsafe { borrowed_string(virt_sys::virNWFilterGetName(raw)) });
        };
        // SAFETY: each handle is given back once.
        each("virConnectListAllNWFilters", list, &mut name, |raw| unsafe {
            virt_sys::virNWFilterFree(raw);
        })?;
        Ok(found)
    }

    /// The usage by which definitions can name this secret; empty where it has none.
    ///
    /// # Errors
    /// Whatever libvirt reports, such as that there is no such secret.
    pub(crate) fn secret_usage(&self, uuid: &str) -> Result<String, LibvirtError> {
        let call = "virSecretLookupByUUIDString";
        let uuid = c_string(call, "the secret's UUID", uuid)?;
        // SAFETY: the handle is valid as long as `self`, and the text outlives the call; the answer is ours.
        let raw = unsafe { virt_sys::virSecretLookupByUUIDString(self.raw(), uuid.as_ptr()) };
        let secret = check_pointer(call, raw)?;
        // SAFETY: the handle is valid until it is given back, once; the text belongs to it and is copied before.
        unsafe {
            let usage = borrowed_string(virt_sys::virSecretGetUsageID(secret.as_ptr()));
            virt_sys::virSecretFree(secret.as_ptr());
            Ok(usage)
        }
    }
}

/// Takes over a list of handles, asks each, and gives all back. One that went away meanwhile is left out.
fn listed<T>(
    call: &'static str,
    list: impl FnOnce(*mut *mut *mut T) -> c_int,
    tell: impl Fn(*mut T) -> (Result<String, LibvirtError>, c_int),
    free: impl Fn(*mut T),
) -> Result<Vec<Listed>, LibvirtError> {
    let mut found = Vec::new();
    let mut keep = |raw| {
        let (xml, active) = tell(raw);
        if let Ok(xml) = xml {
            found.push(Listed { xml, is_active: active == 1 });
        }
    };
    each(call, list, &mut keep, free)?;
    Ok(found)
}

/// Takes over a list of handles, shows each, and gives all back.
fn each<T>(
    call: &'static str,
    list: impl FnOnce(*mut *mut *mut T) -> c_int,
    show: &mut dyn FnMut(*mut T),
    free: impl Fn(*mut T),
) -> Result<(), LibvirtError> {
    let mut handles: *mut *mut T = ptr::null_mut();
    let count = usize::try_from(check(call, list(&raw mut handles))?).unwrap_or(0);
    if handles.is_null() {
        return Ok(());
    }
    // SAFETY: on success libvirt allocated this many handles, and a null behind them.
    let all = unsafe { slice::from_raw_parts(handles, count) };
    for raw in all.iter().filter_map(|raw| check_pointer(call, *raw).ok()) {
        show(raw.as_ptr());
        free(raw.as_ptr());
    }
    // SAFETY: the list itself is ours too, from C's allocator, and is not used any more.
    unsafe { libc::free(handles.cast()) };
    Ok(())
}
