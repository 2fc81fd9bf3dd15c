//! How busy the machine is: with others before a run, and with others during it.
//!
//! Time that a hypervisor below took from this machine counts as others' too. It must never count what the recorder
//! and the processes of the recorded migration have used.

use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::Duration;

use super::RecordError;
use crate::{LabError, processes};

/// How long one look at the machine takes.
const LOOK: Duration = Duration::from_secs(1);

/// Time of all processors since the machine started, in clock ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Processors {
    busy: u64,
    total: u64,
}

/// What the machine has done since some moment, and what of it was ours.
#[derive(Debug)]
pub(super) struct Meter {
    since: Processors,
    /// By process: ticks at the beginning, and when it was last seen.
    ours: BTreeMap<u32, (u64, u64)>,
}

impl Meter {
    /// Begins to count; `ours` are the processes that run already.
    pub(super) fn start(ours: &[u32]) -> Result<Self, LabError> {
        let since = Processors::now()?;
        let mut all = BTreeMap::new();
        for &pid in ours.iter().chain([&std::process::id()]) {
            let ticks = processes::cpu_ticks(pid).unwrap_or(0);
            all.insert(pid, (ticks, ticks));
        }
        Ok(Self { since, ours: all })
    }

    /// Looks at our processes, some of which may be new, before they end.
    pub(super) fn look(&mut self, ours: &[u32]) {
        for &pid in ours {
            self.ours.entry(pid).or_insert((0, 0));
        }
        for (pid, (_, last)) in &mut self.ours {
            *last = processes::cpu_ticks(*pid).unwrap_or(0).max(*last);
        }
    }

    /// The share of all processors that others have used, from 0 to 1.
    pub(super) fn others(&self) -> Result<f64, LabError> {
        let now = Processors::now()?;
        let ours = self.ours.values().map(|(first, last)| last.saturating_sub(*first)).sum();
        Ok(now.since(self.since).share_without(ours))
    }
}

/// Waits for a quiet machine: each run so long, and all of them together so long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quiet {
    /// The share of the processors that others may use.
    at_most: f64,
    each: Duration,
    /// What is left for all runs; without it they have no limit together, and a run is made on a busy machine too.
    left: Option<Duration>,
    waited: Duration,
}

impl Quiet {
    pub(super) const fn new(at_most: f64, each: Duration, all: Option<Duration>) -> Self {
        Self { at_most, each, left: all, waited: Duration::ZERO }
    }

    /// No run is made on a busy machine: the first that would have to is [`RecordError::Busy`], after all of the time.
    pub(super) const fn strict(at_most: f64, all: Duration) -> Self {
        Self::new(at_most, all, Some(all))
    }

    /// How long was waited until now.
    pub(super) const fn waited(self) -> Duration {
        self.waited
    }

    /// Waits; gives the share that others used last.
    ///
    /// # Errors
    /// [`RecordError::Busy`] when the time for all runs is over and the machine is still busy.
    pub(super) fn wait(&mut self) -> Result<f64, RecordError> {
        self.wait_by(others_for_a_look)
    }

    /// The same, with looks that take [`LOOK`] each.
    fn wait_by(&mut self, mut look: impl FnMut() -> Result<f64, LabError>) -> Result<f64, RecordError> {
        let mut allowed = self.left.map_or(self.each, |left| left.min(self.each));
        loop {
            let busy = look()?;
            self.waited += LOOK;
            self.left = self.left.map(|left| left.saturating_sub(LOOK));
            allowed = allowed.saturating_sub(LOOK);
            if busy <= self.at_most {
                return Ok(busy);
            }
            if self.left.is_some_and(|left| left.is_zero()) {
                return Err(RecordError::Busy(percent(busy)));
            }
            if allowed.is_zero() {
                return Ok(busy);
            }
        }
    }
}

fn others_for_a_look() -> Result<f64, LabError> {
    let before = Processors::now()?;
    thread::sleep(LOOK);
    Ok(Processors::now()?.since(before).share_without(0))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share is between 0 and 1")]
fn percent(share: f64) -> u32 {
    (share * 100.0).round() as u32
}

impl Processors {
    fn now() -> Result<Self, LabError> {
        let text = fs::read_to_string("/proc/stat").map_err(LabError::io("read `/proc/stat`"))?;
        Ok(Self::parse(&text).unwrap_or(Self { busy: 0, total: 0 }))
    }

    /// The first line: user, nice, system, idle, waiting, interrupts, soft interrupts, stolen; guests are in user.
    fn parse(text: &str) -> Option<Self> {
        let fields = text.lines().next()?.strip_prefix("cpu ")?.split_whitespace().take(8);
        let fields: Vec<u64> = fields.map(|field| field.parse().ok()).collect::<Option<_>>()?;
        let total = fields.iter().sum();
        let idle: u64 = fields.iter().skip(3).take(2).sum();
        Some(Self { busy: total - idle, total })
    }

    fn since(self, before: Self) -> Self {
        Self { busy: self.busy.saturating_sub(before.busy), total: self.total.saturating_sub(before.total) }
    }

    #[expect(clippy::cast_precision_loss, reason = "a share of ticks needs no more than 52 bits")]
    fn share_without(self, ours: u64) -> f64 {
        self.busy.saturating_sub(ours) as f64 / self.total.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Meter, Processors, Quiet, RecordError};

    #[test]
    fn idle_and_waiting_are_not_busy() {
        let text = "cpu  100 5 20 800 30 2 3 40 60 0\ncpu0 1 2 3\n";
        assert_eq!(Processors::parse(text), Some(Processors { busy: 170, total: 1000 }));
        assert_eq!(Processors::parse("intr 5\n"), None);
    }

    #[test]
    fn what_is_ours_does_not_count() {
        let during = Processors { busy: 170, total: 1000 };
        assert!((during.share_without(100) - 0.07).abs() < 1e-9);
        assert!(during.share_without(200).abs() < 1e-9);
    }

    /// Looks that find others at work for so many seconds, and then nothing.
    fn busy_for(seconds: u32) -> impl FnMut() -> Result<f64, crate::LabError> {
        let mut left = seconds;
        move || {
            left = left.saturating_sub(1);
            Ok(if left > 0 { 0.6 } else { 0.01 })
        }
    }

    #[test]
    fn a_run_is_made_on_a_busy_machine_unless_all_runs_have_a_limit() {
        let (each, never) = (Duration::from_mins(1), u32::MAX);
        let mut patient = Quiet::new(0.05, each, None);
        assert!(patient.wait_by(busy_for(never)).unwrap() > 0.5);
        assert!(patient.wait_by(busy_for(never)).unwrap() > 0.5);
        assert_eq!(patient.waited(), 2 * each);

        let mut limited = Quiet::new(0.05, each, Some(Duration::from_secs(90)));
        assert!(limited.wait_by(busy_for(never)).unwrap() > 0.5, "its own minute is over");
        let error = limited.wait_by(busy_for(never)).unwrap_err();
        assert!(matches!(error, RecordError::Busy(60)), "{error}");
        assert_eq!(limited.waited(), Duration::from_secs(90), "never more than all runs may wait");
        assert!(limited.wait_by(busy_for(1)).unwrap() < 0.05, "a quiet machine needs no waiting");
    }

    #[test]
    fn strictly_no_run_is_made_on_a_busy_machine() {
        let all = Duration::from_mins(5);
        let mut strict = Quiet::strict(0.05, all);
        assert!(strict.wait_by(busy_for(100)).unwrap() < 0.05, "it became quiet in time");
        let error = strict.wait_by(busy_for(u32::MAX)).unwrap_err();
        assert!(matches!(error, RecordError::Busy(60)), "{error}");
        assert_eq!(strict.waited(), all);
    }

    #[test]
    fn waiting_ends_with_the_work_of_others() {
        let mut quiet = Quiet::new(0.05, Duration::from_mins(1), Some(Duration::from_mins(5)));
        assert!(quiet.wait_by(busy_for(7)).unwrap() < 0.05);
        assert_eq!(quiet.waited(), Duration::from_secs(7));
    }

    #[test]
    fn our_own_work_is_ours() {
        let mut meter = Meter::start(&[]).unwrap();
        let ours = |meter: &Meter| meter.ours.values().map(|(first, last)| last - first).sum::<u64>();
        let deadline = Instant::now() + Duration::from_mins(2);
        let mut sum = 0_u64;
        while ours(&meter) < 10 {
            assert!(Instant::now() < deadline, "no work of ours was seen");
            for _ in 0..10_000_000 {
                sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(7));
            }
            meter.look(&[]);
        }
    }
}
