//! For each path of a guest's definition: which rule evaluates it, or why none has to.
//!
//! A path that is in neither table is *not understood*, and the guest's facts name it. It must never be dropped without
//! an entry here: what no rule evaluates would then count as harmless.
//!
//! A path has the names of elements below `/domain`, joined by slashes; the last part of an attribute's path begins with
//! `@`. `devices/*` stands for every device, `/**` at the end for the element itself and all within it. Of several entries
//! that fit, the most exact one counts. Source of the paths: libvirt, "Domain XML format".

use std::prelude::rust_2024::*;

use std::collections::BTreeMap;
use std::sync::LazyLock;

mod devices;
mod guest;

/// What becomes of one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// Read into a field of [`Domain`](crate::Domain), or into a fact computed of it; the rule of this code evaluates it, with others perhaps.
    Field(&'static str),
    /// Kept as the attribute `guest/xml/PATH`; the rule of this code evaluates it, with others perhaps.
    Attribute(&'static str),
    /// The guest sees it, and its definition travels with it: the destination creates the same. Whether the destination
    /// knows the element at all is for the rules about versions and machine types.
    Carried,
    /// It cannot matter to a migration, for this reason.
    Irrelevant(&'static str),
}

/// One row: a path and what becomes of it.
pub type Row = (&'static str, Treatment);

const fn field(path: &'static str, rule: &'static str) -> Row {
    (path, Treatment::Field(rule))
}

const fn kept(path: &'static str, rule: &'static str) -> Row {
    (path, Treatment::Attribute(rule))
}

const fn carried(path: &'static str) -> Row {
    (path, Treatment::Carried)
}

const fn irrelevant(path: &'static str, reason: &'static str) -> Row {
    (path, Treatment::Irrelevant(reason))
}

/// Every row, in the order of the tables.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    [guest::ROWS, devices::ROWS, devices::BACKENDS].into_iter().flatten()
}

static BY_PATH: LazyLock<BTreeMap<&'static str, Treatment>> = LazyLock::new(|| rows().copied().collect());

/// Whether an element is understood: it has an entry, or something within it has one.
#[must_use]
pub fn is_known(path: &str) -> bool {
    treatment(path).is_some()
        || [Some(without_layers(path)), of_any_device(path)].into_iter().flatten().any(|path| {
            let within = format!("{path}/");
            BY_PATH.range(within.as_str()..).next().is_some_and(|(first, _)| first.starts_with(&within))
        })
}

/// What becomes of a path; none where it is not understood.
#[must_use]
pub fn treatment(path: &str) -> Option<Treatment> {
    found(&without_layers(path)).or_else(|| found(&of_any_device(path)?))
}

fn of_any_device(path: &str) -> Option<String> {
    let (_, rest) = path.strip_prefix("devices/")?.split_once('/')?;
    Some(format!("devices/*/{rest}"))
}

/// The entry for exactly this path, or for the nearest element around it that stands for all within.
fn found(path: &str) -> Option<Treatment> {
    if let Some(exact) = BY_PATH.get(path) {
        return Some(*exact);
    }
    let mut around = Some(path);
    while let Some(element) = around {
        if let Some(all) = BY_PATH.get(format!("{element}/**").as_str()) {
            return Some(*all);
        }
        around = element.rsplit_once('/').map(|(above, _)| above);
    }
    None
}

/// Layers of an image nest in one another, each described in the same way.
fn without_layers(path: &str) -> String {
    let mut path = path.to_owned();
    while path.contains("backingStore/backingStore") {
        path = path.replace("backingStore/backingStore", "backingStore");
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_has_two_entries() {
        assert_eq!(rows().count(), BY_PATH.len());
    }

    #[test]
    fn the_most_exact_entry_counts() {
        let kept = |path| matches!(treatment(path), Some(Treatment::Attribute(_)));
        assert!(
            kept("devices/video/model/@type") && kept("devices/disk/backingStore/backingStore/format/@type")
        );
        assert_eq!(treatment("devices/video/model/@heads"), Some(Treatment::Carried));
        assert_eq!(treatment("devices/video/address/@slot"), Some(Treatment::Carried));
        assert_eq!(treatment("devices/gadget/@x"), None);
        assert_eq!(treatment("novelty"), None);
        assert!(is_known("devices/tpm/backend") && is_known("devices/serial/source") && is_known("devices"));
        assert!(!is_known("devices/gadget") && !is_known("devices/serial/gadget"));
    }
}
