//! The mistakes. Each is the shipped machine with one signal or order altered, left out, added or exchanged.

use whimbrel_core::control::{
    AbortSignal, ActSignal, CallSignal, Control, JobSignal, Mark, Order, Orders, Phase, SettingSignal,
    SetupSignal, Signal, Timer, UnexpectedSignal,
};
use whimbrel_core::port::{CopyState, Hint, Side};

type Stepped = Result<(Control, Orders), UnexpectedSignal>;

/// A machine with a mistake in it.
pub(crate) struct Bug {
    /// What is wrong with it.
    pub(crate) name: &'static str,
    pub(crate) machine: fn(Control, Signal) -> Stepped,
}

/// The machine receives another signal than the one that was sent.
macro_rules! hears {
    ($name:literal, $($heard:pat $(if $guard:expr)? => $instead:expr),+) => {
        Bug { name: $name, machine: |control, signal| control.step(match signal { $($heard $(if $guard)? => $instead,)+ other => other }) }
    };
    ($name:literal, $control:ident, $($heard:pat $(if $guard:expr)? => $instead:expr),+) => {
        Bug { name: $name, machine: |$control, signal| $control.step(match signal { $($heard $(if $guard)? => $instead,)+ other => other }) }
    };
}

/// The machine does not receive a signal.
macro_rules! misses {
    ($name:literal, $missed:pat) => {
        Bug {
            name: $name,
            machine: |control, signal| match signal {
                $missed => Ok((control, Orders::default())),
                other => control.step(other),
            },
        }
    };
}

/// An order is not given, and taken for executed.
macro_rules! skips {
    ($name:literal, $skipped:pat => $pretended:expr) => {
        Bug {
            name: $name,
            machine: |control, signal| {
                let (next, orders) = control.step(signal)?;
                let mut kept = Orders::default();
                let mut skipped = false;
                for order in orders.iter() {
                    if matches!(order, $skipped) { skipped = true } else { kept.give(order) }
                }
                if !skipped {
                    return Ok((next, kept));
                }
                let (next, more) = next.step($pretended)?;
                for order in more.iter() {
                    kept.give(order)
                }
                Ok((next, kept))
            },
        }
    };
}

/// An order is exchanged for another, or dropped.
macro_rules! exchanges {
    ($name:literal, $($wanted:pat => $given:expr),+) => {
        Bug {
            name: $name,
            machine: |control, signal| {
                let (next, orders) = control.step(signal)?;
                let mut kept = Orders::default();
                for order in orders.iter() {
                    let given: Option<Order> = match order { $($wanted => $given,)+ other => Some(other) };
                    if let Some(order) = given { kept.give(order) }
                }
                Ok((next, kept))
            },
        }
    };
}

/// An extra order is given.
macro_rules! adds {
    ($name:literal, ($control:ident, $signal:ident) $when:expr, $order:expr) => {
        Bug {
            name: $name,
            machine: |$control, $signal| {
                let when = $when;
                let (next, mut orders) = $control.step($signal)?;
                if when {
                    orders.give($order);
                }
                Ok((next, orders))
            },
        }
    };
}

use CopyState as Is;
use Side::{Destination, Source};
use Signal::{Elapsed, Seen};

pub(crate) const BUGS: &[Bug] = &[
    // An observation is taken for another one.
    hears!("a host that does not answer is taken for one without the guest", Seen(side, Is::Unknown) => Seen(side, Is::Absent)),
    hears!("a silent destination is taken for one without the guest", Seen(Destination, Is::Unknown) => Seen(Destination, Is::Absent)),
    hears!("a silent source is taken for one without the guest", Seen(Source, Is::Unknown) => Seen(Source, Is::Absent)),
    hears!("a silent source is taken for a stopped one", Seen(Source, Is::Unknown) => Seen(Source, Is::Stopped)),
    hears!("a copy that arrives is not seen", Seen(Destination, Is::Incoming) => Seen(Destination, Is::Absent)),
    hears!("a guest that runs on the destination is not seen", Seen(Destination, Is::Running) => Seen(Destination, Is::Absent)),
    hears!("a guest that is being migrated is taken for one that runs", Seen(Source, Is::Migrating) => Seen(Source, Is::Running)),
    hears!("a guest that is being migrated is taken for one that is gone", Seen(Source, Is::Migrating) => Seen(Source, Is::Absent)),
    hears!("a guest that is being migrated is taken for a stopped one", Seen(Source, Is::Migrating) => Seen(Source, Is::Stopped)),
    hears!("what post-copy left behind is taken for a stopped guest", Seen(Source, Is::Postcopy | Is::PostcopyFailed) => Seen(Source, Is::Stopped)),
    hears!("what post-copy left behind is taken for a paused guest", Seen(Source, Is::Postcopy | Is::PostcopyFailed) => Seen(Source, Is::Paused)),
    hears!("a definition on the destination is not seen", Seen(Destination, Is::Defined) => Seen(Destination, Is::Absent)),
    hears!("a definition is taken for a guest that runs", Seen(side, Is::Defined) => Seen(side, Is::Running)),
    hears!("a paused guest is taken for one that runs", Seen(side, Is::Paused) => Seen(side, Is::Running)),
    hears!("a source that runs is taken for one without the guest", Seen(Source, Is::Running) => Seen(Source, Is::Absent)),
    hears!("the two hosts are mixed up", Seen(Source, state) => Seen(Destination, state), Seen(Destination, state) => Seen(Source, state)),
    hears!("a cancel hides the guest on the destination", control, Seen(Destination, Is::Running) if control.ledger().has(Mark::CancelAsked) => Seen(Destination, Is::Absent)),
    // An answer is taken for another one.
    hears!("a refusal by the rules is ignored", Signal::Setup(SetupSignal::Refused) => Signal::Setup(SetupSignal::Allowed)),
    hears!("a setting that may not be changed is believed to be", Signal::Setting(SettingSignal::Unknown) => Signal::Setting(SettingSignal::Applied)),
    hears!("an act that may not be done is believed to be", Signal::Act(ActSignal::Unknown) => Signal::Act(ActSignal::Done)),
    hears!("a job that is gone is taken for one that worked", Signal::Job(JobSignal::Gone) => Signal::Call(CallSignal::Succeeded)),
    hears!("a source that cannot be queried is taken for a job that is gone", Signal::Job(JobSignal::Unknown) => Signal::Call(CallSignal::Failed)),
    hears!("an accepted abort is taken for the end", Signal::Abort(AbortSignal::Accepted) => Signal::Call(CallSignal::Failed)),
    hears!("a refused abort is taken for success", Signal::Abort(AbortSignal::Refused) => Signal::Call(CallSignal::Succeeded)),
    hears!("a hint that the job ended is believed", Signal::Hint(Hint::JobEnded) => Signal::Call(CallSignal::Failed)),
    hears!("a hint that post-copy began is believed", Signal::Hint(Hint::PostcopyBegan) => Seen(Source, Is::Postcopy)),
    hears!("a timeout is taken for the end", Elapsed(Timer::GiveUp) => Signal::Call(CallSignal::Failed)),
    // A signal is not received.
    misses!("an answer that never comes is awaited for good", Elapsed(Timer::Reply)),
    misses!("nothing ends the doubt", Elapsed(Timer::Patience)),
    misses!("both hosts are never queried again", Elapsed(Timer::LookAgain)),
    misses!("the job is never queried", Elapsed(Timer::Poll)),
    // A necessary order is left out.
    skips!("limits are left as they are", Order::Restore(_) => Signal::Setting(SettingSignal::Applied)),
    skips!("disks are left behind", Order::RemoveDisks => Signal::Act(ActSignal::Done)),
    skips!("a definition is left behind", Order::Undefine(_) => Signal::Act(ActSignal::Done)),
    skips!("a copy is left on the destination", Order::Destroy(_) => Signal::Act(ActSignal::Done)),
    skips!("a stopped guest is not resumed", Order::Resume(_) => Signal::Act(ActSignal::Done)),
    skips!("the destination is not queried", Order::Observe(Destination) => Seen(Destination, Is::Absent)),
    skips!("the source is not queried", Order::Observe(Source) => Seen(Source, Is::Stopped)),
    exchanges!("no deadline is set for answers", Order::Arm(Timer::Reply) => None),
    exchanges!("no end is set to the doubt", Order::Arm(Timer::Patience) => None),
    exchanges!("the next query is forgotten", Order::Arm(Timer::LookAgain) => None),
    // Something else is done.
    exchanges!("a copy is resumed instead of destroyed", Order::Destroy(side) => Some(Order::Resume(side))),
    exchanges!("limits are restored to the requested values", Order::Restore(change) => Some(Order::Apply(change))),
    exchanges!("a post-copy that was cut off is started again", Order::ResumePostcopy => Some(Order::StartMigration)),
    // Something is done too early.
    adds!("the source is resumed when a reply is lost", (_control, signal) signal == Signal::Call(CallSignal::Lost), Order::Resume(Source)),
    adds!("the source is resumed when the call fails", (_control, signal) signal == Signal::Call(CallSignal::Failed), Order::Resume(Source)),
    adds!("the source is ended when the call succeeds", (_control, signal) signal == Signal::Call(CallSignal::Succeeded), Order::Destroy(Source)),
    adds!("the destination is ended when the call fails", (_control, signal) signal == Signal::Call(CallSignal::Failed), Order::Destroy(Destination)),
    adds!("the destination is ended when a reply is lost", (_control, signal) signal == Signal::Call(CallSignal::Lost), Order::Destroy(Destination)),
    adds!("disks are removed before any query", (_control, signal) matches!(signal, Signal::Call(CallSignal::Failed | CallSignal::Lost)), Order::RemoveDisks),
    adds!("the copy is started again after a restart", (control, signal) signal == Signal::Restarted && matches!(control.phase(), Phase::Precopy(_)), Order::StartMigration),
    adds!("the call is made again when it was given up", (_control, signal) signal == Elapsed(Timer::Patience), Order::StartMigration),
    adds!("the source is resumed when post-copy fails", (control, signal) signal == Signal::Call(CallSignal::Failed) && matches!(control.phase(), Phase::Postcopy(_)), Order::Resume(Source)),
    adds!("the halves that were cut off are ended", (control, signal) matches!((control.phase(), signal), (Phase::Recovering(_), Seen(Destination, Is::PostcopyFailed))), Order::Destroy(Source)),
    adds!("a cancel ends the destination at once", (_control, signal) signal == Signal::Cancel, Order::Destroy(Destination)),
];
