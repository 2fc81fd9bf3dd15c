//! Liveness: from any state, without further disruptions, one fair schedule must terminate.
//!
//! Fair means that everything which can happen and was not prevented does happen some time: answers arrive, commands
//! are executed, hypervisors take their next step, and only when nothing else is left does a timer run out, the short
//! ones first. What is broken stays broken, which is the harder case: waiting for it must end by a timeout.

use whimbrel_core::control::{Phase, Timer};

use super::moves::{LateCommand, Move, Slot};
use super::protocol::Step;
use super::scope::Scope;
use super::state::{State, Transition};

impl State {
    /// The next state of the fair schedule; there is always one before the end.
    pub(crate) fn next_fair(&self, scope: &Scope) -> Transition {
        if !self.is_driven {
            return self.after(Move::Restart, scope);
        }
        if matches!(self.control.phase(), Phase::Validating(validating) if !validating.has_begun()) {
            return self.after(Move::Begin, scope);
        }
        let answers = Slot::ALL.into_iter().map(Move::Deliver);
        let commands = Slot::ALL.into_iter().map(Move::CarryOut);
        let late = [Move::CarryOutLate(LateCommand::Setting), Move::Judge(true)];
        let steps = Step::ALL.into_iter().map(Move::Step);
        let moves = answers.chain(late).chain(commands).chain(steps);
        for what in moves {
            if !self.is_possible(what) {
                continue;
            }
            match self.after(what, scope) {
                Transition::Impossible => {}
                Transition::To(next) if next == *self => {}
                outcome => return outcome,
            }
        }
        self.after_timer(scope)
    }

    fn is_possible(&self, what: Move) -> bool {
        match what {
            Move::CarryOut(slot) => self.is_out(slot),
            Move::Deliver(slot) => self.is_answered(slot),
            Move::Judge(_) => self.in_flight.rules == super::in_flight::Exchange::Sent,
            _ => true,
        }
    }

    /// The first timer that changes anything runs out.
    fn after_timer(&self, scope: &Scope) -> Transition {
        let look_again = !self.is_patience_at_its_end();
        let order = [
            (look_again, Timer::LookAgain),
            (!look_again, Timer::Patience),
            (true, Timer::Poll),
            (true, Timer::Reply),
            (true, Timer::Reaction),
            (true, Timer::Patience),
        ];
        for (fits, timer) in order {
            if !fits || !self.in_flight.is_armed(timer) {
                continue;
            }
            match self.after(Move::Timer(timer), scope) {
                Transition::To(next) if next == *self => {}
                outcome => return outcome,
            }
        }
        Transition::Impossible
    }

    /// Another query would show the same: the timeout elapses some time.
    fn is_patience_at_its_end(&self) -> bool {
        match self.control.phase() {
            Phase::Resolving(resolving) => resolving.is_confirmed(),
            Phase::Recovering(recovering) => recovering.is_confirmed() || !self.model.is_joined(),
            Phase::Precopy(copy) => copy.is_stalled(),
            Phase::SwitchingOver(switching) => switching.is_stalled(),
            Phase::Postcopy(postcopy) => postcopy.is_stalled(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use whimbrel_core::control::{AdjustmentKind, Phase, Timer};

    use super::super::faults::{Disruption, Repair};
    use super::super::moves::{Move, Slot};
    use super::super::slices::slices;
    use super::super::state::{State, Transition};
    use super::Step;

    /// The guest had arrived whole when the link was cut, and the call's answer is lost: neither host says that
    /// anything is over.
    #[test]
    fn a_guest_that_arrived_whole_is_noticed_without_a_call() {
        ends(&[
            Move::React(AdjustmentKind::Postcopy),
            Move::Step(Step::Prepare),
            Move::Step(Step::Copy),
            Move::CarryOut(Slot::Reaction),
            Move::Step(Step::SwitchToPostcopy),
            Move::Step(Step::Arrive),
            Move::Break(Disruption::Link),
            Move::Step(Step::Silence),
            Move::Lose(Slot::Call),
        ]);
    }

    /// The source's half says that it is cut off, the destination's daemon was away when the link was cut, and no call
    /// is out that would return: only a query of the source shows it.
    #[test]
    fn a_source_that_gave_the_other_half_up_is_noticed_without_a_call() {
        ends(&[
            Move::Timer(Timer::Poll),
            Move::Timer(Timer::Reply),
            Move::React(AdjustmentKind::Postcopy),
            Move::Timer(Timer::Patience),
            Move::Step(Step::Prepare),
            Move::Step(Step::Copy),
            Move::CarryOut(Slot::Reaction),
            Move::Step(Step::SwitchToPostcopy),
            Move::Break(Disruption::Link),
            Move::Break(Disruption::DestinationDaemon),
            Move::Repair(Repair::Destination),
        ]);
    }

    /// Up to the migrate call.
    const BEGUN: [Move; 6] = [
        Move::Begin,
        Move::CarryOut(Slot::Facts),
        Move::Deliver(Slot::Facts),
        Move::Judge(true),
        Move::Timer(Timer::Reply),
        Move::CarryOut(Slot::Call),
    ];

    /// After the call and this path there are no more disruptions, and the migration ends.
    fn ends(way: &[Move]) {
        let scope = slices().into_iter().find(|slice| slice.name == "faults-and-requests").unwrap().scope;
        let mut state = State::new(&scope);
        for what in BEGUN.iter().chain(way).copied() {
            let Transition::To(next) = state.after(what, &scope) else { panic!("{what:?} is not possible") };
            state = next;
        }
        let mut moves = 0;
        while !matches!(state.control.phase(), Phase::Done(_)) {
            let Transition::To(next) = state.next_fair(&scope) else { panic!("no way on") };
            state = next;
            moves += 1;
            assert!(moves < 60, "no end: {:?}", state.control.phase());
        }
    }
}
