//! A forecast before the first byte, from measured dirty rates.
//!
//! The bandwidth is not known yet: it is assumed, and the forecast says which. Without a measured dirty rate only the
//! arithmetic of the link can be stated.

use alloc::string::{String, ToString};

use serde::Serialize;
use whimbrel_core::{Limits, Spec};

use super::request::{intent, start};
use super::{Expected, Known};
use crate::forecast::{HORIZON_MS, Model, Plan, Verdict};
use crate::observation::Beforehand;

/// A forecast under one assumed bandwidth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Before {
    /// The bandwidth that is assumed.
    pub bandwidth_bytes_per_second: u64,
    /// The verdict. A measurement shows one phase of the guest: it proves no convergence.
    pub verdict: Verdict,
    /// The verdict with its numbers in one sentence, without a full stop.
    pub sentence: String,
    /// How far it looks ahead: up to the time limit, or half an hour.
    pub horizon_ms: u64,
    /// If the migration is begun as requested; `None` without a measured dirty rate.
    pub as_is: Option<Expected>,
}

impl Before {
    /// Of a guest with so much memory, requested so. `spec`'s limits count; without one, QEMU's default.
    #[must_use]
    pub fn of(spec: &Spec, known: &Known, memory_bytes: u64, bandwidth_bytes_per_second: u64) -> Self {
        let limits = Limits::default();
        let before = Beforehand {
            memory_bytes,
            link_bytes_per_second: Some(bandwidth_bytes_per_second),
            dirty_rates: known.dirty_rates.clone(),
            ..Beforehand::default()
        };
        let (start, intent) = (start(spec, limits), intent(spec, limits));
        let model = Model::new(&before, start, known.fixed.clone(), known.response);
        let assessment = model.assess(&intent);
        Self {
            bandwidth_bytes_per_second,
            verdict: assessment.verdict,
            sentence: assessment.to_string(),
            horizon_ms: intent.finish_within_ms.unwrap_or(HORIZON_MS),
            as_is: model.forecast(Plan::AsIs, &intent).map(Expected::from),
        }
    }
}
