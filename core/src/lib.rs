//! A live migration as a pure state machine.
//!
//! [`Migration`] is fed with [`Input`]s (an operator's request, what a hypervisor answered, a timer) and gives
//! [`Output`]s (commands for the hypervisors, events for people). It executes nothing itself: a *driver* does, one
//! for a simulated world and one for libvirt, and neither knows more than [`port`]. Both run it with the same [`Pump`].
//!
//! ```text
//!              Input                      Output
//!   operator ───────┐   ┌───────────┐   ┌──────── commands ──▶ hypervisors
//!   hypervisors ────┼──▶│ Migration │───┤
//!   timer, rules ───┘   └───────────┘   └──────── events ────▶ people, journal
//!                   control │ convergence
//! ```
//!
//! Inside are two halves. [`control`] is the safety protocol: phases, who owns the guest, what must be undone; it
//! is small, has neither floats nor strings, and can be explored exhaustively. [`convergence`] measures: the dirty
//! curve, its regressions, the water marks. Control never trusts convergence for safety.
//!
//! This crate must never read a clock, perform IO, draw a random number, or depend on an order that differs
//! between runs: the same inputs at the same instants give the same outputs, which is what makes a [`journal`]
//! a complete record of a migration.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod control;
pub mod convergence;
pub mod document;
pub mod event;
pub mod facts;
pub mod journal;
mod listed;
mod migration;
pub mod outcome;
pub mod port;
mod pump;
mod spec;
mod time;
mod vocabulary;

pub use event::{CancelAnswer, Event};
pub use facts::{Facts, Finding, GuestFacts, GuestRun, HostFacts, Severity, Verdict};
pub use migration::{
    Adjustment, Input, Limits, Migration, Misuse, Output, Outputs, Request, Snapshot, Takeover, View,
};
pub use outcome::{Advice, Cause, Ending, GuestLocation, Leftover, Outcome, Recovery};
pub use port::{Action, Answer, Command, CommandId, CopyState, Failure, Fault, Hint, Observation, Side};
pub use pump::{Pump, Sink};
pub use spec::{Spec, SpecError, TransferOptions};
pub use time::Instant;
pub use vocabulary::{AdjustmentKind, AdjustmentResult, AtTimeout, PhaseName};

/// The page of the package, so that its example is tried.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
