//! Whether two identities name the same storage. A name that each host resolves on its own (loopback address, Unix
//! socket, `ceph.conf`) must never count as an identity.

use crate::storage::{DiskStorage, Identity, Sharing};

/// Result of comparing two hosts' identities of one disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sameness {
    /// Both hosts reach one storage.
    Same,
    /// The hosts reach two different storages.
    Different,
    /// No identities of one kind are known on both hosts, or they prove nothing.
    Unknown,
}

/// Kinds whose value names a device; every other kind is a network protocol with servers and a name.
const OF_A_DEVICE: [&str; 6] = ["wwid", "multipath", "serial", "lvm", "nvme", "volume-key"];

/// Compares all identities that both hosts have.
#[must_use]
pub fn of_identities(storage: &DiskStorage) -> Sameness {
    let (here, there) = (&storage.source.identities, &storage.destination.identities);
    let mut found = Sameness::Unknown;
    for one in here {
        let of_kind = || there.iter().filter(|other| other.kind == one.kind);
        if of_kind().any(|other| relation(one, other) == Sameness::Same) {
            return Sameness::Same;
        }
        if of_kind().any(|other| relation(one, other) == Sameness::Different) {
            found = Sameness::Different;
        }
    }
    found
}

/// One pair of identities of the first kind that both hosts have with no match between them. None: no kind contradicts.
#[must_use]
pub fn contradiction(storage: &DiskStorage) -> Option<(&Identity, &Identity)> {
    let (here, there) = (&storage.source.identities, &storage.destination.identities);
    here.iter().find_map(|one| {
        let of_kind = |list: &[Identity]| list.iter().any(|other| other.kind == one.kind);
        let agree = here.iter().filter(|mine| mine.kind == one.kind).any(|mine| {
            there.iter().any(|other| other.kind == one.kind && relation(mine, other) != Sameness::Different)
        });
        let other = there.iter().find(|other| other.kind == one.kind)?;
        (of_kind(there) && !agree).then_some((one, other))
    })
}

/// Whether both hosts reach one storage. A probe that proved it, or a common identity, outweighs a contradiction.
#[must_use]
pub fn of_storage(storage: &DiskStorage) -> Sameness {
    match (storage.sharing, of_identities(storage)) {
        (Sharing::Proven, _) | (_, Sameness::Same) => Sameness::Same,
        (Sharing::Disproven, _) | (_, Sameness::Different) => Sameness::Different,
        (Sharing::Unknown, Sameness::Unknown) => Sameness::Unknown,
    }
}

fn relation(here: &Identity, there: &Identity) -> Sameness {
    if here.kind != there.kind {
        return Sameness::Unknown;
    }
    if OF_A_DEVICE.contains(&here.kind.as_str()) {
        return if here.value == there.value { Sameness::Same } else { Sameness::Different };
    }
    let (Some(one), Some(other)) = (Named::read(&here.value), Named::read(&there.value)) else {
        return Sameness::Unknown;
    };
    if one.name != other.name {
        return Sameness::Different;
    }
    // A cluster or target has several addresses: one in common is enough, none in common proves nothing.
    if one.servers().any(|server| other.servers().any(|theirs| theirs == server)) {
        Sameness::Same
    } else {
        Sameness::Unknown
    }
}

/// A network identity, written as servers separated by commas, a space, and the name on them.
struct Named<'a> {
    servers: &'a str,
    name: &'a str,
}

impl<'a> Named<'a> {
    /// None when it names no server, or one that each host resolves to itself.
    fn read(value: &'a str) -> Option<Self> {
        let (servers, name) = value.split_once(' ')?;
        let named = Self { servers, name };
        let is_global = |server: &str| !is_local(server);
        (!servers.is_empty() && named.servers().all(is_global)).then_some(named)
    }

    fn servers(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.servers.split(',')
    }
}

/// Whether each host resolves this server to itself: a loopback address, a socket file, or no name at all.
fn is_local(server: &str) -> bool {
    let host = match server.strip_prefix('[') {
        Some(six) => six.split(']').next().unwrap_or(six),
        None if server.matches(':').count() > 1 => server.rsplit_once(':').map_or(server, |(host, _)| host),
        None => server.split(':').next().unwrap_or(server),
    };
    host.is_empty()
        || host.starts_with('/')
        || host.starts_with("127.")
        || matches!(host, "::1" | "0.0.0.0" | "::" | "0")
        || host.starts_with("localhost")
        || host.starts_with("ip6-localhost")
}

#[cfg(test)]
mod tests {
    use alloc::borrow::ToOwned;
    use alloc::vec;

    use crate::storage::StorageSide;

    use super::*;

    fn of(kind: &str, here: &[&str], there: &[&str]) -> Sameness {
        let side = |values: &[&str]| StorageSide {
            identities: values
                .iter()
                .map(|value| Identity { kind: kind.to_owned(), value: (*value).to_owned() })
                .collect(),
            ..StorageSide::default()
        };
        of_identities(&DiskStorage { source: side(here), destination: side(there), ..DiskStorage::default() })
    }

    #[test]
    fn a_server_that_is_each_host_itself_identifies_nothing() {
        for server in
            ["localhost:10809", "127.0.0.1:10809", "::1:10809", "[::1]:10809", "/run/nbd.sock:", ":", ""]
        {
            let value = alloc::format!("{server} x");
            assert_eq!(of("nbd", &[&value], &[&value]), Sameness::Unknown, "{server}");
        }
        assert_eq!(of("nbd", &["san:10809 x"], &["san:10809 x"]), Sameness::Same);
        assert_eq!(of("nbd", &["san:10809 x"], &["san:10809 y"]), Sameness::Different);
    }

    #[test]
    fn one_server_in_common_is_enough_and_none_says_nothing() {
        assert_eq!(of("rbd", &["m1:6789,m2:6789 p/i"], &["m2:6789,m3:6789 p/i"]), Sameness::Same);
        assert_eq!(of("rbd", &["m1:6789 p/i"], &["m3:6789 p/i"]), Sameness::Unknown);
    }

    #[test]
    fn any_identity_of_a_device_in_common_is_enough() {
        assert_eq!(of("wwid", &["6001", "eui.1"], &["eui.1", "6001"]), Sameness::Same);
        assert_eq!(of("lvm", &["a"], &["a"]), Sameness::Same);
        assert_eq!(of("serial", &["a"], &["b"]), Sameness::Different);
        let none: vec::Vec<&str> = vec![];
        assert_eq!(of("wwid", &["a"], &none), Sameness::Unknown);
    }
}
