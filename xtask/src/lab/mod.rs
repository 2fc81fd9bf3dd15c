//! One migration between two real libvirt hosts, for somebody to watch: `cargo xtask lab`.
//!
//! Cargo never runs as root here: the program is built first, and only what follows changes its user.

mod health;
pub(crate) mod roots;
mod soak;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use whimbrel_lab::scenario::{self, Show};
use whimbrel_lab::{Lab, LabOptions, say_if_interrupted};
use whimbrel_sim::Scenario;

use self::health::{Health, WAIT};

use crate::artifacts;
use crate::error::Error;
use crate::job::is_root;
use crate::privilege;
use crate::setup::{self, Purpose};

/// Names the program to be tried; it is built when this is not set.
const PROGRAM: &str = "WHIMBREL_BIN";

/// The lab's verbs, and the options of a migration for people to watch.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    verb: Option<LabVerb>,
    /// A scenario file, or the name of a built-in scenario
    #[arg(default_value = "converges")]
    scenario: String,
    /// Leave the hosts up afterwards, until interrupted
    #[arg(long)]
    keep: bool,
}

#[derive(Debug, Subcommand)]
enum LabVerb {
    /// Make roots of other generations of libvirt and QEMU for hosts, as far as they are missing
    Roots {
        /// Only these; all of them without names
        names: Vec<String>,
    },
    /// Migrate guests back and forth between hosts of all generations, with random faults
    Soak(soak::Options),
}

/// Does it.
pub(crate) fn run(options: &Options) -> Result<(), Error> {
    match &options.verb {
        Some(LabVerb::Roots { names }) => roots::run(names),
        Some(LabVerb::Soak(options)) => soak::run(options),
        None => watch(&options.scenario, options.keep),
    }
}

/// Builds the program and the hosts, migrates as the scenario says, and reports what the guest saw.
fn watch(named: &str, keep: bool) -> Result<(), Error> {
    let scenario = read(named)?;
    scenario::check(&scenario)?;
    let program = program()?;
    if !is_root() {
        return privilege::again(PROGRAM, &program);
    }
    println!("scenario `{}`: {}", scenario.name, scenario.description);
    let began = Instant::now();
    let step =
        |number: u32, what: &str| println!("[{number}/3, after {} s] {what} ...", began.elapsed().as_secs());
    step(1, "building two hosts");
    say_if_interrupted("interrupted; the hosts and the guest are removed".to_owned());
    let lab = Lab::build(&LabOptions::default())?;
    step(2, "starting the guest, and migrating it");
    let run = scenario::run(&lab, &scenario, &program, Show::Live)?;
    println!();
    step(3, "waiting until the guest has looked through its memory, some two minutes at most");
    let now = run.guest.snapshot();
    let (seen, health) = health::observe(&now, |earlier| run.guest.wait_for_scan_after(earlier, WAIT))?;
    println!("\n{}", health::report(&seen, &health));
    if keep {
        println!("\n{}", places(&lab, run.guest.name()));
        loop {
            // The lab's own handler removes it and ends this process.
            thread::sleep(Duration::from_hours(1));
        }
    }
    lab.remove()?;
    println!("everything is removed again");
    match health {
        Health::Sound => Ok(()),
        Health::Damaged => Err(Error::Damage),
        Health::Unknown(reason) => Err(Error::HealthUnknown(reason)),
    }
}

/// The program that migrates: the one that the environment names, or one that is built.
fn program() -> Result<PathBuf, Error> {
    if let Some(program) = std::env::var_os(PROGRAM) {
        return Ok(PathBuf::from(program));
    }
    setup::run(Purpose::Lab)?;
    artifacts::program("build --release --package whimbrel --features libvirt")
}

/// A built-in scenario by its name, or a file.
fn read(named: &str) -> Result<Scenario, Error> {
    let read = if let Some(built_in) = Scenario::built_in(named) {
        built_in
    } else if Path::new(named).is_file() {
        let unreadable = |source| Error::Unreadable { path: PathBuf::from(named), source };
        Scenario::parse(&fs::read_to_string(named).map_err(unreadable)?, named)
    } else {
        return Err(Error::NoScenario(
            named.to_owned(),
            Scenario::built_in_names().collect::<Vec<_>>().join(", "),
        ));
    };
    read.map_err(|error| Error::BadScenario(error.to_string()))
}

/// How to get at the hosts from another terminal.
fn places(lab: &Lab, guest: &str) -> String {
    let operator = lab.operator_command("virsh");
    let mut words = vec![operator.get_program().to_string_lossy()];
    words.extend(operator.get_args().map(|word| word.to_string_lossy()));
    let virsh = words.join(" ");
    let (alpha, beta) = (lab.alpha().uri(), lab.beta().uri());
    format!(
        "The hosts stay up until Ctrl-C. From another terminal, as root:\n\
         \x20 alpha  {virsh} --connect {alpha} list --all\n\
         \x20 beta   {virsh} --connect {beta} list --all\n\
         \x20 back   {virsh} --connect {beta} migrate --live --p2p {guest} {alpha}\n\
         \x20 files  {}",
        lab.folder().display()
    )
}

#[cfg(test)]
mod tests {
    use super::{Error, read};

    #[test]
    fn a_scenario_is_found_by_name_or_file_or_refused_with_the_names() {
        assert_eq!(read("converges").unwrap().name, "converges");
        assert_eq!(read("../sim/scenarios/regression.toml").unwrap().name, "regression");
        assert!(matches!(read("no-such"), Err(Error::NoScenario(_, names)) if names.contains("converges")));
        assert!(matches!(read("Cargo.toml"), Err(Error::BadScenario(_))));
    }
}
