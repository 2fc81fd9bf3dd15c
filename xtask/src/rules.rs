//! Builds the shipped packs from their source, and compares them with the committed ones or rewrites those; and builds
//! and tests the example in another language.
//!
//! Components are equal to the byte only if the same compiler built them. It is named beside them; with another one
//! nothing is compared, and that is said.

use std::fs;
use std::path::Path;

use crate::artifacts;
use crate::error::Error;
use crate::job::Job;
use crate::setup::SANDBOX_COMPILER;

const PACKS: [&str; 4] = ["guest", "hosts", "storage", "request"];
const COMMITTED: &str = "plugins/shipped";
const COMPILER: &str = "plugins/shipped/compiler";
/// The example in JavaScript.
const JAVASCRIPT: &str = "plugins/javascript";
/// The oldest that what makes its component runs on. Source: componentize-js 0.19.3, `engines` of its dependencies.
const NODE_OLDEST: u32 = 20;

/// Builds all; `write` puts the result in the committed ones' place.
pub(crate) fn run(write: bool) -> Result<String, Error> {
    let compiler = compiler();
    let named = fs::read_to_string(COMPILER).unwrap_or_default();
    if !write && named.trim() != compiler {
        return Ok(format!("NOT COMPARED: built by `{}`, and here is `{compiler}`", named.trim()));
    }
    let program = artifacts::program(artifacts::TESTED)?;
    let failed = |path: &str, source| Error::Start { job: format!("read or write `{path}`"), source };
    let mut differ = Vec::new();
    for pack in PACKS {
        let built = format!("target/{pack}.wasm");
        Job::new(&program, "rule build plugins/packs --features")
            .argument(pack)
            .arguments("--out")
            .argument(&built)
            .run()?;
        let committed = format!("{COMMITTED}/{pack}.wasm");
        let now = fs::read(&built).map_err(|source| failed(&built, source))?;
        if fs::read(&committed).ok().as_ref() == Some(&now) {
            continue;
        }
        if write {
            fs::write(&committed, &now).map_err(|source| failed(&committed, source))?;
        } else {
            differ.push(pack);
        }
    }
    if write {
        fs::write(COMPILER, compiler + "\n").map_err(|source| failed(COMPILER, source))?;
        // The program holds the old packs, so it is given the new ones.
        let packs = PACKS.iter().map(|pack| format!("{COMMITTED}/{pack}.wasm"));
        let lock =
            Job::new(&program, "rule lock --no-cache --no-builtin-packs --out plugins/shipped/rules.lock");
        packs.fold(lock, |job, pack| job.argument("--pack").argument(pack)).run()?;
    }
    if differ.is_empty() {
        Ok("the shipped packs are those of their source".to_owned())
    } else {
        Err(Error::OtherPacks(differ.join(", ")))
    }
}

/// Makes a component of the example in JavaScript, and holds it against its cases as every pack is.
pub(crate) fn javascript(program: &Path) -> Result<String, Error> {
    let version = Job::new("node", "--version").output()?;
    let version = String::from_utf8_lossy(&version).trim().to_owned();
    let major = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse().ok());
    if major.is_none_or(|major: u32| major < NODE_OLDEST) {
        return Ok(format!("NOT BUILT: node {NODE_OLDEST} is needed, and this is {version}"));
    }
    let place = Path::new(JAVASCRIPT);
    Job::npm_install().run_in(place)?;
    Job::new("npm", "run build").run_in(place)?;
    Job::new(program, "rule test --max-pack-size 32").run_in(place)?;
    Ok(format!("built by node {version}"))
}

/// The compiler whose sources are here; empty where there is none.
fn compiler() -> String {
    let told = Job::new(SANDBOX_COMPILER, "--version").output().unwrap_or_default();
    String::from_utf8_lossy(&told).trim().to_owned()
}
