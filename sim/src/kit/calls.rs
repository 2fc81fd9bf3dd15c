//! libvirt's calls in virtual time. Each one blocks as libvirt's own does: it returns when its answer has come, and
//! time has passed meanwhile, for everybody. The migrate call alone is made as on a thread of its own.
//!
//! A call returns what a daemon would report; the actual state is in `truth`.

use whimbrel_core::port::{JobReport, Setting, Settings};
use whimbrel_core::{Action, Answer, Command, CommandId, CopyState, Failure, Fault, Observation, Side};

use super::{NS_PER_MS, TestBed};
use crate::world::{GuestId, HostId, MigrateOptions, PortEvent, PortId};

/// After so much virtual time a migrate call is not waited for any longer: a test must end.
const PATIENCE_MS: u64 = 24 * 3_600_000;

/// A migrate call that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Call {
    pub(super) port: PortId,
    pub(super) id: CommandId,
}

impl TestBed {
    /// Makes the call that migrates a guest (`virDomainMigrateToURI3`), as on a thread of its own: it is on its way
    /// when this returns.
    pub fn migrate(
        &mut self,
        guest: GuestId,
        source: HostId,
        destination: HostId,
        options: MigrateOptions,
    ) -> Call {
        self.domain(guest, source);
        self.domain(guest, destination);
        let port = self.world.connect(guest, source, destination, options);
        Call { port, id: self.give(port, Action::StartMigration) }
    }

    /// Makes the call that lets a post-copy go on which lost its connection (`VIR_MIGRATE_POSTCOPY_RESUME`), with the
    /// hosts and options of the call before it.
    pub fn resume_postcopy(&mut self, before: Call) -> Call {
        Call { port: before.port, id: self.give(before.port, Action::ResumePostcopy) }
    }

    /// What a migrate call returned; none while it is under way.
    #[must_use]
    pub fn returned(&self, call: Call) -> Option<&Result<(), Failure>> {
        self.returned.get(&call)
    }

    /// Lets time pass until a migrate call returns.
    ///
    /// # Errors
    /// The call's own failure. A call that has not returned after a day is given up as [`Fault::ReplyLost`].
    pub fn wait_for(&mut self, call: Call) -> Result<(), Failure> {
        self.wait_until(PATIENCE_MS, |bed| bed.returned(call).is_some());
        let none = || Err(Failure::new(Fault::ReplyLost, "the call has not returned within a day"));
        self.returned(call).cloned().unwrap_or_else(none)
    }

    /// The guest's job on a host (`virDomainGetJobStats`). Numbers are zero before the copy begins and when there is no
    /// job, as libvirt's are; that does not mean "nothing remains".
    ///
    /// # Errors
    /// When the daemon does not answer.
    pub fn job(&mut self, guest: GuestId, host: HostId) -> Result<JobReport, Failure> {
        match self.ask(guest, host, Action::PollJob)? {
            Answer::Job(result) => result,
            other => Err(mistaken(&other)),
        }
    }

    /// Requests the abort of a guest's job (`virDomainAbortJob`). Accepted does not mean ended.
    ///
    /// # Errors
    /// When the daemon does not answer, there is no job, or it is too late.
    pub fn abort(&mut self, guest: GuestId, host: HostId) -> Result<(), Failure> {
        match self.ask(guest, host, Action::AbortMigration)? {
            Answer::Abort(result) => result,
            other => Err(mistaken(&other)),
        }
    }

    /// Requests the switch to post-copy (`virDomainMigrateStartPostCopy`). Accepted does not mean switched.
    ///
    /// # Errors
    /// When the daemon does not answer, there is no job, or it was begun without post-copy allowed.
    pub fn start_postcopy(&mut self, guest: GuestId, host: HostId) -> Result<(), Failure> {
        match self.ask(guest, host, Action::StartPostcopy)? {
            Answer::Postcopy(result) => result,
            other => Err(mistaken(&other)),
        }
    }

    /// The guest's downtime limit and bandwidth limit on a host.
    ///
    /// # Errors
    /// When the daemon does not answer, or the guest is not in memory there.
    pub fn settings(&mut self, guest: GuestId, host: HostId) -> Result<Settings, Failure> {
        match self.ask(guest, host, Action::ReadSettings)? {
            Answer::Settings(result) => result,
            other => Err(mistaken(&other)),
        }
    }

    /// Another downtime limit (`virDomainMigrateSetMaxDowntime`).
    ///
    /// # Errors
    /// As for [`settings`](Self::settings).
    pub fn set_downtime_ms(&mut self, guest: GuestId, host: HostId, ms: u64) -> Result<(), Failure> {
        self.apply(guest, host, Setting::DowntimeLimitMs(ms))
    }

    /// Another bandwidth limit, in MiB a second as libvirt counts (`virDomainMigrateSetMaxSpeed`).
    ///
    /// # Errors
    /// As for [`settings`](Self::settings).
    pub fn set_bandwidth_mib_per_second(
        &mut self,
        guest: GuestId,
        host: HostId,
        mib_per_second: u64,
    ) -> Result<(), Failure> {
        self.apply(guest, host, Setting::BandwidthLimitBytesPerSecond(mib_per_second.saturating_mul(1 << 20)))
    }

    /// Stops the guest's CPUs (`virDomainSuspend`). A migration goes on, of a guest that writes nothing, which runs at
    /// the destination again if it ran when the migration began.
    ///
    /// # Errors
    /// When the daemon does not answer, has no such guest in memory, or refuses.
    pub fn suspend(&mut self, guest: GuestId, host: HostId) -> Result<(), Failure> {
        self.act(guest, host, Action::Suspend)
    }

    /// Lets the guest's CPUs run (`virDomainResume`), whatever the other host does.
    ///
    /// # Errors
    /// As for [`suspend`](Self::suspend).
    pub fn resume(&mut self, guest: GuestId, host: HostId) -> Result<(), Failure> {
        self.act(guest, host, Action::Resume(Side::Source))
    }

    /// Ends the guest's copy on a host (`virDomainDestroy`), whatever the other host does.
    ///
    /// # Errors
    /// When the daemon does not answer, or has no such guest in memory.
    pub fn destroy(&mut self, guest: GuestId, host: HostId) -> Result<(), Failure> {
        self.act(guest, host, Action::Destroy(Side::Source))
    }

    /// Queries the guest on a host (`virDomainGetState`); [`CopyState::Unknown`] without an answer.
    pub fn look(&mut self, guest: GuestId, host: HostId) -> CopyState {
        match self.ask(guest, host, Action::Observe(Side::Source)) {
            Ok(Answer::Copy(state)) => state,
            Ok(_) | Err(_) => CopyState::Unknown,
        }
    }

    fn apply(&mut self, guest: GuestId, host: HostId, setting: Setting) -> Result<(), Failure> {
        match self.ask(guest, host, Action::ApplySetting(setting))? {
            Answer::Applied(result) => result,
            other => Err(mistaken(&other)),
        }
    }

    fn act(&mut self, guest: GuestId, host: HostId, action: Action) -> Result<(), Failure> {
        match self.ask(guest, host, action)? {
            Answer::Acted(result) => result,
            other => Err(mistaken(&other)),
        }
    }

    /// Waits for the answer to a command about a guest on one host; other events meanwhile are kept.
    fn ask(&mut self, guest: GuestId, host: HostId, action: Action) -> Result<Answer, Failure> {
        let port = self.domain(guest, host);
        let id = self.give(port, action);
        let until_ns = self.now_ns().saturating_add(self.setup.reply_timeout_ms.saturating_mul(NS_PER_MS));
        while let Some((whose, event)) = self.world.advance(until_ns) {
            match event {
                PortEvent::Observed(Observation::Answer { to, answer }) if whose == port && to == id => {
                    return Ok(answer);
                }
                other => self.note(whose, other),
            }
        }
        Err(Failure::new(Fault::ReplyLost, "internal error: connection closed due to keepalive timeout"))
    }

    fn give(&mut self, port: PortId, action: Action) -> CommandId {
        let id = CommandId(self.made);
        self.made = self.made.wrapping_add(1);
        self.world.carry_out(port, Command { id, action });
        id
    }

    /// The port behind a guest's domain object on a host. Its far end is the same host: only calls that concern one
    /// host are made through it.
    fn domain(&mut self, guest: GuestId, host: HostId) -> PortId {
        if let Some(port) = self.domains.get(&(guest, host)) {
            return *port;
        }
        let port = self.world.connect(guest, host, host, MigrateOptions::default());
        self.domains.insert((guest, host), port);
        port
    }
}

/// The port answers each command by its own kind of answer; another one would be the world's bug.
fn mistaken(answer: &Answer) -> Failure {
    Failure::new(Fault::Other, format!("the world answered a call by {answer:?}"))
}
