//! Small steps through a document. What is not there is an empty text or none, never an error.

use std::prelude::rust_2024::*;

use roxmltree::Node;

/// The first child of this name.
pub(super) fn child<'a, 'x>(node: Node<'a, 'x>, name: &str) -> Option<Node<'a, 'x>> {
    node.children().find(|child| child.is_element() && child.tag_name().name() == name)
}

/// Every child of this name.
pub(super) fn children<'a, 'x: 'a>(
    node: Node<'a, 'x>,
    name: &'static str,
) -> impl Iterator<Item = Node<'a, 'x>> {
    node.children().filter(move |child| child.is_element() && child.tag_name().name() == name)
}

/// Goes down by names.
pub(super) fn at<'a, 'x>(node: Node<'a, 'x>, path: &[&str]) -> Option<Node<'a, 'x>> {
    path.iter().try_fold(node, |node, name| child(node, name))
}

/// The text at the end of a path, trimmed.
pub(super) fn text(node: Node<'_, '_>, path: &[&str]) -> Option<String> {
    at(node, path)?.text().map(|text| text.trim().to_owned())
}

/// An attribute; empty where it is not there.
pub(super) fn attribute(node: Node<'_, '_>, name: &str) -> String {
    node.attribute(name).unwrap_or_default().to_owned()
}

/// A number in decimal, or in hexadecimal with `0x`.
pub(super) fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// A number as u32; what does not fit is not known.
pub(super) fn small(text: &str) -> Option<u32> {
    number(text)?.try_into().ok()
}

/// A size with its unit, in bytes. libvirt's units: powers of 1000 with a trailing `B`, else of 1024.
pub(super) fn bytes(node: Node<'_, '_>, usual_unit: &str) -> Option<u64> {
    let value = number(node.text()?)?;
    // libvirt ignores the case of a unit.
    let unit = node.attribute("unit").unwrap_or(usual_unit).to_ascii_lowercase();
    let factor: u64 = match unit.as_str() {
        "b" | "byte" | "bytes" => 1,
        "kb" => 1_000,
        "k" | "kib" => 1 << 10,
        "mb" => 1_000_000,
        "m" | "mib" => 1 << 20,
        "gb" => 1_000_000_000,
        "g" | "gib" => 1 << 30,
        "tb" => 1_000_000_000_000,
        "t" | "tib" => 1 << 40,
        "pb" => 1_000_000_000_000_000,
        "p" | "pib" => 1 << 50,
        "eb" => 1_000_000_000_000_000_000,
        "e" | "eib" => 1 << 60,
        _ => return None,
    };
    value.checked_mul(factor)
}

/// A size in KiB, rounded up as libvirt does.
pub(super) fn kib(node: Node<'_, '_>) -> Option<u64> {
    bytes(node, "KiB").map(|bytes| bytes.div_ceil(1024))
}

/// A list such as `0-3,^2,8`, bounded so that no text makes it large.
pub(super) fn numbers(text: &str) -> Vec<u32> {
    const MOST: u32 = 4096;
    let mut chosen = std::collections::BTreeSet::new();
    for part in text.split(',').map(str::trim) {
        let (remove, part) = part.strip_prefix('^').map_or((false, part), |part| (true, part));
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (Some(first), Some(last)) = (small(first), small(last)) else { continue };
        for one in first..=last.min(first.saturating_add(MOST)) {
            if remove {
                chosen.remove(&one);
            } else {
                chosen.insert(one);
            }
        }
    }
    chosen.into_iter().collect()
}
