//! The actual events, which nothing in the world can observe: the basis on which every driver of migrations is judged.

use super::domains::ProcessState;
use super::{GuestId, HostId, World};

/// The party that caused an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Initiator {
    /// libvirt or QEMU, by their own rules.
    Hypervisor,
    /// The driver of the migration, by a call.
    Caller,
    /// The guest itself.
    Guest,
    /// A fault.
    Fault,
}

/// Something that must never happen to a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Incident {
    /// When.
    pub at_ns: u64,
    /// To whom.
    pub guest: GuestId,
    /// What.
    pub kind: IncidentKind,
    /// The party that caused it.
    pub initiator: Initiator,
}

/// The kinds of incidents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IncidentKind {
    /// A second copy runs: both write to the same disks.
    TwoRun,
    /// The last copy from which the guest could continue is gone.
    LastCopyGone,
    /// A copy runs that a post-copy had left behind: its memory is older than what the guest did since.
    LeftBehindRuns,
    /// A copy began to run on another disk than the guest's own, under the same path.
    WrongDisk,
}

impl World {
    /// Everything that should not have happened, in order.
    #[must_use]
    pub fn incidents(&self) -> &[Incident] {
        &self.incidents
    }

    /// Hosts on which the guest's CPUs run.
    pub fn running_on(&self, guest: GuestId) -> impl Iterator<Item = HostId> + '_ {
        let copies = self.domain(guest).copies.iter();
        copies.filter(|copy| copy.process_state.runs()).map(|copy| copy.host)
    }

    /// Memory in MiB of the copies on a host, those that receive a migration included.
    #[must_use]
    pub fn memory_in_use_mib(&self, host: HostId) -> u64 {
        self.host(host).used_mib
    }

    /// What a guest's migration from a host has of the network, and what it would take if it could, both in bytes a
    /// second; none when no memory is being copied.
    #[must_use]
    pub fn share_bytes_per_second(&self, guest: GuestId, source: HostId) -> Option<(u64, u64)> {
        let job = self.expect_job(self.outgoing(guest, source)?);
        Some((self.network.rate(job.flow?)?, job.demand_bytes_per_second))
    }

    /// How the guest's copy on a host really is; none if there is none.
    #[must_use]
    pub fn process_state(&self, guest: GuestId, host: HostId) -> Option<ProcessState> {
        self.domain(guest).process_state(host)
    }

    /// For how long no copy of the guest ran since `from_ns`, in all, in ns.
    #[must_use]
    pub fn stopped_ns(&self, guest: GuestId, from_ns: u64) -> u64 {
        let stops = self.domain(guest).stops.iter();
        let spans = stops.map(|(since_ns, until_ns)| {
            until_ns.unwrap_or(self.now_ns).saturating_sub((*since_ns).max(from_ns))
        });
        spans.sum()
    }

    /// Notes whether a copy of the guest runs now.
    pub(super) fn note_whether_it_runs(&mut self, guest: GuestId) {
        let (now_ns, runs) = (self.now_ns, self.running_on(guest).next().is_some());
        let stops = &mut self.domain_mut(guest).stops;
        match stops.last_mut() {
            Some((_, until_ns @ None)) if runs => *until_ns = Some(now_ns),
            Some((_, None)) => {}
            _ if !runs => stops.push((now_ns, None)),
            _ => {}
        }
    }

    /// Sets the process state of a copy, and records the consequences.
    pub(super) fn set_process_state(
        &mut self,
        guest: GuestId,
        host: HostId,
        process_state: ProcessState,
        initiator: Initiator,
    ) {
        let Some(copy) = self.domain_mut(guest).copy_mut(host) else { return };
        let (before, id) = (std::mem::replace(&mut copy.process_state, process_state), copy.id);
        self.record_process_state(guest, id, (before, process_state), initiator);
        self.note_whether_it_runs(guest);
        if !process_state.runs() || before.runs() {
            return;
        }
        if matches!(before, ProcessState::PostcopySource { .. }) {
            self.note(guest, IncidentKind::LeftBehindRuns, initiator);
        }
        if self.running_on(guest).count() > 1 {
            self.note(guest, IncidentKind::TwoRun, initiator);
        }
    }

    /// Ends a copy.
    pub(super) fn remove_copy(&mut self, guest: GuestId, host: HostId, initiator: Initiator) {
        let domain = self.domain_mut(guest);
        let Some(place) = domain.copies.iter().position(|copy| copy.host == host) else { return };
        let copy = domain.copies.remove(place);
        self.note_whether_it_runs(guest);
        let domain = self.domain(guest);
        let counted = copy.process_state != ProcessState::Incoming;
        let memory_mib = domain.machine.memory.memory_mib;
        let left = domain.copies.iter().any(|copy| copy.process_state.is_whole());
        let pair = |is: fn(ProcessState) -> bool| domain.copies.iter().any(|copy| is(copy.process_state));
        // A post-copy's two halves are a guest only together.
        let halves = pair(|process_state| matches!(process_state, ProcessState::PostcopySource { .. }))
            && pair(|process_state| matches!(process_state, ProcessState::PostcopyDestination { .. }));
        let host = self.host_mut(host);
        host.guests.retain(|other| *other != guest);
        host.used_mib = host.used_mib.saturating_sub(memory_mib);
        self.record_end(guest, copy.id, initiator);
        if counted && !left && !halves {
            self.note(guest, IncidentKind::LastCopyGone, initiator);
        }
    }

    /// Checks whether the disks of the copy that begins to run are the guest's own.
    pub(super) fn check_disks(&mut self, id: super::JobId) {
        let job = self.expect_job(id);
        let guest = job.guest;
        let here = &self.host(job.destination).inventory;
        let disks = &self.domain(guest).machine.disks;
        let identity = |path: &str| here.backing(path).map(|backing| backing.identity);
        let mut all = disks.iter().zip(&job.backings).enumerate();
        if all.any(|(place, (disk, own))| !job.copied.has(place) && identity(&disk.path) != *own) {
            self.note(guest, IncidentKind::WrongDisk, Initiator::Hypervisor);
        }
    }

    fn note(&mut self, guest: GuestId, kind: IncidentKind, initiator: Initiator) {
        self.incidents.push(Incident { at_ns: self.now_ns, guest, kind, initiator });
    }
}
