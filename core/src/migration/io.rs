//! What goes into a migration and what comes out.

use alloc::boxed::Box;
use alloc::vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use super::takeover::Takeover;
use crate::control::UnexpectedSignal;
use crate::event::Event;
use crate::port::{Command, CommandId, Observation, Setting};
use crate::spec;
use crate::time::Instant;
use crate::vocabulary::AdjustmentKind;

/// Everything that can happen to a migration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// The deadline that [`Migration::deadline`](crate::Migration::deadline) gave has come. Early or duplicate timers
    /// do nothing; a late one delays.
    Timer,
    /// An operator's request.
    Operator(Request),
    /// The driver was restarted: commands in flight will not be answered any more, and commands that were due may not
    /// have been given.
    Restarted,
    /// In place of [`Request::Begin`]: the migration was begun by another release of the driver, or ended in doubt. It
    /// goes on from what is known of it.
    TakenOver(Box<Takeover>),
    /// A hypervisor, or its simulation, reports something.
    Hypervisor(Observation),
}

/// A request of an operator, allowed at any moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Begin. Once.
    Begin,
    /// End the migration, with the guest on the source if that is still possible. The answer is an event.
    Cancel,
    /// Adjust a running migration. The answer is an event.
    React(Adjustment),
}

/// What an operator may change while memory is copied. The change is put back when the guest stays on the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Adjustment {
    /// Another downtime limit, 1 to 2,000,000 ms.
    DowntimeLimitMs(u64),
    /// Another bandwidth limit, at least 1 MiB/s.
    BandwidthLimitBytesPerSecond(u64),
    /// Pause the guest until it has arrived: the copy catches up.
    Pause,
    /// Switch to post-copy: the guest is moved first, and its memory after it. There is no way back then.
    Postcopy,
}

impl Adjustment {
    /// Its kind, without the value.
    #[must_use]
    pub const fn kind(self) -> AdjustmentKind {
        match self {
            Self::DowntimeLimitMs(_) => AdjustmentKind::DowntimeLimit,
            Self::BandwidthLimitBytesPerSecond(_) => AdjustmentKind::BandwidthLimit,
            Self::Pause => AdjustmentKind::Pause,
            Self::Postcopy => AdjustmentKind::Postcopy,
        }
    }

    /// Whether its value is within the bounds of the hypervisor.
    #[must_use]
    pub fn is_within_bounds(self) -> bool {
        match self {
            Self::DowntimeLimitMs(ms) => spec::DOWNTIME_BOUNDS_MS.contains(&ms),
            Self::BandwidthLimitBytesPerSecond(rate) => {
                spec::BANDWIDTH_BOUNDS_BYTES_PER_SECOND.contains(&rate)
            }
            Self::Pause | Self::Postcopy => true,
        }
    }

    /// The setting that it changes.
    pub(super) const fn setting(self) -> Option<Setting> {
        match self {
            Self::DowntimeLimitMs(ms) => Some(Setting::DowntimeLimitMs(ms)),
            Self::BandwidthLimitBytesPerSecond(rate) => Some(Setting::BandwidthLimitBytesPerSecond(rate)),
            Self::Pause | Self::Postcopy => None,
        }
    }
}

/// A command or an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// To be executed, and answered by its id.
    Command(Command),
    /// To be reported.
    Event(Event),
}

/// The outputs of one input, in order. They borrow the migration, so the next input can only be given when these have
/// been taken:
///
/// ```compile_fail,E0499
/// use whimbrel_core::{Input, Instant, Migration, Request, Spec};
/// let mut migration = Migration::new(Spec::new("web", "a", "b")).unwrap();
/// let first = migration.handle(Instant::BEGIN, Input::Operator(Request::Begin)).unwrap();
/// let second = migration.handle(Instant::BEGIN, Input::Timer).unwrap();
/// drop(first); // the first outputs are still held here, so the second call does not compile
/// ```
#[derive(Debug)]
#[must_use = "commands that are not executed leave the migration waiting"]
pub struct Outputs<'a> {
    pub(super) list: vec::Drain<'a, Output>,
}

impl Iterator for Outputs<'_> {
    type Item = Output;

    fn next(&mut self) -> Option<Output> {
        self.list.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.list.size_hint()
    }
}

impl ExactSizeIterator for Outputs<'_> {}

/// The driver broke the protocol. Never caused by what a hypervisor or an operator does. The phase is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misuse {
    /// The input is older than the one before.
    TimeWentBack {
        /// The instant of the input before.
        from: Instant,
        /// The instant of this one.
        to: Instant,
    },
    /// An answer to a command that was never given.
    UnknownCommand(CommandId),
    /// An answer of another kind than the command expects.
    WrongAnswer(CommandId),
    /// An [`Input::TakenOver`] for a migration that has begun.
    AlreadyBegun,
    /// A second [`Request::Begin`], or an answer to no command.
    UnexpectedSignal(UnexpectedSignal),
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimeWentBack { from, to } => {
                write!(f, "an input of {} ns came after one of {} ns", to.as_ns(), from.as_ns())
            }
            Self::UnknownCommand(id) => write!(f, "command {} was never given", id.0),
            Self::WrongAnswer(id) => write!(f, "command {} expects another kind of answer", id.0),
            Self::AlreadyBegun => f.write_str("a migration that has begun cannot be taken over"),
            Self::UnexpectedSignal(unexpected) => {
                write!(f, "{:?} is not expected while {}", unexpected.signal, unexpected.phase)
            }
        }
    }
}

impl core::error::Error for Misuse {}
