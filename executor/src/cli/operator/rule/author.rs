//! `whimbrel rule new` and `build`: from nothing to a component.

use std::fs;
use std::path::{Path, PathBuf};

use whimbrel_plugins::build;
use whimbrel_plugins::host;

use super::args::{Build, Language, New};
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

/// The example in JavaScript, as the repository has it; only where the contract lies differs outside of it.
const JAVASCRIPT: [(&str, &str); 9] = [
    ("package.json", include_str!("../../../../../plugins/javascript/package.json")),
    ("build.mjs", include_str!("../../../../../plugins/javascript/build.mjs")),
    ("rule.js", include_str!("../../../../../plugins/javascript/rule.js")),
    ("README.md", include_str!("../../../../../plugins/javascript/README.md")),
    ("cases/goes.facts.json", include_str!("../../../../../plugins/javascript/cases/goes.facts.json")),
    ("cases/goes.expected.json", include_str!("../../../../../plugins/javascript/cases/goes.expected.json")),
    ("cases/stays.facts.json", include_str!("../../../../../plugins/javascript/cases/stays.facts.json")),
    (
        "cases/stays.expected.json",
        include_str!("../../../../../plugins/javascript/cases/stays.expected.json"),
    ),
    (".gitignore", "/node_modules\n"),
];

/// A file of the example for a pack of this name.
fn adapted(text: &str, name: &str) -> String {
    let names = [
        ("'../wit/rules.wit'", "'wit/rules.wit'".to_owned()),
        ("javascript.stays", format!("{name}.stays")),
        ("name: 'javascript'", format!("name: '{name}'")),
        ("whimbrel-javascript-rule", name.to_owned()),
    ];
    names.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

pub(super) fn new(arguments: &New) -> Result<Exit, CliError> {
    let name = arguments.name.as_str();
    let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(known) {
        let reason = format!(
            "`{}` is not a valid name: use lower-case letters, digits and hyphens, and begin with a letter",
            name.escape_debug()
        );
        return Err(OperatorError::Rules(reason).into());
    }
    let folder = Path::new(name);
    let failed = |source| CliError::Unwritable { path: folder.to_owned(), source };
    fs::create_dir(folder).map_err(failed)?;
    for inner in ["cases", "wit"] {
        fs::create_dir(folder.join(inner)).map_err(failed)?;
    }
    write(&folder.join("wit/rules.wit"), CONTRACT.as_bytes())?;
    let [build, test] = match arguments.language {
        Language::Rust => {
            fs::create_dir(folder.join("src")).map_err(failed)?;
            for (path, text) in FILES.iter().chain(&EXPECTED) {
                write(&folder.join(path), text.replace("PACK", name).as_bytes())?;
            }
            [format!("whimbrel rule build {name}"), format!("whimbrel rule test {name}")]
        }
        Language::Javascript => {
            for (path, text) in JAVASCRIPT {
                write(&folder.join(path), adapted(text, name).as_bytes())?;
            }
            [
                format!("(cd {name} && npm install && npm run build)"),
                format!("whimbrel rule test {name} --max-pack-size 32"),
            ]
        }
    };
    print(&format!("created `{name}`\n  build:  {build}\n  test:   {test}\n"))
}

pub(super) fn build(arguments: &Build) -> Result<Exit, CliError> {
    let folder = &arguments.folder;
    let component = build::build(folder, &arguments.features, shared_target().as_deref())
        .map_err(OperatorError::Build)?;
    let out: PathBuf = arguments.out.clone().unwrap_or_else(|| folder.join("pack.wasm"));
    // An unusable component is reported now, and not at its first use.
    host::inspect(&component, usize::MAX)
        .map_err(|error| OperatorError::Pack { path: out.clone(), reason: error.to_string() })?;
    write(&out, &component)?;
    print(&format!("{}: {} bytes, sha256 {}\n", out.display(), component.len(), host::digest(&component)))
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
