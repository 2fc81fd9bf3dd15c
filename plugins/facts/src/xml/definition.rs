//! A definition as attributes: one for each value that a rule evaluates and that has no field of its own.
//!
//! Which values those are is the table of [`coverage`](super::coverage). What the table does not know is named as not
//! understood; it must never be left out silently.

use std::prelude::rust_2024::*;

use std::collections::{BTreeMap, BTreeSet};

use roxmltree::Node;

use super::coverage::{self, Treatment};
use crate::{Attribute, Scalar};

/// Elements of which a definition may have several in one place, besides devices. They are numbered from 0.
const NUMBERED: [&str; 11] = [
    "cputune/cachetune",
    "cputune/memorytune",
    "blkiotune/device",
    "sysinfo/entry",
    "os/acpi/table",
    "seclabel",
    "devices/graphics/listen",
    "devices/serial/source",
    "devices/console/source",
    "devices/channel/source",
    "devices/disk/source/encryption/secret",
];

/// As many paths are named at most: a longer list helps no reader.
const NAMED: usize = 100;

/// What a definition has beyond the fields of [`Domain`](crate::Domain).
#[derive(Debug, Default)]
pub(super) struct Beyond {
    /// In the order of the definition.
    pub(super) attributes: Vec<Attribute>,
    /// Paths of elements and attributes that are not understood: the outermost ones.
    pub(super) not_understood: BTreeSet<String>,
}

/// Reads `<domain>`; each attribute's path begins with `prefix`.
pub(super) fn read(root: Node<'_, '_>, prefix: &str) -> Beyond {
    let mut beyond = Beyond::default();
    // A stack and no recursion: documents may nest deeply.
    let mut open = vec![(root, String::new(), prefix.to_owned())];
    while let Some((node, pattern, path)) = open.pop() {
        beyond.element(node, &pattern, &path);
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        let mut inner = Vec::new();
        for child in node.children().filter(Node::is_element) {
            let name = child.tag_name().name();
            let pattern = join(&pattern, name);
            // Management programs keep what they like there; the guest's facts name their namespaces.
            if pattern == "metadata" {
                continue;
            }
            if child.tag_name().namespace().is_some() || !coverage::is_known(&pattern) {
                beyond.name(&join_named(&pattern, child));
                continue;
            }
            let mut path = format!("{path}/{name}");
            if is_numbered(&pattern) {
                let at = seen.entry(name).or_default();
                path = format!("{path}/{at}");
                *at += 1;
            }
            inner.push((child, pattern, path));
        }
        open.extend(inner.into_iter().rev());
    }
    beyond
}

impl Beyond {
    fn element(&mut self, node: Node<'_, '_>, pattern: &str, path: &str) {
        if let (Some(Treatment::Attribute(_)), Some(text)) = (coverage::treatment(pattern), node.text()) {
            self.keep(path.to_owned(), text.trim());
        }
        for one in node.attributes() {
            let name = format!("@{}", one.name());
            let pattern = join(pattern, &name);
            match coverage::treatment(&pattern) {
                Some(Treatment::Attribute(_)) if one.namespace().is_none() => {
                    self.keep(format!("{path}/{name}"), one.value());
                }
                Some(_) if one.namespace().is_none() => {}
                _ => self.name(&pattern),
            }
        }
    }

    fn keep(&mut self, path: String, value: &str) {
        if !value.is_empty() {
            self.attributes.push(Attribute { path, value: Scalar::Text(value.to_owned()) });
        }
    }

    fn name(&mut self, path: &str) {
        if self.not_understood.len() < NAMED {
            self.not_understood.insert(crate::printable(path));
        }
    }
}

fn join(above: &str, name: &str) -> String {
    if above.is_empty() { name.to_owned() } else { format!("{above}/{name}") }
}

/// An element of another namespace belongs to one hypervisor or program, and is named with its prefix.
fn join_named(pattern: &str, node: Node<'_, '_>) -> String {
    let prefix = node.tag_name().namespace().and_then(|uri| node.lookup_prefix(uri));
    match (prefix, pattern.rsplit_once('/')) {
        (Some(prefix), Some((above, name))) => format!("{above}/{prefix}:{name}"),
        (Some(prefix), None) => format!("{prefix}:{pattern}"),
        (None, _) => pattern.to_owned(),
    }
}

fn is_numbered(pattern: &str) -> bool {
    let is_device = pattern.strip_prefix("devices/").is_some_and(|rest| !rest.contains('/'));
    (is_device && pattern != "devices/emulator") || NUMBERED.contains(&pattern)
}
