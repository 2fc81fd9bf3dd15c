//! A forecast as a document: the verdict with its numbers, and the effect of each action.
//!
//! It has only numbers that were measured or computed; the others are absent, with the reason.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};
use whimbrel_core::{Instant, View};

use crate::forecast::{
    Approximately, Forecast, HORIZON_MS, Model, Numbers, Outlook, Percent, Plan, Short, Verdict,
};
use crate::intent::Intent;

/// A forecast of a migration as of an instant. Times in it count from that instant on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// When it was made, in ns since the migration began.
    pub at: Instant,
    /// The verdict.
    pub verdict: Verdict,
    /// The numbers that the verdict rests on, in words.
    pub why: String,
    /// The verdict in words.
    pub conclusion: String,
    /// The observation that is missing for a verdict; `None` where there is one.
    pub missing: Option<Missing>,
    /// The numbers.
    pub numbers: Numbers,
    /// How far it looks ahead: up to the time limit, or half an hour.
    pub horizon_ms: u64,
    /// If nothing is done; `None` before enough is known.
    pub as_is: Option<Expected>,
    /// The effect of each action.
    pub actions: Vec<Action>,
}

/// The observation that is missing for a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// The end of the first pass: before it nothing is known of what the guest dirties.
    FirstPass,
    /// Another pass: those that have ended do not decide it.
    AnotherPass,
}

/// The expectation under one plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// The chance that the migration completes within the horizon, in millionths.
    pub chance_ppm: u64,
    /// Time until it has completed, its downtime included. `None` where fewer than one in five cases completes.
    pub left_ms: Option<Interval>,
    /// Its downtime; likewise.
    pub downtime_ms: Option<Interval>,
    /// Memory that is still to be sent, in the middle.
    pub bytes: Option<u64>,
    /// Work that the guest loses by throttle, downtime and waiting, in ms of all its virtual CPUs, in the middle.
    pub work_lost_ms: Option<u64>,
}

/// An interval of 80 %, and its middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Interval {
    /// One in ten lies below.
    pub p10: u64,
    /// Half lie below.
    pub p50: u64,
    /// Nine in ten lie below.
    pub p90: u64,
}

/// An action and its effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// Which.
    pub action: ActionName,
    /// The downtime limit that would be set.
    pub limit_ms: Option<u64>,
    /// Whether it can be done to this migration.
    pub allowed: bool,
    /// Its effect; `None` where it is not known.
    pub expected: Option<Expected>,
    /// Why it cannot be done, or why nothing is known of it.
    pub reason: Option<String>,
}

/// Which action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionName {
    /// Another downtime limit.
    DowntimeLimit,
    /// No bandwidth limit.
    BandwidthLimit,
    /// A cancel, and another migration with auto-converge.
    RestartThrottled,
    /// A switch to post-copy.
    Postcopy,
    /// The guest is stopped until it has moved.
    Pause,
}

impl Report {
    pub(super) fn make(at: Instant, model: &Model, intent: &Intent, view: View<'_>) -> Self {
        let Outlook { assessment, as_is, actions } = model.outlook(intent);
        let numbers = assessment.numbers;
        let missing = (assessment.verdict == Verdict::Open).then_some(if numbers.ends == 0 {
            Missing::FirstPass
        } else {
            Missing::AnotherPass
        });
        let mut actions: Vec<Action> =
            actions.into_iter().filter_map(|(plan, forecast)| Action::of(plan, forecast, intent)).collect();
        actions.extend(unmeasured_bandwidth(view));
        Self {
            at,
            verdict: assessment.verdict,
            why: assessment.why().to_string(),
            conclusion: assessment.conclusion().to_string(),
            missing,
            numbers,
            horizon_ms: numbers.until_deadline_ms.unwrap_or(HORIZON_MS),
            as_is: as_is.map(Expected::from),
            actions,
        }
    }

    /// The verdict with its numbers in one sentence, without a full stop.
    #[must_use]
    pub fn sentence(&self) -> String {
        format!("{}: {}", self.why, self.conclusion)
    }

    /// The effect of each action that can be done, as far as it is known, in words; empty for none.
    #[must_use]
    pub fn actions_in_words(&self) -> String {
        let known = self.actions.iter().filter(|action| action.allowed && action.expected.is_some());
        known.map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }
}

/// The link above the limit was not measured, so nothing is known of what it would carry.
fn unmeasured_bandwidth(view: View<'_>) -> Option<Action> {
    let limit = view.spec.bandwidth_limit_bytes_per_second?;
    let limit = view.limits.bandwidth_bytes_per_second.unwrap_or(limit);
    Some(Action {
        action: ActionName::BandwidthLimit,
        limit_ms: None,
        allowed: true,
        expected: None,
        reason: Some(format!("above the limit of {} MiB/s the link was not measured", limit >> 20)),
    })
}

impl Action {
    fn of(plan: Plan, forecast: Forecast, intent: &Intent) -> Option<Self> {
        let (action, limit_ms, allowed, refusal) = match plan {
            Plan::AsIs => return None,
            Plan::Limit { ms } => (ActionName::DowntimeLimit, Some(ms), true, None),
            Plan::RestartThrottled => (ActionName::RestartThrottled, None, intent.allowed.restart, None),
            Plan::Postcopy => (
                ActionName::Postcopy,
                None,
                intent.allowed.postcopy,
                Some("post-copy was not allowed when the migration began"),
            ),
            Plan::Pause => (ActionName::Pause, None, intent.allowed.pause, None),
        };
        let reason = refusal.filter(|_| !allowed).map(ToString::to_string);
        Some(Self { action, limit_ms, allowed, expected: Some(forecast.into()), reason })
    }
}

impl From<Forecast> for Expected {
    fn from(forecast: Forecast) -> Self {
        let interval = |[p10, p50, p90]: [u64; 3]| Interval { p10, p50, p90 };
        Self {
            chance_ppm: forecast.converges_ppm,
            left_ms: forecast.left_ms.map(interval),
            downtime_ms: forecast.downtime_ms.map(interval),
            bytes: forecast.bytes,
            work_lost_ms: forecast.work_lost_ms,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.action, self.limit_ms) {
            (ActionName::DowntimeLimit, Some(ms)) => write!(f, "limit {ms} ms")?,
            (ActionName::DowntimeLimit, None) => f.write_str("another limit")?,
            (ActionName::BandwidthLimit, _) => f.write_str("no bandwidth limit")?,
            (ActionName::RestartThrottled, _) => f.write_str("restart with auto-converge")?,
            (ActionName::Postcopy, _) => f.write_str("post-copy")?,
            (ActionName::Pause, _) => f.write_str("pause")?,
        }
        let Some(expected) = &self.expected else { return f.write_str(" (effect not known)") };
        write!(f, " ({}", Percent(expected.chance_ppm))?;
        if let Some(left) = expected.left_ms {
            write!(f, ", {}", Approximately([left.p10, left.p50, left.p90]))?;
        }
        if let (Some(downtime), Some(lost)) = (expected.downtime_ms, expected.work_lost_ms) {
            write!(
                f,
                "; downtime {} to {}, {} of work lost",
                Short(downtime.p10),
                Short(downtime.p90),
                Short(lost)
            )?;
        }
        f.write_str(")")
    }
}
