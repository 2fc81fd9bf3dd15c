//! Where a guest's definition and the one given for the destination differ, path by path.
//!
//! It only lists differences: whether the guest can see one is for rules to judge. Spellings that libvirt reads alike
//! (case of a UUID, unit of a size, `0x01` and `1` in an address, defaults that may be left out) are no difference.
//! Values that may be secrets are compared and never shown.

use std::prelude::rust_2024::*;

use std::collections::BTreeMap;

use crate::{Attribute, Scalar};
use roxmltree::Node;

use super::node::{bytes, child, number};
use super::secrets::{REDACTED, holds_secrets, is_secret_attribute, qualified};
use super::{XmlError, parse};

/// Differences that are listed; the others are counted.
const MOST: usize = 100;
/// Characters of a value that are shown.
const SHOWN: usize = 200;
/// Characters of a name or key that are part of a path.
const NAMED: usize = 64;
/// Bytes of a path; what lies deeper is compared as it is written.
const PATH_MOST: usize = 300;
/// Elements and attributes of one definition that are compared. No definition has as many.
const VALUES_MOST: usize = 50_000;
/// What libvirt takes where an attribute is absent: element below its parent, attribute, value. Source: libvirt, "Domain
/// XML format".
const DEFAULTS: [(&str, &str, &str); 12] = [
    ("devices/disk", "type", "file"),
    ("devices/disk", "device", "disk"),
    ("disk/driver", "name", "qemu"),
    ("disk/driver", "type", "raw"),
    ("domain/cpu", "match", "exact"),
    ("domain/vcpu", "placement", "static"),
    ("cpu/feature", "policy", "require"),
    ("cpu/topology", "dies", "1"),
    ("cpu/topology", "clusters", "1"),
    ("address", "domain", "0"),
    ("address", "multifunction", "off"),
    ("hyperv", "mode", "custom"),
];

/// The differences of two definitions as attributes: `definitions/compared` (true), and for each path that differs
/// `definitions/source/PATH` and `definitions/target/PATH` with the value there. A path that only one of them has is an
/// attribute of that one alone. `PATH` is like an `XPath` below `/domain`; elements that may be there several times have a
/// key, such as `devices/disk[vda]/driver/@cache`. `definitions/left-out` counts differences beyond the first 100, and is
/// there too for a definition that is too large to be compared in whole.
///
/// # Errors
/// When one of the two is not the XML of a domain, or hostile.
pub fn differences(source: &str, target: &str) -> Result<Vec<Attribute>, XmlError> {
    let (one, other) = (parse(source, "domain")?, parse(target, "domain")?);
    let (here, there) = (flattened(one.root_element()), flattened(other.root_element()));
    let mut found = vec![attribute("compared", Scalar::Boolean(true))];
    let is_cut = here.len() >= VALUES_MOST || there.len() >= VALUES_MOST;
    let mut paths = 0_usize;
    for path in here.keys().chain(there.keys().filter(|path| !here.contains_key(*path))) {
        let (mine, theirs) = (here.get(path), there.get(path));
        let is_equal = mine.map(|value| &value.compared) == theirs.map(|value| &value.compared);
        if is_equal || is_implied(path, &here, &there) {
            continue;
        }
        paths += 1;
        if paths > MOST {
            continue;
        }
        for (side, value) in [("source", mine), ("target", theirs)] {
            let path = format!("{side}/{}", crate::printable(path));
            found.extend(value.map(|value| attribute(&path, value.shown.clone().into())));
        }
    }
    let left_out = paths.saturating_sub(MOST) + usize::from(is_cut);
    if left_out > 0 {
        found.push(attribute("left-out", u64::try_from(left_out).unwrap_or(u64::MAX).into()));
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

fn attribute(path: &str, value: Scalar) -> Attribute {
    Attribute { path: format!("definitions/{path}"), value }
}

/// Of an element or attribute that only one definition has, its content is no further difference.
fn is_implied(path: &str, here: &Values, there: &Values) -> bool {
    let Some((parent, _)) = path.rsplit_once('/') else { return false };
    here.contains_key(parent) != there.contains_key(parent)
}

type Values = BTreeMap<String, Value>;

struct Value {
    /// In one spelling.
    compared: String,
    /// As the document has it, or without a secret.
    shown: String,
}

/// Every element and attribute below the root by its path. An element's value is its text.
fn flattened(root: Node<'_, '_>) -> Values {
    let mut values = Values::new();
    // No recursion: the depth of a document must not become that of the stack.
    let mut open: Vec<(Node<'_, '_>, String, bool)> = vec![(root, String::new(), false)];
    while let Some((node, path, inside)) = open.pop() {
        let is_secret = inside || holds_secrets(node);
        if values.len() >= VALUES_MOST {
            break;
        }
        if path.len() > PATH_MOST {
            let compared = node.document().input_text().get(node.range()).unwrap_or_default().to_owned();
            values.insert(path, Value { compared, shown: REDACTED.to_owned() });
            continue;
        }
        own(node, &path, is_secret, &mut values);
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for below in node.children().filter(|below| below.is_element() && !is_mirror(*below)) {
            let step = step(below);
            let times = seen.entry(step.clone()).or_default();
            *times += 1;
            let again = if *times > 1 { format!("[{times}]") } else { String::new() };
            let slash = if path.is_empty() { "" } else { "/" };
            open.push((below, format!("{path}{slash}{step}{again}"), is_secret));
        }
    }
    values
}

/// The element's own text and attributes.
fn own(node: Node<'_, '_>, path: &str, is_secret: bool, values: &mut Values) {
    let shown = |text: &str, hidden: bool| {
        if hidden { REDACTED.to_owned() } else { crate::printable(text).chars().take(SHOWN).collect() }
    };
    let name = node.tag_name().name();
    let parent = node.parent_element().map(|parent| parent.tag_name().name()).unwrap_or_default();
    let text: Vec<&str> = node.children().filter(Node::is_text).filter_map(|node| node.text()).collect();
    let text = text.concat().trim().to_owned();
    let size = is_size(node).then(|| bytes(node, "KiB")).flatten();
    if !path.is_empty() {
        let compared = match (size, name) {
            (Some(bytes), _) => bytes.to_string(),
            (None, "uuid" | "genid") => text.to_ascii_lowercase(),
            (None, _) => text.clone(),
        };
        values.insert(path.to_owned(), Value { compared, shown: shown(&text, is_secret) });
    }
    let at = |name: &str| if path.is_empty() { format!("@{name}") } else { format!("{path}/@{name}") };
    for one in node.attributes().filter(|one| !(size.is_some() && one.name() == "unit")) {
        let hidden = is_secret || is_secret_attribute(node, one);
        let value = one.value().trim();
        let compared = match name {
            "address" => number(value).map(|number| number.to_string()),
            "mac" => Some(value.to_ascii_lowercase()),
            _ => None,
        };
        let compared = compared.unwrap_or_else(|| value.to_owned());
        values.insert(at(one.name()), Value { compared, shown: shown(value, hidden) });
    }
    for (element, attribute, value) in DEFAULTS {
        let (above, own) = element.rsplit_once('/').unwrap_or(("", element));
        if own == name && (above.is_empty() || above == parent) && node.attribute(attribute).is_none() {
            values.insert(at(attribute), Value { compared: value.to_owned(), shown: value.to_owned() });
        }
    }
}

/// Sizes in the element's text, whose unit belongs to them.
fn is_size(node: Node<'_, '_>) -> bool {
    node.has_attribute("unit") || matches!(node.tag_name().name(), "memory" | "currentMemory" | "maxMemory")
}

/// libvirt lists the first serial port a second time, as a console, and adds that where it is absent.
fn is_mirror(node: Node<'_, '_>) -> bool {
    let kind = child(node, "target").and_then(|target| target.attribute("type"));
    node.tag_name().name() == "console" && matches!(kind, None | Some("serial"))
}

/// The element's name, with what distinguishes it from others of that name where there may be several.
fn step(node: Node<'_, '_>) -> String {
    let name = qualified(node);
    let own = |attribute: &str| node.attribute(attribute).map(str::to_ascii_lowercase);
    let of = |element: &str, attribute: &str| {
        child(node, element).and_then(|child| child.attribute(attribute)).map(str::to_ascii_lowercase)
    };
    let key = match name.as_str() {
        "disk" => of("target", "dev"),
        "interface" => of("mac", "address"),
        "controller" => own("type").map(|kind| kind + "," + own("index").as_deref().unwrap_or("0")),
        "channel" => of("target", "name"),
        "input" => own("type").map(|kind| kind + "," + own("bus").as_deref().unwrap_or_default()),
        "feature" | "timer" => own("name"),
        "cell" | "vcpu" => own("id"),
        _ => None,
    };
    let name: String = name.chars().take(NAMED).collect();
    key.map_or(name.clone(), |key| {
        let key: String =
            key.chars().take(NAMED).map(|c| if matches!(c, '/' | '[' | ']') { '_' } else { c }).collect();
        format!("{name}[{key}]")
    })
}
