//! Who may depend on whom, and which lints hold everywhere. The arrows keep the core pure: what it cannot name, it
//! cannot do.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failing helper fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};
use xtask::Tree;

/// Each member, and the members that it may depend on.
const ARROWS: [(&str, &[&str]); 21] = [
    ("whimbrel-core", &[]),
    ("whimbrel-policy", &["whimbrel-core"]),
    ("whimbrel-schedule", &["whimbrel-core"]),
    ("whimbrel-oracle", &[]),
    ("whimbrel-sim", &["whimbrel-core", "whimbrel-oracle", "whimbrel-schedule"]),
    ("whimbrel-study", &["whimbrel-core", "whimbrel-policy", "whimbrel-sim"]),
    ("whimbrel-verify", &["whimbrel-core", "whimbrel-oracle", "whimbrel-sim"]),
    ("whimbrel-facts", &[]),
    ("whimbrel-rules", &["whimbrel-core", "whimbrel-facts"]),
    ("whimbrel-packs", &["whimbrel-facts", "whimbrel-rules"]),
    ("whimbrel-plugins", &["whimbrel-core", "whimbrel-facts", "whimbrel-rules"]),
    ("whimbrel-observe", &["whimbrel-core"]),
    ("whimbrel-drive", &["whimbrel-core", "whimbrel-facts", "whimbrel-observe"]),
    ("whimbrel-libvirt", &["whimbrel-core", "whimbrel-drive", "whimbrel-facts"]),
    ("whimbrel-simulated", &["whimbrel-core", "whimbrel-drive", "whimbrel-facts", "whimbrel-sim"]),
    (
        "whimbrel-preflight",
        &["whimbrel-core", "whimbrel-drive", "whimbrel-facts", "whimbrel-plugins", "whimbrel-schedule"],
    ),
    (
        "whimbrel-service",
        &[
            "whimbrel-core",
            "whimbrel-drive",
            "whimbrel-facts",
            "whimbrel-observe",
            "whimbrel-plugins",
            "whimbrel-policy",
            "whimbrel-preflight",
        ],
    ),
    (
        "whimbrel",
        &[
            "whimbrel-core",
            "whimbrel-drive",
            "whimbrel-facts",
            "whimbrel-libvirt",
            "whimbrel-observe",
            "whimbrel-plugins",
            "whimbrel-policy",
            "whimbrel-preflight",
            "whimbrel-rules",
            "whimbrel-service",
            "whimbrel-sim",
            "whimbrel-simulated",
            "whimbrel-study",
            "whimbrel-verify",
        ],
    ),
    ("whimbrel-lab", &["whimbrel-core", "whimbrel-sim", "whimbrel-verify"]),
    ("whimbrel-benches", &["whimbrel", "whimbrel-core", "whimbrel-lab", "whimbrel-plugins", "whimbrel-sim"]),
    ("xtask", &["whimbrel-core", "whimbrel-lab", "whimbrel-sim", "whimbrel-verify"]),
];
/// What the tests of a member may use beside that.
const IN_TESTS: [(&str, &str); 4] = [
    ("whimbrel-libvirt", "whimbrel-oracle"),
    ("whimbrel-libvirt", "whimbrel-sim"),
    ("whimbrel-service", "whimbrel-simulated"),
    ("whimbrel-simulated", "whimbrel-rules"),
];
/// All that the driving loop is built from: an orchestrator that embeds it takes over neither a sandbox, nor a terminal, nor a
/// runtime for network clients.
const DRIVE: [&str; 6] =
    ["rustix", "serde", "thiserror", "whimbrel-core", "whimbrel-facts", "whimbrel-observe"];
/// All that the core is built from.
const CORE: [&str; 2] = ["serde", "serde_json"];

fn metadata() -> Metadata {
    MetadataCommand::new().current_dir(Tree::root().unwrap()).no_deps().exec().unwrap()
}

fn tree() -> Tree {
    Tree::read(&Tree::root().unwrap()).unwrap()
}

fn text<'a>(tree: &'a Tree, path: &str) -> &'a str {
    tree.text(path).unwrap_or_else(|| panic!("`{path}` is not there"))
}

/// The member's folder below the root, with a `/` at its end.
fn folder(metadata: &Metadata, package: &Package) -> String {
    let manifest = package.manifest_path.strip_prefix(&metadata.workspace_root).unwrap();
    manifest.as_str().strip_suffix("Cargo.toml").unwrap().to_owned()
}

#[test]
fn nothing_points_back() {
    let metadata = metadata();
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.into_iter().collect();
    let members: BTreeSet<&str> = metadata.packages.iter().map(|package| package.name.as_str()).collect();
    assert_eq!(members, allowed.keys().copied().collect(), "a new member needs its arrows here");
    for package in &metadata.packages {
        for dependency in package.dependencies.iter().filter(|one| members.contains(one.name.as_str())) {
            let arrow = (package.name.as_str(), dependency.name.as_str());
            let in_tests = dependency.kind == DependencyKind::Development && IN_TESTS.contains(&arrow);
            assert!(
                in_tests || allowed[arrow.0].contains(&arrow.1),
                "`{}` must not depend on `{}`",
                package.name,
                dependency.name
            );
        }
    }
}

/// What a package is built from, without what its tests use.
fn dependencies(package: &Package) -> BTreeSet<&str> {
    let used = package.dependencies.iter().filter(|one| one.kind != DependencyKind::Development);
    used.map(|dependency| dependency.name.as_str()).collect()
}

#[test]
fn the_driving_loop_is_made_of_nothing_else() {
    let metadata = metadata();
    let drive = metadata.packages.iter().find(|package| package.name == "whimbrel-drive").unwrap();
    assert_eq!(dependencies(drive), DRIVE.into_iter().collect());
}

/// One crate for each responsibility: none of them grows to hold most of the code.
#[test]
fn no_package_holds_a_third_of_the_code() {
    let (metadata, tree) = (metadata(), tree());
    let mut folders: Vec<_> = metadata.packages.iter().map(|package| folder(&metadata, package)).collect();
    // The innermost folder has a file: `sim/verify/` before `sim/`.
    folders.sort_by_key(|folder| std::cmp::Reverse(folder.len()));
    let mut lines: BTreeMap<&str, usize> = BTreeMap::new();
    for (path, text) in
        tree.texts().filter(|(path, _)| Path::new(path).extension().is_some_and(|end| end == "rs"))
    {
        let owner = folders.iter().find(|folder| path.starts_with(folder.as_str()));
        *lines.entry(owner.map_or("", String::as_str)).or_default() += text.lines().count();
    }
    let all: usize = lines.values().sum();
    for (folder, lines) in lines {
        assert!(lines * 3 < all, "`{folder}` has {lines} of {all} lines");
    }
}

#[test]
fn the_core_is_made_of_nothing_else() {
    let metadata = metadata();
    let core = metadata.packages.iter().find(|package| package.name == "whimbrel-core").unwrap();
    assert_eq!(dependencies(core), CORE.into_iter().collect());
    for dependency in core.dependencies.iter().filter(|one| CORE.contains(&one.name.as_str())) {
        assert!(!dependency.uses_default_features, "`{}` would bring in `std`", dependency.name);
        assert!(!dependency.features.iter().any(|feature| feature == "std"), "{:?}", dependency.features);
    }
    let tree = tree();
    let lib = text(&tree, "core/src/lib.rs");
    assert!(lib.lines().any(|line| line == "#![no_std]"), "the core can do without an operating system");
}

#[test]
fn unsafe_code_is_denied_everywhere() {
    let metadata = metadata();
    let tree = tree();
    let root: toml::Table = text(&tree, "Cargo.toml").parse().unwrap();
    let level = root["workspace"]["lints"]["rust"]["unsafe_code"].as_str().unwrap();
    assert!(matches!(level, "deny" | "forbid"), "{level}");
    for package in &metadata.packages {
        let manifest: toml::Table =
            text(&tree, &(folder(&metadata, package) + "Cargo.toml")).parse().unwrap();
        let inherits =
            manifest.get("lints").and_then(|lints| lints.get("workspace")).and_then(toml::Value::as_bool);
        assert_eq!(inherits, Some(true), "`{}` takes the workspace's lints", package.name);
    }
}

/// Clippy takes the nearest file alone, so each of them has to say it.
#[test]
fn functions_are_short_everywhere() {
    let tree = tree();
    let root: toml::Table = text(&tree, "Cargo.toml").parse().unwrap();
    let clippy = root["workspace"]["lints"]["clippy"].as_table().unwrap();
    assert_eq!(clippy["pedantic"]["level"].as_str(), Some("warn"), "it has `too_many_lines`");
    assert!(!clippy.contains_key("too_many_lines"), "nothing takes it back");
    let files: Vec<_> = tree.texts().filter(|(path, _)| path.ends_with("clippy.toml")).collect();
    assert!(!files.is_empty());
    for (path, text) in files {
        let settings: toml::Table = text.parse().unwrap();
        assert_eq!(settings["too-many-lines-threshold"].as_integer(), Some(70), "{path}");
    }
}
