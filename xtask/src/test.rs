//! Everything that must hold, in the order that finds the cheap mistakes first.

use std::env;

use cargo_metadata::Artifact;

use crate::artifacts::built;
use crate::error::Error;
use crate::job::Job;
use crate::setup::{self, Purpose};
use crate::steps::Steps;
use crate::tidy;

/// Checks everything, up to the first failure; `fast` leaves out the real hosts.
pub(crate) fn run(fast: bool) -> Result<(), Error> {
    env::set_current_dir(xtask::Tree::root()?)
        .map_err(|source| Error::Start { job: "cd".to_owned(), source })?;
    let mut steps = Steps::default();
    let result = all(&mut steps, fast);
    println!("\n{}", steps.table());
    result
}

fn all(steps: &mut Steps, fast: bool) -> Result<(), Error> {
    let purpose = if fast { Purpose::Build } else { Purpose::Lab };
    steps.step("setup", "cargo xtask setup", || setup::run(purpose))?;
    steps.job("format", &Job::cargo("fmt --all --check"))?;
    steps.step("tidy", "cargo xtask tidy", tidy)?;
    let clippy =
        |features: &str| Job::cargo(&format!("clippy --workspace --all-targets {features} -- -D warnings"));
    steps.job("clippy", &clippy(""))?;
    steps.job("clippy, libvirt", &clippy(LIBVIRT))?;
    dependencies(steps)?;
    // The driver touches the executor alone: what the others do is tested once, with it.
    steps.job("tests, libvirt", &Job::cargo(&format!("test --workspace {LIBVIRT}")))?;
    steps.job("tests of executor", &Job::cargo("test -p whimbrel"))?;
    let doc = Job::cargo(&format!("doc --workspace --no-deps {LIBVIRT}"));
    steps.job("documentation", &doc.variable("RUSTDOCFLAGS", "-Dwarnings"))?;
    if fast { Ok(()) } else { lab(steps) }
}

/// Names the feature from anywhere in the workspace.
const LIBVIRT: &str = "--features whimbrel/libvirt";

fn dependencies(steps: &mut Steps) -> Result<(), Error> {
    let check = Job::cargo("deny check --hide-inclusion-graph bans licenses sources");
    steps.job("dependencies", &check)?;
    let check = Job::cargo("deny check --disable-fetch advisories");
    steps.step("advisories", "cargo deny check advisories", || {
        // Whoever is offline can still work: a machine that is not sees it.
        if let Err(why) = Job::cargo("deny fetch db").quietly() {
            println!("ADVISORIES WERE NOT CHECKED, because their database cannot be fetched:\n{why}");
            return Ok("NOT CHECKED: no database".to_owned());
        }
        check.run().map(|()| String::new())
    })
}

/// Migrations between real hosts. Built with the same features as the tests before, so that nothing is built twice.
fn lab(steps: &mut Steps) -> Result<(), Error> {
    let mut program = None;
    let build = format!("build --workspace --bin whimbrel {LIBVIRT}");
    steps.step("program for the lab", &format!("cargo {build}"), || {
        program = built(&build, |artifact| artifact.target.is_bin())?.pop().map(|found| found.0);
        Ok(String::new())
    })?;
    let program = program.ok_or(Error::NotBuilt("the program"))?;
    let alone = format!(
        "cargo build -p whimbrel --features libvirt && sudo env WHIMBREL_BIN={} {}",
        program.display(),
        "cargo test -p whimbrel-lab -- --ignored --test-threads=1"
    );
    steps.step("lab", &alone, || {
        let of_lab = |artifact: &Artifact| artifact.manifest_path.ends_with("executor/lab/Cargo.toml");
        let tests = built(&format!("test --workspace --no-run {LIBVIRT}"), of_lab)?;
        for (test, folder) in &tests {
            // The tests, not cargo, are run as root: what is built stays its owner's.
            let job = Job::new(test, "--ignored --test-threads=1").variable("WHIMBREL_BIN", &program);
            job.privileged().run_in(folder)?;
        }
        if tests.is_empty() { Err(Error::NotBuilt("tests of the lab")) } else { Ok(String::new()) }
    })
}
