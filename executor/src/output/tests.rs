//! Snapshots of the output for people and machines.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use whimbrel_core::{
    Advice, Cause, Ending, Event, Failure, Fault, GuestLocation, GuestRun, Instant, Outcome, Recovery, Side,
    View,
};

use super::JsonReport;
use super::fixtures::{End, REGRESSING, play, spec};
use super::tui::{FRAME_MS, PictureState};
use super::{Forecasting, Lines, Ndjson, Origin, Picture, Show, Watcher};
use whimbrel_observe::summary;
use whimbrel_policy::follow::{Known, Report};

const CANCELLED: End = End::CancelledAt(15_000);

/// A writer that many can read.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Page {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Keeps the state only.
#[derive(Default)]
struct Gather(PictureState);

impl Watcher for Gather {
    fn on_event(&mut self, now: Instant, event: &Event, view: View<'_>) {
        self.0.take(now, event, view);
    }
}

impl Show for Gather {
    fn on_forecast(&mut self, _: Instant, report: &Report) {
        self.0.forecast(report);
    }
}

/// The same with forecasts.
fn forecasting<S: Show>(show: S) -> Forecasting<S> {
    Forecasting::new(show, Known::default())
}

fn drawn(end: End, until_ms: u64, width: u16, height: u16) -> Buffer {
    let mut gather = forecasting(Gather::default());
    play(&REGRESSING, end, until_ms, &mut gather);
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    super::tui::draw(&gather.shown().0, true, area, &mut buffer);
    buffer
}

fn text(buffer: &Buffer) -> String {
    let row = |y| {
        let cells = (0..buffer.area.width).map(move |x| buffer[(x, y)].symbol());
        cells.collect::<String>().trim_end().to_owned()
    };
    (0..buffer.area.height).map(row).collect::<Vec<_>>().join("\n")
}

#[test]
fn lines_of_a_migration_that_falls_back_and_completes() {
    let page = Page::default();
    play(&REGRESSING, End::Completes, u64::MAX, &mut forecasting(Lines::new(page.clone())));
    insta::assert_snapshot!(page.text());
}

#[test]
fn lines_of_a_cancelled_migration() {
    let page = Page::default();
    play(&REGRESSING, CANCELLED, u64::MAX, &mut forecasting(Lines::new(page.clone())));
    insta::assert_snapshot!(page.text());
}

#[test]
fn events_as_documents() {
    let page = Page::default();
    let origin = Origin { engine: Some("page".to_owned()), seed: Some(7) };
    play(&REGRESSING[..2], CANCELLED, u64::MAX, &mut forecasting(Ndjson::new(page.clone(), origin)));
    let text = page.text();
    for line in text.lines() {
        assert!(line.starts_with(r#"{"schema":"whimbrel.event/1","#), "{line}");
        let document: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(document.get("spec").is_some() || document.get("event").is_some());
    }
    // Progress events are numerous and similar: two of them show as much as all.
    let progress: Vec<_> = text.lines().filter(|line| line.contains(r#""progress""#)).collect();
    assert!(progress.len() > 50);
    let lines: Vec<_> = text
        .lines()
        .filter(|line| {
            !line.contains(r#""progress""#) || progress.ends_with(&[line]) || progress.starts_with(&[line])
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn the_report_is_one_document() {
    let page = Page::default();
    let origin = Origin { engine: Some("lumped".to_owned()), seed: Some(7) };
    play(&REGRESSING[..4], CANCELLED, u64::MAX, &mut forecasting(JsonReport::new(page.clone(), origin)));
    assert_eq!(page.text().lines().count(), 1);
    assert!(page.text().starts_with(r#"{"schema":"whimbrel.report/1","#));
    let document: serde_json::Value = serde_json::from_str(&page.text()).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&document).unwrap());
}

#[test]
fn the_picture_on_a_narrow_terminal() {
    insta::assert_snapshot!(text(&drawn(End::Completes, 25_000, 60, 20)));
}

#[test]
fn the_picture_on_a_wide_terminal() {
    insta::assert_snapshot!(text(&drawn(End::Completes, u64::MAX, 110, 22)));
}

#[test]
fn the_picture_in_the_first_pass() {
    insta::assert_snapshot!(text(&drawn(End::Completes, 6_000, 80, 20)));
}

#[test]
fn every_regression_stands_upright() {
    let buffer = drawn(End::Completes, u64::MAX, 110, 22);
    let signs = buffer.content.iter().filter(|cell| ["▲", "△"].contains(&cell.symbol())).count();
    // Two in the two headings, and one for each sync after the first.
    assert_eq!(signs, 2 + REGRESSING.len() - 1);
}

#[test]
fn any_size_is_drawn_without_harm() {
    for (width, height) in [(1, 1), (5, 30), (20, 3), (22, 8), (40, 16), (300, 10), (200, 60)] {
        for until_ms in [0, 200, 12_000, u64::MAX] {
            drawn(End::Completes, until_ms, width, height);
        }
    }
}

#[test]
fn the_picture_leaves_the_scrollback_and_ends_with_words_below() {
    let below = Page::default();
    let mut backend = TestBackend::new(80, 24);
    ratatui::backend::Backend::set_cursor_position(&mut backend, (0, 5)).unwrap();
    let picture = Picture::on(backend, Box::new(below.clone()), FRAME_MS, false).unwrap();
    let mut picture = forecasting(picture);
    play(&REGRESSING, End::Completes, u64::MAX, &mut picture);
    let backend = picture.shown().backend();
    let scrollback = text(backend.scrollback());
    assert!(scrollback.contains("pre-copy: copying memory while `web` is on alpha"), "{scrollback}");
    assert!(text(backend.buffer()).contains("Memory left"));
    assert!(below.text().starts_with("Completed: `web` runs on beta."));
    assert!(below.text().ends_with(".\n"));
}

fn outcome(ending: Ending, guest: GuestLocation, cause: Option<Cause>) -> Outcome {
    Outcome {
        ending,
        guest,
        cause,
        failure: None,
        unsettled: None,
        recovered: Vec::new(),
        not_undone: Vec::new(),
        disks_left: Vec::new(),
        total_ms: 12_345,
        downtime_ms: None,
        hypervisor_downtime_ms: None,
        advice: Advice::on(guest, GuestRun::Running, None, cause, None),
    }
}

#[test]
fn every_ending_has_its_words() {
    let lost = || Some(Failure::new(Fault::ReplyLost, "client socket is closed"));
    let aborted = || Some(Failure::new(Fault::Other, "internal error: qemu died\u{1b}[31m"));
    let copy_failed = Some(Cause::CopyFailed);
    let reply_lost = Some(Cause::ReplyLost);
    let outcomes = [
        Outcome {
            downtime_ms: Some(37_205),
            hypervisor_downtime_ms: Some(52),
            ..outcome(Ending::Completed, GuestLocation::DestinationRunning, None)
        },
        Outcome {
            hypervisor_downtime_ms: Some(52),
            ..outcome(Ending::Completed, GuestLocation::DestinationRunning, None)
        },
        Outcome {
            advice: Advice::Nothing,
            ..outcome(Ending::Completed, GuestLocation::DestinationPaused, None)
        },
        outcome(Ending::ArrivedStopped, GuestLocation::DestinationPaused, Some(Cause::GuestStopped)),
        outcome(Ending::ArrivedStopped, GuestLocation::Nowhere, Some(Cause::GuestStopped)),
        outcome(Ending::Cancelled, GuestLocation::Untouched, Some(Cause::OperatorCancelled)),
        Outcome {
            recovered: vec![Recovery::DowntimeLimitRestored, Recovery::BandwidthLimitRestored],
            ..outcome(Ending::Cancelled, GuestLocation::SourceRunning, Some(Cause::OperatorCancelled))
        },
        outcome(Ending::Cancelled, GuestLocation::SourcePaused, Some(Cause::OperatorCancelled)),
        outcome(Ending::Failed, GuestLocation::Untouched, Some(Cause::RulesRefused)),
        outcome(Ending::Failed, GuestLocation::Untouched, Some(Cause::FactsMissing)),
        outcome(Ending::Failed, GuestLocation::Untouched, Some(Cause::SettingsUnreadable)),
        outcome(Ending::Failed, GuestLocation::SourceRunning, Some(Cause::SettingRefused)),
        outcome(Ending::Failed, GuestLocation::SourceRunning, Some(Cause::TimedOut)),
        Outcome {
            failure: aborted(),
            recovered: vec![Recovery::Resumed(Side::Source), Recovery::Destroyed(Side::Destination)],
            not_undone: vec![
                whimbrel_core::outcome::Leftover::BandwidthLimit,
                whimbrel_core::outcome::Leftover::Disks,
            ],
            disks_left: vec!["/srv/web.qcow2".to_owned()],
            unsettled: Some(Side::Destination),
            ..outcome(Ending::Failed, GuestLocation::SourceRunning, copy_failed)
        },
        outcome(Ending::Failed, GuestLocation::SourcePaused, copy_failed),
        Outcome {
            failure: lost(),
            ..outcome(Ending::Failed, GuestLocation::SourceRunning, Some(Cause::ReplyLost))
        },
        Outcome { failure: lost(), ..outcome(Ending::Failed, GuestLocation::Nowhere, reply_lost) },
        outcome(Ending::InDoubt, GuestLocation::BothRunning, Some(Cause::ReplyLost)),
        Outcome {
            unsettled: Some(Side::Destination),
            advice: Advice::LookAtBothHosts,
            ..outcome(Ending::InDoubt, GuestLocation::SourcePaused, Some(Cause::ReplyLost))
        },
        Outcome {
            unsettled: Some(Side::Source),
            not_undone: vec![
                whimbrel_core::outcome::Leftover::DowntimeLimit,
                whimbrel_core::outcome::Leftover::BandwidthLimit,
            ],
            ..outcome(Ending::InDoubt, GuestLocation::Unknown, Some(Cause::ReplyLost))
        },
    ];
    let words: Vec<_> = outcomes.iter().map(|outcome| summary::describe(outcome, &spec())).collect();
    for word in &words {
        assert!(word.lines().all(|line| line.ends_with('.')), "{word}");
        assert!(word.contains("`web`"), "{word}");
    }
    insta::assert_snapshot!(words.join("\n\n"));
}
