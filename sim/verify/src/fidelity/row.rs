//! A recorded migration as it stands in a file: one JSON object a line, with what is needed of it.
//!
//! `docs/recording.md` has every field. Fields of the row that are not known are passed over; a key of `cfg` that is
//! not known may mean anything, and must be an error.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

/// What drove a migration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Driver {
    /// The recorder itself.
    #[default]
    Qemu,
    /// libvirt, which waits before the switchover and lets QEMU continue.
    Libvirt,
}

/// What the copy went over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Transport {
    /// A Unix socket.
    #[default]
    Unix,
    /// TCP.
    Tcp,
}

/// A line.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) cfg: RowSetup,
    #[serde(default)]
    pub(super) rate: f64,
    pub(super) status: String,
    pub(super) total_ms: u64,
    pub(super) down_ms: Option<u64>,
    pub(super) setup_ms: Option<u64>,
    pub(super) transferred: Option<u64>,
    pub(super) normal: u64,
    pub(super) dup: Option<u64>,
    pub(super) syncs: u64,
    #[serde(default)]
    pub(super) sync_list: Vec<RowSync>,
    #[serde(default)]
    pub(super) windows: Vec<RowWindow>,
    #[serde(default)]
    pub(super) vmstop: Vec<f64>,
    #[serde(default)]
    pub(super) driver: Driver,
    #[serde(default)]
    pub(super) transport: Transport,
    #[serde(default)]
    pub(super) prealloc: bool,
    pub(super) tsc_hz: Option<u64>,
    pub(super) age_ms: Option<u64>,
    pub(super) busy: Option<f64>,
    pub(super) profile: Option<Profile>,
    /// QEMU's version, with its package's in brackets; none in the older format, which is 7.2's.
    pub(super) qemu: Option<String>,
}

/// A sync: s since the first one's start, its duration in s, and newly dirty pages since QEMU last restarted its count.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub(super) struct RowSync(pub(super) f64, pub(super) f64, pub(super) u64);

/// A rate window: s at its end, bytes sent, its length in ms, and fields that differ between older and newer
/// recordings.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct RowWindow(pub(super) f64, pub(super) u64, pub(super) u64, IgnoredAny);

/// What was measured of a Linux guest before its migration.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(super) struct Profile {
    /// s and MiB/s, by sampling.
    #[serde(default)]
    pub(super) sampled: Vec<(f64, f64)>,
    /// s and pages that had changed this many seconds after a first sample.
    #[serde(default)]
    pub(super) counted: Vec<(f64, f64)>,
    pub(super) nonzero_pages: u64,
}

/// What was set.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RowSetup {
    pub(super) ram: u64,
    pub(super) append: String,
    pub(super) bw: u64,
    pub(super) dl: u64,
    pub(super) timeout: u64,
    #[serde(default)]
    pub(super) caps: Option<BTreeMap<String, bool>>,
    #[serde(default)]
    pub(super) params: Option<BTreeMap<String, serde_json::Value>>,
    #[serde(default)]
    pub(super) pc_at: Option<f64>,
    #[serde(default)]
    pub(super) changes: Vec<RowChange>,
    #[serde(default)]
    pub(super) paused: bool,
    #[serde(default)]
    pub(super) workload: Option<String>,
    #[serde(default)]
    pub(super) vcpus: Option<u64>,
    #[serde(default)]
    pub(super) disk_mib: Option<u64>,
}

/// Limits that changed on the way: s since QEMU began to migrate, and a new `bw`, a new `dl`, or both.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RowChange {
    pub(super) at_s: f64,
    #[serde(default)]
    pub(super) bw: Option<u64>,
    #[serde(default)]
    pub(super) dl: Option<u64>,
}

impl Row {
    /// Reads one line; the reason says what is wrong with it and where in the line.
    pub(super) fn parse(line: &str) -> Result<Self, String> {
        whimbrel_core::document::from_json(line).map_err(|error| json_reason(&error))
    }
}

impl RowSetup {
    /// The capabilities that were turned on.
    pub(super) fn capabilities(&self) -> impl Iterator<Item = &str> {
        self.caps.iter().flatten().filter(|(_, on)| **on).map(|(name, _)| name.as_str())
    }
}

/// The parser's reason without its place, of which only the column means anything here.
fn json_reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let reason = text.rsplit_once(" at line ").map_or(text.as_str(), |(reason, _)| reason);
    format!("{reason} (column {})", error.column())
}
