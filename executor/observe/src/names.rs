//! Names of the guest and of its hosts, as people use them.
//!
//! Names and messages come from guests and hypervisors: control characters in them must never reach a terminal.

use whimbrel_core::{Side, Spec};

/// The names of the guest and its hosts, as people use them.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// The guest, in backticks.
    pub guest: String,
    /// The source's host.
    pub source: String,
    /// The destination's host.
    pub destination: String,
    /// Whether only the definition of a guest that is off is moved.
    pub is_offline: bool,
}

impl Names {
    /// The names in a spec, in backticks where they are the guest's, without control characters.
    #[must_use]
    pub fn of(spec: &Spec) -> Self {
        let (mut source, mut destination) = (host_of(&spec.source), host_of(&spec.destination));
        if source == destination {
            (source, destination) = (&spec.source, &spec.destination);
        }
        Self {
            guest: format!("`{}`", clean(&spec.guest)),
            source: clean(source),
            destination: clean(destination),
            is_offline: spec.transfer.offline,
        }
    }

    /// The host of one side.
    #[must_use]
    pub fn side(&self, side: Side) -> &str {
        match side {
            Side::Source => &self.source,
            Side::Destination => &self.destination,
        }
    }
}

/// The text with control characters escaped.
#[must_use]
pub fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            clean.extend(character.escape_default());
        } else {
            clean.push(character);
        }
    }
    clean
}

/// The host in a URI, or the whole address where there is none.
fn host_of(address: &str) -> &str {
    let Some((_, rest)) = address.split_once("://") else { return address };
    let authority = rest.split(['/', '?']).next().unwrap_or(rest);
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    if host.is_empty() { address } else { host }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_called_by_their_names() {
        let addresses =
            ["qemu+ssh://root@alpha/system", "qemu+tcp://beta:16509/system", "sim://gamma", "delta"];
        assert_eq!(addresses.map(host_of), ["alpha", "beta", "gamma", "delta"]);
        assert_eq!(host_of("qemu+tcp://[fe80::1]:16509/system"), "[fe80::1]");
        assert_eq!(host_of("qemu+tcp://[fe80::1]/system"), "[fe80::1]");
        assert_eq!(host_of("qemu:///system"), "qemu:///system");
        let two_ports = Spec::new("web", "qemu+tcp://host:1/system", "qemu+tcp://host:2/system");
        assert_eq!(Names::of(&two_ports).destination, "qemu+tcp://host:2/system");
    }

    #[test]
    fn control_characters_never_get_through() {
        assert_eq!(clean("a\u{1b}[2Jb\nc"), "a\\u{1b}[2Jb\\nc");
    }
}
