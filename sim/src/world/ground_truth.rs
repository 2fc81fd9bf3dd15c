//! What really happened to each guest, recorded for the oracle: when its copies were created, received memory, ran and
//! ended. Nothing in the world reads it, and a driver of a migration must not see it.

use whimbrel_core::port::{Setting, Settings};
use whimbrel_core::{Answer, CommandId, CopyState, Observation};
use whimbrel_oracle::{
    Actor, CopyId, End, Event, History, HostId as RecordedHost, Part, Seen, SettingId, StorageId, Writes,
};

use super::domains::ProcessState;
use super::incidents::Initiator;
use super::{GuestId, HostId, JobId, PortEvent, PortId, World};

/// The guest's downtime limit in a [`History`], in ms.
pub const DOWNTIME_LIMIT: SettingId = SettingId(0);
/// The guest's bandwidth limit in a [`History`], in bytes a second.
pub const BANDWIDTH_LIMIT: SettingId = SettingId(1);

/// Storage that all hosts share.
pub(super) const SHARED: StorageId = StorageId(0);

/// A guest's history, and how many copies it has named.
#[derive(Clone, Debug)]
pub(super) struct Record {
    history: History,
    copies: u32,
}

impl Record {
    pub(super) fn new() -> Self {
        Self { history: History::new(Writes::WhileRunning), copies: 0 }
    }

    pub(super) fn name_copy(&mut self) -> CopyId {
        self.copies += 1;
        CopyId(self.copies - 1)
    }
}

impl World {
    /// What really happened to a guest.
    #[must_use]
    pub fn history(&self, guest: GuestId) -> &History {
        &self.domain(guest).record.history
    }

    /// A host's name in a history.
    #[must_use]
    pub fn recorded_host(host: HostId) -> RecordedHost {
        recorded(host)
    }

    pub(super) fn record(&mut self, guest: GuestId, event: Event) {
        let at_ns = self.now_ns;
        self.domain_mut(guest).record.history.record(at_ns, event);
    }

    /// A copy was added.
    pub(super) fn record_created(&mut self, guest: GuestId, host: HostId) {
        let Some(copy) = self.domain(guest).copy(host) else { return };
        let (id, storage, settings, process_state) =
            (copy.id, copy.storage, copy.settings, copy.process_state);
        let is_incoming = process_state == ProcessState::Incoming;
        self.record(guest, Event::Created { copy: id, host: recorded(host), storage, is_incoming });
        let Settings { downtime_limit_ms, bandwidth_limit_bytes_per_second } = settings;
        self.record_setting(guest, host, Setting::DowntimeLimitMs(downtime_limit_ms));
        self.record_setting(
            guest,
            host,
            Setting::BandwidthLimitBytesPerSecond(bandwidth_limit_bytes_per_second),
        );
        if process_state.runs() {
            self.record(guest, Event::Started { copy: id, by: Actor::Other });
        }
    }

    pub(super) fn record_setting(&mut self, guest: GuestId, host: HostId, setting: Setting) {
        let Some(copy) = self.domain(guest).copy(host).map(|copy| copy.id) else { return };
        let (setting, value) = match setting {
            Setting::DowntimeLimitMs(ms) => (DOWNTIME_LIMIT, ms),
            Setting::BandwidthLimitBytesPerSecond(rate) => (BANDWIDTH_LIMIT, rate),
        };
        self.record(guest, Event::Set { copy, setting, value });
    }

    pub(super) fn record_definition(&mut self, guest: GuestId, host: HostId, is_defined: bool) {
        let host = recorded(host);
        self.record(guest, if is_defined { Event::Defined { host } } else { Event::Undefined { host } });
    }

    /// A copy's life changed.
    pub(super) fn record_process_state(
        &mut self,
        guest: GuestId,
        copy: CopyId,
        change: (ProcessState, ProcessState),
        initiator: Initiator,
    ) {
        let (before, now) = change;
        let by = actor(initiator);
        if before == ProcessState::Incoming && now != ProcessState::Incoming && !now.runs() {
            self.record(guest, Event::TakenOver { copy });
        }
        if now.runs() && !before.runs() {
            self.record(guest, Event::Started { copy, by });
        } else if before.runs() && !now.runs() {
            self.record(guest, Event::Stopped { copy, by });
        }
    }

    pub(super) fn record_reboot(&mut self, guest: GuestId) {
        let running = self.domain(guest).copies.iter().filter(|copy| copy.process_state.runs());
        for copy in running.map(|copy| copy.id).collect::<Vec<_>>() {
            self.record(guest, Event::Rebooted { copy });
        }
    }

    pub(super) fn record_end(&mut self, guest: GuestId, copy: CopyId, initiator: Initiator) {
        let how = if initiator == Initiator::Guest { End::PoweredOff } else { End::Destroyed };
        self.record(guest, Event::Ended { copy, how, by: actor(initiator) });
    }

    /// The source's memory, or what it takes to run without the rest, has arrived at the destination.
    pub(super) fn record_memory(&mut self, id: JobId, part: Part) {
        let job = self.expect_job(id);
        let (guest, source, destination) = (job.guest, job.source, job.destination);
        let mirror_is_complete = job.mirror.as_ref().is_some_and(|mirror| mirror.remaining_bytes() == 0);
        let domain = self.domain(guest);
        let (Some(from), Some(to)) = (domain.copy(source), domain.copy(destination)) else { return };
        let (copy, storage, from, from_storage) = (to.id, to.storage, from.id, from.storage);
        if mirror_is_complete {
            self.record(guest, Event::Mirrored { to: storage, from: from_storage });
        }
        self.record(guest, Event::MemoryReceived { copy, from, part });
    }

    /// What a destination's copy writes to.
    pub(super) fn storage_there(&self, id: JobId) -> StorageId {
        let job = self.expect_job(id);
        if !job.copied.is_empty() {
            return StorageId(1 + recorded(job.destination).0);
        }
        self.domain(job.guest).copy(job.source).map_or(SHARED, |copy| copy.storage)
    }

    /// A daemon was queried. The answer counts from now on, once it has arrived.
    pub(super) fn note_look(&mut self, look: (PortId, CommandId), host: HostId) {
        self.looks.insert(look, (host, self.now_ns));
    }

    /// A query of a host is not answered.
    pub(super) fn record_silence(&mut self, guest: GuestId, host: HostId) {
        let since_ns = self.now_ns;
        self.record(guest, Event::Observed { host: recorded(host), since_ns, seen: Seen::NoAnswer });
    }

    /// A driver is about to receive something: what it knows of a host is recorded.
    pub(super) fn record_port_event(&mut self, port: PortId, event: &PortEvent) {
        let PortEvent::Observed(Observation::Answer { to, answer: Answer::Copy(state) }) = event else {
            return;
        };
        let Some((host, since_ns)) = self.looks.remove(&(port, *to)) else { return };
        let Some(guest) = self.guest_of(port) else { return };
        let seen = match state {
            CopyState::Running => Seen::Running,
            CopyState::Absent | CopyState::Defined => Seen::Absent,
            CopyState::Unknown => Seen::NoAnswer,
            CopyState::Migrating
            | CopyState::Stopped
            | CopyState::Paused
            | CopyState::Incoming
            | CopyState::Postcopy
            | CopyState::PostcopyFailed => Seen::Present,
        };
        self.record(guest, Event::Observed { host: recorded(host), since_ns, seen });
    }
}

/// A host's name in a [`History`].
pub(super) fn recorded(host: HostId) -> RecordedHost {
    // A world has few hosts.
    RecordedHost(u32::try_from(host.0).unwrap_or(u32::MAX))
}

fn actor(initiator: Initiator) -> Actor {
    match initiator {
        Initiator::Hypervisor => Actor::Hypervisor,
        Initiator::Caller => Actor::Migration,
        Initiator::Guest => Actor::Guest,
        Initiator::Fault => Actor::Other,
    }
}
