//! The ladder: raises the limit one rung whenever a pass did not shrink by 15 %.
//!
//! A control of this project, from a prototype in which it met as many intents as a predictive policy on known kinds of
//! guests and more on unseen ones. Rungs: 120 ms, then half as much again each, up to 93 % of the intent's downtime. When
//! the last rung does not suffice within the deadline, the intent's last resort is taken; with the permission to do so,
//! the copy is started again once with auto-converge before that.

use whimbrel_core::Instant;

use crate::SyncKind;
use crate::action::{Action, ActionResult};
use crate::decision::Decision;
use crate::intent::{Intent, Otherwise};
use crate::observation::{Beforehand, Seen, SyncSeen, implied_ms};
use crate::policy::Policy;
use crate::start::{AutoConverge, Start};

const FIRST_MS: u64 = 120;
/// A pass is progress if it leaves at most this part of what the one before left, in percent.
const PROGRESS_PERCENT: u64 = 85;
/// Passes without progress on the last rung after which the copy is started again.
const PASSES_ON_TOP: u64 = 3;

/// The ladder for one migration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ladder {
    intent: Intent,
    restarts: bool,
    rung: usize,
    on_top: u64,
    left_before: Option<u64>,
    has_restarted: bool,
    is_over: bool,
    link: u64,
    memory_bytes: u64,
}

/// The limits of an intent, lowest first.
pub(super) fn rungs_ms(intent: &Intent) -> [u64; 6] {
    let most_ms = intent.max_downtime_ms.saturating_mul(93) / 100;
    let mut ms = FIRST_MS;
    let mut next = || {
        let rung = ms.min(most_ms);
        ms = ms * 3 / 2;
        rung
    };
    let [first, second, third, fourth, fifth] = [(); 5].map(|()| next());
    [first, second, third, fourth, fifth, most_ms]
}

impl Ladder {
    /// With limits alone.
    #[must_use]
    pub fn new() -> Self {
        Self {
            intent: Intent::default(),
            restarts: false,
            rung: 0,
            on_top: 0,
            left_before: None,
            has_restarted: false,
            is_over: false,
            link: 0,
            memory_bytes: 0,
        }
    }

    /// The same, and one restart with auto-converge.
    #[must_use]
    pub fn with_restart() -> Self {
        Self { restarts: true, ..Self::new() }
    }

    fn limit_ms(&self) -> u64 {
        rungs_ms(&self.intent).get(self.rung).copied().unwrap_or(FIRST_MS)
    }

    fn pass_ended(&mut self, now_ms: u64, sync: &SyncSeen) -> Decision {
        let before = self.left_before.replace(sync.remaining_bytes);
        let Some(before) = before else { return Decision::WAIT };
        if sync.remaining_bytes <= crate::number::scaled(before, PROGRESS_PERCENT, 100) {
            return Decision::WAIT;
        }
        let rungs_ms = rungs_ms(&self.intent);
        if let Some(ms) = rungs_ms.get(self.rung + 1).copied() {
            self.rung += 1;
            return Decision::limit(ms, "a pass did not shrink by 15 %");
        }
        self.on_top += 1;
        if self.restarts && !self.has_restarted && self.on_top >= PASSES_ON_TOP && self.fits_again(now_ms) {
            self.has_restarted = true;
            (self.rung, self.on_top, self.left_before) = (0, 0, None);
            let start =
                Start { auto_converge: Some(AutoConverge::default()), ..Start::with_limit(self.limit_ms()) };
            return Decision::act(Action::Restart(start), "no limit suffices");
        }
        Decision::WAIT
    }

    /// Whether another first pass fits twice before the deadline.
    fn fits_again(&self, now_ms: u64) -> bool {
        let first_ms = implied_ms(self.memory_bytes, self.link).unwrap_or(u64::MAX);
        let left_ms = self.intent.finish_within_ms.map_or(u64::MAX, |end_ms| end_ms.saturating_sub(now_ms));
        first_ms.saturating_mul(2) < left_ms
    }

    fn last_resort(&mut self) -> Decision {
        self.is_over = true;
        let action = match self.intent.otherwise {
            Otherwise::Stay => return Decision::WAIT,
            Otherwise::Cancel => Action::Cancel,
            Otherwise::Pause => Action::Pause,
            Otherwise::Postcopy => Action::Postcopy,
        };
        Decision::act(action, "the deadline is over")
    }
}

impl Default for Ladder {
    fn default() -> Self {
        Self::new()
    }
}

impl Policy for Ladder {
    fn start(&mut self, before: &Beforehand, intent: &Intent) -> Start {
        self.intent = *intent;
        self.link = before.link_bytes_per_second.unwrap_or(0);
        self.memory_bytes = before.memory_bytes;
        let postcopy = intent.otherwise == Otherwise::Postcopy && intent.allowed.postcopy;
        Start { postcopy, ..Start::with_limit(self.limit_ms()) }
    }

    fn on(&mut self, now: Instant, seen: Seen<'_>) -> Decision {
        if self.is_over {
            return Decision::WAIT;
        }
        let deadline_ms = self.intent.finish_within_ms;
        match seen {
            Seen::Sync(sync) if sync.iteration > 1 && sync.kind != SyncKind::Within => {
                self.pass_ended(now.as_ms(), sync)
            }
            Seen::Poll(_) if deadline_ms.is_some_and(|end_ms| now.as_ms() > end_ms) => self.last_resort(),
            // A limit that was not accepted is requested again at the next pass.
            Seen::Answered(Action::DowntimeLimit { .. }, ActionResult::Refused) => {
                self.rung = self.rung.saturating_sub(1);
                Decision::WAIT
            }
            Seen::Intent(intent) => {
                self.intent = *intent;
                Decision::WAIT
            }
            _ => Decision::WAIT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intent::Allowed;
    use crate::script::Script;

    #[test]
    fn each_pass_without_progress_is_a_rung() {
        let course = [1_000, 800, 790, 600, 590, 580, 570, 560, 550];
        let script = Script::new(4_096, 100).syncs(41_000, 11_000, &course);
        let played = script.play(&mut Ladder::new(), 200_000);
        assert_eq!(played.start.downtime_limit_ms, 120);
        let expected = [(63, 180), (85, 270), (96, 405), (107, 607), (118, 930)];
        assert_eq!(played.actions, expected.map(|(s, ms)| (s * 1_000, Action::DowntimeLimit { ms })));
    }

    #[test]
    fn the_last_resort_comes_at_the_deadline() {
        let intent = |otherwise| Intent { otherwise, ..Intent::default() };
        for (otherwise, action) in [
            (Otherwise::Stay, None),
            (Otherwise::Cancel, Some(Action::Cancel)),
            (Otherwise::Pause, Some(Action::Pause)),
            (Otherwise::Postcopy, Some(Action::Postcopy)),
        ] {
            let script = Script::new(65_536, 200).intent(intent(otherwise));
            let played = script.play(&mut Ladder::new(), 700_000);
            assert!(played.actions.into_iter().eq(action.map(|action| (600_400, action))));
        }
    }

    #[test]
    fn a_restart_comes_once_where_two_passes_still_fit() {
        let allowed = Allowed { restart: true, throttle: true, ..Allowed::default() };
        let script = |memory| {
            let intent = Intent { allowed, ..Intent::default() };
            Script::new(memory, 100).intent(intent).syncs(memory * 10, 11_000, &[1_000; 12])
        };
        let played = script(4_096).play(&mut Ladder::with_restart(), 200_000);
        let Some((at_ms, Action::Restart(start))) = played.actions.last() else { panic!("{played:?}") };
        // Five rungs and three passes on the last one after the first two.
        assert_eq!((*at_ms, start.auto_converge), (40_960 + 88_000, Some(AutoConverge::default())));
        let large = script(40_000).play(&mut Ladder::with_restart(), 590_000);
        assert!(!large.actions.iter().any(|(_, action)| matches!(action, Action::Restart(_))));
    }
}
