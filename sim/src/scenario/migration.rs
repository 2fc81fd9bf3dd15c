//! `[migration]`: limits, and the options of the transfer, with their parameters.

use std::ops::{Range, RangeInclusive};

use toml::de::DeTable;
use whimbrel_core::AtTimeout;

use super::bounds::{BYTES_PER_MIB, MAX_BANDWIDTH_MIB_PER_SECOND, MAX_DOWNTIME_MS, MAX_TIME_MS};
use super::reader::{Reader, Section};
use crate::qemu::{AutoConverge, Channels, DirtyLimit, Postcopy, Xbzrle};
use crate::world::DiskCopy;

/// QEMU's own bound on its throttle.
const MAX_THROTTLE_PERCENT: u64 = 99;
/// 1 TiB.
const MAX_CACHE_MIB: u64 = 1 << 20;
/// A second for a page.
const MAX_COMPRESSION_NS: u64 = 1_000_000_000;
/// As a spec has them: a second to a day, and to a week.
const DOUBT_PATIENCE_MS: RangeInclusive<u64> = 1_000..=86_400_000;
const RECOVERY_PATIENCE_MS: RangeInclusive<u64> = 1_000..=MAX_TIME_MS;
const WAYS: [&str; 7] = [
    "auto_converge",
    "dirty_limit_mib_per_second",
    "xbzrle_cache_mib",
    "parallel_connections",
    "postcopy",
    "copy_disks",
    "at_timeout",
];

const AT_TIMEOUT: [(&str, AtTimeout); 3] =
    [("cancel", AtTimeout::Cancel), ("pause", AtTimeout::Pause), ("postcopy", AtTimeout::Postcopy)];
const DISK_COPIES: [(&str, DiskCopy); 2] =
    [("background", DiskCopy::Background), ("synchronous", DiskCopy::Synchronous)];

/// The settings of a migration; what is not given is left to the hypervisor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScenarioMigration {
    /// Limit on what the migration may take of the link, in MiB a second.
    pub bandwidth_limit_mib_per_second: Option<u64>,
    /// The downtime limit, in milliseconds.
    pub downtime_limit_ms: Option<u64>,
    /// When to give up, in milliseconds since the start.
    pub timeout_ms: Option<u64>,
    /// What happens then.
    pub at_timeout: AtTimeout,
    /// Whether and how the guest is slowed down. What depends on QEMU's version is filled in when it is staged.
    pub auto_converge: Option<AutoConverge>,
    /// Whether and how far the pages that a virtual CPU may dirty are limited.
    pub dirty_limit: Option<DirtyLimit>,
    /// Whether pages that were sent before are sent as what changed in them.
    pub xbzrle: Option<Xbzrle>,
    /// Whether pages go over connections of their own. What depends on QEMU's version is filled in when it is staged.
    pub channels: Option<Channels>,
    /// Whether the switch to post-copy is allowed.
    pub postcopy: Option<Postcopy>,
    /// Whether and how disks are copied along.
    pub copy_disks: Option<DiskCopy>,
    /// Targets of the disks to copy; empty: those that the hosts do not share.
    pub copied_disks: Vec<String>,
    /// Targets of the disks of which the copy may overwrite what the destination has at their path.
    pub overwritten_disks: Vec<String>,
    /// Whether a guest that is off is moved: its definition only.
    pub offline: bool,
    /// Whether storage is taken for shared without a check.
    pub unsafe_storage: bool,
    /// For how long both hosts are queried when the guest's location is unknown, in milliseconds.
    pub doubt_patience_ms: Option<u64>,
    /// For how long a post-copy that lost its connection is resumed again and again, in milliseconds.
    pub recovery_patience_ms: Option<u64>,
}

impl<'t> Reader<'t> {
    pub(super) fn migration(&mut self, table: &DeTable<'t>, span: Range<usize>) -> ScenarioMigration {
        const KEYS: [&str; 23] = [
            "bandwidth_limit_mib_per_second",
            "downtime_limit_ms",
            "timeout_ms",
            "at_timeout",
            "auto_converge",
            "throttle_initial_percent",
            "throttle_increment_percent",
            "throttle_max_percent",
            "dirty_limit_mib_per_second",
            "xbzrle_cache_mib",
            "parallel_connections",
            "zero_copy",
            "compression_ns_per_page",
            "postcopy",
            "postcopy_bandwidth_mib_per_second",
            "postcopy_preempt",
            "copy_disks",
            "copied_disks",
            "overwritten_disks",
            "offline",
            "unsafe_storage",
            "doubt_patience_ms",
            "recovery_patience_ms",
        ];
        let migration = self.section("migration.", table, span, &KEYS);
        let bandwidth = 1..=MAX_BANDWIDTH_MIB_PER_SECOND;
        let bandwidth_limit_mib_per_second =
            self.whole(&migration, "bandwidth_limit_mib_per_second", bandwidth.clone());
        let downtime_limit_ms = self.whole(&migration, "downtime_limit_ms", 1..=MAX_DOWNTIME_MS);
        let timeout_ms = self.whole(&migration, "timeout_ms", 1..=MAX_TIME_MS);
        let auto_converge = self.auto_converge(&migration);
        let dirty_limit = self.whole(&migration, "dirty_limit_mib_per_second", bandwidth);
        let cache_mib = self.whole(&migration, "xbzrle_cache_mib", 1..=MAX_CACHE_MIB);
        let channels = self.channels(&migration);
        let postcopy = self.postcopy(&migration);
        let copy_disks = self.optional_word(&migration, "copy_disks", &DISK_COPIES);
        let copied_disks = self.texts(&migration, "copied_disks").unwrap_or_default();
        let overwritten_disks = self.texts(&migration, "overwritten_disks").unwrap_or_default();
        if copy_disks.is_none() {
            let why = "no disk is copied without `copy_disks`";
            self.refuse(&migration, &["copied_disks", "overwritten_disks"], why);
        }
        let at_timeout = self.optional_word(&migration, "at_timeout", &AT_TIMEOUT).unwrap_or_default();
        let offline = self.truth(&migration, "offline").unwrap_or(false);
        let unsafe_storage = self.truth(&migration, "unsafe_storage").unwrap_or(false);
        let doubt_patience_ms = self.whole(&migration, "doubt_patience_ms", DOUBT_PATIENCE_MS);
        let recovery_patience_ms = self.whole(&migration, "recovery_patience_ms", RECOVERY_PATIENCE_MS);
        self.contradictions(&migration, at_timeout, offline);
        ScenarioMigration {
            bandwidth_limit_mib_per_second,
            downtime_limit_ms,
            timeout_ms,
            at_timeout,
            auto_converge,
            dirty_limit: dirty_limit.map(|mib| DirtyLimit {
                vcpu_bytes_per_second: mib.saturating_mul(BYTES_PER_MIB),
                ..DirtyLimit::default()
            }),
            xbzrle: cache_mib.map(|mib| Xbzrle { cache_bytes: mib.saturating_mul(BYTES_PER_MIB) }),
            channels,
            postcopy,
            copy_disks,
            copied_disks,
            overwritten_disks,
            offline,
            unsafe_storage,
            doubt_patience_ms,
            recovery_patience_ms,
        }
    }

    fn auto_converge(&mut self, migration: &Section<'_, 't>) -> Option<AutoConverge> {
        let asked = self.truth(migration, "auto_converge").unwrap_or(false);
        let usual = AutoConverge::default();
        let percent = 1..=MAX_THROTTLE_PERCENT;
        let initial = self.whole(migration, "throttle_initial_percent", percent.clone());
        let increment = self.whole(migration, "throttle_increment_percent", percent.clone());
        let most = self.whole(migration, "throttle_max_percent", percent);
        if !asked {
            let keys = ["throttle_initial_percent", "throttle_increment_percent", "throttle_max_percent"];
            self.refuse(migration, &keys, "the guest is only slowed down with `auto_converge = true`");
            return None;
        }
        let rules = AutoConverge {
            initial_percent: initial.unwrap_or(usual.initial_percent),
            increment_percent: increment.unwrap_or(usual.increment_percent),
            max_percent: most.unwrap_or(usual.max_percent),
            ..usual
        };
        if rules.max_percent < rules.initial_percent {
            let message = format!("`migration.throttle_max_percent` is {}", rules.max_percent);
            let help = format!("the guest is slowed down by {} % at once", rules.initial_percent);
            self.report_at(migration, "throttle_max_percent", message, help);
        }
        Some(rules)
    }

    fn channels(&mut self, migration: &Section<'_, 't>) -> Option<Channels> {
        let count = self.whole(migration, "parallel_connections", 1..=255);
        let zero_copy = self.truth(migration, "zero_copy").unwrap_or(false);
        let compression = self.whole(migration, "compression_ns_per_page", 1..=MAX_COMPRESSION_NS);
        if !migration.has("parallel_connections") {
            let keys = ["zero_copy", "compression_ns_per_page"];
            self.refuse(migration, &keys, "only `parallel_connections` can do it");
        }
        if zero_copy && compression.is_some() {
            let why = "a compressed page is not sent without being copied first";
            self.refuse(migration, &["zero_copy"], why);
        }
        count.map(|count| Channels {
            count,
            compression_ns_per_page: compression,
            zero_copy,
            ..Channels::default()
        })
    }

    fn postcopy(&mut self, migration: &Section<'_, 't>) -> Option<Postcopy> {
        let asked = self.truth(migration, "postcopy").unwrap_or(false);
        let bounds = 1..=MAX_BANDWIDTH_MIB_PER_SECOND;
        let limit_mib = self.whole(migration, "postcopy_bandwidth_mib_per_second", bounds).unwrap_or(0);
        let preempt = self.truth(migration, "postcopy_preempt").unwrap_or(false);
        if !asked {
            let keys = ["postcopy_bandwidth_mib_per_second", "postcopy_preempt"];
            self.refuse(migration, &keys, "there is no post-copy without `postcopy = true`");
            return None;
        }
        Some(Postcopy { max_bandwidth_bytes_per_second: limit_mib.saturating_mul(BYTES_PER_MIB), preempt })
    }

    /// Options that exclude each other, in QEMU itself or by their meaning.
    fn contradictions(&mut self, migration: &Section<'_, 't>, at_timeout: AtTimeout, offline: bool) {
        if offline {
            let why = "of a guest that is off nothing but the definition is moved";
            self.refuse(migration, &WAYS, why);
            self.refuse(migration, &["unsafe_storage"], why);
        }
        if migration.is_true("auto_converge") {
            let why =
                "it excludes `auto_converge`: either all of the guest is slowed down or what it dirties";
            self.refuse(migration, &["dirty_limit_mib_per_second"], why);
        }
        if migration.has("parallel_connections") {
            let why = "QEMU cannot do it over `parallel_connections`";
            self.refuse(migration, &["xbzrle_cache_mib"], why);
        }
        if !migration.has("timeout_ms") {
            self.refuse(migration, &["at_timeout"], "there is no timeout without `timeout_ms`");
        }
        if at_timeout == AtTimeout::Postcopy && !migration.is_true("postcopy") {
            let help = "it must be begun with `postcopy = true`".to_owned();
            self.report_at(migration, "at_timeout", "post-copy is not allowed".to_owned(), help);
        }
    }
}
