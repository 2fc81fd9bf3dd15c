//! Control: the safety protocol of a migration.
//!
//! ```text
//!  Validating ──▶ Preparing ──▶ Precopy ──▶ SwitchingOver ──▶ Completing ──▶ Done
//!      │              │          │  ▲  │          │                │          ▲
//!      │              ▼          ▼  │  └──────┐   │                │          │
//!      │          RollingBack ◀──┴──┼─────────┼───┤                │          │
//!      │              │             │         ▼   ▼                ▼          │
//!      └──────────────┴─────────────┴────── Resolving ◀────────────┘ ─────────┘
//! ```
//!
//! Each phase is a struct in a file of its own that says who owns the guest there and what each failure does; it is
//! moved by value, so nothing can be done with a phase that was left. Every pair of phase and [`Signal`] is written
//! out: there is no wildcard arm, and what a driver may not send is [`Unasked`].
//!
//! [`Control`] is a small value without floats or strings, so that this very code can be explored exhaustively. It
//! must never look at measurements, and never give an order that breaks an invariant: `guard` asserts those in
//! release builds too.

mod completing;
mod done;
mod guard;
mod precopy;
mod preparing;
mod resolving;
mod rolling_back;
mod sighting;
mod signal;
mod switching_over;
mod validating;

pub use completing::Completing;
pub use done::Done;
pub use precopy::{Abort, Call, Precopy};
pub use preparing::Preparing;
pub use resolving::Resolving;
pub use rolling_back::RollingBack;
pub use sighting::{Assessment, Sighting};
pub use signal::{Order, Orders, SettingKind, SettingSet, Signal, Timer};
pub use switching_over::SwitchingOver;
pub use validating::Validating;

use crate::event::PhaseName;
use crate::facts::GuestRun;
use crate::outcome::Cause;
use crate::port::{CopyState, Side};

/// The whole control state of a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Control {
    phase: Phase,
    ledger: Ledger,
}

// The exhaustive exploration stores a state in 128 bits.
const _: () = assert!(size_of::<Control>() <= 16);

/// Where a migration stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Facts are collected and judged.
    Validating(Validating),
    /// Settings are changed.
    Preparing(Preparing),
    /// Memory is copied while the guest runs.
    Precopy(Precopy),
    /// The guest stands still for the hand-over.
    SwitchingOver(SwitchingOver),
    /// The guest is said to be on the destination.
    Completing(Completing),
    /// The guest stays on the source.
    RollingBack(RollingBack),
    /// It is not known where the guest is.
    Resolving(Resolving),
    /// It is over.
    Done(Done),
}

/// What outlives a phase: what was asked, what was changed, why the migration is being left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ledger {
    /// The settings that are to be changed.
    pub plan: SettingSet,
    /// The settings that may have been changed and are to be put back.
    pub undo: SettingSet,
    /// The settings that could not be put back.
    pub not_undone: SettingSet,
    /// How the guest stood before the migration.
    pub guest_was: GuestRun,
    /// Whether an operator asked for the end.
    pub cancel_asked: bool,
    /// Why the migration is being left: the first cause stays.
    pub cause: Option<Cause>,
    /// Whether the source's copy was seen stopped for the hand-over: the destination may have run since.
    pub switchover_began: bool,
    /// Whether the destination was seen with the guest during this migration. Only then does its absence there mean
    /// anything: a name that leads us to another host than the source's daemon would show it absent too.
    pub destination_receives: bool,
}

/// A signal that answers nothing that was asked: the driver broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unasked {
    /// The phase in which it came.
    pub phase: PhaseName,
    /// What came.
    pub signal: Signal,
}

type Next = Result<Phase, Unasked>;

impl Control {
    /// A migration that has not begun and will change the settings in `plan`.
    #[must_use]
    pub const fn new(plan: SettingSet) -> Self {
        Self {
            phase: Phase::Validating(Validating::NEW),
            ledger: Ledger {
                plan,
                undo: SettingSet::EMPTY,
                not_undone: SettingSet::EMPTY,
                guest_was: GuestRun::Running,
                cancel_asked: false,
                cause: None,
                switchover_began: false,
                destination_receives: false,
            },
        }
    }

    /// Takes one signal: the state after it, and the orders that it causes. Constant time.
    ///
    /// # Errors
    /// [`Unasked`] when no driver that keeps the protocol could send this signal here.
    pub fn step(self, signal: Signal) -> Result<(Self, Orders), Unasked> {
        let mut ledger = self.ledger;
        let mut orders = Orders::default();
        let phase = match self.phase {
            Phase::Validating(phase) => phase.on(signal, &mut ledger, &mut orders),
            Phase::Preparing(phase) => phase.on(signal, &mut ledger, &mut orders),
            Phase::Precopy(phase) => phase.on(signal, &mut ledger, &mut orders),
            Phase::SwitchingOver(phase) => phase.on(signal, &mut ledger, &mut orders),
            Phase::Completing(phase) => phase.on(signal, &mut ledger, &mut orders),
            Phase::RollingBack(phase) => phase.on(signal, &mut ledger, &mut orders),
            Phase::Resolving(phase) => phase.on(signal, &mut ledger, &mut orders),
            Phase::Done(phase) => phase.on(signal, &mut ledger, &mut orders),
        }?;
        Ok((Self { phase, ledger }, orders))
    }

    /// The phase.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// What outlives phases.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}

impl Phase {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> PhaseName {
        match self {
            Self::Validating(_) => PhaseName::Validating,
            Self::Preparing(_) => PhaseName::Preparing,
            Self::Precopy(_) => PhaseName::Precopy,
            Self::SwitchingOver(_) => PhaseName::SwitchingOver,
            Self::Completing(_) => PhaseName::Completing,
            Self::RollingBack(_) => PhaseName::RollingBack,
            Self::Resolving(_) => PhaseName::Resolving,
            Self::Done(_) => PhaseName::Done,
        }
    }

    /// Whether a timer that was armed before still means something here; the shell drops it otherwise.
    #[must_use]
    pub const fn wants(self, timer: Timer) -> bool {
        match (self, timer) {
            (Self::Precopy(_) | Self::SwitchingOver(_), Timer::Poll)
            // A copy that is found going on after a lost reply is still bound by its timeout.
            | (Self::Precopy(_) | Self::SwitchingOver(_) | Self::Resolving(_), Timer::GiveUp)
            | (Self::RollingBack(_) | Self::Resolving(_), Timer::LookAgain)
            | (
                Self::Validating(_)
                | Self::Preparing(_)
                | Self::Precopy(_)
                | Self::SwitchingOver(_)
                | Self::Completing(_)
                | Self::RollingBack(_)
                | Self::Resolving(_),
                Timer::Reply,
            ) => true,
            (Self::Precopy(_) | Self::SwitchingOver(_), Timer::LookAgain)
            | (Self::RollingBack(_), Timer::Poll | Timer::GiveUp)
            | (Self::Resolving(_), Timer::Poll)
            | (
                Self::Validating(_) | Self::Preparing(_) | Self::Completing(_),
                Timer::Poll | Timer::GiveUp | Timer::LookAgain,
            )
            | (Self::Done(_), Timer::Poll | Timer::GiveUp | Timer::Reply | Timer::LookAgain) => false,
        }
    }
}

impl Ledger {
    /// Notes what was seen of the guest on the way.
    pub(crate) fn note_seen(&mut self, side: Side, state: CopyState) {
        let there = match state {
            CopyState::Running
            | CopyState::Migrating
            | CopyState::Stopped
            | CopyState::Paused
            | CopyState::Incoming
            | CopyState::Postcopy
            | CopyState::PostcopyFailed => true,
            CopyState::Absent | CopyState::Unknown => false,
        };
        self.destination_receives |= side == Side::Destination && there;
    }

    /// Notes why the migration is being left; a cause that stands already stays.
    pub(crate) fn blame(&mut self, cause: Cause) {
        self.cause = self.cause.or(Some(cause));
    }
}
