//! The modules of a crate have an order: none imports another that imports it, over however many steps.
//!
//! Top-level modules are compared, by the paths that begin with `crate::` (and `super::` at the top). What the parts of one
//! module import of each other is its own business.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use xtask::Tree;

/// The glue that a compiler of contracts writes names what implements it.
const GENERATED: &str = "plugins/packs/src/";

/// Modules, and those that each imports.
type Imports = BTreeMap<String, BTreeSet<String>>;

#[test]
fn no_module_imports_itself_by_way_of_others() {
    let tree = Tree::read(&Tree::root().unwrap()).unwrap();
    let mut found = Vec::new();
    for (lib, text) in tree.texts().filter(|(path, _)| path.ends_with("src/lib.rs")) {
        let source = lib.strip_suffix("lib.rs").unwrap();
        if source != GENERATED {
            let imports = imports(&tree, source, &exports(text));
            found.extend(
                imports
                    .keys()
                    .filter_map(|module| circle(module, &imports))
                    .map(|way| format!("{source}: {}", way.join(" -> "))),
            );
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// The names that a crate's root gives on, each with its module.
fn exports(root: &str) -> BTreeMap<&str, &str> {
    let uses = root.split("pub use ").skip(1).chain(root.split("pub(crate) use ").skip(1));
    let names = uses.filter_map(|one| one.split(';').next()?.split_once("::"));
    names.flat_map(|(module, names)| words(names).map(move |name| (name, module))).collect()
}

fn imports(tree: &Tree, source: &str, exports: &BTreeMap<&str, &str>) -> Imports {
    let files: Vec<_> = tree
        .texts()
        .filter_map(|(path, text)| Some((path.strip_prefix(source)?, text)))
        .filter(|(path, _)| Path::new(path).extension().is_some_and(|end| end == "rs"))
        .filter(|(path, _)| !matches!(*path, "lib.rs" | "main.rs"))
        .collect();
    let module_of = |path: &str| path.split(['/', '.']).next().unwrap_or_default().to_owned();
    let modules: BTreeSet<String> = files.iter().map(|(path, _)| module_of(path)).collect();
    let mut imports = Imports::new();
    for (path, text) in &files {
        let own = module_of(path);
        let code: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        let code = code.join("\n");
        // What tests use is in no program.
        let code = code.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        let above = if path.contains('/') { "" } else { "super::" };
        let starts = ["crate::", above].into_iter().filter(|start| !start.is_empty());
        for name in starts.flat_map(|start| code.split(start).skip(1)).flat_map(first_names) {
            let name = exports.get(name).copied().unwrap_or(name);
            if name != own && modules.contains(name) {
                imports.entry(own.clone()).or_default().insert(name.to_owned());
            }
        }
    }
    imports
}

/// The name, or the names in braces, at the beginning of what follows `crate::`.
fn first_names(rest: &str) -> Vec<&str> {
    match rest.strip_prefix('{') {
        Some(list) => words(list.split(';').next().unwrap_or_default()).collect(),
        None => words(rest).take(1).collect(),
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// A way from a module back to itself.
fn circle(module: &str, imports: &Imports) -> Option<Vec<String>> {
    let mut ways = vec![vec![module.to_owned()]];
    let mut met = BTreeSet::new();
    while let Some(way) = ways.pop() {
        for next in way.last().and_then(|last| imports.get(last)).into_iter().flatten() {
            let mut longer = way.clone();
            longer.push(next.clone());
            if next == module {
                return Some(longer);
            }
            if met.insert(next.clone()) {
                ways.push(longer);
            }
        }
    }
    None
}

#[test]
fn a_circle_is_found() {
    let to = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let mut all = Imports::from([("a".to_owned(), to(&["b"])), ("b".to_owned(), to(&["c"]))]);
    assert_eq!(circle("a", &all), None);
    all.insert("c".to_owned(), to(&["a"]));
    assert_eq!(circle("a", &all).unwrap(), ["a", "b", "c", "a"]);
}
