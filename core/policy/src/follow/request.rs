//! What a request says about the goal of a migration and its start.

use whimbrel_core::{AtTimeout, Limits, Spec};

use crate::action::Action;
use crate::intent::{Allowed, Intent, Otherwise};
use crate::start::{AutoConverge, Start};

/// The options that the migration is begun with, under these limits.
pub(super) fn start(spec: &Spec, limits: Limits) -> Start {
    let usual = Start::default();
    Start {
        downtime_limit_ms: limits.downtime_ms.or(spec.downtime_limit_ms).unwrap_or(usual.downtime_limit_ms),
        bandwidth_bytes_per_second: spec.bandwidth_limit_bytes_per_second.unwrap_or(0),
        auto_converge: spec.transfer.auto_converge.then(AutoConverge::default),
        postcopy: spec.transfer.postcopy,
        ..usual
    }
}

/// The intent, as far as the request has one: it has a limit for the downtime that is planned for, and none for the
/// one that would be tolerated. Limits up to twice the one in force, and up to a second in any case, are considered.
pub(super) fn intent(spec: &Spec, limits: Limits) -> Intent {
    let Spec { timeout_ms, at_timeout, transfer, .. } = spec;
    let usual = Intent::default();
    let limit_ms = limits.downtime_ms.or(spec.downtime_limit_ms).unwrap_or(0);
    Intent {
        max_downtime_ms: usual.max_downtime_ms.max(limit_ms.saturating_mul(2)).min(Action::MAX_DOWNTIME_MS),
        finish_within_ms: *timeout_ms,
        allowed: Allowed { throttle: true, postcopy: transfer.postcopy, pause: true, restart: true },
        otherwise: match at_timeout {
            AtTimeout::Cancel => Otherwise::Cancel,
            AtTimeout::Pause => Otherwise::Pause,
            AtTimeout::Postcopy => Otherwise::Postcopy,
        },
        ..usual
    }
}
