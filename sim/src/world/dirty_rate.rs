//! The measurement of a guest's dirty rate by its QEMU. It changes nothing: not the guest, nor the world's chance.

use std::num::NonZeroU64;

use super::{GuestId, HostId, ProcessState, World};
use crate::qemu;
use crate::random::Random;
use crate::versions::{self, libvirt};

impl World {
    /// Whether the versions of this host can measure a dirty rate.
    #[must_use]
    pub fn measures_dirty_rates(&self, host: HostId) -> bool {
        let inventory = self.inventory(host);
        let features = [libvirt::Feature::CalculateDirtyRate, libvirt::Feature::DirtyRateStatistics];
        features.iter().all(|feature| libvirt::offers(inventory.libvirt, *feature).is_offered())
            && versions::qemu::offers(inventory.qemu, versions::qemu::Feature::CalculateDirtyRate)
                .is_offered()
    }

    /// The dirty rate of a guest's copy on this host over an interval that began at `from_ns`, in MiB a second as QEMU reports
    /// it; `None` where QEMU measures nothing: the guest is not there, or has too little memory.
    #[must_use]
    pub fn dirty_rate_mib_per_second(
        &self,
        guest: GuestId,
        host: HostId,
        from_ns: u64,
        interval_ms: NonZeroU64,
    ) -> Option<u64> {
        let mut memory = self.machine(guest).memory.clone();
        memory.paused = self.process_state(guest, host)? != ProcessState::Running;
        // The sample is of this measurement alone.
        qemu::dirty_rate_mib_per_second(&memory, from_ns, interval_ms, Random::from_seed(from_ns))
    }
}
