//! Where a finding points, with names instead of positions: `/storage/vda/sharing` for `/storage/0/sharing`.
//!
//! A position means another disk for another guest, and for the same guest in another order; a decision of an operator
//! must not move with it.

use serde_json::Value;

/// Fields by which an element of a list is known, the first that all of its list have and no two share.
const NAMES: [&str; 6] = ["target", "mac", "name", "path", "address", "size-kib"];

/// The pointer with a name in each place of a position, where the elements have one.
pub(crate) fn named(facts: &Value, subject: &str) -> String {
    let mut node = Some(facts);
    let mut out = String::with_capacity(subject.len());
    for segment in subject.split('/').skip(1) {
        out.push('/');
        match (node, segment.parse::<usize>()) {
            (Some(Value::Array(list)), Ok(at)) => {
                out.push_str(&name(list, at).unwrap_or_else(|| segment.to_owned()));
                node = list.get(at);
            }
            (Some(value), _) => {
                out.push_str(segment);
                node = value.get(unescaped(segment));
            }
            (None, _) => out.push_str(segment),
        }
    }
    out
}

/// Whether a part of a pointer may be a position: without one, [`named`] gives it back as it is.
pub(crate) fn has_number(subject: &str) -> bool {
    subject.split('/').any(|segment| segment.parse::<usize>().is_ok())
}

/// The disk that a named pointer leads to, without the layer: `vda` for `/storage/vda[1]/sharing`.
pub(crate) fn disk(place: &str) -> Option<&str> {
    let rest =
        ["/storage/", "/guest/disks/", "/target/disks/"].iter().find_map(|list| place.strip_prefix(list))?;
    rest.split(['/', '[']).next().filter(|name| !name.is_empty())
}

/// Whether a pointer goes through a list whose elements have names by a position.
pub(crate) fn has_position(subject: &str) -> bool {
    let segments: Vec<&str> = subject.split('/').collect();
    segments.windows(2).any(|pair| match pair {
        [list, at] => {
            matches!(*list, "storage" | "disks" | "network-cards" | "attributes")
                && at.parse::<usize>().is_ok()
        }
        _ => false,
    })
}

fn name(list: &[Value], at: usize) -> Option<String> {
    NAMES.iter().find_map(|field| {
        let texts: Vec<String> = list.iter().filter_map(|one| text(one.get(field)?)).collect();
        let is_name = texts.len() == list.len() && texts.iter().all(|text| !text.is_empty());
        let own =
            texts.get(at).filter(|own| is_name && texts.iter().filter(|other| other == own).count() == 1)?;
        Some(own.replace('~', "~0").replace('/', "~1"))
    })
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn unescaped(segment: &str) -> String {
    segment.replace("~1", "/").replace("~0", "~")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_become_names_where_there_are_any() {
        let facts = serde_json::json!({
            "storage": [{ "target": "vda", "sharing": "proven" }, { "target": "vda[1]" }],
            "guest": { "network-cards": [{ "mac": "52:54:00:00:00:01" }], "host-devices": [{ "kind": "pci" }],
                "graphics": [{ "address": "a" }, { "address": "a" }] },
            "attributes": [{ "path": "definitions/source/cpu" }],
        });
        for (subject, expected) in [
            ("/storage/0/sharing", "/storage/vda/sharing"),
            ("/storage/1", "/storage/vda[1]"),
            ("/guest/network-cards/0/mtu", "/guest/network-cards/52:54:00:00:00:01/mtu"),
            ("/attributes/0", "/attributes/definitions~1source~1cpu"),
            ("/guest/host-devices/0", "/guest/host-devices/0"),
            ("/guest/graphics/1", "/guest/graphics/1"),
            ("/storage/7/sharing", "/storage/7/sharing"),
            ("/nothing/0", "/nothing/0"),
            ("", ""),
        ] {
            assert_eq!(named(&facts, subject), expected);
            assert!(has_number(subject) || subject == expected, "{subject}");
        }
        assert_eq!(disk("/storage/vda[1]/sharing"), Some("vda"));
        assert_eq!(disk("/guest/disks/vdb/cache"), Some("vdb"));
        assert_eq!(disk("/guest/network-cards/x"), None);
        assert!(has_position("/guest/disks/0/cache") && !has_position("/guest/disks/vda/cache"));
    }
}
