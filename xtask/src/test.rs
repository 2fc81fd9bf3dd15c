//! Everything that must hold, in the order that finds the cheap mistakes first.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use cargo_metadata::{Artifact, DependencyKind, MetadataCommand};

use crate::artifacts::{self, built};
use crate::error::{Error, NOT_CHECKED};
use crate::job::Job;
use crate::lab::roots;
use crate::lanes;
use crate::long;
use crate::privilege;
use crate::python;
use crate::rules;
use crate::service;
use crate::setup::{self, Purpose};
use crate::steps::Steps;
use crate::texts;
use crate::{go_to_root, tidy};

/// How much is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Nothing that needs real hosts.
    Fast,
    /// What every change must pass.
    Usual,
    /// What takes hours too. docs/safety.md has the date and the figures of the last run.
    Long,
}

/// Checks everything, up to the first failure.
pub(crate) fn run(extent: Extent) -> Result<(), Error> {
    go_to_root()?;
    let mut steps = Steps::default();
    let result = all(&mut steps, extent);
    println!("\n{}", steps.table());
    result
}

fn all(steps: &mut Steps, extent: Extent) -> Result<(), Error> {
    let purpose = match extent {
        Extent::Fast => Purpose::Light,
        Extent::Usual => Purpose::Test,
        Extent::Long => Purpose::Long,
    };
    steps.step("setup", "cargo xtask setup", || setup::run(purpose))?;
    steps.job("format", &Job::cargo("fmt --all --check"))?;
    steps.step("tidy", "cargo xtask tidy", tidy)?;
    if extent == Extent::Fast {
        return light(steps);
    }
    let clippy =
        |features: &str| Job::cargo(&format!("clippy --workspace --all-targets {features} -- -D warnings"));
    steps.job("clippy", &clippy(""))?;
    steps.job("clippy, libvirt", &clippy(LIBVIRT))?;
    dependencies(steps)?;
    steps.job("tests, libvirt", &Job::cargo(&format!("test --workspace {LIBVIRT}")))?;
    // The program without its features has other tests, which `--fast` runs: they must not break unseen.
    steps.job("tests, light", &Job::cargo("test --profile fast -p whimbrel"))?;
    let doc = Job::cargo(&format!("doc --workspace --no-deps {LIBVIRT}"));
    steps.job("documentation", &doc.variable("RUSTDOCFLAGS", "-Dwarnings"))?;
    lab(steps)?;
    if extent == Extent::Long {
        long::checks(steps)?;
        generations(steps)?;
        // Through cargo: the last steps may have built this program again.
        steps.job("explore, long", &Job::cargo("run --release -- explore --long"))?;
        steps.job("fuzz, long", &Job::cargo("run --release -- fuzz --cases 10000000"))?;
    }
    Ok(())
}

/// The default build and the packages below it, without sandbox, service, libvirt and real hosts.
fn light(steps: &mut Steps) -> Result<(), Error> {
    let packages = Vec::from_iter(light_packages()?).join(" -p ");
    steps.job("clippy, light", &Job::cargo(&format!("clippy -p {packages} --all-targets -- -D warnings")))?;
    steps.step("tests, light", &format!("cargo nextest run {FAST} -p {packages}"), || {
        // Through its own name: cargo finds only what is on the search path.
        let runner = python::found_or_installed(python::NEXTEST)?;
        Job::new(runner, &format!("nextest run --no-fail-fast {FAST} -p {packages}"))
            .run()
            .map(|()| String::new())
    })?;
    steps.job("doc tests, light", &Job::cargo(&format!("test --doc --profile fast -p {packages}")))
}

/// The profile of [`light`], as nextest names it.
const FAST: &str = "--cargo-profile fast";

/// The packages that the default build consists of: `whimbrel`, and members that it needs without a feature.
fn light_packages() -> Result<BTreeSet<String>, Error> {
    let metadata =
        MetadataCommand::new().no_deps().exec().map_err(|error| Error::Cargo(io::Error::other(error)))?;
    let mut light = BTreeSet::new();
    let mut left = vec!["whimbrel".to_owned()];
    while let Some(name) = left.pop() {
        let package = metadata.packages.iter().find(|package| package.name == name);
        let dependencies = package.into_iter().flat_map(|package| &package.dependencies);
        let needed = dependencies.filter(|dependency| {
            dependency.path.is_some() && !dependency.optional && dependency.kind == DependencyKind::Normal
        });
        left.extend(needed.map(|dependency| dependency.name.clone()).filter(|name| !light.contains(name)));
        light.insert(name);
    }
    Ok(light)
}

/// Labs that migrate at the same time. Each has hosts and networks of its own, and waits for most of its time.
const LAB_LANES: usize = 2;

/// In the path of the tests that need roots.
const GENERATIONS: &str = "/generations-";

/// Names the feature from anywhere in the workspace.
const LIBVIRT: &str = "--features whimbrel/libvirt";

fn dependencies(steps: &mut Steps) -> Result<(), Error> {
    let deny = |arguments: &str| -> Result<Job, Error> {
        Ok(Job::new(python::found_or_installed(python::DENY)?, &format!("deny {arguments}")))
    };
    steps.step("dependencies", "cargo deny check bans licenses sources", || {
        deny("check --hide-inclusion-graph bans licenses sources")?.run().map(|()| String::new())
    })?;
    steps.step("advisories", "cargo deny check advisories", || {
        // Work goes on without a network, and the table says that this was not checked.
        if let Err(why) = deny("fetch db")?.quietly() {
            println!("ADVISORIES WERE NOT CHECKED, because their database cannot be fetched:\n{why}");
            return Ok("NOT CHECKED: no database".to_owned());
        }
        deny("--offline check advisories")?.run().map(|()| String::new())
    })
}

/// The shipped packs from their source, the exploration, the service's page and description, and migrations between real
/// hosts. Built with the same features as the tests before, so that nothing is built twice.
fn lab(steps: &mut Steps) -> Result<(), Error> {
    let mut program = PathBuf::new();
    steps.step("program for the lab", &format!("cargo {}", artifacts::TESTED), || {
        program = artifacts::program(artifacts::TESTED)?;
        Ok(String::new())
    })?;
    steps.step("rules", "cargo xtask rules", || rules::run(false))?;
    steps.step("rule in JavaScript", "cd plugins/javascript && npm run build", || {
        rules::javascript(&program)
    })?;
    // Everything that may happen to a migration, as far as two or three minutes go.
    steps.step("explore", "cargo run -- explore", || {
        Job::new(&program, "explore").run().map(|()| String::new())
    })?;
    // A part of the ten million that docs/safety.md reports: the oracle takes its time.
    steps.step("fuzz", "cargo run -- fuzz --cases 1000000", || {
        Job::new(&program, "fuzz --cases 1000000").run().map(|()| String::new())
    })?;
    let folder = service::folder(&program);
    let alone = "cargo xtask test";
    steps.step("spelling", "typos", || texts::spelling(&folder).map(|()| String::new()))?;
    steps.step("book", "mdbook build", || texts::book(&folder).map(|()| String::new()))?;
    steps.step("page", alone, || service::page(&program, &folder).map(|()| String::new()))?;
    steps.step("schema", alone, || service::schema(&program, &folder).map(|()| String::new()))?;
    let alone = format!(
        "cargo build -p whimbrel --features libvirt && sudo env WHIMBREL_BIN={} WHIMBREL_PAGE={} {}",
        program.display(),
        service::place_of_page(&folder).display(),
        "cargo test -p whimbrel-lab -- --ignored --test-threads=1"
    );
    steps.step("lab", &alone, || {
        // The tests, not cargo, are run as root: what is built stays its owner's.
        let page = service::place_of_page(&folder);
        let as_root = |job: Job| {
            job.variable("WHIMBREL_BIN", &program).variable("WHIMBREL_PAGE", page.clone()).privileged()
        };
        let mut jobs = tests_of("executor/lab", LIBVIRT, "--ignored --test-threads=1", &as_root)?;
        // Hosts of other generations need roots, which take minutes and a network to make.
        jobs.retain(|(job, _)| !job.to_string().contains(GENERATIONS));
        // The longest first, which would otherwise be the last to end.
        jobs.sort_by_key(|(job, _)| !job.to_string().contains("/faults-"));
        lanes::run(jobs, LAB_LANES).map(|()| String::new())
    })?;
    // Ten migrations are recorded anew, and the simulator is held against them. Through cargo, because the steps before
    // built this program anew and its own file is gone.
    steps.step("fidelity", "cargo xtask record --check", || match Job::cargo("xtask record --check").run() {
        Err(Error::Failed { status, .. }) if status.code() == Some(NOT_CHECKED.into()) => {
            Ok("NOT CHECKED: machine busy".to_owned())
        }
        other => other.map(|()| String::new()),
    })
}

/// Migrations between hosts of several generations of libvirt and QEMU, in roots that are made if they are missing.
fn generations(steps: &mut Steps) -> Result<(), Error> {
    let alone = "cargo xtask lab roots && sudo env WHIMBREL_BIN=PROGRAM cargo test -p whimbrel-lab --test generations -- --ignored";
    steps.step("generations", alone, || {
        roots::run(&[])?;
        let program = artifacts::program(artifacts::TESTED)?;
        let as_root = |job: Job| privilege::with_roots(job.variable("WHIMBREL_BIN", &program)).privileged();
        let mut jobs = tests_of("executor/lab", LIBVIRT, "--ignored --nocapture", &as_root)?;
        jobs.retain(|(job, _)| job.to_string().contains(GENERATIONS));
        if jobs.is_empty() {
            return Err(Error::NotBuilt("the test of generations"));
        }
        lanes::run(jobs, 1).map(|()| String::new())
    })
}

/// The tests of one member, each with the folder that it runs in. They are built as part of the whole workspace: built
/// alone, the member would have its dependencies compiled again with fewer features.
fn tests_of(
    folder: &str,
    features: &str,
    arguments: &str,
    change: &dyn Fn(Job) -> Job,
) -> Result<Vec<(Job, PathBuf)>, Error> {
    let manifest = format!("{folder}/Cargo.toml");
    let is_test = |artifact: &Artifact| artifact.profile.test && artifact.manifest_path.ends_with(&manifest);
    let tests = built(&format!("test --workspace --lib --bins --tests --no-run {features}"), is_test)?;
    if tests.is_empty() {
        return Err(Error::NotBuilt("these tests"));
    }
    let job = |(test, folder): (PathBuf, PathBuf)| {
        (change(Job::new(test, arguments).variable("CARGO_MANIFEST_DIR", &folder)), folder)
    };
    Ok(tests.into_iter().map(job).collect())
}

#[cfg(test)]
mod tests {
    use super::light_packages;

    #[test]
    fn the_light_packages_are_those_of_the_default_build() {
        let light = light_packages().unwrap();
        let light: Vec<&str> = light.iter().map(String::as_str).collect();
        assert_eq!(
            light,
            [
                "whimbrel",
                "whimbrel-core",
                "whimbrel-facts",
                "whimbrel-observe",
                "whimbrel-oracle",
                "whimbrel-policy",
                "whimbrel-rules",
                "whimbrel-schedule",
                "whimbrel-sim",
                "whimbrel-study",
                "whimbrel-verify",
            ]
        );
    }
}
