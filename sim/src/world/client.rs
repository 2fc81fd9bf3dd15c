//! A daemon as a client of libvirt's own calls meets it, below the port: for a fake libvirt around this world.
//!
//! A port refuses what a careful driver would not do. Nothing is refused here that libvirt carries out: whether a driver
//! is careful is what such a test is about.

use whimbrel_core::{Failure, Side};

use super::incidents::Initiator;
use super::{GuestId, HostId, World};

/// What becomes of a call to a host's daemon that is made now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reach {
    /// It is answered, later than usual by this much.
    Answers {
        /// How much later.
        delay_ns: u64,
    },
    /// The host is there and its daemon is not: connections are refused, or reset.
    Refuses,
    /// Nothing comes back, and no error is reported.
    Silent,
}

impl World {
    /// What becomes of a call to this host.
    #[must_use]
    pub fn reach(&self, host: HostId) -> Reach {
        let state = self.host(host);
        match (state.is_up && !state.reply_behavior.is_silent, state.daemon_runs) {
            (false, _) => Reach::Silent,
            (true, false) => Reach::Refuses,
            (true, true) => Reach::Answers { delay_ns: state.reply_behavior.delay_ns },
        }
    }

    /// Whether the guest's definition is stored on a host.
    #[must_use]
    pub fn is_defined(&self, guest: GuestId, host: HostId) -> bool {
        self.domain(guest).defined_on.contains(&host)
    }

    /// The end of a migration at which a host has a copy of the guest.
    #[must_use]
    pub fn takes_part(&self, guest: GuestId, host: HostId) -> Option<Side> {
        let id = self.domain(guest).copy(host)?.job?;
        Some(if self.expect_job(id).source == host { Side::Source } else { Side::Destination })
    }

    /// A client resumes a copy, as `virDomainResume` does.
    ///
    /// # Errors
    /// When the daemon refuses.
    pub fn resume_by_client(&mut self, guest: GuestId, host: HostId) -> Result<(), Failure> {
        self.resume(guest, host, Initiator::Caller)
    }

    /// A client stops a copy, as `virDomainSuspend` does.
    ///
    /// # Errors
    /// When the daemon refuses.
    pub fn suspend_by_client(&mut self, guest: GuestId, host: HostId) -> Result<(), Failure> {
        self.suspend(guest, host, Initiator::Caller)
    }

    /// A client ends a copy, as `virDomainDestroy` does: whether another copy runs is not checked.
    ///
    /// # Errors
    /// When there is no such copy.
    pub fn destroy_by_client(&mut self, guest: GuestId, host: HostId) -> Result<(), Failure> {
        self.destroy(guest, host)
    }

    /// A client drops a definition, as `virDomainUndefine` does: also the last one, and of a guest that runs.
    pub fn undefine_by_client(&mut self, guest: GuestId, host: HostId) {
        self.undefine_on(guest, host);
    }
}
