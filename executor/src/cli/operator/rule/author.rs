//! `whimbrel rule new` and `build`: from nothing to a component.

use std::fs;
use std::path::{Path, PathBuf};

use whimbrel_plugins::build;
use whimbrel_plugins::host;

use super::args::Build;
use super::{CliError, Exit, print, write};
use crate::cli::OperatorError;

const CONTRACT: &str = include_str!("../../../../../plugins/wit/rules.wit");
/// The files of a new rule; `PACK` stands for its name.
const FILES: [(&str, &str); 6] = [
    ("Cargo.toml", include_str!("template/Cargo.toml.in")),
    ("src/lib.rs", include_str!("template/lib.rs.in")),
    ("README.md", include_str!("template/README.md.in")),
    ("cases/small.facts.json", include_str!("template/small.facts.json")),
    ("cases/large.facts.json", include_str!("template/large.facts.json")),
    (".gitignore", "/target\n"),
];
const EXPECTED: [(&str, &str); 2] = [
    ("cases/small.expected.json", include_str!("template/small.expected.json.in")),
    ("cases/large.expected.json", include_str!("template/large.expected.json.in")),
];

pub(super) fn new(name: &str) -> Result<Exit, CliError> {
    let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(known) {
        let reason = format!(
            "`{}` is not a valid name: use lower-case letters, digits and hyphens, and begin with a letter",
            name.escape_debug()
        );
        return Err(CliError::Rules(reason));
    }
    let folder = Path::new(name);
    let failed = |source| CliError::Unwritable { path: folder.to_owned(), source };
    fs::create_dir(folder).map_err(failed)?;
    for inner in ["src", "cases", "wit"] {
        fs::create_dir(folder.join(inner)).map_err(failed)?;
    }
    for (path, text) in FILES.iter().chain(&EXPECTED) {
        write(&folder.join(path), text.replace("PACK", name).as_bytes())?;
    }
    write(&folder.join("wit/rules.wit"), CONTRACT.as_bytes())?;
    Ok(print(&format!(
        "created `{name}`\n  build:  whimbrel rule build {name}\n  test:   whimbrel rule test {name}\n"
    )))
}

pub(super) fn build(arguments: &Build) -> Result<Exit, CliError> {
    let folder = &arguments.folder;
    let component = build::build(folder, &arguments.features, shared_target().as_deref())
        .map_err(OperatorError::Build)?;
    let out: PathBuf = arguments.out.clone().unwrap_or_else(|| folder.join("pack.wasm"));
    // An unusable component is reported now, and not at its first use.
    host::inspect(&component, usize::MAX)
        .map_err(|error| CliError::Pack { path: out.clone(), reason: error.to_string() })?;
    write(&out, &component)?;
    Ok(print(&format!("{}: {} bytes, sha256 {}\n", out.display(), component.len(), host::digest(&component))))
}

/// All packs share one target folder of the user, so the library is built once and not for every pack.
fn shared_target() -> Option<PathBuf> {
    if std::env::var_os("CARGO_TARGET_DIR").is_some() {
        return None;
    }
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home)?;
    Some(cache.join("whimbrel").join("build"))
}
