//! The live picture on a terminal: remaining memory as the saw-tooth that it is, dirty rate beside bandwidth.
//!
//! It occupies some rows at the bottom of the terminal's ordinary screen; events are written above them, so the scrollback
//! stays. The terminal is never put into raw mode, so Ctrl-C remains a signal, and the cursor is never hidden, so a sudden
//! end leaves nothing to restore. Frames are timed by the migration's own time; no clock is read.

mod draw;
mod plot;
mod series;
mod state;

use std::fmt;
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

use ratatui::backend::{Backend, CrosstermBackend};
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;
use ratatui::{Terminal, TerminalOptions, Viewport};
use whimbrel_core::{Event, Instant, View};
use whimbrel_policy::follow::Report;

pub(super) use self::draw::draw;
pub use self::state::PictureState;
use super::{Lines, Show, Watcher, forecast_lines, is_another_verdict};
use whimbrel_observe::messages::{tell, wrap};
use whimbrel_observe::summary;

/// The migration's time between two frames when it passes in real time: 20 frames per second.
pub const FRAME_MS: u64 = 50;

/// Rows of the picture, with the empty one on which the cursor rests.
const ROWS: u16 = 24;

/// The smallest terminal for a picture, in columns and rows.
const LEAST: (u16, u16) = (40, 16);

/// Columns before the text of a line above the picture: the indentation of wrapped lines.
const INDENT: usize = 23;

/// Draws the picture. When its terminal stops answering, it continues with plain lines.
pub struct Picture<B: Backend = CrosstermBackend<BufWriter<Stdout>>> {
    terminal: Terminal<B>,
    below: Box<dyn Write + Send>,
    state: PictureState,
    colour: bool,
    frame_ms: u64,
    last_frame: Option<Instant>,
    area: Rect,
    lines: Option<Lines<Box<dyn Write + Send>>>,
}

impl Picture {
    /// A picture on standard output with a frame every `frame_ms` of the migration's time; `None` when the terminal
    /// cannot show one, or cannot report the position of its cursor.
    #[must_use]
    pub fn open(frame_ms: u64) -> Option<Self> {
        // The terminal answers queries on standard input. Without that, a query would wait forever.
        let can_ask = io::stdin().is_terminal() && io::stdout().is_terminal();
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        if !can_ask || std::env::var_os("TERM").is_none_or(|term| term == "dumb" || term.is_empty()) {
            return None;
        }
        let backend = CrosstermBackend::new(BufWriter::new(io::stdout()));
        let size = backend.size().ok()?;
        if size.width < LEAST.0 || size.height < LEAST.1 {
            return None;
        }
        Self::on(backend, Box::new(io::stdout()), frame_ms, !set("NO_COLOR")).ok()
    }
}

impl<B: Backend> Picture<B> {
    /// A picture on any backend; the summary goes to `below`, at the cursor's position under the picture.
    ///
    /// # Errors
    /// When the backend cannot report its size or the position of its cursor.
    pub fn on(
        backend: B,
        below: Box<dyn Write + Send>,
        frame_ms: u64,
        colour: bool,
    ) -> Result<Self, B::Error> {
        // Some rows keep their earlier content, to show that the picture is not a full screen.
        let rows = ROWS.min(backend.size()?.height.saturating_sub(2));
        let terminal = Terminal::with_options(backend, TerminalOptions { viewport: Viewport::Inline(rows) })?;
        Ok(Self {
            terminal,
            below,
            state: PictureState::default(),
            colour,
            frame_ms,
            last_frame: None,
            area: Rect::ZERO,
            lines: None,
        })
    }

    /// The backend, for checks of the drawn cells.
    #[cfg(test)]
    pub(super) fn backend(&self) -> &B {
        self.terminal.backend()
    }

    fn show(&mut self, now: Instant, event: &Event, view: View<'_>) -> Result<(), B::Error> {
        let first = self.last_frame.is_none();
        self.state.take(now, event, view);
        let milestone = !matches!(event, Event::Progress(_) | Event::Sync(_));
        if first {
            self.insert(&summary::heading(view.spec))?;
        }
        if milestone {
            for entry in tell(event, &self.state.names) {
                self.insert(&entry.line(now))?;
            }
        }
        let due = self.last_frame.is_none_or(|last| now.since_ms(last) >= self.frame_ms);
        if due || milestone {
            self.frame()?;
            self.last_frame = Some(now);
        }
        Ok(())
    }

    /// The forecast is in the next frame; a verdict that has changed is written above the picture too.
    fn show_forecast(&mut self, now: Instant, report: &Report) -> Result<(), B::Error> {
        let before = self.state.forecast.as_ref();
        let is_another = is_another_verdict(report, before);
        let lines = if is_another { forecast_lines(report, before) } else { Vec::new() };
        self.state.forecast(report);
        for entry in lines {
            self.insert(&entry.line(now))?;
        }
        self.frame()
    }

    fn insert(&mut self, line: &str) -> Result<(), B::Error> {
        let width = usize::from(self.terminal.size()?.width);
        let lines = wrap(line, width, INDENT.min(width / 2));
        self.terminal.insert_before(u16::try_from(lines.len()).unwrap_or(u16::MAX), |buf| {
            for (y, line) in (0..buf.area.height).zip(&lines) {
                buf.set_stringn(0, y, line, width, Style::new());
            }
        })
    }

    fn frame(&mut self) -> Result<(), B::Error> {
        let (state, colour) = (&self.state, self.colour);
        let mut drawn = Rect::ZERO;
        self.terminal.draw(|frame| {
            drawn = frame.area();
            draw(state, colour, drawn, frame.buffer_mut());
            frame.set_cursor_position(resting_place(drawn));
        })?;
        self.area = drawn;
        Ok(())
    }

    /// Leaves the picture as it is, and continues below it with plain lines.
    fn leave(&mut self, now: Instant) {
        let below = std::mem::replace(&mut self.below, Box::new(io::sink()));
        self.lines = Some(Lines::going_on(below, self.state.names.clone(), now));
    }
}

impl<B: Backend> Watcher for Picture<B> {
    fn on_event(&mut self, now: Instant, event: &Event, view: View<'_>) {
        if let Some(lines) = &mut self.lines {
            lines.on_event(now, event, view);
            return;
        }
        if self.show(now, event, view).is_err() {
            self.leave(now);
            return;
        }
        if let Event::Ended(outcome) = event {
            let words = summary::describe(outcome, view.spec);
            // A closed terminal must not affect a migration.
            let _gone = writeln!(self.below, "{words}").and_then(|()| self.below.flush());
            self.leave(now);
        }
    }
}

impl<B: Backend> Show for Picture<B> {
    fn on_forecast(&mut self, now: Instant, report: &Report) {
        if let Some(lines) = &mut self.lines {
            lines.on_forecast(now, report);
        } else if self.show_forecast(now, report).is_err() {
            self.leave(now);
        }
    }
}

impl<B: Backend> Drop for Picture<B> {
    fn drop(&mut self) {
        // While unwinding, the cursor stays below what the panic wrote.
        if self.lines.is_none() && !self.area.is_empty() && !std::thread::panicking() {
            let _gone = self.terminal.set_cursor_position(resting_place(self.area));
            let _gone = writeln!(self.below).and_then(|()| self.below.flush());
        }
    }
}

impl<B: Backend> fmt::Debug for Picture<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Picture")
            .field("area", &self.area)
            .field("frame_ms", &self.frame_ms)
            .finish_non_exhaustive()
    }
}

fn resting_place(area: Rect) -> Position {
    Position { x: area.x, y: area.bottom().saturating_sub(1) }
}
