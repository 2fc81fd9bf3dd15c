//! One migration between two real libvirt hosts, for somebody to watch: `cargo xtask lab`.
//!
//! Cargo never runs as root here: the program is built first, and only what follows changes its user.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use whimbrel_lab::scenario::{self, Show};
use whimbrel_lab::{Guest, Lab, LabError, LabOptions, Snapshot, say_if_interrupted};
use whimbrel_sim::Scenario;

use crate::artifacts;
use crate::error::Error;
use crate::job::{Job, is_root};
use crate::setup::{self, Purpose};

/// Names the program to be tried; it is built when this is not set.
const PROGRAM: &str = "WHIMBREL_BIN";
/// Longer than two scans of a large region take on an emulated processor: so many waits of [`WAIT`].
const WAITS: u32 = 12;
const WAIT: Duration = Duration::from_secs(10);

/// Builds the program and the hosts, migrates as the scenario says, and reports what the guest saw.
pub(crate) fn run(named: &str, keep: bool) -> Result<(), Error> {
    let scenario = read(named)?;
    scenario::check(&scenario)?;
    let program = if let Some(program) = std::env::var_os(PROGRAM) {
        PathBuf::from(program)
    } else {
        setup::run(Purpose::Lab)?;
        artifacts::program("build --release --package whimbrel --features libvirt")?
    };
    if !is_root() {
        return again_as_root(named, keep, &program);
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
    let witness = witness(&run.guest)?;
    println!("\n{}", testimony(&witness));
    if keep {
        println!("\n{}", places(&lab, run.guest.name()));
        loop {
            // The lab's own handler removes it and ends this process.
            thread::sleep(Duration::from_hours(1));
        }
    }
    lab.remove()?;
    println!("everything is removed again");
    if is_sound(&witness) { Ok(()) } else { Err(Error::Damage) }
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

fn again_as_root(named: &str, keep: bool, program: &Path) -> Result<(), Error> {
    let this = std::env::current_exe()
        .map_err(|source| Error::Start { job: "cargo xtask lab".to_owned(), source })?;
    let mut job = Job::new(this, "lab").argument(named).variable(PROGRAM, program);
    if keep {
        job = job.argument("--keep");
    }
    job.privileged().run()
}

/// The guest's report after it has verified all of its memory after the migration; its last one if it is stopped or
/// gone.
fn witness(guest: &Guest) -> Result<Snapshot, Error> {
    let now = guest.snapshot();
    if now.open == 0 || now.seq == 0 {
        return Ok(now);
    }
    let mut last = now.clone();
    for wait in 1..=WAITS {
        match guest.wait_for_scan_after(&now, WAIT) {
            Err(LabError::Witness { last: seen, .. }) => {
                println!("    {} of {} s, {} page writes so far", wait * 10, WAITS * 10, seen.writes);
                last = *seen;
            }
            other => return Ok(other?),
        }
    }
    Ok(last)
}

fn is_sound(seen: &Snapshot) -> bool {
    seen.bad == 0 && seen.lost == 0 && seen.torn == 0 && !seen.two_copies_ran()
}

/// What the guest saw, in its own numbers.
fn testimony(seen: &Snapshot) -> String {
    let place = match seen.owner {
        None => "it never ran",
        Some(0) => "the process that it started in",
        Some(_) => "another process than it started in",
    };
    let handover =
        seen.handover.map_or("it did not move".to_owned(), |gap| format!("{} ms", gap.as_millis()));
    format!(
        "Observed inside the guest:\n\
         \x20 runs in                  {place}\n\
         \x20 page writes              {}\n\
         \x20 scans of its memory      {}, with {} wrong pages\n\
         \x20 ticks lost, torn, twice  {}, {}, {}\n\
         \x20 two copies ran           {}\n\
         \x20 downtime                 {handover}\n\
         \x20 longest stop             {} ms",
        seen.writes,
        seen.scans,
        seen.bad,
        seen.lost,
        seen.torn,
        seen.repeated,
        if seen.two_copies_ran() { "YES" } else { "no" },
        seen.longest_gap.as_millis(),
    )
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
    use std::time::Duration;

    use whimbrel_lab::Snapshot;

    use super::{Error, is_sound, read, testimony};

    #[test]
    fn a_scenario_is_found_by_name_or_file_or_refused_with_the_names() {
        assert_eq!(read("converges").unwrap().name, "converges");
        assert_eq!(read("../sim/scenarios/regression.toml").unwrap().name, "regression");
        assert!(matches!(read("no-such"), Err(Error::NoScenario(_, names)) if names.contains("converges")));
        assert!(matches!(read("Cargo.toml"), Err(Error::BadScenario(_))));
    }

    #[test]
    fn damage_is_seen_and_shown() {
        let well =
            Snapshot { owner: Some(1), handover: Some(Duration::from_millis(7)), ..Snapshot::default() };
        assert!(is_sound(&well) && testimony(&well).contains("7 ms"));
        let wrong = Snapshot { bad: 1, ..well.clone() };
        let twice = Snapshot { overtaken: 1, ..well };
        assert!(!is_sound(&wrong) && testimony(&wrong).contains("1 wrong pages"));
        assert!(!is_sound(&twice) && testimony(&twice).contains("YES"));
    }
}
