//! What rules want to know of a guest and its host beyond what a migration needs.

use std::ffi::c_int;

use super::{Connection, Domain, c_string, check, owned_string};
use crate::error::LibvirtError;

impl Connection {
    /// What guests of this kind can have here, as XML; empty texts stand for the host's own choice.
    ///
    /// # Errors
    /// Whatever libvirt reports, such as a machine type that the host does not have.
    pub(crate) fn domain_capabilities_xml(
        &self,
        emulator: &str,
        architecture: &str,
        machine: &str,
        accelerator: &str,
    ) -> Result<String, LibvirtError> {
        let call = "virConnectGetDomainCapabilities";
        let texts = strings(call, [emulator, architecture, machine, accelerator])?;
        let [emulator, architecture, machine, accelerator] =
            texts.each_ref().map(|text| pointer(text.as_ref()));
        // SAFETY: the handle is valid as long as `self`, each text is null or outlives the call; the answer is null or
        // a string for us to free.
        unsafe {
            let told = virt_sys::virConnectGetDomainCapabilities(
                self.raw(),
                emulator,
                architecture,
                machine,
                accelerator,
                0,
            );
            owned_string(call, told)
        }
    }

    /// libvirt's own comparison of a guest's CPU with what this host can give: 0 incompatible, 1 identical, 2 more.
    ///
    /// # Errors
    /// Whatever libvirt reports.
    pub(crate) fn compare_hypervisor_cpu(
        &self,
        emulator: &str,
        architecture: &str,
        machine: &str,
        accelerator: &str,
        cpu_xml: &str,
    ) -> Result<i32, LibvirtError> {
        let call = "virConnectCompareHypervisorCPU";
        let texts = strings(call, [emulator, architecture, machine, accelerator])?;
        let [emulator, architecture, machine, accelerator] =
            texts.each_ref().map(|text| pointer(text.as_ref()));
        let cpu = c_string(call, "the CPU", cpu_xml)?;
        // SAFETY: the handle is valid as long as `self`, each text is null or outlives the call.
        let result = unsafe {
            virt_sys::virConnectCompareHypervisorCPU(
                self.raw(),
                emulator,
                architecture,
                machine,
                accelerator,
                cpu.as_ptr(),
                0,
            )
        };
        check(call, result)
    }
}

impl Domain {
    /// Whether it starts with its host.
    ///
    /// # Errors
    /// Whatever libvirt reports.
    pub(crate) fn autostart(&self) -> Result<bool, LibvirtError> {
        let mut on: c_int = 0;
        // SAFETY: the handle is valid as long as `self`; `on` is ours to write.
        let result = unsafe { virt_sys::virDomainGetAutostart(self.raw(), &raw mut on) };
        check("virDomainGetAutostart", result).map(|_| on != 0)
    }

    /// Whether a saved state waits for its next start.
    ///
    /// # Errors
    /// Whatever libvirt reports.
    pub(crate) fn has_managed_save(&self) -> Result<bool, LibvirtError> {
        // SAFETY: the handle is valid as long as `self`.
        let result = unsafe { virt_sys::virDomainHasManagedSaveImage(self.raw(), 0) };
        check("virDomainHasManagedSaveImage", result).map(|has| has == 1)
    }

    /// The block job that works on a disk, in libvirt's words; empty when there is none.
    ///
    /// # Errors
    /// Whatever libvirt reports.
    pub(crate) fn block_job(&self, disk: &str) -> Result<&'static str, LibvirtError> {
        let call = "virDomainGetBlockJobInfo";
        let disk = c_string(call, "a disk's name", disk)?;
        let mut job = virt_sys::virDomainBlockJobInfo { type_: 0, bandwidth: 0, cur: 0, end: 0 };
        // SAFETY: the handle is valid as long as `self`, the name outlives the call; `job` is ours to write.
        let result =
            unsafe { virt_sys::virDomainGetBlockJobInfo(self.raw(), disk.as_ptr(), &raw mut job, 0) };
        if check(call, result)? == 0 {
            return Ok("");
        }
        // Source: libvirt-domain.h, `virDomainBlockJobType`.
        Ok(match job.type_ {
            1 => "pull",
            2 => "copy",
            3 => "commit",
            4 => "active-commit",
            5 => "backup",
            _ => "unknown",
        })
    }

    /// The size of a disk as the guest sees it, in bytes.
    ///
    /// # Errors
    /// Whatever libvirt reports, such as that the disk is empty.
    pub(crate) fn disk_bytes(&self, disk: &str) -> Result<u64, LibvirtError> {
        let call = "virDomainGetBlockInfo";
        let disk = c_string(call, "a disk's name", disk)?;
        let mut info = virt_sys::virDomainBlockInfo { capacity: 0, allocation: 0, physical: 0 };
        // SAFETY: the handle is valid as long as `self`, the name outlives the call; `info` is ours to write.
        let result = unsafe { virt_sys::virDomainGetBlockInfo(self.raw(), disk.as_ptr(), &raw mut info, 0) };
        check(call, result).map(|_| info.capacity)
    }

    /// How many checkpoints it has.
    ///
    /// # Errors
    /// Whatever libvirt reports.
    pub(crate) fn checkpoints(&self) -> Result<u32, LibvirtError> {
        // SAFETY: the handle is valid as long as `self`; without a list only the number is returned.
        let result = unsafe { virt_sys::virDomainListAllCheckpoints(self.raw(), std::ptr::null_mut(), 0) };
        check("virDomainListAllCheckpoints", result).map(|count| u32::try_from(count).unwrap_or(0))
    }

    /// How many snapshots it has.
    ///
    /// # Errors
    /// Whatever libvirt reports.
    pub(crate) fn snapshots(&self) -> Result<u32, LibvirtError> {
        // SAFETY: the handle is valid as long as `self`.
        let result = unsafe { virt_sys::virDomainSnapshotNum(self.raw(), 0) };
        check("virDomainSnapshotNum", result).map(|count| u32::try_from(count).unwrap_or(0))
    }
}

/// Texts for C; none for an empty one.
fn strings(call: &'static str, texts: [&str; 4]) -> Result<[Option<std::ffi::CString>; 4], LibvirtError> {
    let [one, two, three, four] = texts.map(|text| {
        if text.is_empty() {
            Ok(None)
        } else {
            c_string(call, "a part of the guest's definition", text).map(Some)
        }
    });
    Ok([one?, two?, three?, four?])
}

fn pointer(text: Option<&std::ffi::CString>) -> *const std::ffi::c_char {
    text.map_or(std::ptr::null(), |text| text.as_ptr())
}
