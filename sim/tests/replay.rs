//! Recorded migrations driven through the loop's own rules.

use serde::Deserialize;
use whimbrel_sim::replay::{RecordedSync, RecordedWindow, Recording};

/// A recorded migration: the columns that a replay needs.
#[derive(Debug, Deserialize)]
struct Row {
    name: String,
    bw: u64,
    dl: u64,
    status: String,
    total: u64,
    normal: u64,
    dup: u64,
    remaining: u64,
    sync_list: Vec<(f64, f64, u64)>,
    windows: Vec<(f64, u64, u64)>,
}

impl Row {
    fn recording(&self) -> Recording {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some minutes at most")]
        let us = |seconds: f64| (seconds * 1e6).round() as u64;
        let sync = |&(at, duration, period_pages): &(f64, f64, u64)| RecordedSync {
            at_us: us(at),
            duration_us: us(duration),
            period_pages,
        };
        let window = |&(ended, bytes, length_ms): &(f64, u64, u64)| RecordedWindow {
            bytes,
            length_ms,
            ended_us: us(ended),
        };
        Recording {
            max_bandwidth_bytes_per_second: self.bw,
            downtime_limit_ms: self.dl,
            total_pages: self.total / 4096,
            normal_pages: self.normal,
            zero_pages: self.dup,
            remaining_pages: self.remaining / 4096,
            syncs: self.sync_list.iter().map(sync).collect(),
            windows: self.windows.iter().map(window).collect(),
        }
    }
}

/// Recorded migrations come out as they went in: every page accounted for, every window's bytes, and what remained at
/// the last sync the same from the front (dirtied less sent) as from the back (what was sent after it).
#[test]
fn a_recording_is_replayed_without_error() {
    let (mut syncs_known, mut syncs, mut by_budget, mut windows, mut last_known) = (0, 0, 0, 0, 0);
    for row in include_str!("data/replay-7.2.jsonl").lines() {
        let row: Row = serde_json::from_str(row).unwrap();
        let recording = row.recording();
        let replay = recording.replay();
        assert_eq!(replay.unaccounted_pages, 0, "{}", row.name);
        for (recorded, replayed) in recording.windows.iter().zip(&replay.windows) {
            assert_eq!(recorded.bytes, replayed.bytes, "{}", row.name);
            by_budget += u32::from(replayed.budget_spent);
            windows += 1;
        }
        let known = replay.syncs.iter().filter(|sync| sync.remaining_pages.is_some()).count();
        println!("{:24} {} of {} syncs known", row.name, known, replay.syncs.len());
        syncs_known += known;
        syncs += replay.syncs.len();
        let sent = replay.windows.last().and_then(|window| window.sent_pages);
        let last = replay.syncs.last().and_then(|sync| sync.remaining_pages);
        if let (Some(sent), Some(last), "completed") = (sent, last, row.status.as_str()) {
            assert_eq!(last, row.normal + row.dup - sent, "{}", row.name);
            last_known += 1;
        }
    }
    println!(
        "{syncs_known} of {syncs} syncs, {by_budget} of {windows} windows by budget, {last_known} last syncs"
    );
    // Two of the recordings kept only their first 120 windows, which leaves their later syncs unknown.
    assert_eq!((syncs_known, syncs, by_budget, windows, last_known), (64, 133, 539, 565, 6));
}

/// The check above can fail: one page too many at one sync, or one byte in one window, is seen.
#[test]
fn a_replay_notices_what_does_not_add_up() {
    let row = include_str!("data/replay-7.2.jsonl").lines().nth(2).unwrap();
    let recording = serde_json::from_str::<Row>(row).unwrap().recording();
    let mut with_a_page_more = recording.clone();
    with_a_page_more.syncs.last_mut().unwrap().period_pages += 1;
    assert_eq!(with_a_page_more.replay().unaccounted_pages, 1);
    let mut with_a_byte_more = recording.clone();
    with_a_byte_more.windows.last_mut().unwrap().bytes += 1;
    assert!(recording.replay().windows.last().unwrap().budget_spent);
    assert!(!with_a_byte_more.replay().windows.last().unwrap().budget_spent);
}
