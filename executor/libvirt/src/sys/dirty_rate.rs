//! The measurement of a guest's dirty rate (libvirt 7.2.0, QEMU 5.2).

use std::ffi::c_int;
use std::{ptr, slice};

use virt_sys::virDomainStatsRecordPtr;

use super::domain::Domain;
use super::{check, typed};
use crate::dirty_rate::DirtyRateReport;
use crate::error::LibvirtError;

/// Statistics of one domain, which this process owns.
struct Records {
    list: *mut virDomainStatsRecordPtr,
    count: c_int,
}

impl Drop for Records {
    fn drop(&mut self) {
        // SAFETY: null, or a list that libvirt allocated and ended with null; freed once.
        unsafe { virt_sys::virDomainStatsRecordListFree(self.list) };
    }
}

impl Domain {
    /// Starts to measure by sampled pages over this many seconds, and returns at once.
    ///
    /// # Errors
    /// `OperationInvalid` when the domain does not run, `NoSupport` of a daemon before 7.2.0, and whatever QEMU refuses.
    pub(crate) fn start_dirty_rate(&self, seconds: u16) -> Result<(), LibvirtError> {
        let call = "virDomainStartDirtyRateCalc";
        // SAFETY: the handle is valid as long as `self`.
        let result = unsafe { virt_sys::virDomainStartDirtyRateCalc(self.raw(), c_int::from(seconds), 0) };
        check(call, result).map(drop)
    }

    /// The state of the last measurement, with its result.
    ///
    /// # Errors
    /// Those of a daemon that does not have these statistics, and whatever libvirt reports.
    pub(crate) fn dirty_rate(&self) -> Result<DirtyRateReport, LibvirtError> {
        let call = "virDomainListGetStats";
        let mut domains = [self.raw(), ptr::null_mut()];
        let mut records = Records { list: ptr::null_mut(), count: 0 };
        // SAFETY: the list of domains ends with null and outlives the call, its handle is valid as long as `self`, and
        // the place for the records is ours. The flag makes libvirt report a group that it does not have.
        records.count = unsafe {
            virt_sys::virDomainListGetStats(
                domains.as_mut_ptr(),
                virt_sys::VIR_DOMAIN_STATS_DIRTYRATE,
                &raw mut records.list,
                virt_sys::VIR_CONNECT_GET_ALL_DOMAINS_STATS_ENFORCE_STATS,
            )
        };
        check(call, records.count)?;
        let count = usize::try_from(records.count).unwrap_or(0);
        if records.list.is_null() || count == 0 {
            return Ok(DirtyRateReport::default());
        }
        // SAFETY: not null, and libvirt wrote `count` pointers to records.
        let list = unsafe { slice::from_raw_parts(records.list, count) };
        let Some(record) = list.first().filter(|record| !record.is_null()) else {
            return Ok(DirtyRateReport::default());
        };
        // SAFETY: not null, and valid until the list is freed, which `records` does after this.
        let record = unsafe { &**record };
        // SAFETY: libvirt filled both together, or left null and 0; they live as long as the record.
        let parameters = unsafe { typed::read(record.params, record.nparams) };
        Ok(DirtyRateReport::from_parameters(&parameters))
    }
}
