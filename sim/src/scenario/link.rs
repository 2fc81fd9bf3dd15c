//! `[link]`: the network between the two hosts, and how it changes.

use std::ops::Range;

use toml::de::DeTable;

use super::bounds::{MAX_BANDWIDTH_MIB_PER_SECOND, MAX_LATENCY_US};
use super::reader::{MOST_ENTRIES, Reader};
use crate::network::Loss;

/// 1 GiB, TCP's largest window (RFC 7323).
const MAX_WINDOW_KIB: u64 = 1 << 20;

/// The network of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioLink {
    /// What it carries at first, in MiB a second.
    pub bandwidth_mib_per_second: u64,
    /// One way, in microseconds.
    pub latency_us: u64,
    /// How much longer it may take, in microseconds.
    pub jitter_us: u64,
    /// Packets that are lost.
    pub loss: Loss,
    /// What one connection may have on its way, in KiB; `None` bounds it by nothing, unless packets are lost.
    pub tcp_window_kib: Option<u64>,
    /// Instants in milliseconds of the world's time, and what is carried from then on; zero is an outage. In order.
    pub changes: Vec<(u64, u64)>,
}

impl ScenarioLink {
    /// What it carries in the end.
    #[must_use]
    pub fn last_mib_per_second(&self) -> u64 {
        self.changes.last().map_or(self.bandwidth_mib_per_second, |(_, bandwidth)| *bandwidth)
    }
}

impl<'t> Reader<'t> {
    pub(super) fn link(&mut self, table: &DeTable<'t>, span: Range<usize>) -> Option<ScenarioLink> {
        const KEYS: [&str; 6] = [
            "bandwidth_mib_per_second",
            "latency_us",
            "jitter_us",
            "loss_per_million",
            "tcp_window_kib",
            "change",
        ];
        let link = self.section("link.", table, span, &KEYS);
        let bandwidth_mib_per_second =
            self.required_whole(&link, "bandwidth_mib_per_second", 1..=MAX_BANDWIDTH_MIB_PER_SECOND);
        let latency_us = self.whole(&link, "latency_us", 0..=MAX_LATENCY_US).unwrap_or(0);
        let jitter_us = self.whole(&link, "jitter_us", 0..=MAX_LATENCY_US).unwrap_or(0);
        // One packet in ten is as much as a connection survives, and as much as the formula of its speed is good for.
        let loss = self.small(&link, "loss_per_million", 0..=100_000).and_then(Loss::per_million);
        let tcp_window_kib = self.whole(&link, "tcp_window_kib", 4..=MAX_WINDOW_KIB);
        let mut changes: Vec<(u64, u64)> = Vec::new();
        for table in self.tables(&link, "change", MOST_ENTRIES) {
            let before_ms = changes.last().map_or(0, |last| last.0);
            let read = self.within(table, |reader, table, span| reader.change(table, span, before_ms));
            changes.extend(read.flatten());
        }
        Some(ScenarioLink {
            bandwidth_mib_per_second: bandwidth_mib_per_second?,
            latency_us,
            jitter_us,
            loss: loss.unwrap_or(Loss::NONE),
            tcp_window_kib,
            changes,
        })
    }

    fn change(&mut self, table: &DeTable<'t>, span: Range<usize>, before_ms: u64) -> Option<(u64, u64)> {
        let change = self.section("link.change.", table, span, &["at_ms", "bandwidth_mib_per_second"]);
        let at_ms = self.later_ms(&change, before_ms);
        let bounds = 0..=MAX_BANDWIDTH_MIB_PER_SECOND;
        let bandwidth = self.required_whole(&change, "bandwidth_mib_per_second", bounds);
        Some((at_ms?, bandwidth?))
    }
}
