//! Checks that take hours and that only `cargo xtask test --long` makes: coverage-guided fuzzing, the planted bugs, and the
//! published interfaces beside those of the last release.

use std::fs;
use std::path::Path;

use crate::artifacts;
use crate::error::Error;
use crate::job::Job;
use crate::planted;
use crate::python;
use crate::setup;
use crate::steps::Steps;

/// Each target's share of the time.
const FUZZED_S: u32 = 600;
/// The crates of which a release publishes the interface; RELEASING.md has them in the order of publication.
const PUBLISHED: [&str; 5] =
    ["whimbrel-oracle", "whimbrel-facts", "whimbrel-core", "whimbrel-schedule", "whimbrel-sim"];
/// Compares interfaces; what it finds changes with its version.
const SEMVER_CHECKS: &str = "install --locked --debug cargo-semver-checks --version ^0.51";

/// Makes them all.
pub(crate) fn checks(steps: &mut Steps) -> Result<(), Error> {
    for target in targets()? {
        let alone = format!("RUSTC_BOOTSTRAP=1 {}", arguments(&target));
        steps.step("fuzz target", &format!("{alone} # for {FUZZED_S} s"), || {
            fuzz(&target).map(|()| target.clone())
        })?;
    }
    steps.step("planted bugs", "cargo xtask planted", || planted::run(&planted::Options::default()))?;
    steps.step("interfaces", "cargo semver-checks --baseline-rev TAG", interfaces)
}

/// The targets, by their files.
fn targets() -> Result<Vec<String>, Error> {
    let folder = Path::new("fuzz/fuzz_targets");
    let failed = |source| Error::Start { job: format!("list `{}`", folder.display()), source };
    let mut targets = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            targets.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
        }
    }
    targets.sort();
    Ok(targets)
}

/// As one would type it. No sanitizer: it would need a nightly compiler.
fn arguments(target: &str) -> String {
    format!("cargo fuzz run {target} -s none -- -max_total_time={FUZZED_S}")
}

fn fuzz(target: &str) -> Result<(), Error> {
    let program = match setup::find(python::CARGO_FUZZ.program) {
        Some(program) => program,
        None => python::binary(&artifacts::tools()?, python::CARGO_FUZZ)?,
    };
    // A seed is a file of the tree: what fuzzing adds to the corpus goes into a folder of its own.
    let found = artifacts::tools()?.join("corpus").join(target);
    fs::create_dir_all(&found)
        .map_err(|source| Error::Start { job: format!("create `{}`", found.display()), source })?;
    Job::new(program, &format!("fuzz run {target} -s none"))
        .argument(found)
        .argument(format!("fuzz/corpus/{target}"))
        .arguments(&format!("-- -max_total_time={FUZZED_S}"))
        .variable("RUSTC_BOOTSTRAP", "1")
        .run()
}

/// Compares the published crates with the last release of this history.
fn interfaces() -> Result<String, Error> {
    let Some(tag) = last_release()? else {
        return Ok("NOT CHECKED: there is no release to compare with".to_owned());
    };
    if setup::find("cargo-semver-checks").is_none() {
        Job::cargo(SEMVER_CHECKS).variable("CARGO_PROFILE_DEV_DEBUG", "false").run()?;
    }
    for package in PUBLISHED {
        Job::cargo(&format!("semver-checks --package {package} --baseline-rev {tag}")).run()?;
    }
    Ok(format!("beside {tag}"))
}

/// The newest tag `vMAJOR.MINOR.PATCH` before this commit.
fn last_release() -> Result<Option<String>, Error> {
    let said = Job::new("git", "tag --merged HEAD --sort=-version:refname --list v[0-9]*").output()?;
    Ok(String::from_utf8_lossy(&said).lines().next().map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::PUBLISHED;

    #[test]
    fn the_published_crates_are_those_that_may_be_published() {
        let folders = ["sim/oracle", "plugins/facts", "core", "core/schedule", "sim"];
        for (package, folder) in PUBLISHED.into_iter().zip(folders) {
            let manifest = fs::read_to_string(format!("../{folder}/Cargo.toml")).unwrap();
            assert!(manifest.contains(&format!("name = \"{package}\"")), "{folder}");
            assert!(manifest.contains("publish = true"), "{folder}");
        }
    }
}
