//! Roots of other generations of libvirt and QEMU for the lab's hosts: `cargo xtask lab roots`.

use std::ffi::OsString;
use std::time::Instant;

use whimbrel_lab::roots::{GENERATIONS, Generation, Prepared, RootCache};

use crate::error::Error;
use crate::job::is_root;
use crate::privilege;
use crate::setup::{self, Purpose};

/// Makes the named roots, or all of them, as far as they are missing, and reports their versions.
pub(crate) fn run(names: &[String]) -> Result<(), Error> {
    let chosen = chosen(names)?;
    setup::run(Purpose::Roots)?;
    if !is_root() {
        // Not the arguments of this process: another verb may need the roots.
        let arguments = ["lab", "roots"].into_iter().chain(names.iter().map(String::as_str));
        return privilege::run(arguments.map(OsString::from), |job| job);
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
pub(super) fn chosen(names: &[String]) -> Result<Vec<Generation>, Error> {
    if names.is_empty() {
        return Ok(GENERATIONS.to_vec());
    }
    names.iter().map(|name| named(name)).collect()
}

/// The generation of this name.
pub(crate) fn named(name: &str) -> Result<Generation, Error> {
    Generation::named(name).ok_or_else(|| Error::NoGeneration(name.to_owned(), Generation::names()))
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
