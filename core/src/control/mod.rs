//! Control: the safety protocol of a migration.
//!
//! ```text
//!  Validating ──▶ Preparing ──▶ Precopy ◀──▶ SwitchingOver ──▶ Completing ──▶ Done
//!      │              │          │    │            │                │          ▲
//!      │              │          │    └▶ Postcopy ─┼───────────────▶│          │
//!      │              │          │         ▲ ▼     │                │          │
//!      │              │          │      Recovering │                │          │
//!      │              ▼          ▼                 ▼                ▼          │
//!      │          RollingBack ◀──────────────▶ Resolving ◀──────────┘ ─────────┤
//!      └──────────────┴────────────────────────────────────────────────────────┘
//! ```
//!
//! The exact diagram is generated from this code and stands in `docs/control-machine.md`.
//!
//! Each phase is a struct in a file of its own that says who owns the guest there and what each failure does; it is
//! moved by value, so nothing can be done with a phase that was left. Every pair of phase and [`Signal`] is written
//! out: there is no wildcard arm, and what a driver may not send is [`Unasked`].
//!
//! [`Control`] is a small value without floats or strings, so that this very code can be explored exhaustively. It
//! must never look at measurements or count time, and never give an order that breaks an invariant: `guard` asserts
//! those in release builds too.

mod completing;
mod done;
mod guard;
mod ledger;
mod postcopy;
mod precopy;
mod preparing;
mod recovering;
mod resolving;
mod rolling_back;
mod sighting;
mod signal;
mod snapshot;
mod switching_over;
mod validating;

pub use completing::Completing;
pub use done::Done;
pub use ledger::{Ledger, Mark};
pub use postcopy::Postcopy;
pub use precopy::{Abort, Call, Poll, Precopy};
pub use preparing::Preparing;
pub use recovering::Recovering;
pub use resolving::Resolving;
pub use rolling_back::RollingBack;
pub use sighting::{Assessment, Sighting};
pub use signal::{
    AbortSignal, ActSignal, AdjustmentSignal, CallSignal, JobSignal, SettingSignal, SetupSignal,
};
pub use signal::{Found, Order, Orders, Signal, Timer};
pub use snapshot::LedgerSnapshot;
pub use switching_over::SwitchingOver;
pub use validating::Validating;

pub use crate::vocabulary::{AdjustmentKind, AdjustmentResult, Asked, Change, Changes};

use crate::outcome::Cause;
use crate::vocabulary::PhaseName;

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
    /// The guest runs on the destination, and its memory follows.
    Postcopy(Postcopy),
    /// The guest stands still for the hand-over.
    SwitchingOver(SwitchingOver),
    /// The guest is said to be on the destination.
    Completing(Completing),
    /// The guest stays on the source.
    RollingBack(RollingBack),
    /// It is not known where the guest is.
    Resolving(Resolving),
    /// The guest is in two halves that have lost each other.
    Recovering(Recovering),
    /// It is over.
    Done(Done),
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
    pub fn new(plan: Changes, asked: Asked) -> Self {
        Self { phase: Phase::Validating(Validating::NEW), ledger: Ledger::new(plan, asked) }
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
            Phase::Postcopy(phase) => phase.on(signal, &mut ledger, &mut orders),
            Phase::SwitchingOver(phase) => phase.on(signal, &mut ledger, &mut orders),
            Phase::Completing(phase) => phase.on(signal, &mut ledger, &mut orders),
            Phase::RollingBack(phase) => phase.on(signal, &mut ledger, &mut orders),
            Phase::Resolving(phase) => phase.on(signal, &mut ledger, &mut orders),
            Phase::Recovering(phase) => phase.on(signal, &mut ledger, &mut orders),
            Phase::Done(phase) => phase.on(signal, &mut ledger, &mut orders),
        }?;
        Ok((Self { phase, ledger }, orders))
    }

    /// A migration that another release drove, as far as its ledger shows. If the migrate call may have been made, the hosts
    /// are observed first; if not, what was changed is put back, and nothing begins.
    #[must_use]
    pub fn take_over(ledger: Ledger, call_made: bool) -> (Self, Orders) {
        let mut ledger = ledger;
        let mut orders = Orders::default();
        let phase = if call_made {
            Resolving::after_lost_reply(&mut orders)
        } else {
            ledger.blame(Cause::DriverRestarted);
            RollingBack::restore(&mut ledger, &mut orders)
        };
        (Self { phase, ledger }, orders)
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
            Self::Postcopy(_) => PhaseName::Postcopy,
            Self::SwitchingOver(_) => PhaseName::SwitchingOver,
            Self::Completing(_) => PhaseName::Completing,
            Self::RollingBack(_) => PhaseName::RollingBack,
            Self::Resolving(_) => PhaseName::Resolving,
            Self::Recovering(_) => PhaseName::Recovering,
            Self::Done(_) => PhaseName::Done,
        }
    }

    /// Whether a timer that was armed before still means something here; the shell drops it otherwise.
    #[must_use]
    pub fn wants(self, timer: Timer) -> bool {
        let wanted: &[Timer] = match self {
            Self::Validating(_) | Self::Preparing(_) | Self::Completing(_) => &[Timer::Reply],
            Self::Precopy(_) | Self::SwitchingOver(_) => {
                &[Timer::Reply, Timer::Reaction, Timer::GiveUp, Timer::AskAgain, Timer::Patience, Timer::Poll]
            }
            Self::Postcopy(_) => &[Timer::Reply, Timer::Patience, Timer::Poll],
            Self::RollingBack(_) => &[Timer::Reply, Timer::LookAgain],
            // A copy that is found going on after a lost reply is still bound by its timeout.
            Self::Resolving(_) => &[Timer::Reply, Timer::GiveUp, Timer::Patience, Timer::LookAgain],
            Self::Recovering(_) => &[Timer::Reply, Timer::Patience, Timer::LookAgain],
            Self::Done(_) => &[],
        };
        wanted.contains(&timer)
    }
}
