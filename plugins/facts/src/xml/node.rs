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

/// A size with its unit, in bytes; none where either cannot be read.
pub(super) fn bytes(node: Node<'_, '_>, usual_unit: &str) -> Option<u64> {
    scaled(node.text()?, node.attribute("unit").unwrap_or(usual_unit))
}

/// A number of units, in bytes. Letters count in either case: `k`, `m`, `g`, `t`, `p` and `e` stand for powers of 1024,
/// alone or before `iB`, and for powers of 1000 before `B`. Source: libvirt, `virScaleInteger` in `virutil.c`.
pub(super) fn scaled(value: &str, unit: &str) -> Option<u64> {
    let unit = unit.trim().to_ascii_lowercase();
    let factor = match unit.as_str() {
        "" | "b" | "byte" | "bytes" => 1,
        unit => {
            let mut letters = unit.chars();
            let power = "kmgtpe".find(letters.next()?)?;
            let base: u64 = match letters.as_str() {
                "" | "ib" => 1024,
                "b" => 1000,
                _ => return None,
            };
            base.checked_pow(u32::try_from(power).ok()?.checked_add(1)?)?
        }
    };
    number(value)?.checked_mul(factor)
}

/// A size in KiB, rounded up as libvirt does.
pub(super) fn kib(node: Node<'_, '_>) -> Option<u64> {
    bytes(node, "KiB").map(|bytes| bytes.div_ceil(1024))
}

/// A list such as `0-3,^2,8`. Numbers from [`NUMBERS`] on are left out: libvirt has none. However many parts the text
/// has, each costs no more than that many steps of a plain fill.
pub(super) fn numbers(text: &str) -> Vec<u32> {
    let mut chosen = vec![false; NUMBERS];
    for part in text.split(',').map(str::trim) {
        let (keep, part) = part.strip_prefix('^').map_or((true, part), |part| (false, part));
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (Some(first), Some(last)) = (index(first), index(last)) else { continue };
        if let Some(range) = chosen.get_mut(first..=last.min(NUMBERS - 1)) {
            range.fill(keep);
        }
    }
    (0..).zip(chosen).filter_map(|(number, chosen)| chosen.then_some(number)).collect()
}

/// The most that libvirt numbers in a list. Source: libvirt, `VIR_DOMAIN_CPUMASK_LEN`.
const NUMBERS: usize = 16_384;

fn index(text: &str) -> Option<usize> {
    usize::try_from(number(text)?).ok()
}
