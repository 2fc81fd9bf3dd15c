//! The forecast under every plan, beside the verdict.
//!
//! Each plan is played once. Nothing here decides what may be done: it says what would follow.

use alloc::vec::Vec;

use super::{Assessment, Forecast, Model, Plan};
use crate::intent::Intent;

/// A verdict, and the forecasts that it was chosen from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// The verdict.
    pub assessment: Assessment,
    /// If nothing is done; `None` before enough is known.
    pub as_is: Option<Forecast>,
    /// Under each action: another downtime limit (the one that the verdict names, else the most promising), a restart
    /// with auto-converge where it is off, post-copy, and a pause. Those that nothing is known of are missing.
    pub actions: Vec<(Plan, Forecast)>,
}

/// Forecasts that were made, so that none is made twice.
pub(super) struct Forecasts<'a> {
    pub(super) model: &'a Model,
    pub(super) intent: &'a Intent,
    made: Vec<(Plan, Option<Forecast>)>,
}

impl<'a> Forecasts<'a> {
    pub(super) fn new(model: &'a Model, intent: &'a Intent) -> Self {
        Self { model, intent, made: Vec::new() }
    }

    pub(super) fn of(&mut self, plan: Plan) -> Option<Forecast> {
        if let Some((_, made)) = self.made.iter().find(|(other, _)| *other == plan) {
            return *made;
        }
        let forecast = self.model.forecast(plan, self.intent);
        self.made.push((plan, forecast));
        forecast
    }

    /// Of the limits that were tried, the one that meets the intent most often; the lowest of several.
    fn best_limit(&self) -> Option<Plan> {
        let limits = self.made.iter().filter(|(plan, _)| matches!(plan, Plan::Limit { .. }));
        let chance =
            |(plan, made): &(Plan, Option<Forecast>)| made.map(|made| (*plan, made.meets_intent_ppm));
        let better = |best: (Plan, u64), other: (Plan, u64)| if other.1 > best.1 { other } else { best };
        limits.filter_map(chance).reduce(better).map(|(plan, _)| plan)
    }
}

impl Model {
    /// The verdict under an intent with the forecast of every plan, as of the last observation.
    #[must_use]
    pub fn outlook(&self, intent: &Intent) -> Outlook {
        let mut forecasts = Forecasts::new(self, intent);
        let assessment = self.assess_by(&mut forecasts);
        let as_is = forecasts.of(Plan::AsIs);
        if forecasts.best_limit().is_none()
            && let Some(ms) = self.limits_to_try(intent).next()
        {
            forecasts.of(Plan::Limit { ms });
        }
        let limit = forecasts.best_limit();
        let restart = self.can_begin_throttled().then_some(Plan::RestartThrottled);
        let plans = [limit, restart, Some(Plan::Postcopy), Some(Plan::Pause)];
        let plans = plans.into_iter().flatten().filter(|_| !self.is_paused);
        let actions = plans.filter_map(|plan| Some((plan, forecasts.of(plan)?))).collect();
        Outlook { assessment, as_is, actions }
    }
}
