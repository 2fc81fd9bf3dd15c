//! A migration as its caller sees it: start it, step it through time, change its limits, ask how it stands.

use std::fmt;

use super::config::SourceConfig;
use super::machine::{Machine, Plan};
use super::migration_loop::Interrupt;
use super::statistics::{Event, EventKind, GuestWork, Statistics, Status};
use crate::guest::Guest;
use crate::memory::{Bitmap, Counts, Memory};
use crate::random::Random;
use crate::sampling::{Drawn, Expected, Hits};

/// What keeps account of the dirty pages; the loop is the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Engine {
    /// A bit for each page: exact to the page.
    #[default]
    Page,
    /// Counts of pages that are alike, drawn: the page engine's distribution, at a cost that does not grow with memory.
    Lumped,
    /// The same counts, each its expectation. It answers "about how long" fastest of all, and says nothing about the
    /// spread: close to the edge between converging and never it is one course among very different ones, so it must
    /// never be used for a probability there.
    Mean,
}

impl Engine {
    /// Every engine with its name in files and on the command line.
    pub const WORDS: [(&'static str, Self); 3] =
        [("page", Self::Page), ("lumped", Self::Lumped), ("mean", Self::Mean)];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Lumped => "lumped",
            Self::Mean => "mean",
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A running migration as the source host sees it.
///
/// The caller owns time: it asks [`next_event_at`](Self::next_event_at), calls
/// [`advance_to`](Self::advance_to) until that returns nothing, and in between may change limits, cut the
/// link or cancel. Changes apply at the instant reached by the last call ([`now_ns`](Self::now_ns)).
#[derive(Debug)]
pub struct SourceMigration(Box<dyn Steps>);

/// What every engine's machine can do.
trait Steps: fmt::Debug + Send {
    fn boxed(&self) -> Box<dyn Steps>;
    fn present_ns(&self) -> u64;
    fn next_event_at(&self) -> Option<u64>;
    fn advance_to(&mut self, target_ns: u64) -> Option<(u64, EventKind)>;
    fn run_to(&mut self, target_ns: u64) -> Option<(u64, EventKind)>;
    fn set_max_bandwidth(&mut self, bytes_per_second: u64);
    fn set_downtime_limit_ms(&mut self, limit_ms: u64);
    fn set_link_bytes_per_second(&mut self, bytes_per_second: u64);
    fn set_guest_paused(&mut self, paused: bool);
    fn interrupt_by(&mut self, interrupt: Interrupt) -> bool;
    fn start_postcopy(&mut self) -> bool;
    fn recover(&mut self) -> bool;
    fn continue_switchover(&mut self) -> bool;
    fn guest_runs(&self) -> bool;
    fn status(&self) -> Status;
    fn statistics(&self) -> Statistics;
    fn set_throttle_percent(&mut self, percent: u64);
    fn guest_work(&self) -> GuestWork;
}

impl SourceMigration {
    /// Starts to migrate `guest` at the instant `now_ns`. All chance comes from `random`.
    #[must_use]
    pub fn start(
        engine: Engine,
        config: &SourceConfig,
        guest: Guest,
        now_ns: u64,
        mut random: Random,
    ) -> Self {
        let plan = Box::new(Plan::new(config, guest));
        let host = random.fork();
        Self(match engine {
            Engine::Page => boxed::<Bitmap>(plan, now_ns, Drawn::new(random), Drawn::new(host)),
            Engine::Lumped => boxed::<Counts<Drawn>>(plan, now_ns, Drawn::new(random), Drawn::new(host)),
            Engine::Mean => boxed::<Counts<Expected>>(plan, now_ns, Expected::new(), Expected::new()),
        })
    }

    /// The same with the lumped engine and keyed chance: what the guest writes depends on the seed and on how far it has
    /// come in its own time, in slices of 100 ms, and not on what was drawn before. Migrations of one guest under
    /// different policies then meet the same guest (common random numbers).
    #[must_use]
    pub fn start_keyed(config: &SourceConfig, guest: Guest, now_ns: u64, seed: u64) -> Self {
        let host = Drawn::new(Random::from_seed(seed));
        let plan = Box::new(Plan::new(config, guest));
        Self(boxed::<Counts<Drawn>>(plan, now_ns, Drawn::keyed(seed), host))
    }

    /// The instant reached so far.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        self.0.present_ns()
    }

    /// An instant before which nothing will happen, so that stepping from one to the next meets every event
    /// at its own time. None when it ended, or waits for a cut link. Often exact, never late; a call that
    /// brings no event still brings the next instant nearer.
    #[must_use]
    pub fn next_event_at(&self) -> Option<u64> {
        self.0.next_event_at()
    }

    /// Runs to the next event, but not beyond `target_ns`, which must be an instant the caller means to
    /// reach: after nothing happened, that is the present. Call again until nothing is returned.
    pub fn advance_to(&mut self, target_ns: u64) -> Option<Event> {
        self.0.advance_to(target_ns).map(|(at_ns, kind)| Event { at_ns, kind })
    }

    /// As [`advance_to`](Self::advance_to), but ended windows are not reported, which is faster where no caller needs
    /// them.
    pub fn run_to(&mut self, target_ns: u64) -> Option<Event> {
        self.0.run_to(target_ns).map(|(at_ns, kind)| Event { at_ns, kind })
    }

    /// Sets the bandwidth limit, zero for none. The budget changes at once; a loop that sleeps sleeps on.
    pub fn set_max_bandwidth(&mut self, bytes_per_second: u64) {
        self.0.set_max_bandwidth(bytes_per_second);
    }

    /// Sets the downtime limit; it enters the threshold at the end of the window.
    pub fn set_downtime_limit_ms(&mut self, limit_ms: u64) {
        self.0.set_downtime_limit_ms(limit_ms);
    }

    /// Changes the link's capacity. Zero cuts it: nothing arrives and nothing fails until it is restored, or
    /// until the caller decides that the connection is lost and calls [`fail`](Self::fail).
    pub fn set_link_bytes_per_second(&mut self, bytes_per_second: u64) {
        self.0.set_link_bytes_per_second(bytes_per_second);
    }

    /// Pauses or resumes the guest from outside. Without effect once the migration stopped it itself.
    pub fn set_guest_paused(&mut self, paused: bool) {
        self.0.set_guest_paused(paused);
    }

    /// Requests a cancel, which takes effect at the loop's next step. False if it comes too late, as it does from the
    /// switch to post-copy on.
    pub fn cancel(&mut self) -> bool {
        self.0.interrupt_by(Interrupt::Cancel)
    }

    /// Declares the connection lost: the migration fails at the loop's next step, unless it ended already or
    /// is being cancelled. False if it comes too late. After the switch to post-copy it does not fail but pauses.
    pub fn fail(&mut self) -> bool {
        self.0.interrupt_by(Interrupt::Fail)
    }

    /// Requests the switch to post-copy, which is made at the loop's next step. False where it was not configured, or
    /// the migration is over or being ended.
    pub fn start_postcopy(&mut self) -> bool {
        self.0.start_postcopy()
    }

    /// Lets a post-copy that was paused by a lost link go on over the link as it is now. False if none is paused, or
    /// the link is still cut.
    pub fn recover(&mut self) -> bool {
        self.0.recover()
    }

    /// Keeps the guest's virtual CPUs from running for this part of their time, up to 99 %. QEMU has no such command;
    /// with auto-converge its own next step replaces this.
    pub fn set_throttle_percent(&mut self, percent: u64) {
        self.0.set_throttle_percent(percent);
    }

    /// The time that the guest's writers had for their work since the start, until now or the end.
    #[must_use]
    pub fn guest_work(&self) -> GuestWork {
        self.0.guest_work()
    }

    /// Continues a switchover that waits (`pause_before_switchover`). False if none waits.
    pub fn continue_switchover(&mut self) -> bool {
        self.0.continue_switchover()
    }

    /// Whether the guest runs on this host.
    #[must_use]
    pub fn guest_runs(&self) -> bool {
        self.0.guest_runs()
    }

    /// Where the migration stands.
    #[must_use]
    pub fn status(&self) -> Status {
        self.0.status()
    }

    /// QEMU's statistics at this instant.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.0.statistics()
    }
}

impl Clone for SourceMigration {
    fn clone(&self) -> Self {
        Self(self.0.boxed())
    }
}

fn boxed<M: Memory + Send + 'static>(
    plan: Box<Plan>,
    now_ns: u64,
    chance: M::Chance,
    host_chance: M::Chance,
) -> Box<dyn Steps>
where
    M::Chance: Send,
{
    Box::new(Machine::<Box<Plan>, M>::start(plan, now_ns, chance, host_chance))
}

impl<M: Memory + Send + 'static> Steps for Machine<Box<Plan>, M>
where
    M::Chance: Hits + Send,
{
    fn boxed(&self) -> Box<dyn Steps> {
        Box::new(self.clone())
    }

    fn present_ns(&self) -> u64 {
        self.present_ns()
    }

    fn next_event_at(&self) -> Option<u64> {
        self.next_event_at()
    }

    fn advance_to(&mut self, target_ns: u64) -> Option<(u64, EventKind)> {
        self.advance_to(target_ns)
    }

    fn run_to(&mut self, target_ns: u64) -> Option<(u64, EventKind)> {
        self.run_to(target_ns)
    }

    fn set_max_bandwidth(&mut self, bytes_per_second: u64) {
        self.set_max_bandwidth(bytes_per_second);
    }

    fn set_downtime_limit_ms(&mut self, limit_ms: u64) {
        self.set_downtime_limit_ms(limit_ms);
    }

    fn set_link_bytes_per_second(&mut self, bytes_per_second: u64) {
        self.set_link_bytes_per_second(bytes_per_second);
    }

    fn set_guest_paused(&mut self, paused: bool) {
        self.set_guest_paused(paused);
    }

    fn interrupt_by(&mut self, interrupt: Interrupt) -> bool {
        self.interrupt_by(interrupt)
    }

    fn start_postcopy(&mut self) -> bool {
        self.start_postcopy()
    }

    fn recover(&mut self) -> bool {
        self.recover()
    }

    fn continue_switchover(&mut self) -> bool {
        self.continue_switchover()
    }

    fn guest_runs(&self) -> bool {
        self.guest_runs()
    }

    fn status(&self) -> Status {
        self.status()
    }

    fn statistics(&self) -> Statistics {
        self.statistics()
    }

    fn set_throttle_percent(&mut self, percent: u64) {
        self.set_throttle_percent(percent);
    }

    fn guest_work(&self) -> GuestWork {
        self.guest_work()
    }
}
