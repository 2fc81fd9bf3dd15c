//! The whole of it with random faults: core, pump, driver and fake libvirt, in one process of virtual time.
//!
//! A seed decides everything: guests, faults, requests, restarts of the driver, and which thread continues when. After
//! ten minutes everything is repaired, and every migration has to end. The world and the oracle judge, not the outcome.

use std::time::Duration;

use whimbrel_core::{Adjustment, Ending, GuestLocation, Outcome, Request, Side};
use whimbrel_oracle::{Actor, Rule, check};
use whimbrel_sim::kit::TestGuest;
use whimbrel_sim::random::Random;
use whimbrel_sim::world::{Fault, GuestId, HostId, Initiator, ProcessState, ReplyBehavior, VirtualMachine};

use super::run::{Process, Run, end_all, spec};
use super::{Due, Fake, MS};

/// By then everything is repaired, and nothing breaks any more.
const REPAIRED_MS: u64 = 600_000;
/// By then every migration has ended: every timeout is over by far.
const END_MS: u64 = 4 * 3_600_000;
/// Migrations of a plain run of the tests.
const CASES: u64 = 150;

/// The seeds: those of the environment's range `FROM..TO`, or the first ones.
fn seeds() -> std::ops::Range<u64> {
    let range = std::env::var("WHIMBREL_DRIVER_SEEDS").ok();
    let range = range.as_deref().and_then(|range| range.split_once(".."));
    range.map_or(0..CASES, |(from, to)| from.parse().unwrap()..to.parse().unwrap())
}

struct Case {
    fake: std::sync::Arc<Fake>,
    random: Random,
    hosts: [HostId; 3],
    guests: Vec<GuestId>,
    runs: Vec<Run>,
    /// Something takes copies away, so that one may be gone since the last query.
    copies_may_die: bool,
    /// Another client may start or move a guest.
    others_act: bool,
}

impl Case {
    fn new(seed: u64) -> Self {
        let fake = Fake::new(seed);
        let mut random = Random::from_seed(seed);
        let hosts = ["alpha", "beta", "gamma"].map(|name| fake.host(name));
        let process = Process::new(&fake);
        let (mut guests, mut runs) = (Vec::new(), Vec::new());
        for number in 0..=random.below(2) {
            let name = format!("web{number}");
            let writes = [0, 200, 2_000, 20_000][usize::try_from(random.below(4)).unwrap()];
            let is_persistent = random.below(3) > 0;
            let machine = TestGuest::new(&name, 256).writing(64, writes.max(1));
            let machine = VirtualMachine { is_persistent, ..machine.into() };
            guests.push(fake.add_guest(hosts[0], machine));
            let mut spec = spec(&name);
            spec.transfer.postcopy = random.below(2) == 0;
            spec.downtime_limit_ms = (random.below(2) == 0).then_some(500);
            spec.timeout_ms = (random.below(2) == 0).then(|| 500 + random.below(10_000));
            spec.poll_interval_ms = [250, 1_000, 5_000][usize::try_from(random.below(3)).unwrap()];
            runs.push(Run::begin(&process, spec));
        }
        Self { fake, random, hosts, guests, runs, copies_may_die: false, others_act: false }
    }

    /// A fault and, where it lasts, its repair.
    fn trouble(&mut self) {
        let after_ms = self.random.below(12_000);
        let side = self.hosts[usize::try_from(self.random.below(2)).unwrap()];
        let guest = self.guests[usize::try_from(self.random.below(self.guests.len() as u64)).unwrap()];
        let [alpha, beta, gamma] = self.hosts;
        let for_ms = [50, 2_000, 16_000, 60_000, 300_000][usize::try_from(self.random.below(5)).unwrap()];
        let manner = |manner| Fault::SetReplyBehavior(side, manner);
        let usual = ReplyBehavior::default();
        let (fault, repair) = match self.random.below(14) {
            0 | 1 => (Fault::KillDaemon(side), Some(Fault::StartDaemon(side))),
            2 => {
                self.copies_may_die = true;
                (Fault::LoseHost(side), Some(Fault::StartHost(side)))
            }
            3 => {
                self.copies_may_die = true;
                (Fault::KillGuest(guest, side), None)
            }
            4 => (Fault::CutLink(alpha, beta), Some(Fault::RestoreLink(alpha, beta))),
            5 | 6 => (Fault::DropClients(side), None),
            7 | 8 => (manner(ReplyBehavior { is_silent: true, ..usual }), Some(manner(usual))),
            9 => {
                let delay_ns = self.random.below(12_000) * MS;
                (manner(ReplyBehavior { delay_ns, ..usual }), Some(manner(usual)))
            }
            10 => {
                self.copies_may_die = true;
                (Fault::PowerOff(guest), None)
            }
            11 => (Fault::WakeUp(guest), None),
            12 => {
                self.others_act = true;
                (
                    Fault::Migrate(
                        guest,
                        alpha,
                        [beta, gamma][usize::try_from(self.random.below(2)).unwrap()],
                    ),
                    None,
                )
            }
            _ => {
                // The address leads to another machine for a while.
                self.fake.plan(Duration::from_millis(after_ms), Due::Address("beta".to_owned(), gamma));
                self.fake
                    .plan(Duration::from_millis(after_ms + for_ms), Due::Address("beta".to_owned(), beta));
                (Fault::DropClients(beta), None)
            }
        };
        self.fake.plan(Duration::from_millis(after_ms), Due::Fault(fault));
        if let Some(repair) = repair {
            self.fake.plan(Duration::from_millis(after_ms + for_ms), Due::Fault(repair));
        }
    }

    /// What the operator and the machine of the driver do, until all have ended.
    fn go(mut self) -> Self {
        for _ in 0..self.random.below(5) {
            self.trouble();
        }
        for _ in 0..self.random.below(3) {
            let until_ns = self.fake.now_ns() + self.random.below(6_000) * MS;
            self.step_all(until_ns);
            let chosen = usize::try_from(self.random.below(self.runs.len() as u64)).unwrap();
            match self.random.below(6) {
                0 | 1 => self.runs[chosen].ask(Request::Cancel),
                2 => self.runs[chosen].ask(Request::React(Adjustment::Postcopy)),
                3 => self.runs[chosen].ask(Request::React(Adjustment::Pause)),
                _ => {
                    // Every migration of the process is adopted by the next one.
                    let gone_ns = self.random.below(3_000) * MS;
                    self.runs = Run::restart_all(std::mem::take(&mut self.runs), gone_ns);
                }
            }
        }
        self.step_all(REPAIRED_MS * MS);
        end_all(&mut self.runs, END_MS);
        self
    }

    fn step_all(&mut self, until_ns: u64) {
        while self.runs.iter().any(|run| run.outcome().is_none()) && self.fake.now_ns() < until_ns {
            super::run::step_all(&mut self.runs, until_ns);
        }
    }

    /// What is wrong with how it ended.
    fn judge(&self) -> Option<String> {
        let inner = self.fake.inner();
        let ours = inner.world.incidents().iter().find(|incident| incident.initiator == Initiator::Caller);
        if let Some(incident) = ours {
            return Some(format!("{incident:?}"));
        }
        for (guest, run) in self.guests.iter().zip(&self.runs) {
            let mut is_spoilt = false;
            for violation in check(inner.world.history(*guest)) {
                let is_stale = matches!(violation.rule, Rule::MemoryNotOlder | Rule::StorageNotOlder);
                if violation.by == Actor::Migration && !(is_stale && is_spoilt) {
                    return Some(format!("{violation:?}"));
                }
                is_spoilt |= violation.by != Actor::Migration;
            }
            let is_whole = |host| inner.world.process_state(*guest, host).is_some_and(ProcessState::is_whole);
            let outcome = run.outcome()?;
            let [here, there] = [self.hosts[0], self.hosts[1]].map(is_whole);
            if self.is_wrong(outcome, here, there) {
                return Some(format!(
                    "reported {outcome:?}; a copy on the source {here}, over there {there}"
                ));
            }
            if !run.panics.is_empty() {
                return Some(run.panics.join("; "));
            }
        }
        None
    }

    fn is_wrong(&self, outcome: &Outcome, here: bool, there: bool) -> bool {
        if outcome.ending == Ending::InDoubt || outcome.unsettled.is_some() || self.others_act {
            return false;
        }
        match outcome.guest.side() {
            Some(Side::Source) => !here && (there || !self.copies_may_die),
            Some(Side::Destination) => !there && (here || !self.copies_may_die),
            None => outcome.guest != GuestLocation::Unknown && outcome.guest.is_lost() && (here || there),
        }
    }
}

fn run(seed: u64) -> (Option<String>, String) {
    let case = Case::new(seed).go();
    let wrong = case.judge();
    let end: Vec<_> = case.runs.iter().map(|run| (run.outcome().cloned(), run.commands.len())).collect();
    let log = (case.fake.now_ns(), case.fake.log());
    for run in case.runs {
        run.finish();
    }
    (wrong, format!("{end:?} {log:?}"))
}

#[test]
fn no_promise_is_broken_by_the_shipped_driver_on_a_libvirt_with_faults() {
    let wrong: Vec<_> =
        seeds().filter_map(|seed| run(seed).0.map(|wrong| format!("seed {seed}: {wrong}"))).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in [3, 14, 27] {
        assert_eq!(run(seed).1, run(seed).1, "seed {seed}");
    }
}
