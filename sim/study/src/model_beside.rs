//! A model of the guest beside a policy, for measurements of its forecasts. The policy must never see it.

use whimbrel_core::Instant;
use whimbrel_policy::forecast::Model;
use whimbrel_policy::{Beforehand, FixedDowntime, Seen, Start, ThrottleResponse};

/// Forecasts are at least this far apart.
const EVERY_MS: u64 = 1_000;

/// Keeps a model up to date, and decides when a forecast is due.
#[derive(Clone, Debug, Default)]
pub struct ModelBeside {
    model: Option<Model>,
    last_ms: Option<u64>,
}

impl ModelBeside {
    /// A migration begins.
    pub fn starts(&mut self, before: &Beforehand, start: &Start) {
        self.model = Some(Model::new(before, *start, FixedDowntime::default(), ThrottleResponse::default()));
    }

    /// The model as it is; `None` before a migration has begun.
    #[must_use]
    pub fn model(&self) -> Option<&Model> {
        self.model.as_ref()
    }

    /// Takes what the policy sees; the model at a sync after that of the setup, at most once a second.
    pub fn on(&mut self, now: Instant, seen: Seen<'_>) -> Option<&Model> {
        let model = self.model.as_mut()?;
        model.on(now, seen);
        let is_due = self.last_ms.is_none_or(|last_ms| now.as_ms() >= last_ms + EVERY_MS);
        if !is_due || !matches!(seen, Seen::Sync(sync) if sync.iteration > 1) {
            return None;
        }
        self.last_ms = Some(now.as_ms());
        self.model.as_ref()
    }
}
