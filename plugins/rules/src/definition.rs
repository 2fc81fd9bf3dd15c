//! What a definition says beyond the fields of the contract: attributes below `guest/xml/` or `target/xml/`.
//!
//! Which values there are is the table `whimbrel_facts::xml::coverage`. A path that has no attribute is absent from the
//! definition: the reader keeps every value that its table names.

use alloc::format;
use alloc::string::String;

use whimbrel_facts::{Attribute, Scalar};

/// One definition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Definition<'a> {
    attributes: &'a [Attribute],
    /// `guest/xml` or `target/xml`.
    below: &'static str,
}

/// One value of a definition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Value<'a> {
    below: &'static str,
    /// Its path below `/domain`, with numbers where there may be several: `devices/video/0/model/@type`.
    pub(crate) path: &'a str,
    pub(crate) text: &'a str,
}

impl<'a> Definition<'a> {
    /// None where no such definition was read: each has a type.
    pub(crate) fn of(attributes: &'a [Attribute], below: &'static str) -> Option<Self> {
        let all = Self { attributes, below };
        all.text("@type").map(|_| all)
    }

    /// The values whose path, without its numbers, is this one; `*` stands for one name, `**` at the front for any.
    pub(crate) fn all(self, pattern: &'static str) -> impl Iterator<Item = Value<'a>> {
        self.values().filter(move |value| fits(value.path, pattern))
    }

    /// The text at exactly this path, numbers included.
    pub(crate) fn text(self, path: &str) -> Option<&'a str> {
        self.values().find(|value| value.path == path).map(|value| value.text)
    }

    /// The text at a path within the same device as this value.
    pub(crate) fn beside(self, value: Value<'_>, path: &str) -> Option<&'a str> {
        self.text(&format!("{}/{path}", value.device()))
    }

    fn values(self) -> impl Iterator<Item = Value<'a>> {
        self.attributes.iter().filter_map(move |one| {
            let path = one.path.strip_prefix(self.below)?.strip_prefix('/')?;
            let Scalar::Text(text) = &one.value else { return None };
            Some(Value { below: self.below, path, text })
        })
    }
}

impl Value<'_> {
    /// The subject of a finding about it: its attribute's path, with a slash at the front.
    pub(crate) fn subject(&self) -> String {
        format!("/{}/{}", self.below, self.path)
    }

    /// The device that it is of, such as `devices/video/0`.
    pub(crate) fn device(&self) -> &str {
        let third = self.path.match_indices('/').nth(2).map_or(self.path.len(), |(at, _)| at);
        self.path.get(..third).unwrap_or(self.path)
    }

    /// The number of the device among those of its kind.
    pub(crate) fn number(&self) -> usize {
        self.device().rsplit('/').next().and_then(|number| number.parse().ok()).unwrap_or(0)
    }
}

fn fits(path: &str, pattern: &str) -> bool {
    let is_name = |part: &&str| part.bytes().any(|byte| !byte.is_ascii_digit());
    let names = || path.split('/').filter(is_name);
    if let Some(end) = pattern.strip_prefix("**/") {
        let wanted = end.split('/').count();
        let skipped = names().count().checked_sub(wanted);
        return skipped.is_some_and(|skipped| names().skip(skipped).eq(end.split('/')));
    }
    let mut wanted = pattern.split('/');
    names().all(|name| wanted.next().is_some_and(|one| one == "*" || one == name)) && wanted.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_do_not_count_and_names_do() {
        assert!(fits("devices/video/0/model/@type", "devices/video/model/@type"));
        assert!(fits("devices/serial/3/log/@file", "devices/*/log/@file"));
        assert!(fits(
            "devices/disk/1/backingStore/backingStore/format/@type",
            "**/backingStore/format/@type"
        ));
        for (path, pattern) in [
            ("devices/video/0/model", "devices/video/model/@type"),
            ("devices/video/0/model/@type", "devices/video/model"),
            ("devices/sound/0/@model", "devices/video/@model"),
            ("format/@type", "**/backingStore/format/@type"),
        ] {
            assert!(!fits(path, pattern), "{path} {pattern}");
        }
    }
}
