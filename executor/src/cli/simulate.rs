//! `whimbrel simulate`: one migration in virtual time. The module `fleet` simulates fleet files.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant as Clock};

use whimbrel_core::{Instant, Request};
use whimbrel_policy::follow::Known;
use whimbrel_sim::qemu::Engine;
use whimbrel_sim::scenario::{Conditions, Scenario};
use whimbrel_sim::simulation::Simulation;

use super::args::Simulate;
use super::stop::Stop;
use super::{CliError, Exit, fleet, give, input, say, stdout_is_terminal};
use crate::output::{self, Format, Origin, tui};

/// Simulated seconds per second on a terminal: a migration of one minute takes less than ten seconds.
const WATCHED_SPEED: u32 = 8;

pub(super) fn run(arguments: &Simulate) -> Result<Exit, CliError> {
    if arguments.list {
        return list();
    }
    let text = read(&arguments.scenario)?;
    if let Some(result) = fleet::run(arguments, &text) {
        return result;
    }
    let mut scenario = Scenario::parse(&text, &arguments.scenario)
        .map_err(|error| CliError::Scenario { error, text: text.clone() })?;
    for host in [&mut scenario.source, &mut scenario.destination] {
        host.set_versions(arguments.libvirt_version, arguments.qemu_version);
    }
    let seed = arguments.seed.unwrap_or(scenario.seed);
    let on_terminal = stdout_is_terminal() && arguments.format == Format::Text;
    let pace = Pace::new(arguments.speed.unwrap_or(if on_terminal { WATCHED_SPEED } else { 0 }));

    let engine = arguments.engine.map_or(Engine::Page, Engine::from);
    let conditions = Conditions { engine, seed, ..scenario.conditions() };
    let mut simulation = Simulation::new(&scenario, conditions, whimbrel_rules::native::judge)?;
    if arguments.journal.is_some() {
        simulation = simulation.with_journal();
    }
    let origin = Origin { engine: Some(engine.to_string()), seed: Some(seed) };
    let mut watcher =
        output::choose(arguments.format, on_terminal, pace.frame_ms(), origin, Known::default());
    // The first Ctrl-C is the operator's cancel; a second one ends the process, because a simulation leaves nothing behind.
    let stop = Stop::listen()?;
    let ask = || stop.take().then_some(Request::Cancel);
    simulation.run(ask, |now, event, view| {
        pace.wait_until(now);
        watcher.on_event(now, event, view);
    })?;
    drop(watcher);

    if let (Some(path), Some(journal)) = (&arguments.journal, simulation.journal()) {
        write_new(path, journal)?;
    }
    Ok(judge(&scenario, &simulation))
}

/// A file's text, or that of a built-in scenario.
fn read(name: &str) -> Result<String, CliError> {
    let path = Path::new(name);
    match Scenario::built_in_text(name).filter(|_| !path.exists()) {
        Some(text) => Ok(text.to_owned()),
        None if !path.exists() => Err(CliError::NoScenario(name.to_owned())),
        None => input::text(path),
    }
}

fn write_new(path: &Path, text: &str) -> Result<(), CliError> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(|source| CliError::Unwritable { path: path.into(), source })?;
    file.write_all(text.as_bytes()).map_err(|source| CliError::Unwritable { path: path.into(), source })
}

/// Whether it ended as the scenario expects.
fn judge(scenario: &Scenario, simulation: &Simulation) -> Exit {
    let differences = scenario.differences(simulation.migration().view(), Some(&simulation.incidents()));
    if differences.is_empty() {
        return Exit::Done;
    }
    let differences = differences.join("\n  ");
    say(&format!("error: the scenario `{}` did not end as expected:\n  {differences}", scenario.name));
    Exit::Unexpected
}

/// The built-in scenarios, one per line with its description.
fn list() -> Result<Exit, CliError> {
    let widest = Scenario::built_in_names().map(str::len).max().unwrap_or(0);
    let mut lines = String::new();
    for name in Scenario::built_in_names() {
        // A test reads every built-in scenario.
        let description = Scenario::built_in(name).and_then(Result::ok).map(|scenario| scenario.description);
        // Writing into a string does not fail.
        let _ = writeln!(lines, "{name:widest$}  {}", description.unwrap_or_default());
    }
    give(&lines)?;
    Ok(Exit::Done)
}

/// Slows virtual time down for a live picture.
struct Pace {
    speed: u32,
    started: Clock,
}

impl Pace {
    fn new(speed: u32) -> Self {
        Self { speed, started: Clock::now() }
    }

    /// Virtual time between two frames that a terminal can still follow.
    fn frame_ms(&self) -> u64 {
        tui::FRAME_MS * u64::from(self.speed.max(1))
    }

    fn wait_until(&self, now: Instant) {
        let Some(real_ns) = now.as_ns().checked_div(u64::from(self.speed)) else { return };
        thread::sleep(Duration::from_nanos(real_ns).saturating_sub(self.started.elapsed()));
    }
}
