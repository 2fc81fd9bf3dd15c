//! Metrics in Prometheus' text form. Their meaning is in their help texts and in `docs/service.md`.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use whimbrel_core::{Cause, Ending, Event, Severity};

use super::store::Health;

/// Upper bounds in seconds of a migration's duration: from a guest that is idle to one that takes a day.
const DURATIONS_S: [f64; 10] = [0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3_600.0, 86_400.0];
/// Upper bounds in seconds of a guest's downtime: up to one that is paused until a large memory is copied.
const DOWNTIMES_S: [f64; 12] = [0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 1.0, 3.0, 10.0, 30.0, 120.0, 600.0];

/// The labels of a migration that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    ending: String,
    cause: String,
}

/// The label of a finding.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Found {
    code: String,
    severity: String,
}

/// The label of one migration that runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Which {
    migration: i64,
}

/// Numbers of one running migration, at the time of the request. An unmeasured number has no value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Present {
    pub(super) migration: i64,
    pub(super) remaining_bytes: Option<u64>,
    pub(super) dirty_rate_bytes_per_second: Option<u64>,
    pub(super) bandwidth_bytes_per_second: Option<u64>,
    pub(super) iteration: Option<u64>,
}

type Levels = Family<Which, Gauge<u64, AtomicU64>>;

/// What is counted as it happens.
#[derive(Debug)]
pub(super) struct Metrics {
    outcomes: Family<Ended, Counter>,
    findings: Family<Found, Counter>,
    regressions: Counter,
    duration: Histogram,
    downtime: Histogram,
    hypervisor_downtime: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        let outcomes = Family::<Ended, Counter>::default();
        // A counter that appears with its first incident cannot be alarmed on.
        for ending in Ending::ALL {
            for cause in ending.causes() {
                drop(outcomes.get_or_create(&Ended::of(ending, *cause)));
            }
        }
        Self {
            outcomes,
            findings: Family::default(),
            regressions: Counter::default(),
            duration: Histogram::new(DURATIONS_S),
            downtime: Histogram::new(DOWNTIMES_S),
            hypervisor_downtime: Histogram::new(DOWNTIMES_S),
        }
    }
}

impl Metrics {
    /// Counts an event, once.
    pub(super) fn on_event(&self, event: &Event) {
        match event {
            Event::Judged(verdict) => {
                for finding in &verdict.findings {
                    let severity = match finding.severity {
                        Severity::Warning => "warning",
                        Severity::Error => "error",
                    };
                    let label = Found { code: finding.code.clone(), severity: severity.to_owned() };
                    self.findings.get_or_create(&label).inc();
                }
            }
            Event::Sync(seen) if seen.sync.dirtied_bytes > 0 => {
                self.regressions.inc();
            }
            Event::Ended(outcome) => {
                self.outcomes.get_or_create(&Ended::of(outcome.ending, outcome.cause)).inc();
                self.duration.observe(seconds(outcome.total_ms));
                if let Some(ms) = outcome.downtime_ms {
                    self.downtime.observe(seconds(ms));
                }
                if let Some(ms) = outcome.hypervisor_downtime_ms {
                    self.hypervisor_downtime.observe(seconds(ms));
                }
            }
            _ => {}
        }
    }

    /// The text that Prometheus reads.
    pub(super) fn text(&self, running: &[Present], store: &Health) -> String {
        let mut registry = Registry::with_prefix("whimbrel");
        let count: Gauge = Gauge::default();
        count.set(i64::try_from(running.len()).unwrap_or(i64::MAX));
        registry.register("migrations_running", "Migrations that are being driven", count);
        registry.register("migrations", "Migrations that ended, by ending and cause", self.outcomes.clone());
        registry.register("findings", "Findings of the rules, by code and severity", self.findings.clone());
        let help = "Dirty-bitmap syncs at which the remaining memory rose";
        registry.register("regressions", help, self.regressions.clone());
        let help = "How long migrations took that ended";
        registry.register_with_unit("duration", help, Unit::Seconds, self.duration.clone());
        let help = "How long guests were stopped, as it was observed, from the first stop until they ran";
        registry.register_with_unit("downtime", help, Unit::Seconds, self.downtime.clone());
        let help = "Downtime as the hypervisor reports it, from its own stop of the guest";
        let reported = self.hypervisor_downtime.clone();
        registry.register_with_unit("hypervisor_downtime", help, Unit::Seconds, reported);
        let (accepts, pending) = (Gauge::<u64, AtomicU64>::default(), Gauge::<u64, AtomicU64>::default());
        accepts.set(u64::from(store.accepts()));
        pending.set(store.pending());
        registry.register("store_accepts_writes", "1, or 0 while the store refuses writes or hangs", accepts);
        registry.register("store_pending_writes", "Writes that wait in memory for the store", pending);
        let (remaining, dirty) = (Levels::default(), Levels::default());
        let (bandwidth, iteration) = (Levels::default(), Levels::default());
        for present in running {
            let which = Which { migration: present.migration };
            let set = |levels: &Levels, value: Option<u64>| {
                if let Some(value) = value {
                    levels.get_or_create(&which).set(value);
                }
            };
            set(&remaining, present.remaining_bytes);
            set(&dirty, present.dirty_rate_bytes_per_second);
            set(&bandwidth, present.bandwidth_bytes_per_second);
            set(&iteration, present.iteration);
        }
        let help = "Memory and disk still to be sent, of each migration that runs";
        registry.register_with_unit("remaining", help, Unit::Bytes, remaining);
        registry.register("dirty_rate_bytes_per_second", "Memory that the guest dirties", dirty);
        registry.register("bandwidth_bytes_per_second", "Bytes on the migration link", bandwidth);
        registry.register("iteration", "Dirty-bitmap syncs so far", iteration);
        let mut out = String::new();
        // Writing into a string does not fail.
        let _ = text::encode(&mut out, &registry);
        out
    }
}

impl Ended {
    fn of(ending: Ending, cause: Option<Cause>) -> Self {
        let word = |value: serde_json::Result<String>| value.unwrap_or_default().replace('"', "");
        let cause = cause.map_or_else(|| "none".to_owned(), |cause| word(serde_json::to_string(&cause)));
        Self { ending: word(serde_json::to_string(&ending)), cause }
    }
}

/// Milliseconds as Prometheus counts time.
fn seconds(ms: u64) -> f64 {
    std::time::Duration::from_millis(ms).as_secs_f64()
}
