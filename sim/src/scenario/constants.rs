//! `[daemons]` and `[costs]`: times of the daemons and costs of the hosts, the same for both sides.
//!
//! They describe machines, not migrations: where a scenario leaves them out, the values that were measured hold.

use std::ops::Range;

use toml::de::DeTable;

use super::bounds::{BYTES_PER_MIB, MAX_BANDWIDTH_MIB_PER_SECOND, MAX_TIME_MS, NS_PER_MS, NS_PER_US};
use super::reader::{Reader, Section};
use crate::qemu::HostConstants;
use crate::world::DaemonConstants;

/// A minute.
const MAX_US: u64 = 60_000_000;
/// A millisecond for a page or a word.
const MAX_NS: u64 = 1_000_000;
/// A day.
const MAX_LONG_MS: u64 = 86_400_000;

impl<'t> Reader<'t> {
    pub(super) fn daemons(&mut self, table: &DeTable<'t>, span: Range<usize>) -> DaemonConstants {
        const KEYS: [&str; 9] = [
            "call_us",
            "event_us",
            "prepare_ms",
            "finish_ms",
            "confirm_ms",
            "keep_alive_ms",
            "resume_refused_ms",
            "connect_ms",
            "stream_timeout_ms",
        ];
        let daemons = self.section("daemons.", table, span, &KEYS);
        let usual = DaemonConstants::default();
        let mut ns = |key, most, unit, usual_ns| self.scaled(&daemons, key, (1, most), unit, usual_ns);
        DaemonConstants {
            call_ns: ns("call_us", MAX_US, NS_PER_US, usual.call_ns),
            event_ns: ns("event_us", MAX_US, NS_PER_US, usual.event_ns),
            prepare_ns: ns("prepare_ms", MAX_LONG_MS, NS_PER_MS, usual.prepare_ns),
            finish_ns: ns("finish_ms", MAX_LONG_MS, NS_PER_MS, usual.finish_ns),
            confirm_ns: ns("confirm_ms", MAX_LONG_MS, NS_PER_MS, usual.confirm_ns),
            keep_alive_ns: ns("keep_alive_ms", MAX_LONG_MS, NS_PER_MS, usual.keep_alive_ns),
            resume_refused_ns: ns("resume_refused_ms", MAX_LONG_MS, NS_PER_MS, usual.resume_refused_ns),
            connect_ns: ns("connect_ms", MAX_LONG_MS, NS_PER_MS, usual.connect_ns),
            stream_timeout_ns: ns("stream_timeout_ms", MAX_LONG_MS, NS_PER_MS, usual.stream_timeout_ns),
        }
    }

    pub(super) fn costs(&mut self, table: &DeTable<'t>, span: Range<usize>) -> HostConstants {
        const KEYS: [&str; 14] = [
            "push_mib_per_second",
            "channel_mib_per_second",
            "zero_copy_mib_per_second",
            "setup_us",
            "zero_page_scan_ns",
            "first_touch_ns",
            "encode_page_ns",
            "place_page_ns",
            "sync_fixed_us",
            "sync_ns_per_word",
            "stop_guest_us",
            "device_state_us",
            "stalls_per_million_windows",
            "stall_ms",
        ];
        let costs = self.section("costs.", table, span, &KEYS);
        let usual = HostConstants::default();
        let rate = (1, MAX_BANDWIDTH_MIB_PER_SECOND);
        let mut read = |key, bounds, unit, usual| self.scaled(&costs, key, bounds, unit, usual);
        HostConstants {
            link_bytes_per_second: read(
                "push_mib_per_second",
                rate,
                BYTES_PER_MIB,
                usual.link_bytes_per_second,
            ),
            channel_bytes_per_second: read(
                "channel_mib_per_second",
                rate,
                BYTES_PER_MIB,
                usual.channel_bytes_per_second,
            ),
            zero_copy_bytes_per_second: read(
                "zero_copy_mib_per_second",
                rate,
                BYTES_PER_MIB,
                usual.zero_copy_bytes_per_second,
            ),
            setup_ns: read("setup_us", (0, MAX_US), NS_PER_US, usual.setup_ns),
            zero_page_scan_ns: read("zero_page_scan_ns", (0, MAX_NS), 1, usual.zero_page_scan_ns),
            first_touch_ns: read("first_touch_ns", (0, MAX_NS), 1, usual.first_touch_ns),
            encode_page_ns: read("encode_page_ns", (0, MAX_NS), 1, usual.encode_page_ns),
            place_page_ns: read("place_page_ns", (0, MAX_NS), 1, usual.place_page_ns),
            sync_fixed_ns: read("sync_fixed_us", (0, MAX_US), NS_PER_US, usual.sync_fixed_ns),
            sync_ns_per_word: read("sync_ns_per_word", (0, MAX_NS), 1, usual.sync_ns_per_word),
            stop_guest_ns: read("stop_guest_us", (0, MAX_US), NS_PER_US, usual.stop_guest_ns),
            device_state_ns: read("device_state_us", (0, MAX_US), NS_PER_US, usual.device_state_ns),
            stalls_per_million_windows: read(
                "stalls_per_million_windows",
                (0, 1_000_000),
                1,
                usual.stalls_per_million_windows,
            ),
            stall_ns: read("stall_ms", (0, MAX_TIME_MS), NS_PER_MS, usual.stall_ns),
            ..usual
        }
    }

    /// A value in a unit of its own, from the least to the most; the usual one where the file says nothing.
    fn scaled(
        &mut self,
        section: &Section<'_, 't>,
        key: &'static str,
        (least, most): (u64, u64),
        unit: u64,
        usual: u64,
    ) -> u64 {
        self.whole(section, key, least..=most).map_or(usual, |value| value.saturating_mul(unit))
    }
}
