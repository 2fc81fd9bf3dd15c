//! A domain (guest) on one host: look at it, move it, stop it.
//!
//! A handle outlives its domain: calls then fail with `NoDomain`. Two handles of the same guest on two hosts
//! are two domains.

use super::typed::TypedParameters;
use super::{borrowed_string, c_string, check, check_pointer, owned_string};
use crate::calls::XmlView;
use crate::error::{ErrorCode, LibvirtError};
use crate::parameters::{MigrateFlags, MigrateParameters};
use crate::state::State;
use crate::statistics::{JobStatistics, JobType};
use std::ffi::{c_char, c_int, c_uint, c_ulong};
use std::ptr::NonNull;
use virt_sys::{virDomain, virDomainPtr};

/// A domain on the host of the connection that found it. It keeps that connection open.
#[derive(Debug)]
pub(crate) struct Domain(NonNull<virDomain>);

// SAFETY: libvirt documents its domains as usable from any thread; the object is locked and counted inside.
unsafe impl Send for Domain {}
// SAFETY: as above: calls from several threads at once are allowed.
unsafe impl Sync for Domain {}

impl Drop for Domain {
    fn drop(&mut self) {
        // SAFETY: this value owns one reference, given back once. A failure leaves nothing that could be
        // done.
        unsafe { virt_sys::virDomainFree(self.0.as_ptr()) };
    }
}

impl Domain {
    /// Takes over a reference that libvirt handed out; null means that the call failed.
    ///
    /// # Safety
    /// `raw` is null or a domain handle with a reference that no other code gives back.
    pub(super) unsafe fn from_raw(call: &'static str, raw: virDomainPtr) -> Result<Self, LibvirtError> {
        check_pointer(call, raw).map(Self)
    }

    /// The handle for calls of this module.
    pub(super) fn raw(&self) -> virDomainPtr {
        self.0.as_ptr()
    }

    /// Its name on this host.
    ///
    /// # Errors
    /// Whatever libvirt reports; the daemon is not asked.
    pub(crate) fn name(&self) -> Result<String, LibvirtError> {
        // SAFETY: the handle is valid as long as `self`.
        let name = unsafe { virt_sys::virDomainGetName(self.raw()) };
        let name = check_pointer("virDomainGetName", name.cast_mut())?;
        // SAFETY: not null, NUL-terminated, and kept by the handle.
        Ok(unsafe { borrowed_string(name.as_ptr()) })
    }

    /// Its uuid, lower case with hyphens; the same on both hosts.
    ///
    /// # Errors
    /// Whatever libvirt reports; the daemon is not asked.
    pub(crate) fn uuid(&self) -> Result<String, LibvirtError> {
        let mut buffer: [c_char; virt_sys::VIR_UUID_STRING_BUFLEN as usize] = [0; _];
        // SAFETY: the handle is valid as long as `self`; the buffer has the length that libvirt requires.
        let result = unsafe { virt_sys::virDomainGetUUIDString(self.raw(), buffer.as_mut_ptr()) };
        check("virDomainGetUUIDString", result)?;
        // SAFETY: libvirt ended the text with a NUL inside the buffer.
        Ok(unsafe { borrowed_string(buffer.as_ptr()) })
    }

    /// What it does now, and why.
    ///
    /// # Errors
    /// `NoDomain` when it has gone.
    pub(crate) fn state(&self) -> Result<State, LibvirtError> {
        let (mut state, mut reason): (c_int, c_int) = (0, 0);
        // SAFETY: the handle is valid as long as `self`; both numbers are ours to write.
        let result = unsafe { virt_sys::virDomainGetState(self.raw(), &raw mut state, &raw mut reason, 0) };
        check("virDomainGetState", result).map(|_| State::from_numbers(state, reason))
    }

    /// Whether a definition is stored that outlives its process.
    ///
    /// # Errors
    /// `NoDomain` when it has gone.
    pub(crate) fn is_persistent(&self) -> Result<bool, LibvirtError> {
        // SAFETY: the handle is valid as long as `self`.
        let result = unsafe { virt_sys::virDomainIsPersistent(self.raw()) };
        check("virDomainIsPersistent", result).map(|persistent| persistent == 1)
    }

    /// Its description.
    ///
    /// # Errors
    /// `NoDomain` when it has gone.
    pub(crate) fn xml(&self, view: XmlView) -> Result<String, LibvirtError> {
        let flags = match view {
            XmlView::Current => 0,
            XmlView::Inactive => virt_sys::VIR_DOMAIN_XML_INACTIVE,
        };
        // SAFETY: the handle is valid as long as `self`; the answer is null or a string for us to free.
        unsafe { owned_string("virDomainGetXMLDesc", virt_sys::virDomainGetXMLDesc(self.raw(), flags)) }
    }

    /// Migrates it to the daemon at `destination_uri`, as that daemon is reached **from the source's host**,
    /// and returns when the migration has ended one way or the other, which may take hours. Meanwhile use
    /// another connection.
    ///
    /// # Errors
    /// Whatever libvirt reports. An error does not prove that the guest still runs here, nor that the
    /// destination is clean: a lost connection to the source's daemon leaves the migration going on without
    /// us.
    pub(crate) fn migrate_p2p(
        &self,
        destination_uri: &str,
        parameters: &MigrateParameters,
    ) -> Result<(), LibvirtError> {
        let call = "virDomainMigrateToURI3";
        let uri = c_string(call, "the destination URI", destination_uri)?;
        let list = TypedParameters::from_arguments(&parameters.arguments())?;
        let flags = (parameters.flags | MigrateFlags::PEER2PEER).bits();
        // SAFETY: the handle is valid as long as `self`; URI and list outlive the call, which does not change
        // them.
        let result = unsafe {
            virt_sys::virDomainMigrateToURI3(self.raw(), uri.as_ptr(), list.as_ptr(), list.len(), flags)
        };
        check(call, result).map(drop)
    }

    /// Switches a running migration with the post-copy flag to post-copy: from now on there is no way back.
    ///
    /// # Errors
    /// `OperationInvalid` when no such migration runs.
    pub(crate) fn start_postcopy(&self) -> Result<(), LibvirtError> {
        // SAFETY: the handle is valid as long as `self`.
        let result = unsafe { virt_sys::virDomainMigrateStartPostCopy(self.raw(), 0) };
        check("virDomainMigrateStartPostCopy", result).map(drop)
    }

    /// Statistics of the job that runs now, or nothing when none does. Until QEMU has begun, about half a second
    /// into a migration, every counter is 0, the size of memory included.
    ///
    /// # Errors
    /// `NoDomain` when it has gone, `OperationInvalid` when it does not run, `OperationUnsupported` while it is
    /// coming in: only the source knows.
    pub(crate) fn job_statistics(&self) -> Result<Option<JobStatistics>, LibvirtError> {
        self.statistics(0)
    }

    /// Statistics of the last job that ended well, kept for the next reader; nothing when there was none since
    /// the domain started here, or when the last one failed or was aborted. The destination has them as well,
    /// but not after post-copy.
    ///
    /// # Errors
    /// `NoDomain` when it has gone, as a guest does that migrated away and is not defined here any more: read them
    /// from the destination, or from the event.
    pub(crate) fn completed_job_statistics(&self) -> Result<Option<JobStatistics>, LibvirtError> {
        self.statistics(
            virt_sys::VIR_DOMAIN_JOB_STATS_COMPLETED | virt_sys::VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED,
        )
    }

    fn statistics(&self, flags: c_uint) -> Result<Option<JobStatistics>, LibvirtError> {
        let mut job: c_int = 0;
        let mut list = TypedParameters::empty();
        let (entries, count) = list.out();
        // SAFETY: the handle is valid as long as `self`; libvirt writes a type, a list (or null) and its
        // length, all ours.
        let result =
            unsafe { virt_sys::virDomainGetJobStats(self.raw(), &raw mut job, entries, count, flags) };
        check("virDomainGetJobStats", result)?;
        let job = JobType::from(job);
        let there = job != JobType::None;
        Ok(there.then(|| JobStatistics::from_parameters(Some(job), list.read())))
    }

    /// Asks the running job to end. It returns before the job has ended.
    ///
    /// # Errors
    /// `OperationInvalid` when no job runs or it cannot be aborted any more, as in post-copy.
    pub(crate) fn abort_job(&self) -> Result<(), LibvirtError> {
        // SAFETY: the handle is valid as long as `self`.
        check("virDomainAbortJob", unsafe { virt_sys::virDomainAbortJob(self.raw()) }).map(drop)
    }

    /// Sets the downtime limit of a migration that runs, or of the next one. libvirt puts QEMU's own limit back
    /// when the migration ends without success.
    ///
    /// # Errors
    /// `OperationInvalid` when the domain does not run.
    pub(crate) fn set_max_downtime_ms(&self, downtime_ms: u64) -> Result<(), LibvirtError> {
        // SAFETY: the handle is valid as long as `self`.
        let result = unsafe { virt_sys::virDomainMigrateSetMaxDowntime(self.raw(), downtime_ms, 0) };
        check("virDomainMigrateSetMaxDowntime", result).map(drop)
    }

    /// The downtime limit (libvirt 3.7.0).
    ///
    /// # Errors
    /// `OperationInvalid` when the domain does not run.
    pub(crate) fn max_downtime_ms(&self) -> Result<u64, LibvirtError> {
        let mut downtime_ms = 0;
        // SAFETY: the handle is valid as long as `self`; the number is ours to write.
        let result = unsafe { virt_sys::virDomainMigrateGetMaxDowntime(self.raw(), &raw mut downtime_ms, 0) };
        check("virDomainMigrateGetMaxDowntime", result).map(|_| downtime_ms)
    }

    /// Sets the bandwidth limit of this and later migrations of the domain, in MiB/s.
    ///
    /// # Errors
    /// Whatever libvirt reports.
    pub(crate) fn set_max_speed_mib_per_s(&self, mib_per_s: u64) -> Result<(), LibvirtError> {
        let call = "virDomainMigrateSetMaxSpeed";
        let speed = c_ulong::try_from(mib_per_s).unwrap_or(c_ulong::MAX);
        // SAFETY: the handle is valid as long as `self`.
        check(call, unsafe { virt_sys::virDomainMigrateSetMaxSpeed(self.raw(), speed, 0) }).map(drop)
    }

    /// The bandwidth limit of migrations of the domain, in MiB/s.
    ///
    /// # Errors
    /// Whatever libvirt reports.
    pub(crate) fn max_speed_mib_per_s(&self) -> Result<u64, LibvirtError> {
        let mut speed: c_ulong = 0;
        // SAFETY: the handle is valid as long as `self`; the number is ours to write.
        let result = unsafe { virt_sys::virDomainMigrateGetMaxSpeed(self.raw(), &raw mut speed, 0) };
        check("virDomainMigrateGetMaxSpeed", result).map(|_| speed)
    }

    /// Stops its processors; memory stays.
    ///
    /// # Errors
    /// Whatever libvirt reports.
    pub(crate) fn suspend(&self) -> Result<(), LibvirtError> {
        // SAFETY: the handle is valid as long as `self`.
        check("virDomainSuspend", unsafe { virt_sys::virDomainSuspend(self.raw()) }).map(drop)
    }

    /// Lets its processors go on. Only ever after the other copy was seen not running.
    ///
    /// # Errors
    /// Whatever libvirt reports.
    pub(crate) fn resume(&self) -> Result<(), LibvirtError> {
        // SAFETY: the handle is valid as long as `self`.
        check("virDomainResume", unsafe { virt_sys::virDomainResume(self.raw()) }).map(drop)
    }

    /// Ends its process at once, without asking the guest. Only ever on a copy that does not own the guest.
    ///
    /// # Errors
    /// Whatever libvirt reports.
    pub(crate) fn destroy(&self) -> Result<(), LibvirtError> {
        // SAFETY: the handle is valid as long as `self`; it stays valid after the domain has gone.
        check("virDomainDestroy", unsafe { virt_sys::virDomainDestroy(self.raw()) }).map(drop)
    }

    /// Removes its stored definition; firmware variables and TPM state on disk stay, since they belong to the
    /// guest wherever it runs.
    ///
    /// # Errors
    /// Whatever libvirt reports.
    pub(crate) fn undefine(&self) -> Result<(), LibvirtError> {
        let call = "virDomainUndefineFlags";
        let nvram = virt_sys::VIR_DOMAIN_UNDEFINE_KEEP_NVRAM;
        // An older daemon refuses flags that it does not know; with fewer of them it keeps less, but with
        // none it rather refuses than removes firmware variables, and it did not remove TPM state before it
        // knew that flag.
        let mut result = Ok(());
        for flags in [nvram | virt_sys::VIR_DOMAIN_UNDEFINE_KEEP_TPM, nvram, 0] {
            // SAFETY: the handle is valid as long as `self`.
            result = check(call, unsafe { virt_sys::virDomainUndefineFlags(self.raw(), flags) }).map(drop);
            let unknown_flag = |error: &LibvirtError| error.code == ErrorCode::InvalidArgument;
            if !result.as_ref().is_err_and(unknown_flag) {
                break;
            }
        }
        result
    }
}
