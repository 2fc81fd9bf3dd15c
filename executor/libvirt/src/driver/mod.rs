//! The port on real libvirt hosts.
//!
//! The migration is driven peer to peer by the source's daemon, so it survives this process. Every blocking call is
//! made on a lane, a thread of its own kind: the migrate call blocks one lane for hours while others poll, abort and
//! look, over a second connection. Events of the source are passed on as hints.
//!
//! Nothing here decides: each command is carried out as it stands, and whatever libvirt says goes back as the answer.

mod acts;
mod call;
mod claims;
mod copies;
mod facts;
mod failure;
mod hints;
mod in_flight;
mod job;
mod lane;
mod look;
mod owner;
mod statistics;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, OnceLock};

use whimbrel_core::port::{Setting, Settings};
use whimbrel_core::{Action, Answer, Command, CommandId, CopyState, Failure, Observation, Outcome, Side};

use self::failure::failure;
use self::hints::{Listener, Subscribed};
use self::in_flight::InFlight;
use self::lane::{Lane, Panics};
use super::{Domain, LibvirtError};
use crate::access::Access;
use crate::link::Link;
use crate::lock;
use crate::threads::Threads;
use crate::workers::Workers;
use whimbrel_drive::hosts::{Assignment, Ends, Route};
use whimbrel_drive::owner::Owner;
use whimbrel_drive::{CallPermits, Message, Port, Withdrawn};

/// The port on real libvirt hosts.
#[derive(Debug)]
pub(crate) struct LibvirtPort {
    hosts: Arc<Hosts>,
    /// Withdrawn when the port is dropped: the lane of the call may still be connecting then.
    permits: CallPermits,
    panics: Panics,
    facts: Lane,
    call: Lane,
    job: Lane,
    abort: Lane,
    source: Lane,
    destination: Lane,
}

/// What the lanes share.
#[derive(Debug)]
struct Hosts {
    route: Route,
    source: Link,
    destination: Link,
    /// Who drives this migration, as other drivers see it.
    owner: Owner,
    /// The guest's UUID, at the latest once the facts are known: from then on it is looked up by nothing else, so that a guest of
    /// the same name is never taken for it.
    uuid: OnceLock<String>,
    persistent: OnceLock<bool>,
    /// Paths on the destination that the migration may create, as the rules judged it.
    disks_to_make: copies::DisksToMake,
    /// Those of them that this process created.
    created: Mutex<BTreeSet<String>>,
    /// Targets of the disks that the migrate call copies.
    copied: Mutex<Vec<String>>,
    /// Files on the destination that no other migration of this process may write to.
    claim: Mutex<Option<claims::Claim>>,
    call_succeeded: OnceLock<()>,
    /// Whether the destination reported the guest as running because a migration was completed, when it was last
    /// queried.
    destination_migrated: AtomicBool,
    in_flight: InFlight,
    /// What the operator has to know at the end.
    remarks: Mutex<Vec<String>>,
    // Dropped before the listener: no event comes in between.
    subscribed: Subscribed,
    listener: Arc<Listener>,
    threads: Arc<dyn Threads>,
    workers: Arc<Workers>,
}

impl LibvirtPort {
    /// A port that answers into `inbox`. Nothing is connected to before the first command. With the facts that were
    /// collected before, the guest is looked up by its UUID, and only the hosts of these facts are accepted.
    #[must_use]
    pub(crate) fn new(access: &Access, assignment: Assignment, ends: Ends, inbox: Sender<Message>) -> Self {
        let link = |uri, side| Link::new(access.clone(), uri, side, &assignment.route.guest);
        let links = [link(ends.source, Side::Source), link(ends.destination, Side::Destination)];
        Self::over(access, assignment, links, inbox)
    }

    /// The same over links that were made already.
    fn over(
        access: &Access,
        assignment: Assignment,
        [source, destination]: [Link; 2],
        inbox: Sender<Message>,
    ) -> Self {
        let Assignment { route, known, owner } = assignment;
        if let Some(known) = &known {
            // A link that was just made has no pin that this one could contradict.
            let _ = source.pin(&known.source.host_uuid);
            let _ = destination.pin(&known.destination.host_uuid);
        }
        let threads = Arc::clone(&access.threads);
        // Facts are known before the first command only of a migration that another driver has left.
        let in_flight = if known.is_some() { InFlight::adopted(threads.now()) } else { InFlight::default() };
        let (uuid, persistent) = known.map(|known| (known.guest.uuid, known.guest.persistent)).unzip();
        let panics = Panics::default();
        let hosts = Arc::new(Hosts {
            source,
            destination,
            owner,
            uuid: uuid.or_else(|| route.uuid.clone()).map_or_else(OnceLock::new, OnceLock::from),
            route,
            persistent: persistent.map_or_else(OnceLock::new, OnceLock::from),
            disks_to_make: copies::DisksToMake::new(),
            created: Mutex::default(),
            copied: Mutex::default(),
            claim: Mutex::default(),
            call_succeeded: OnceLock::new(),
            destination_migrated: AtomicBool::new(false),
            in_flight,
            remarks: Mutex::default(),
            subscribed: Subscribed::default(),
            listener: Arc::new(Listener::new(inbox)),
            threads: Arc::clone(&threads),
            workers: Arc::clone(&access.workers),
        });
        let lane = |name| Lane::new(name, &threads, &panics);
        Self {
            hosts,
            permits: CallPermits::default(),
            facts: lane("facts"),
            call: lane("migrate-call"),
            job: lane("job"),
            abort: lane("abort"),
            source: lane("source"),
            destination: lane("destination"),
            panics: Panics::clone(&panics),
        }
    }
}

impl Port for LibvirtPort {
    fn execute(&mut self, command: Command) {
        let Command { id, action } = command;
        let hosts = Arc::clone(&self.hosts);
        match action {
            // The rules are asked by the driving loop; a port has no part in it.
            Action::EvaluateRules(_) => {}
            Action::CollectFacts => {
                self.facts.run(move || hosts.answer_facts(id));
            }
            Action::ReadSettings => {
                self.source.run(move || hosts.answer(id, Answer::Settings(hosts.read_settings())));
            }
            Action::ApplySetting(setting) => {
                let apply = move |hosts: &Hosts| hosts.unless_owned(Side::Source, || hosts.apply(setting));
                self.source.run(move || hosts.answer(id, Answer::Applied(apply(&hosts))));
            }
            Action::StartMigration => {
                let permit = self.permits.issue(id);
                self.call.run(move || hosts.answer(id, Answer::CallReturned(hosts.migrate(&permit))));
            }
            // A look that still waits behind a slow one would tell nothing new.
            Action::PollJob => self.job.run_latest(move || hosts.answer(id, Answer::Job(hosts.poll()))),
            Action::AbortMigration => {
                // A call that is still being prepared would find nothing that ends it.
                self.permits.withdraw_last(Withdrawn::Cancelled);
                let abort = |hosts: &Hosts| hosts.unless_owned(Side::Source, || hosts.abort());
                self.abort.run(move || hosts.answer(id, Answer::Abort(abort(&hosts))));
            }
            Action::StartPostcopy => {
                let start = |hosts: &Hosts| hosts.unless_owned(Side::Source, || hosts.start_postcopy());
                self.abort.run(move || hosts.answer(id, Answer::Postcopy(start(&hosts))));
            }
            Action::ResumePostcopy => {
                let permit = self.permits.issue(id);
                self.call.run(move || hosts.answer(id, Answer::CallReturned(hosts.resume_postcopy(&permit))));
            }
            Action::Observe(side) => {
                self.lane(side).run_latest(move || hosts.answer(id, Answer::Copy(hosts.observe(side))));
            }
            Action::Resume(side) => self.act(id, side, move |hosts| hosts.resume(side)),
            Action::Destroy(side) => self.act(id, side, move |hosts| hosts.destroy(side)),
            Action::Suspend => self.act(id, Side::Source, Hosts::suspend),
            Action::Undefine(side) => self.act(id, side, move |hosts| hosts.undefine(side)),
            Action::RemoveDisks(disks) => {
                self.destination.run(move || hosts.answer(id, Answer::Acted(hosts.remove_disks(&disks))));
            }
        }
    }

    fn abandon_call(&mut self, call: CommandId) {
        self.permits.withdraw(call, Withdrawn::GivenUp);
    }

    fn finish(&mut self, outcome: &Outcome) -> Vec<String> {
        let strangers = [Side::Source, Side::Destination].map(|side| self.hosts.link(side).stranger());
        let remarks = std::mem::take(&mut *lock(&self.hosts.remarks));
        let remarks = remarks.into_iter().chain(strangers.into_iter().flatten());
        remarks.chain(self.hosts.release_guest(outcome)).collect()
    }

    fn panics(&self) -> Vec<String> {
        lock(&self.panics).clone()
    }
}

impl LibvirtPort {
    /// What changes a copy is not done to one that another driver works on by now.
    fn act(
        &self,
        id: CommandId,
        side: Side,
        act: impl FnOnce(&Hosts) -> Result<(), Failure> + Send + 'static,
    ) {
        let hosts = Arc::clone(&self.hosts);
        self.lane(side).run(move || {
            hosts.answer(id, Answer::Acted(hosts.unless_owned(side, || act(&hosts))));
        });
    }

    fn lane(&self, side: Side) -> &Lane {
        match side {
            Side::Source => &self.source,
            Side::Destination => &self.destination,
        }
    }
}

impl Hosts {
    fn link(&self, side: Side) -> &Link {
        match side {
            Side::Source => &self.source,
            Side::Destination => &self.destination,
        }
    }

    fn domain(&self, side: Side) -> Result<Domain, LibvirtError> {
        let connection = self.link(side).connection()?;
        match self.uuid.get() {
            Some(uuid) => connection.lookup_uuid(uuid),
            None => connection.lookup(&self.route.guest),
        }
    }

    fn answer(&self, to: CommandId, answer: Answer) {
        self.listener.tell(Observation::Answer { to, answer });
    }

    fn answer_facts(self: &Arc<Self>, to: CommandId) {
        match self.collect_facts() {
            Ok((known, collected)) => {
                self.listener.send(Message::Collected { to, known, collected });
            }
            Err(failure) => self.answer(to, Answer::Facts(Err(failure))),
        }
    }

    /// A look, for the machine. While a call may still arrive, a guest that runs without a migration proves nothing.
    fn observe(&self, side: Side) -> CopyState {
        let seen = self.look(side);
        if side == Side::Destination {
            // The source's daemon prepared it, so it has received the call.
            if seen == CopyState::Incoming {
                self.in_flight.job_seen();
            }
            return seen;
        }
        self.listen();
        let is_settled = match seen {
            CopyState::Migrating => {
                self.in_flight.job_seen();
                true
            }
            CopyState::Running | CopyState::Paused => !self.in_flight.may_begin_late(self.threads.now()),
            CopyState::Defined if self.route.transfer.offline => {
                !self.in_flight.may_arrive(self.threads.now())
            }
            _ => true,
        };
        if is_settled { seen } else { CopyState::Unknown }
    }

    fn read_settings(&self) -> Result<Settings, Failure> {
        // The limits of another's job would be taken for the guest's own.
        self.refuse_if_busy()?;
        // Nothing was changed up to here.
        let domain = self.domain(Side::Source).map_err(|error| failure(Side::Source, &error))?;
        self.claim_guest(&domain)?;
        let read = || {
            let limit_mib = domain.max_speed_mib_per_s()?;
            Ok(Settings {
                downtime_limit_ms: domain.max_downtime_ms()?,
                bandwidth_limit_bytes_per_second: limit_mib.saturating_mul(1 << 20),
            })
        };
        read().map_err(|error: LibvirtError| failure(Side::Source, &error))
    }

    fn apply(&self, setting: Setting) -> Result<(), Failure> {
        let apply = || {
            let domain = self.domain(Side::Source)?;
            match setting {
                Setting::DowntimeLimitMs(ms) => domain.set_max_downtime_ms(ms),
                Setting::BandwidthLimitBytesPerSecond(rate) => domain.set_max_speed_mib_per_s(rate >> 20),
            }
        };
        apply().map_err(|error| failure(Side::Source, &error))
    }
}
