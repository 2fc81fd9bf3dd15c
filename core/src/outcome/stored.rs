//! Outcomes as they are stored, those of earlier releases included.

use alloc::string::String;
use alloc::vec::Vec;

use serde::Deserialize;

use super::{Advice, Cause, Ending, GuestLocation, Leftover, Outcome, Recovery};
use crate::port::{Failure, Side};

/// An outcome as it is stored. Before 0.2 `downtime_ms` was the hypervisor's, and nothing was observed.
#[derive(Deserialize)]
pub(super) struct Written {
    ending: Ending,
    guest: GuestLocation,
    cause: Option<Cause>,
    failure: Option<Failure>,
    unsettled: Option<Side>,
    recovered: Vec<Recovery>,
    not_undone: Vec<Leftover>,
    #[serde(default)]
    disks_left: Vec<String>,
    total_ms: u64,
    downtime_ms: Option<u64>,
    #[serde(default)]
    hypervisor_downtime_ms: Reported,
    advice: Advice,
}

/// Whether the hypervisor's figure has a field of its own.
#[derive(Default, Deserialize)]
#[serde(from = "Option<u64>")]
enum Reported {
    #[default]
    InOtherField,
    Here(Option<u64>),
}

impl From<Option<u64>> for Reported {
    fn from(reported: Option<u64>) -> Self {
        Self::Here(reported)
    }
}

impl From<Written> for Outcome {
    fn from(written: Written) -> Self {
        let (downtime_ms, hypervisor_downtime_ms) = match written.hypervisor_downtime_ms {
            Reported::Here(by_hypervisor) => (written.downtime_ms, by_hypervisor),
            Reported::InOtherField => (None, written.downtime_ms),
        };
        Self {
            ending: written.ending,
            guest: written.guest,
            cause: written.cause,
            failure: written.failure,
            unsettled: written.unsettled,
            recovered: written.recovered,
            not_undone: written.not_undone,
            disks_left: written.disks_left,
            total_ms: written.total_ms,
            downtime_ms,
            hypervisor_downtime_ms,
            advice: written.advice,
        }
    }
}
