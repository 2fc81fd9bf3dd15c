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
//! The exact diagram is generated from this code: `docs/control-machine.md`.
//!
//! Each phase is a struct in a file of its own that says who owns the guest there and what each failure does; it is
//! moved by value, so a phase that was left cannot be used. Every pair of phase and [`Signal`] is written out: there is
//! no wildcard arm, and a signal that no correct driver sends is an [`UnexpectedSignal`].
//!
//! [`Control`] is a small value without floats or strings, so this same code can be explored exhaustively. It must
//! never depend on measurements or count time, and never give an order that breaks an invariant: `guard` asserts those
//! in release builds too.

mod completing;
mod done;
mod guard;
mod ledger;
mod observations;
mod postcopy;
mod precopy;
mod preparing;
mod recovering;
mod resolving;
mod rolling_back;
mod signal;
mod snapshot;
mod switching_over;
mod validating;

pub use completing::Completing;
pub use done::Done;
pub use ledger::{Ledger, Mark};
pub use observations::{Assessment, HostObservations};
pub use postcopy::Postcopy;
pub use precopy::{Abort, Call, Poll, Precopy};
pub use preparing::Preparing;
pub use recovering::Recovering;
pub use resolving::Resolving;
pub use rolling_back::RollingBack;
pub use signal::{
    AbortSignal, ActSignal, AdjustmentSignal, CallSignal, JobSignal, SettingSignal, SetupSignal,
};
pub use signal::{Found, Order, Orders, Signal, Timer};
pub use snapshot::LedgerSnapshot;
pub use switching_over::SwitchingOver;
pub use validating::Validating;

pub use crate::vocabulary::{AdjustmentKind, AdjustmentResult, Change, Changes, ControlOptions};

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

/// The phase of a migration, with its own state.
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
    /// The guest is stopped for the switchover.
    SwitchingOver(SwitchingOver),
    /// The migrate call reported success: the guest should be on the destination.
    Completing(Completing),
    /// The guest stays on the source.
    RollingBack(RollingBack),
    /// The guest's location is unknown.
    Resolving(Resolving),
    /// The guest is in two halves that have lost each other.
    Recovering(Recovering),
    /// It is over.
    Done(Done),
}

/// A signal that cannot occur in its phase: the driver broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnexpectedSignal {
    /// The phase in which it came.
    pub phase: PhaseName,
    /// The signal.
    pub signal: Signal,
}

type Next = Result<Phase, UnexpectedSignal>;

impl Control {
    /// A migration that has not begun, and will change the settings in `plan`.
    #[must_use]
    pub fn new(plan: Changes, options: ControlOptions) -> Self {
        Self { phase: Phase::Validating(Validating::NEW), ledger: Ledger::new(plan, options) }
    }

    /// Takes one signal: the state after it, and the orders that it causes. Constant time.
    ///
    /// # Errors
    /// [`UnexpectedSignal`] when no driver that keeps the protocol could send this signal here.
    pub fn step(self, signal: Signal) -> Result<(Self, Orders), UnexpectedSignal> {
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

    /// A migration that another release drove, as far as its ledger shows. If the migrate call may have been made, both
    /// hosts are queried first; if not, changes are put back, and nothing begins.
    #[must_use]
    pub fn take_over(ledger: Ledger, call_made: bool) -> (Self, Orders) {
        let mut ledger = ledger;
        let mut orders = Orders::default();
        let phase = if call_made {
            Resolving::after_lost_reply(&mut orders)
        } else {
            ledger.set_cause(Cause::DriverRestarted);
            RollingBack::restore(&mut ledger, &mut orders)
        };
        (Self { phase, ledger }, orders)
    }

    /// The phase.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// The state that outlives phases.
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

    /// Whether a timer that was armed before still has a meaning here; the shell drops it otherwise.
    #[must_use]
    pub fn wants(self, timer: Timer) -> bool {
        let wanted: &[Timer] = match self {
            Self::Validating(_) | Self::Preparing(_) | Self::Completing(_) => &[Timer::Reply],
            Self::Precopy(_) | Self::SwitchingOver(_) => {
                &[Timer::Reply, Timer::Reaction, Timer::GiveUp, Timer::AskAgain, Timer::Patience, Timer::Poll]
            }
            Self::Postcopy(_) => &[Timer::Reply, Timer::Patience, Timer::Poll],
            Self::RollingBack(_) => &[Timer::Reply, Timer::LookAgain],
            // A copy that is found in progress after a lost reply is still bound by its timeout.
            Self::Resolving(_) => &[Timer::Reply, Timer::GiveUp, Timer::Patience, Timer::LookAgain],
            Self::Recovering(_) => &[Timer::Reply, Timer::Patience, Timer::LookAgain],
            Self::Done(_) => &[],
        };
        wanted.contains(&timer)
    }
}
