//! From the state to the cells of a buffer. No terminal, no clock.
//!
//! Only the sixteen colours that every terminal has, so that its own theme decides what is readable; and colour
//! never carries a meaning alone: curves differ in their dots, regressions have signs, levels have names.

use std::slice;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::Marker;
use whimbrel_core::PhaseName;
use whimbrel_policy::forecast::Verdict;

use super::plot::{Curve, Level, Plot, Sign};
use super::state::PictureState;
use whimbrel_observe::phases::owner;
use whimbrel_observe::summary;
use whimbrel_observe::units::{approx, short, span};

/// The sign of a regression after which more remained than at the sync before.
const GAINED: &str = "▲";
/// The sign of any other regression.
const ROSE: &str = "△";

/// Rows of the heading; while memory is copied there are two more, for the forecast, or one where room is short.
const HEADING: u16 = 3;
/// Fewer rows than this are short of room.
const ROOMY: u16 = 20;

/// Draws the state into `area`. The last row is left empty: the cursor rests there.
pub(in crate::output) fn draw(state: &PictureState, colour: bool, area: Rect, buf: &mut Buffer) {
    let pen = Pen { colour };
    heading(state, pen, area, buf);
    let heading = HEADING + forecast(state, pen, area, buf);
    let rest = area.height.saturating_sub(heading + 1);
    if rest < 6 {
        return;
    }
    // An odd number of rows between title and axis gives the vertical axis a middle.
    let upper = if rest < 12 { rest } else { (rest * 3 / 5) | 1 };
    let rows = |y: u16, height: u16| Rect { y: area.y + y, height, ..area };
    memory(state, pen, rows(heading, upper), buf);
    if rest > upper {
        rates(state, pen, rows(heading + upper, rest - upper), buf);
    }
}

#[derive(Clone, Copy)]
struct Pen {
    colour: bool,
}

impl Pen {
    fn of(self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }
}

fn heading(state: &PictureState, pen: Pen, area: Rect, buf: &mut Buffer) {
    let mut row = |number: u16, left: &[String], right: &[String], style: Style| {
        if number < area.height {
            two_ends(left, right, area, area.y + number, style, buf);
        }
    };
    let names = &state.names;
    let who = format!("{}  {} → {}", names.guest, names.source, names.destination);
    let phase = state.phase.map_or(String::new(), |phase| phase.to_string());
    let mut where_it_stands = vec![span(state.now.as_ms()), phase];
    where_it_stands.extend(state.latest.map(|latest| format!("iteration {}", latest.iteration)));
    row(0, &[who], &where_it_stands, Style::new().add_modifier(Modifier::BOLD));

    let mut left = Vec::new();
    if let Some(latest) = state.latest {
        if state.outcome.is_none() && latest.knows_memory() {
            left.push(format!("{} left", short(approx(latest.memory_remaining_bytes))));
        }
        left.push(regressions(state));
        if latest.disk_total_bytes > 0 {
            left.push(format!("{} of disks left", short(approx(latest.disk_remaining_bytes))));
        }
    }
    let limit = state.downtime_limit_ms.map(|ms| format!("downtime ≤ {}", span(ms)));
    row(1, &left, limit.as_slice(), Style::new());

    let mut now = vec![match &state.outcome {
        Some(outcome) => format!("{}: {}", outcome.ending, summary::headline(outcome, names)),
        None => state.phase.map_or(String::new(), |phase| owner(phase, names)),
    }];
    if let (Some(since), None) = (state.stopped_since, &state.outcome) {
        now.push(format!("guest stopped for {}", span(state.now.since_ms(since))));
    }
    if state.cancel_asked && state.outcome.is_none() {
        now.push(String::from("cancel asked"));
    }
    row(2, &now, &[], alarm(state, pen));
}

/// The forecast below the heading: the verdict, and its numbers where there is room. Returns how many rows it has.
fn forecast(state: &PictureState, pen: Pen, area: Rect, buf: &mut Buffer) -> u16 {
    if state.phase != Some(PhaseName::Precopy) || state.outcome.is_some() {
        return 0;
    }
    let rows = if area.height >= ROOMY { 2 } else { 1 };
    if area.height <= HEADING + rows {
        return 0;
    }
    let Some(report) = &state.forecast else {
        two_ends(
            &["forecast after the first pass".to_owned()],
            &[],
            area,
            area.y + HEADING,
            Style::new(),
            buf,
        );
        return rows;
    };
    let hopeless = matches!(report.verdict, Verdict::LinkTooSlow | Verdict::Never { .. });
    let style = if hopeless { pen.of(Color::Red) } else { Style::new() }.add_modifier(Modifier::BOLD);
    let age_ms = state.now.since_ms(report.at);
    let age = (age_ms >= 1_000).then(|| format!("{} s ago", age_ms / 1_000));
    two_ends(slice::from_ref(&report.conclusion), age.as_slice(), area, area.y + HEADING, style, buf);
    if rows > 1 {
        two_ends(slice::from_ref(&report.why), &[], area, area.y + HEADING + 1, Style::new(), buf);
    }
    rows
}

fn regressions(state: &PictureState) -> String {
    let times = if state.totals.regressions == 1 { "regression" } else { "regressions" };
    match state.totals.non_converging_syncs {
        0 => format!("{} {times}", state.totals.regressions),
        1 => format!("{} {times}, 1 gain", state.totals.regressions),
        gains => format!("{} {times}, {gains} gains", state.totals.regressions),
    }
}

fn alarm(state: &PictureState, pen: Pen) -> Style {
    let lost = state.outcome.as_ref().is_some_and(|outcome| outcome.guest.side().is_none());
    if lost || matches!(state.phase, Some(PhaseName::Resolving | PhaseName::Recovering)) {
        pen.of(Color::Red).add_modifier(Modifier::BOLD)
    } else {
        Style::new()
    }
}

fn memory(state: &PictureState, pen: Pen, area: Rect, buf: &mut Buffer) {
    let window = state.window();
    let level = |bytes: Option<u64>, name| bytes.map(|bytes| Level { height: approx(bytes), name });
    let levels: Vec<_> =
        [level(state.totals.high_water_bytes, "high"), level(state.totals.low_water_bytes, "low")]
            .into_iter()
            .flatten()
            .collect();
    let (title, right) = memory_legend(state, area.width >= 100);
    two_ends(&title, &right, area, area.y, Style::new(), buf);
    // Where signs would stand shoulder to shoulder, only those that matter most are shown.
    let crowded = state.marks.len() > usize::from(area.width / 3);
    let marks = state.marks.iter().filter(|mark| mark.gained || !crowded).map(|mark| Sign {
        at_s: mark.at_s,
        height: mark.bytes,
        symbol: if mark.gained { GAINED } else { ROSE },
        style: pen.of(Color::Red).add_modifier(Modifier::BOLD),
    });
    let plot = Plot {
        window,
        curves: vec![Curve {
            points: state.remaining.points(),
            marker: Marker::Braille,
            style: pen.of(Color::Cyan),
        }],
        levels,
        marks: marks.collect(),
        level_style: Style::new().add_modifier(Modifier::DIM),
    };
    plot.draw(below_title(area), buf);
}

/// The title of the memory curve: the signs on the left, the water marks on the right.
fn memory_legend(state: &PictureState, wide: bool) -> (Vec<String>, Vec<String>) {
    let mut left = vec![String::from(if wide { "Memory left to copy" } else { "Memory left" })];
    if state.totals.regressions > state.totals.non_converging_syncs {
        left.push(format!("{ROSE} rise"));
    }
    if state.totals.non_converging_syncs > 0 {
        left.push(format!("{GAINED} {}", if wide { "gain: above the previous sync" } else { "gain" }));
    }
    let (Some(high), Some(low)) = (state.totals.high_water_bytes, state.totals.low_water_bytes) else {
        return (left, Vec::new());
    };
    let (high, low) = (short(approx(high)), short(approx(low)));
    let water = if wide { "┄ high water" } else { "┄ high" };
    (left, vec![format!("{water} {high}, low {low}")])
}

fn rates(state: &PictureState, pen: Pen, area: Rect, buf: &mut Buffer) {
    let (dirty_rate, bandwidth) = (state.dirty_rate.points(), state.bandwidth.points());
    let latest = |points: &[(f64, f64)]| {
        points.last().map_or(String::from("not measured yet"), |point| format!("{}/s", short(point.1)))
    };
    let mut legend =
        vec![format!("• dirty rate {}", latest(dirty_rate)), format!("⠒ bandwidth {}", latest(bandwidth))];
    if let (Some(dirty_rate), Some(bandwidth)) = (dirty_rate.last(), bandwidth.last())
        && dirty_rate.1 >= bandwidth.1
        && state.outcome.is_none()
    {
        legend.push(String::from("dirtied faster than copied"));
    }
    two_ends(&legend, &[], area, area.y, Style::new(), buf);
    let mut window = state.window();
    window.most_bytes = dirty_rate
        .iter()
        .chain(bandwidth)
        .filter(|point| point.0 >= window.from_s)
        .map(|point| point.1)
        .fold(0.0, f64::max);
    let plot = Plot {
        window,
        curves: vec![
            Curve { points: bandwidth, marker: Marker::Braille, style: pen.of(Color::Green) },
            Curve { points: dirty_rate, marker: Marker::Dot, style: pen.of(Color::Magenta) },
        ],
        levels: Vec::new(),
        marks: Vec::new(),
        level_style: Style::new(),
    };
    plot.draw(below_title(area), buf);
}

fn below_title(area: Rect) -> Rect {
    Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area }
}

/// Writes parts at both ends of a row, each while there is room for it: the left end comes first.
fn two_ends(left: &[String], right: &[String], area: Rect, y: u16, style: Style, buf: &mut Buffer) {
    let width = usize::from(area.width);
    let left = joined(left, width);
    let room = width.saturating_sub(left.chars().count() + 2);
    let right = joined(right, room);
    buf.set_stringn(area.x, y, &left, width, style);
    let right_width = right.chars().count();
    if right_width <= room {
        let x = u16::try_from(width - right_width).unwrap_or(0);
        buf.set_stringn(area.x + x, y, &right, right_width, style);
    }
}

/// As many parts as fit into `width`; the first in any case.
fn joined(parts: &[String], width: usize) -> String {
    let mut text = String::new();
    for part in parts.iter().filter(|part| !part.is_empty()) {
        let gap = if text.is_empty() { "" } else { "   " };
        if text.is_empty() || text.chars().count() + gap.len() + part.chars().count() <= width {
            text = text + gap + part;
        }
    }
    text
}
