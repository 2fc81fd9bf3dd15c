//! How far a verb has come, on standard error: a bar on a terminal, a line now and then elsewhere.
//!
//! It must never write to standard output, and never decide anything: the work counts, and a thread shows the count.

use std::fmt;
use std::io::{self, IsTerminal as _};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::say;
use super::stop::Stop;

/// Work that ends sooner shows no bar.
const FIRST: Duration = Duration::from_secs(1);
/// Between two lines, where no bar can be drawn.
const LINES: Duration = Duration::from_secs(10);
/// Between two pictures of the bar.
const FRAMES: Duration = Duration::from_millis(200);

/// Work that is shown while it lasts. It may be counted by many threads.
#[derive(Debug)]
pub(super) struct Progress {
    done: Arc<AtomicU64>,
    stop: Stop,
    shown: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Progress {
    /// Shows work of `total` units: `what` is done, counted in `unit` (in the plural). The total may be an estimate.
    pub(super) fn new(what: &str, unit: &'static str, total: u64, stop: &Stop) -> Self {
        let done = Arc::new(AtomicU64::new(0));
        let work = Work { what: what.to_owned(), unit, total, done: Arc::clone(&done) };
        let (end, ended) = mpsc::channel();
        let thread = thread::spawn(move || {
            if is_terminal() {
                work.draw(&ended);
            } else {
                work.write_lines(&ended);
            }
        });
        Self { done, stop: stop.clone(), shown: Some((end, thread)) }
    }

    /// Counts one unit more. Breaks when the work is to stop.
    pub(super) fn add_one(&self) -> ControlFlow<()> {
        self.done.fetch_add(1, Ordering::Relaxed);
        self.go_on()
    }

    /// So many units are done. Breaks when the work is to stop.
    pub(super) fn set(&self, done: u64) -> ControlFlow<()> {
        self.done.store(done, Ordering::Relaxed);
        self.go_on()
    }

    /// Breaks when the work is to stop.
    pub(super) fn go_on(&self) -> ControlFlow<()> {
        if self.stop.is_pressed() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

impl Drop for Progress {
    /// Removes the bar: what is written after it starts on a line of its own.
    fn drop(&mut self) {
        if let Some((end, thread)) = self.shown.take() {
            drop(end);
            // A thread that only shows has no result.
            let _ = thread.join();
        }
    }
}

fn is_terminal() -> bool {
    io::stderr().is_terminal() && std::env::var_os("TERM").is_some_and(|terminal| terminal != "dumb")
}

struct Work {
    what: String,
    unit: &'static str,
    total: u64,
    done: Arc<AtomicU64>,
}

impl Work {
    fn draw(&self, ended: &Receiver<()>) {
        let bar = self.bar(ProgressDrawTarget::hidden());
        if !self.wait(&bar, ended, FIRST) {
            return;
        }
        bar.set_draw_target(ProgressDrawTarget::stderr());
        while self.wait(&bar, ended, FRAMES) {}
        bar.finish_and_clear();
    }

    fn write_lines(&self, ended: &Receiver<()>) {
        let bar = self.bar(ProgressDrawTarget::hidden());
        say(&format!("{}: {} {} begun", self.what, HumanCount(self.total), self.unit));
        while self.wait(&bar, ended, LINES) {
            let mut rest = String::new();
            // Writing into a string does not fail.
            let _ = write_rest(&mut rest, bar.position(), self.total, bar.per_sec(), bar.eta());
            say(&format!(
                "{}: {} of {} {} {rest}",
                self.what,
                HumanCount(bar.position()),
                HumanCount(self.total),
                self.unit
            ));
        }
    }

    fn bar(&self, target: ProgressDrawTarget) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(Some(self.total), target);
        let style =
            ProgressStyle::with_template("{prefix} [{bar:24}] {human_pos} of {human_len} {msg} {rest}");
        if let Ok(style) = style {
            bar.set_style(style.progress_chars("=> ").with_key(
                "rest",
                |state: &ProgressState, out: &mut dyn fmt::Write| {
                    // What cannot be drawn is not shown.
                    let total = state.len().unwrap_or(0);
                    let _ = write_rest(out, state.pos(), total, state.per_sec(), state.eta());
                },
            ));
        }
        bar.with_prefix(self.what.clone()).with_message(self.unit)
    }

    /// Whether the work still goes on after so long; the bar has its count then.
    fn wait(&self, bar: &ProgressBar, ended: &Receiver<()>, pause: Duration) -> bool {
        let goes_on = ended.recv_timeout(pause) == Err(RecvTimeoutError::Timeout);
        bar.set_position(self.done.load(Ordering::Relaxed));
        bar.tick();
        goes_on
    }
}

/// The share, the rate and the time that is left, as far as they are known.
fn write_rest(
    out: &mut dyn fmt::Write,
    done: u64,
    total: u64,
    per_second: f64,
    left: Duration,
) -> fmt::Result {
    let Some(percent) = done.saturating_mul(100).checked_div(total).filter(|percent| *percent <= 100) else {
        return write!(out, "(more than was estimated), {per_second:.0} a second");
    };
    write!(out, "({percent} %), {per_second:.0} a second")?;
    if done > 0 && per_second > 0.0 { write!(out, ", {} left", HumanDuration(left)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::write_rest;

    #[test]
    fn what_is_not_known_is_not_shown() {
        let rest = |done, total, rate, left_s| {
            let mut text = String::new();
            write_rest(&mut text, done, total, rate, Duration::from_secs(left_s)).unwrap();
            text
        };
        assert_eq!(rest(500, 1_000, 250.0, 2), "(50 %), 250 a second, 2 seconds left");
        assert_eq!(rest(0, 1_000, 0.0, 0), "(0 %), 0 a second");
        assert_eq!(rest(11, 10, 4.0, 0), "(more than was estimated), 4 a second");
        assert_eq!(rest(0, 0, 0.0, 0), "(more than was estimated), 0 a second");
    }
}
