//! The actual events, for the test's assertions only: no policy can observe them.

use std::fmt;

use whimbrel_oracle::{Violation, check};

use super::TestBed;
use crate::world::{GuestId, HostId, Incident};

impl TestBed {
    /// The hosts on which the guest's CPUs run, in the order in which its copies came up.
    #[must_use]
    pub fn running_on(&self, guest: GuestId) -> Vec<HostId> {
        self.world.running_on(guest).collect()
    }

    /// Everything that must never happen to a guest and did, in order.
    #[must_use]
    pub fn incidents(&self) -> &[Incident] {
        self.world.incidents()
    }

    /// What the oracle finds in the guest's history: two writers, memory older than the storage, the last copy ended.
    #[must_use]
    pub fn violations(&self, guest: GuestId) -> Vec<Violation> {
        check(self.world.history(guest))
    }

    /// Fails the test unless the guest's CPUs run on this host and nowhere else, and nothing happened to it that must
    /// never happen.
    ///
    /// # Panics
    /// When that is not so; the message says where the guest really is.
    #[track_caller]
    pub fn assert_runs_only_on(&self, guest: GuestId, host: HostId) {
        assert!(
            self.running_on(guest) == [host]
                && self.incidents_of(guest).next().is_none()
                && self.violations(guest).is_empty(),
            "{} should run on {} alone, but {}",
            self.world.machine(guest).name,
            self.name(host),
            Truth { bed: self, guest }
        );
    }

    /// Fails the test if something happened to any guest that must never happen: two copies ran, the last one is gone,
    /// an outdated one runs, or one runs on another disk. The oracle checks it as well.
    ///
    /// # Panics
    /// When that is not so; the message says what happened to which guest, and when.
    #[track_caller]
    pub fn assert_no_incident(&self) {
        let mut all: Vec<String> = self.incidents().iter().map(|incident| self.describe(incident)).collect();
        for guest in self.world.guests() {
            let name = &self.world.machine(guest).name;
            all.extend(self.violations(guest).iter().map(|violation| format!("{name}: {violation}")));
        }
        assert!(all.is_empty(), "{}", all.join("; "));
    }

    fn incidents_of(&self, guest: GuestId) -> impl Iterator<Item = &Incident> {
        self.incidents().iter().filter(move |incident| incident.guest == guest)
    }

    fn describe(&self, incident: &Incident) -> String {
        let ms = incident.at_ns / super::NS_PER_MS;
        let name = &self.world.machine(incident.guest).name;
        format!("at {ms} ms {:?} of {name}, by {:?}", incident.kind, incident.initiator)
    }

    fn name(&self, host: HostId) -> &str {
        &self.world.inventory(host).name
    }
}

/// A guest's whereabouts in words.
struct Truth<'b> {
    bed: &'b TestBed,
    guest: GuestId,
}

impl fmt::Display for Truth<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for host in self.bed.world.hosts() {
            if let Some(process_state) = self.bed.world.process_state(self.guest, host) {
                write!(f, "{separator}its copy on {} is {process_state:?}", self.bed.name(host))?;
                separator = ", ";
            }
        }
        if separator.is_empty() {
            f.write_str("it has no copy anywhere")?;
        }
        for incident in self.bed.incidents_of(self.guest) {
            write!(f, "; {}", self.bed.describe(incident))?;
        }
        for violation in self.bed.violations(self.guest) {
            write!(f, "; {violation}")?;
        }
        Ok(())
    }
}
