//! Roots of other generations of libvirt and QEMU for the lab's hosts: `cargo xtask lab roots`.

use std::time::Instant;

use whimbrel_lab::roots::{GENERATIONS, Generation, Prepared, RootCache};

use crate::error::Error;
use crate::job::{Job, is_root};
use crate::setup::{self, Purpose};

/// Names the folder of the roots, if it is not the usual one.
const FOLDER: &str = "WHIMBREL_LAB_ROOTS";

/// Makes the named roots, or all of them, as far as they are missing, and reports their versions.
pub(crate) fn run(names: &[String]) -> Result<(), Error> {
    let chosen = chosen(names)?;
    setup::run(Purpose::Roots)?;
    if !is_root() {
        return again_as_root(names);
    }
    let cache = RootCache::of_environment();
    println!("roots in {}:", cache.folder().display());
    for generation in chosen {
        let began = Instant::now();
        let (manifest, how) = match cache.prepare(generation, &mut |line| println!("    {line} ..."))? {
            Prepared::Kept(manifest) => (manifest, "kept, its digest is right".to_owned()),
            Prepared::Made(manifest) => (manifest, format!("made in {} s", began.elapsed().as_secs())),
        };
        println!("{:<18} {}; {how}", generation.name, manifest.summary());
    }
    Ok(())
}

/// Every generation of these names; all of them without names.
fn chosen(names: &[String]) -> Result<Vec<Generation>, Error> {
    if names.is_empty() {
        return Ok(GENERATIONS.to_vec());
    }
    names.iter().map(|name| named(name)).collect()
}

/// The generation of this name.
pub(crate) fn named(name: &str) -> Result<Generation, Error> {
    Generation::named(name).ok_or_else(|| Error::NoGeneration(name.to_owned(), Generation::names()))
}

fn again_as_root(names: &[String]) -> Result<(), Error> {
    let this = std::env::current_exe()
        .map_err(|source| Error::Start { job: "cargo xtask lab roots".to_owned(), source })?;
    let job = names.iter().fold(Job::new(this, "lab roots"), Job::argument);
    passed_on(job).privileged().run()
}

/// The job with the folder of the roots, where the environment names one: `sudo` would not keep it.
pub(crate) fn passed_on(job: Job) -> Job {
    match std::env::var_os(FOLDER) {
        Some(folder) => job.variable(FOLDER, folder),
        None => job,
    }
}

#[cfg(test)]
mod tests {
    use whimbrel_lab::roots::GENERATIONS;

    use super::chosen;
    use crate::error::Error;

    #[test]
    fn all_generations_are_meant_unless_some_are_named() {
        assert_eq!(chosen(&[]).unwrap(), GENERATIONS);
        assert_eq!(chosen(&["trixie".to_owned()]).unwrap()[0].name, "trixie");
        let refused = chosen(&["trixie".to_owned(), "sid".to_owned()]).unwrap_err();
        assert!(
            matches!(&refused, Error::NoGeneration(name, names) if name == "sid" && names.contains("bullseye"))
        );
    }
}
