//! A scenario file on real hosts: the same file that the simulator reads, with a guest of the same pattern and the same
//! faults at the same iterations, migrated by the real program.
//!
//! What happened is read from the migration's journal, by replaying it: so every run also proves that its journal
//! replays. The guest's region is the scenario's working set; what it fills beside is left to the simulator.

mod capabilities;
mod faults;
mod program;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant as Clock};

use whimbrel_core::journal::{self, JournalError};
use whimbrel_core::{AtTimeout, Event, Instant, Outcome, Output};
use whimbrel_sim::Scenario;
use whimbrel_sim::scenario::GuestPhase;

use self::faults::Faults;
use self::program::Program;
use crate::{Guest, GuestSpec, Lab, LabError, Phase};

/// Longer than any scenario is allowed to take on real hosts.
const PATIENCE: Duration = Duration::from_mins(15);
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// A slower link is made so slow; faster ones are left as they are, since the lab's own is not much faster.
const SHAPED_MIB_PER_SECOND: u64 = 200;

/// Who looks at the program's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// Not shown: it is only kept.
    Quiet,
    /// The person at the terminal.
    Live,
}

/// What came of a scenario.
#[derive(Debug)]
pub struct ScenarioRun {
    /// The program's exit code; `None` when a signal ended it.
    pub exit_code: Option<i32>,
    /// Every event with its instant, as the journal replays it.
    pub events: Vec<(Instant, Event)>,
    /// How it ended, if the journal goes that far.
    pub outcome: Option<Outcome>,
    /// Where the journal is; it goes with the lab.
    pub journal: PathBuf,
    /// What the program wrote on its standard output and error, when it was [`Show::Quiet`].
    pub output: String,
    /// The guest, still listened to.
    pub guest: Guest,
}

/// A migration by the program, of a guest that runs already.
#[derive(Debug)]
pub struct Order<'a> {
    /// The program.
    pub program: &'a Path,
    /// The scenario; its guest must be running on `alpha`.
    pub scenario: &'a Scenario,
    /// More arguments.
    pub arguments: &'a [&'a str],
    /// Who looks.
    pub show: Show,
}

/// Starts the scenario's guest on `alpha`, or defines it for an offline migration, migrates it to `beta` with the program, and does what the scenario says on
/// the way.
///
/// # Errors
/// What the lab cannot do, [`LabError::OnlySimulated`] for what only the simulator can, and [`LabError::Journal`] for a
/// journal that does not replay.
pub fn run(lab: &Lab, scenario: &Scenario, program: &Path, show: Show) -> Result<ScenarioRun, LabError> {
    check(scenario)?;
    let spec = guest_spec(scenario)?;
    let guest = if scenario.migration.offline {
        lab.define_guest_on(lab.alpha(), &spec)?
    } else {
        lab.start_guest(&spec)?
    };
    let _ = guest.mark();
    migrate(lab, guest, &Order { program, scenario, arguments: &[], show })
}

/// Whether real hosts can do a scenario; to be asked before anything is built.
///
/// # Errors
/// [`LabError::OnlySimulated`] with everything that they cannot do, by name.
pub fn check(scenario: &Scenario) -> Result<(), LabError> {
    capabilities::check(scenario)
}

/// As [`run`], with a guest that runs already.
///
/// # Errors
/// As [`run`].
pub fn migrate(lab: &Lab, guest: Guest, order: &Order<'_>) -> Result<ScenarioRun, LabError> {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    check(order.scenario)?;
    let number = RUNS.fetch_add(1, Ordering::Relaxed);
    let journal = lab.folder().join(format!("run-{number}.journal"));
    let log = lab.folder().join(format!("run-{number}.log"));
    let link = order.scenario.link.bandwidth_mib_per_second;
    lab.shape_link((link <= SHAPED_MIB_PER_SECOND).then_some(link << 23))?;
    let arguments = arguments(lab, order, &journal);
    let mut program = Program::start((lab, order.program), &arguments, &journal, &log, order.show)?;
    let mut faults = Faults::of(order.scenario, order.scenario.seed, &journal);
    let started = Clock::now();
    let status = loop {
        if let Err(error) = faults.do_due(lab, guest.name(), &mut program, started.elapsed()) {
            program.end();
            return Err(error);
        }
        if let Some(status) = program.ended()? {
            break status;
        }
        if started.elapsed() > PATIENCE {
            program.end();
            return Err(LabError::Timeout { what: "the end of the migration".into(), allowed: PATIENCE });
        }
        thread::sleep(LOOK_EVERY);
    };
    let (events, outcome) = replay(&journal)?;
    let output = std::fs::read_to_string(&log).unwrap_or_default();
    Ok(ScenarioRun { exit_code: status.code(), events, outcome, journal, output, guest })
}

/// The scenario's guest as the lab starts it.
///
/// # Errors
/// [`LabError::BadGuest`] for a guest that is larger than the lab's can be, or writes as they cannot.
pub fn guest_spec(scenario: &Scenario) -> Result<GuestSpec, LabError> {
    let guest = &scenario.guest;
    let bad = |reason: &str| LabError::BadGuest { name: guest.name.clone(), reason: reason.to_owned() };
    let small =
        |value: u64| u32::try_from(value).map_err(|_| bad("it is larger than the lab's guests can be"));
    let phases = capabilities::phases(&guest.writing)
        .ok_or_else(|| bad("the lab's guest writes uniformly to one working set from 16 MiB on"))?;
    let first = phases.first().ok_or_else(|| bad("it says nothing about its writes"))?;
    Ok(GuestSpec {
        name: guest.name.clone(),
        memory_mib: small(guest.memory_mib)?,
        region_mib: small(first.working_set_mib)?,
        writes_per_second: small(first.writes_per_second)?,
        phases: lengths(&phases),
        seed: u32::try_from(scenario.seed % u64::from(u32::MAX)).unwrap_or(1),
        paused: guest.paused,
        ..GuestSpec::default()
    })
}

/// The lab's guest repeats its phases for ever: the last one is made as long as it can be.
fn lengths(phases: &[GuestPhase]) -> Vec<Phase> {
    const FOR_EVER_MS: u32 = 24 * 3600 * 1000;
    if phases.len() < 2 {
        return Vec::new();
    }
    let ends = phases.iter().skip(1).map(|next| Some(next.at_ms)).chain([None]);
    let length = |phase: &GuestPhase, end: Option<u64>| {
        end.map_or(FOR_EVER_MS, |end| u32::try_from(end.saturating_sub(phase.at_ms)).unwrap_or(FOR_EVER_MS))
    };
    phases
        .iter()
        .zip(ends)
        .map(|(phase, end)| Phase {
            length_ms: length(phase, end),
            writes_per_second: u32::try_from(phase.writes_per_second).unwrap_or(u32::MAX),
        })
        .collect()
}

/// The program's arguments for a scenario.
fn arguments(lab: &Lab, order: &Order<'_>, journal: &Path) -> Vec<String> {
    let limits = &order.scenario.migration;
    let (source, destination) = (lab.alpha().uri(), lab.beta().uri());
    let mut all = vec!["migrate", &order.scenario.guest.name, &destination, "--source", &source, "--journal"]
        .into_iter()
        .map(str::to_owned)
        .collect::<Vec<_>>();
    all.push(journal.to_string_lossy().into_owned());
    all.extend(order.arguments.iter().map(|&argument| argument.to_owned()));
    if !order.arguments.contains(&"--migrate-uri") {
        all.extend(["--migrate-uri".to_owned(), format!("tcp://{}", lab.beta().address())]);
    }
    let s = |ms: u64| ms.div_ceil(1000);
    for (option, value) in [
        ("--bandwidth", limits.bandwidth_limit_mib_per_second),
        ("--downtime", limits.downtime_limit_ms),
        ("--timeout", limits.timeout_ms.map(s)),
        ("--parallel", limits.channels.map(|channels| channels.count)),
        ("--resolve-timeout", limits.doubt_patience_ms.map(s)),
        ("--postcopy-recovery-timeout", limits.recovery_patience_ms.map(s)),
    ] {
        all.extend(value.into_iter().flat_map(|value| [option.to_owned(), value.to_string()]));
    }
    let at_timeout = match limits.at_timeout {
        AtTimeout::Cancel => "cancel",
        AtTimeout::Pause => "pause",
        AtTimeout::Postcopy => "postcopy",
    };
    if limits.timeout_ms.is_some() {
        all.extend(["--at-timeout", at_timeout].map(str::to_owned));
    }
    for (is_asked, option) in [
        (limits.postcopy.is_some(), "--postcopy"),
        (limits.auto_converge.is_some(), "--auto-converge"),
        (limits.xbzrle.is_some(), "--xbzrle"),
        (limits.offline, "--offline"),
    ] {
        all.extend(is_asked.then(|| option.to_owned()));
    }
    all
}

/// Events with their instants.
type Told = Vec<(Instant, Event)>;

fn replay(path: &Path) -> Result<(Told, Option<Outcome>), LabError> {
    let text = std::fs::read_to_string(path).map_err(LabError::io("read the journal"))?;
    let mut events = Vec::new();
    let replayed = journal::replay(&text, |record, _, outputs| {
        for output in outputs {
            if let Output::Event(event) = output {
                events.push((record.at_ns, event.clone()));
            }
        }
    });
    let replayed =
        replayed.map_err(|source: JournalError| LabError::Journal { path: path.to_owned(), source })?;
    Ok((events, replayed.migration.view().outcome.cloned()))
}
