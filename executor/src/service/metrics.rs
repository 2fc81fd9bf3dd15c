//! Metrics in Prometheus' text form. What each means stands in its help, and in `docs/service.md`.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use whimbrel_core::{Event, Severity};

/// Upper bounds in seconds of a migration's duration: from a guest that is idle to one that takes a day.
const DURATIONS_S: [f64; 10] = [0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3_600.0, 86_400.0];
/// Upper bounds in seconds of a guest's pause.
const PAUSES_S: [f64; 9] = [0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 1.0, 3.0, 10.0];

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

/// Numbers of one migration that runs, as they are read when somebody asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Present {
    pub(super) migration: i64,
    pub(super) remaining_bytes: u64,
    pub(super) dirty_rate_bytes_per_second: u64,
    pub(super) bandwidth_bytes_per_second: u64,
    pub(super) iteration: u64,
}

type Levels = Family<Which, Gauge<u64, AtomicU64>>;

/// What is counted as it happens.
#[derive(Debug)]
pub(super) struct Metrics {
    outcomes: Family<Ended, Counter>,
    findings: Family<Found, Counter>,
    regressions: Counter,
    duration: Histogram,
    pause: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            outcomes: Family::default(),
            findings: Family::default(),
            regressions: Counter::default(),
            duration: Histogram::new(DURATIONS_S),
            pause: Histogram::new(PAUSES_S),
        }
    }
}

impl Metrics {
    /// Counts an event, once.
    pub(super) fn saw(&self, event: &Event) {
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
            Event::Sync(sync) if sync.rise_bytes > 0 => {
                self.regressions.inc();
            }
            Event::Ended(outcome) => {
                let word = |value: serde_json::Result<String>| value.unwrap_or_default().replace('"', "");
                let cause = outcome
                    .cause
                    .map_or_else(|| "none".to_owned(), |cause| word(serde_json::to_string(&cause)));
                let ending = word(serde_json::to_string(&outcome.ending));
                self.outcomes.get_or_create(&Ended { ending, cause }).inc();
                self.duration.observe(seconds(outcome.total_ms));
                if let Some(ms) = outcome.downtime_ms {
                    self.pause.observe(seconds(ms));
                }
            }
            _ => {}
        }
    }

    /// The text that Prometheus reads.
    pub(super) fn text(&self, running: &[Present]) -> String {
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
        let help = "How long guests stood still at the hand-over, as the hypervisor measured it";
        registry.register_with_unit("pause", help, Unit::Seconds, self.pause.clone());
        let (remaining, dirty) = (Levels::default(), Levels::default());
        let (bandwidth, iteration) = (Levels::default(), Levels::default());
        for present in running {
            let which = Which { migration: present.migration };
            remaining.get_or_create(&which).set(present.remaining_bytes);
            dirty.get_or_create(&which).set(present.dirty_rate_bytes_per_second);
            bandwidth.get_or_create(&which).set(present.bandwidth_bytes_per_second);
            iteration.get_or_create(&which).set(present.iteration);
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

/// Milliseconds as Prometheus counts time.
fn seconds(ms: u64) -> f64 {
    std::time::Duration::from_millis(ms).as_secs_f64()
}
