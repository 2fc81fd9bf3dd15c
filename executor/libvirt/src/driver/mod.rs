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
mod lane;
mod listing;
mod look;
mod owner;
mod statistics;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant as Clock};

use whimbrel_core::convergence::Statistics;
use whimbrel_core::port::{JobReport, JobState, Setting, Settings};
use whimbrel_core::{
    Action, Answer, Command, CommandId, CopyState, Failure, Fault, Hint, Observation, Outcome, Side,
};

use self::failure::failure;
use self::lane::{Lane, Panics};
pub(crate) use self::listing::inventory;
use super::{
    Connection, Domain, DomainEvent, JobStatistics, LibvirtError, Lifecycle, Resumed, Subscription, Suspended,
};
use crate::job::{is_active, job};
use crate::link::Link;
use crate::lock;
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
    /// Statistics that came with the event of a job that ended.
    ended: Mutex<Option<JobStatistics>>,
    call_succeeded: OnceLock<()>,
    events: Mutex<Option<Subscription>>,
    inbox: Sender<Message>,
}

impl LibvirtPort {
    /// A port that answers into `inbox`. Nothing is connected to before the first command. With the facts that were
    /// collected before, the guest is looked up by its UUID, and only the hosts of these facts are accepted.
    #[must_use]
    pub(crate) fn new(assignment: Assignment, ends: Ends, inbox: Sender<Message>) -> Self {
        let Assignment { route, known, owner } = assignment;
        let source = Link::new(ends.source, Side::Source, &route.guest);
        let destination = Link::new(ends.destination, Side::Destination, &route.guest);
        Self::over(Assignment { route, known, owner }, source, destination, inbox)
    }

    /// The same over links that were made already.
    fn over(assignment: Assignment, source: Link, destination: Link, inbox: Sender<Message>) -> Self {
        let Assignment { route, known, owner } = assignment;
        if let Some(known) = &known {
            // A link that was just made has no pin that this one could contradict.
            let _ = source.pin(&known.source.host_uuid);
            let _ = destination.pin(&known.destination.host_uuid);
        }
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
            ended: Mutex::new(None),
            call_succeeded: OnceLock::new(),
            events: Mutex::new(None),
            inbox,
        });
        Self {
            hosts,
            permits: CallPermits::default(),
            panics: Panics::clone(&panics),
            facts: Lane::new("facts", &panics),
            call: Lane::new("migrate-call", &panics),
            job: Lane::new("job", &panics),
            abort: Lane::new("abort", &panics),
            source: Lane::new("source", &panics),
            destination: Lane::new("destination", &panics),
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
        strangers.into_iter().flatten().chain(self.hosts.release_guest(outcome)).collect()
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
        self.tell(Observation::Answer { to, answer });
    }

    fn answer_facts(self: &Arc<Self>, to: CommandId) {
        match self.collect_facts() {
            Ok((known, collected)) => {
                let _ = self.inbox.send(Message::Collected { to, known, collected });
            }
            Err(failure) => self.answer(to, Answer::Facts(Err(failure))),
        }
    }

    fn tell(&self, observation: Observation) {
        // When nobody listens any more, the migration has ended and the answer concerns nobody.
        let _ = self.inbox.send(Message::Observed { observation, since: Clock::now() });
    }

    /// Passes the source's events on as hints.
    fn subscribe(self: &Arc<Self>, connection: &Connection, domain: &Domain) {
        let hosts = Arc::downgrade(self);
        let subscription = connection.subscribe(Some(domain), move |event| {
            if let Some(hosts) = hosts.upgrade() {
                hosts.on_event(event);
            }
        });
        // Without events the polling still finds the end, only later; the moment of the switchover goes untold.
        if let Ok(subscription) = subscription {
            *lock(&self.events) = Some(subscription);
        }
    }

    /// A look. The first one at the source also listens to a guest whose facts somebody else collected, before a restart
    /// of ours.
    fn observe(self: &Arc<Self>, side: Side) -> CopyState {
        if side == Side::Source
            && lock(&self.events).is_none()
            && let (Ok(connection), Ok(domain)) = (self.source.connection(), self.domain(side))
        {
            self.subscribe(&connection, &domain);
        }
        self.look(side)
    }

    fn on_event(&self, event: DomainEvent) {
        let hint = match event {
            DomainEvent::MigrationIteration(_) => Hint::IterationBegan,
            DomainEvent::JobCompleted(statistics) => {
                *lock(&self.ended) = Some(*statistics);
                Hint::JobEnded
            }
            DomainEvent::Lifecycle(Lifecycle::Suspended(Suspended::Migrated)) => Hint::SourceSuspended,
            DomainEvent::Lifecycle(Lifecycle::Resumed(Resumed::Migrated)) => Hint::SourceResumed,
            DomainEvent::Lifecycle(Lifecycle::Suspended(Suspended::Postcopy)) => Hint::PostcopyBegan,
            DomainEvent::Lifecycle(Lifecycle::Suspended(Suspended::PostcopyFailed)) => Hint::PostcopyFailed,
            DomainEvent::Lifecycle(_) => return,
        };
        self.tell(Observation::Hint(hint));
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

    fn poll(&self) -> Result<JobReport, Failure> {
        if self.call_succeeded.get().is_some() {
            return Ok(self.last_numbers());
        }
        let statistics = self
            .domain(Side::Source)
            .and_then(|domain| job(&domain))
            .map_err(|error| failure(Side::Source, &error))?;
        Ok(match statistics {
            Some(statistics) if look::is_outgoing(&statistics) => {
                JobReport { state: JobState::Active, statistics: statistics::from_libvirt(&statistics) }
            }
            Some(_) | None => JobReport { state: JobState::None, statistics: Statistics::default() },
        })
    }

    /// The numbers of the job that ended well. libvirt may tell zeros, or nothing, in the first moment: asked again
    /// for a while.
    fn last_numbers(&self) -> JobReport {
        const TRIES: u32 = 20;
        const PAUSE: Duration = Duration::from_millis(10);
        if self.route.transfer.offline {
            // No memory was sent: there are no numbers to wait for.
            return JobReport { state: JobState::None, statistics: Statistics::default() };
        }
        for _ in 0..TRIES {
            let of_event = lock(&self.ended).clone();
            let told = of_event.filter(statistics::tells_something).or_else(|| {
                let statistics =
                    self.domain(Side::Destination).and_then(|domain| domain.completed_job_statistics());
                statistics.ok().flatten().filter(statistics::tells_something)
            });
            if let Some(told) = told {
                return JobReport { state: JobState::Completed, statistics: statistics::from_libvirt(&told) };
            }
            std::thread::sleep(PAUSE);
        }
        JobReport { state: JobState::None, statistics: Statistics::default() }
    }

    /// Asks for the end of the outgoing migration, and of no other job: libvirt would end a backup as readily.
    fn abort(&self) -> Result<(), Failure> {
        let abort = || {
            let domain = self.domain(Side::Source)?;
            match job(&domain)? {
                Some(job) if look::is_outgoing(&job) => domain.abort_job().map(|()| true),
                Some(_) | None => Ok(false),
            }
        };
        let outgoing = abort().map_err(|error: LibvirtError| failure(Side::Source, &error))?;
        if outgoing { Ok(()) } else { Err(Failure::new(Fault::Refused, "no migration works on the guest")) }
    }

    fn refuse_if_busy(&self) -> Result<(), Failure> {
        let job = self.domain(Side::Source).and_then(|domain| job(&domain));
        let job = job.map_err(|error| failure(Side::Source, &error))?;
        match job {
            Some(job) if is_active(&job) => {
                Err(Failure::new(Fault::Refused, "another job has begun to work on the guest"))
            }
            Some(_) | None => Ok(()),
        }
    }
}
