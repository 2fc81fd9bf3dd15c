//! Whole migrations to go through again: inputs that were recorded from a simulation, and the signals of the control
//! machine alone.
//!
//! They are made by the shipped code, never written down by hand as data, so that a bench cannot measure a course that
//! the machine no longer takes.

use whimbrel_core::control::{
    CallSignal, Change, Changes, Control, ControlOptions, Found, JobSignal, SettingSignal, SetupSignal,
    Signal, Timer,
};
use whimbrel_core::journal::{self, JournalError};
use whimbrel_core::{CopyState, GuestRun, Hint, Input, Instant, Misuse, Side, Spec, SpecError, Verdict};
use whimbrel_sim::{Scenario, ScenarioError, Simulation, simulation};

/// The built-in scenarios that are measured: those whose guests are small and whose migrations are short.
pub const SCENARIOS: [&str; 3] = ["regression", "converges", "never-converges"];

/// A migration that can be gone through again.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The requested migration.
    pub spec: Spec,
    /// Every input with its instant: answers to polls, hints, timers, the operator's requests.
    pub inputs: Vec<(Instant, Input)>,
    /// The same as the text of a journal.
    pub journal: String,
}

/// Why no migration could be recorded; each of them is a bug.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// There is no scenario of that name.
    #[error("no built-in scenario is called `{0}`")]
    Unknown(String),
    /// The scenario cannot be read.
    #[error("the built-in scenario cannot be read")]
    Scenario(#[from] ScenarioError),
    /// The scenario's limits are out of bounds.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The simulated world broke the protocol.
    #[error("the simulation broke the protocol")]
    Misuse(#[from] Misuse),
    /// The simulation's journal does not replay.
    #[error("the simulation's journal does not replay")]
    Journal(#[from] JournalError),
}

/// A built-in scenario.
///
/// # Errors
/// [`RecordError::Unknown`] when there is none of that name.
pub fn scenario(name: &str) -> Result<Scenario, RecordError> {
    Ok(Scenario::built_in(name).ok_or_else(|| RecordError::Unknown(name.to_owned()))??)
}

/// Simulates a scenario with its own seed and rules that find nothing.
///
/// # Errors
/// See [`RecordError`].
pub fn simulate(scenario: &Scenario) -> Result<Simulation, RecordError> {
    let mut simulation =
        Simulation::new(scenario, scenario.conditions(), |_| Verdict::default())?.with_journal();
    simulation.run(|| None, |_, _, _| {})?;
    Ok(simulation)
}

/// Records a scenario's migration.
///
/// # Errors
/// See [`RecordError`].
pub fn record(scenario: &Scenario) -> Result<Recorded, RecordError> {
    let simulation = simulate(scenario)?;
    let journal = simulation.journal().unwrap_or_default().to_owned();
    let mut inputs = Vec::new();
    journal::replay(&journal, |record, _, _| inputs.push((record.at_ns, record.input.clone())))?;
    Ok(Recorded { spec: simulation::spec(scenario), inputs, journal })
}

/// A control machine that will change both settings.
#[must_use]
pub fn control() -> Control {
    let plan = Changes::EMPTY.with(Change::DowntimeLimit).with(Change::BandwidthLimit);
    Control::new(plan, ControlOptions::default())
}

/// The signals of a migration that works, with this many iterations in its pre-copy.
#[must_use]
pub fn signals(iterations: usize) -> Vec<Signal> {
    let begin = [
        Signal::Begin,
        Signal::Setup(SetupSignal::FactsArrived(Found {
            run: GuestRun::Running,
            is_persistent: true,
            is_defined_there: false,
            makes_disks: false,
        })),
        Signal::Setup(SetupSignal::Allowed),
        Signal::Setup(SetupSignal::SettingsRead),
        Signal::Setting(SettingSignal::Applied),
        Signal::Setting(SettingSignal::Applied),
    ];
    let iteration = [
        Signal::Elapsed(Timer::Poll),
        Signal::Job(JobSignal::Active),
        Signal::Hint(Hint::IterationBegan),
        Signal::Job(JobSignal::Active),
    ];
    let end = [
        Signal::Hint(Hint::SourceSuspended),
        Signal::Call(CallSignal::Succeeded),
        Signal::Seen(Side::Source, CopyState::Absent),
        Signal::Seen(Side::Destination, CopyState::Running),
        Signal::Job(JobSignal::Gone),
    ];
    begin.into_iter().chain(iteration.into_iter().cycle().take(4 * iterations)).chain(end).collect()
}

#[cfg(test)]
mod tests {
    use whimbrel_core::control::Phase;
    use whimbrel_core::{Ending, Migration};

    use super::*;

    #[test]
    fn the_signals_are_a_whole_migration() {
        let mut control = control();
        for signal in signals(3) {
            control = control.step(signal).unwrap().0;
        }
        assert!(matches!(control.phase(), Phase::Done(done) if done.ending == Ending::Completed));
    }

    #[test]
    fn the_inputs_of_every_measured_scenario_are_a_whole_migration() {
        for name in SCENARIOS {
            let recorded = record(&scenario(name).unwrap()).unwrap();
            let mut migration = Migration::new(recorded.spec).unwrap();
            for (at, input) in recorded.inputs {
                assert!(migration.handle(at, input).is_ok());
            }
            assert!(migration.view().outcome.is_some(), "{name}");
        }
        assert!(matches!(scenario("nowhere"), Err(RecordError::Unknown(_))));
    }
}
