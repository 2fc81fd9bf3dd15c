//! The contract does not change under rules that were built for it.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a failing helper fails the test")]

use wit_parser::{Resolve, WorldId};

const LIVE: &str = include_str!("../../wit/rules.wit");
const FROZEN: &str = include_str!("../../wit/frozen/rules-1.0.0.wit");

fn world(text: &str) -> (Resolve, WorldId) {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("rules.wit", text).unwrap();
    let world = resolve.select_world(&[package], None).unwrap();
    (resolve, world)
}

/// Whether a pack for the frozen contract can be used as one for this.
fn is_compatible(text: &str) -> bool {
    // Both are of the same package, so the changed one must carry another version to be loaded beside it.
    let (mut resolve, frozen) = world(FROZEN);
    let (other, changed) = world(&text.replace("@1.0.0", "@1.0.1"));
    let remap = resolve.merge(other).unwrap();
    let changed = remap.worlds[changed.index()].unwrap();
    wit_component::semver_check(resolve, frozen, changed).is_ok()
}

#[test]
fn the_live_contract_is_the_frozen_one() {
    assert!(is_compatible(LIVE), "a published contract was changed: make a new major version beside it");
}

#[test]
fn a_change_would_be_seen() {
    for (old, new) in [
        ("nothing of this kind", ""),
        ("record filesystem { driver: string,", "record filesystem { driver: string, tag: string,"),
        ("enum sharing { proven,", "enum sharing { assumed, proven,"),
        ("check: func(", "explain: func() -> string;\n  check: func("),
    ] {
        let changed = LIVE.replacen(old, new, 1);
        assert_eq!(is_compatible(&changed), changed == LIVE, "{new}");
    }
}

#[test]
fn the_contract_imports_nothing() {
    let (resolve, id) = world(LIVE);
    assert!(resolve.worlds[id].imports.is_empty());
    assert_eq!(resolve.worlds[id].exports.len(), 1);
}
