//! A recording as it is written down: one JSON object a line. `docs/recording.md` has every field.
//!
//! The fields of older recordings keep their names, their units and their meaning; others are only ever added.

use serde::Serialize;
use serde_json::Value;

use super::RecordError;
use super::case::{Case, DriverKind, Setup, Transport};
use super::environment::Host;
use super::follow::Ended;
use super::profile::Profile;
use super::trace::Course;

/// One migration.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    cfg: Setup,
    rate: f64,
    tsc_rebase: u64,
    status: &'static str,
    total_ms: u64,
    down_ms: Option<u64>,
    setup_ms: u64,
    exp_down: Option<u64>,
    transferred: u64,
    normal: u64,
    dup: u64,
    syncs: u64,
    mbps: f64,
    dpr: u64,
    remaining: u64,
    total: u64,
    sync_list: Vec<(f64, f64, u64)>,
    vmstop: Vec<f64>,
    throttle: Vec<(f64, u64)>,
    throttle_hist: Vec<u64>,
    name: String,
    rep: u32,
    windows: Vec<(f64, u64, u64, u64)>,
    sync_pages: Vec<Option<u64>>,
    sync_remaining: Vec<Option<u64>>,
    driver: DriverKind,
    transport: Transport,
    prealloc: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    tsc_hz: Option<u64>,
    age_ms: u64,
    lead_ms: u64,
    guest_witness: Option<bool>,
    busy_before: f64,
    busy: f64,
    qemu: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    libvirt: Option<String>,
    host: Host,
    #[serde(skip_serializing_if = "Option::is_none")]
    guest_kernel: Option<String>,
    caps_on: Vec<String>,
    figures: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<Profile>,
}

/// What was measured around the migration.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    pub(super) rate: f64,
    pub(super) tsc_hz: Option<u64>,
    /// From the guest's first write, or its being ready, until the migration was requested.
    pub(super) age_ms: u64,
    pub(super) guest_witness: Option<bool>,
    pub(super) busy_before: f64,
    pub(super) busy: f64,
    pub(super) qemu: String,
    pub(super) libvirt: Option<String>,
    pub(super) host: Host,
    pub(super) guest_kernel: Option<String>,
    pub(super) profile: Option<Profile>,
}

impl Row {
    /// Puts a recording together.
    pub(super) fn new(
        case: &Case,
        rep: u32,
        ended: Ended,
        course: &Course,
        measured: Measured,
    ) -> Result<Self, RecordError> {
        let origin =
            course.origin_us().ok_or_else(|| RecordError::Answer("a trace without a sync".to_owned()))?;
        let since = |us: u64| seconds(us.saturating_sub(origin), 4);
        let figures = Figures(&ended.figures);
        let mut throttle_hist: Vec<u64> = ended.throttle.iter().map(|(_, percentage)| *percentage).collect();
        throttle_hist.dedup();
        Ok(Self {
            cfg: case.setup(),
            rate: rounded(measured.rate, 1),
            // The guest makes up for all writes that it missed, and so never restarts its count.
            tsc_rebase: 0,
            status: if ended.completed { "completed" } else { "timeout" },
            total_ms: figures.number("/total-time")?,
            down_ms: figures.optional("/downtime").filter(|_| ended.completed),
            setup_ms: figures.number("/setup-time")?,
            exp_down: figures.optional("/expected-downtime"),
            transferred: figures.number("/ram/transferred")?,
            normal: figures.number("/ram/normal")?,
            dup: figures.number("/ram/duplicate")?,
            syncs: figures.number("/ram/dirty-sync-count")?,
            mbps: ended.figures.pointer("/ram/mbps").and_then(Value::as_f64).unwrap_or(0.0),
            dpr: figures.optional("/ram/dirty-pages-rate").unwrap_or(0),
            remaining: figures.number("/ram/remaining")?,
            total: figures.number("/ram/total")?,
            sync_list: course
                .syncs
                .iter()
                .map(|sync| (since(sync.start_us), seconds(sync.end_us - sync.start_us, 5), sync.counted))
                .collect(),
            vmstop: course.stops.iter().map(|at| since(*at)).collect(),
            throttle: ended
                .throttle
                .iter()
                .map(|(seen, percentage)| (since(course.throttled_at(*seen)), *percentage))
                .collect(),
            throttle_hist,
            name: case.name.clone(),
            rep,
            windows: course
                .windows
                .iter()
                .map(|window| {
                    (since(window.end_us), window.sent_bytes, window.length_ms, window.threshold_bytes)
                })
                .collect(),
            sync_pages: course.sync_pages(),
            sync_remaining: course.syncs.iter().map(|sync| sync.remaining).collect(),
            driver: case.driver,
            transport: case.transport,
            prealloc: case.prealloc,
            tsc_hz: measured.tsc_hz,
            age_ms: measured.age_ms,
            lead_ms: origin.saturating_sub(ended.asked_us) / 1000,
            guest_witness: measured.guest_witness,
            busy_before: rounded(measured.busy_before, 3),
            busy: rounded(measured.busy, 3),
            qemu: measured.qemu,
            libvirt: measured.libvirt,
            host: measured.host,
            guest_kernel: measured.guest_kernel,
            caps_on: ended.capabilities,
            figures: ended.figures,
            profile: measured.profile,
        })
    }

    /// Whether the guest misses writes, or does not live.
    pub(super) fn is_damaged(&self) -> bool {
        self.guest_witness == Some(false)
    }

    /// How it went, in a few words.
    pub(super) fn summary(&self) -> String {
        let downtime = self.down_ms.map_or_else(String::new, |ms| format!(", downtime {ms} ms"));
        let witness = match self.guest_witness {
            Some(true) => "",
            Some(false) => ", AND THE GUEST WAS DAMAGED",
            None => ", no witness",
        };
        format!(
            "{} in {} ms{downtime}, {} pages, {} syncs, others {:.0} %{witness}",
            self.status,
            self.total_ms,
            self.normal,
            self.syncs,
            self.busy * 100.0
        )
    }
}

/// QEMU's answer to `query-migrate`.
struct Figures<'a>(&'a Value);

impl Figures<'_> {
    fn optional(&self, place: &str) -> Option<u64> {
        self.0.pointer(place)?.as_u64()
    }

    fn number(&self, place: &str) -> Result<u64, RecordError> {
        self.optional(place)
            .ok_or_else(|| RecordError::Answer(format!("QEMU's figures without `{place}`: {}", self.0)))
    }
}

/// Microseconds as seconds with so many digits.
#[expect(clippy::cast_precision_loss, reason = "a run's microseconds are far below 2^52")]
fn seconds(us: u64, digits: i32) -> f64 {
    rounded(us as f64 / 1e6, digits)
}

fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Instant;

    use serde_json::json;

    use super::super::Plan;
    use super::super::trace::{Sync, Window};
    use super::*;

    fn row(completed: bool, figures: &Value) -> Result<Row, RecordError> {
        let text = "[[case]]\nname = \"a\"\nguest = \"m=1 w=256 n=2 c=489000\"\n";
        let plan = Plan::parse(text, Path::new("p")).unwrap();
        let sync = |at_us: u64, counted| Sync {
            start_us: 7_000_000 + at_us,
            end_us: 7_000_140 + at_us,
            counted,
            remaining: Some(4096),
        };
        let course = Course {
            syncs: vec![sync(0, 0), sync(312_345, 9)],
            windows: vec![Window { end_us: 7_100_049, sent_bytes: 5, length_ms: 100, threshold_bytes: 6 }],
            stops: vec![7_312_000],
            throttles: vec![7_190_000, 7_250_000, 7_310_000],
        };
        let ended = Ended {
            completed,
            figures: figures.clone(),
            figures_us: 8_000_000,
            throttle: vec![(7_200_000, 20), (7_300_000, 30)],
            capabilities: vec!["auto-converge".into()],
            began: Instant::now(),
            asked_us: 6_985_000,
        };
        let measured = Measured {
            rate: 9999.96,
            tsc_hz: Some(2_300_000_000),
            age_ms: 1100,
            guest_witness: Some(true),
            busy_before: 0.0104,
            busy: 0.0236,
            qemu: "7.2".into(),
            libvirt: None,
            host: Host::default(),
            guest_kernel: None,
            profile: None,
        };
        Row::new(&plan.cases[0], 2, ended, &course, measured)
    }

    fn figures() -> Value {
        json!({"status": "completed", "setup-time": 1, "downtime": 5, "total-time": 340, "expected-downtime": 7,
            "ram": {"transferred": 1, "normal": 2, "duplicate": 3, "dirty-sync-count": 2, "mbps": 1.5,
                "remaining": 0, "total": 9, "dirty-pages-rate": 4}})
    }

    #[test]
    fn times_count_from_the_first_sync() {
        let row = serde_json::to_value(row(true, &figures()).unwrap()).unwrap();
        assert_eq!(row["sync_list"], json!([[0.0, 0.00014, 0], [0.3123, 0.00014, 9]]));
        assert_eq!((&row["sync_pages"], &row["lead_ms"]), (&json!([0, 9]), &json!(15)));
        assert_eq!(row["windows"], json!([[0.1, 5, 100, 6]]));
        assert_eq!((&row["vmstop"], &row["throttle"]), (&json!([0.312]), &json!([[0.19, 20], [0.25, 30]])));
        assert_eq!(
            (&row["throttle_hist"], &row["rate"], &row["busy"]),
            (&json!([20, 30]), &json!(10000.0), &json!(0.024))
        );
        assert_eq!(
            (&row["down_ms"], &row["rep"], &row["status"]),
            (&json!(5), &json!(2), &json!("completed"))
        );
    }

    #[test]
    fn one_that_did_not_complete_has_no_downtime() {
        let row = row(false, &figures()).unwrap();
        assert_eq!((row.status, row.down_ms, row.exp_down), ("timeout", None, Some(7)));
    }

    #[test]
    fn figures_with_a_hole_are_no_recording() {
        let error = row(true, &json!({"total-time": 1, "setup-time": 1})).unwrap_err();
        assert!(error.to_string().contains("/ram/transferred"), "{error}");
    }
}
