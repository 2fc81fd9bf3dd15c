//! What the destination has of the things that a definition names, beyond the fields of the contract: as attributes.
//!
//! A list that could not be had leaves no attribute behind. Nothing here may report the absence of something that was not
//! searched for where it would be.

use std::collections::BTreeSet;

use whimbrel_facts::xml::{self, XmlError};
use whimbrel_facts::{Attribute, Domain as Guest, Host, HugePages, Scalar};

use crate::Connection;

/// Folders whose content libvirt's pools do not describe: devices, and what each start of the host makes again.
const NOT_STORAGE: [&str; 4] = ["/dev/", "/proc/", "/run/", "/sys/"];

/// Queries the destination for what this guest names; `definition` are the attributes of the definition by which it is
/// started there. Fills in the host's huge pages.
///
/// # Errors
/// When the capabilities cannot be read.
pub(super) fn attributes(
    connection: &Connection,
    capabilities: &str,
    guest: &Guest,
    definition: &[Attribute],
    host: &mut Host,
) -> Result<Vec<Attribute>, XmlError> {
    let mut found = xml::capabilities_attributes(capabilities, "destination")?;
    let sizes = page_sizes_kib(&found, guest);
    let (pages, of_nodes) = free_pages(connection, sizes.as_deref(), guest);
    host.huge_pages = pages;
    found.extend(of_nodes);
    found.extend(filters(connection, definition));
    found.extend(secrets(connection, host, definition));
    found.extend(files(connection, guest, definition));
    Ok(found)
}

fn attribute(path: String, value: impl Into<Scalar>) -> Attribute {
    Attribute { path, value: value.into() }
}

/// Sizes of the host's huge pages: all that it reports but the smallest, which is its usual page. None: not reported.
fn page_sizes_kib(found: &[Attribute], guest: &Guest) -> Option<Vec<u64>> {
    let all: BTreeSet<u64> = found
        .iter()
        .filter(|one| one.path.starts_with("destination/page-sizes-kib/"))
        .filter_map(|one| if let Scalar::Integer(kib) = one.value { u64::try_from(kib).ok() } else { None })
        .collect();
    let wants_default = guest.huge_pages_kib.contains(&0);
    let is_wanted = |kib: &u64| wants_default || guest.huge_pages_kib.contains(kib);
    (!all.is_empty()).then(|| all.into_iter().skip(1).filter(is_wanted).collect())
}

/// Free pages of the sizes that the guest wants, in all and on each node. A size that the host does not report is not
/// there; without a report, each size that the guest names is queried.
fn free_pages(
    connection: &Connection,
    reported: Option<&[u64]>,
    guest: &Guest,
) -> (Option<Vec<HugePages>>, Vec<Attribute>) {
    let named: Vec<u64> = guest.huge_pages_kib.iter().copied().filter(|size| *size > 0).collect();
    let sizes: BTreeSet<u64> = reported.unwrap_or(&named).iter().chain(&named).copied().collect();
    let (mut pages, mut of_nodes) = (Vec::new(), Vec::new());
    for size_kib in sizes {
        if reported.is_some_and(|reported| !reported.contains(&size_kib)) {
            pages.push(HugePages { size_kib, free: 0 });
            continue;
        }
        let Some(free) = u32::try_from(size_kib).ok().and_then(|size| connection.free_pages(size).ok())
        else {
            return (None, Vec::new());
        };
        pages.push(HugePages { size_kib, free: free.iter().sum() });
        let of_node = |(node, free): (usize, &u64)| {
            attribute(format!("destination/huge-pages/{node}/{size_kib}"), *free)
        };
        of_nodes.extend(free.iter().enumerate().map(of_node));
    }
    (Some(pages), of_nodes)
}

fn names(definition: &[Attribute], end: &str) -> bool {
    definition.iter().any(|one| one.path.ends_with(end))
}

/// All network filters and their number, where a card names one.
fn filters(connection: &Connection, definition: &[Attribute]) -> Vec<Attribute> {
    if !names(definition, "/filterref/@filter") {
        return Vec::new();
    }
    let Ok(all) = connection.network_filters() else { return Vec::new() };
    let count = u64::try_from(all.len()).unwrap_or(u64::MAX);
    let each = all.into_iter().map(|name| attribute(format!("destination/nwfilters/{name}"), true));
    each.chain([attribute("destination/nwfilters".to_owned(), count)]).collect()
}

/// The usage of each secret, where a disk names one by it.
fn secrets(connection: &Connection, host: &Host, definition: &[Attribute]) -> Vec<Attribute> {
    if !names(definition, "/secret/@usage") {
        return Vec::new();
    }
    let usage = |uuid: &String| {
        let usage = connection.secret_usage(uuid).ok()?;
        Some(attribute(format!("destination/secrets/{uuid}/usage"), usage))
    };
    host.secrets.iter().flatten().filter_map(usage).collect()
}

/// Whether the files that the definition names are there, as far as a storage pool lists their folders.
fn files(connection: &Connection, guest: &Guest, definition: &[Attribute]) -> Vec<Attribute> {
    let named = definition.iter().filter_map(|one| match &one.value {
        Scalar::Text(text) => Some(text.as_str()),
        Scalar::Boolean(_) | Scalar::Integer(_) => None,
    });
    let paths: BTreeSet<&str> = named.chain([guest.firmware.as_str(), guest.emulator.as_str()]).collect();
    let is_storage =
        |path: &&str| path.starts_with('/') && !NOT_STORAGE.iter().any(|folder| path.starts_with(folder));
    let is_there = |path: &str| {
        if let Ok(Some(_)) = connection.volume_bytes(path) {
            return Some(true);
        }
        let (pool, name) = connection.pool_of(path).ok()??;
        pool.volume(name).ok().map(|volume| volume.is_some())
    };
    let known = |path: &str| Some(attribute(format!("destination/files{path}"), is_there(path)?));
    paths.into_iter().filter(is_storage).filter_map(known).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn guest(huge_pages_kib: Vec<u64>) -> Guest {
        Guest { huge_pages_kib, ..Guest::default() }
    }

    fn sizes(all: &[u64]) -> Vec<Attribute> {
        let size = |(at, kib): (usize, &u64)| attribute(format!("destination/page-sizes-kib/{at}"), *kib);
        all.iter().enumerate().map(size).collect()
    }

    #[test]
    fn the_usual_page_is_no_huge_page() {
        let reported = sizes(&[4, 2048, 1 << 20]);
        assert_eq!(page_sizes_kib(&reported, &guest(vec![0])), Some(vec![2048, 1 << 20]));
        assert_eq!(page_sizes_kib(&reported, &guest(vec![2048])), Some(vec![2048]));
        assert_eq!(page_sizes_kib(&[], &guest(vec![2048])), None);
    }

    #[test]
    fn a_size_that_a_host_does_not_report_is_not_there() {
        let connection: Connection = Arc::new(crate::sys::Connection::open("test:///default").unwrap());
        let (pages, of_nodes) = free_pages(&connection, Some(&[]), &guest(vec![1 << 20]));
        assert_eq!((pages, of_nodes), (Some(vec![HugePages { size_kib: 1 << 20, free: 0 }]), Vec::new()));
        let (pages, _) = free_pages(&connection, Some(&[]), &guest(Vec::new()));
        assert_eq!(pages, Some(Vec::new()), "the guest wants none");
    }

    #[test]
    fn files_are_known_where_a_pool_lists_their_folder() {
        let connection: Connection = Arc::new(crate::sys::Connection::open("test:///default").unwrap());
        let pool = "<pool type='dir'><name>boot</name><target><path>/srv/boot</path></target></pool>";
        let pool = connection.create_pool(pool).unwrap();
        pool.create_volume("<volume><name>vmlinuz</name><capacity>1</capacity></volume>").unwrap();
        let definition = [
            attribute("guest/xml/os/kernel".to_owned(), "/srv/boot/vmlinuz"),
            attribute("guest/xml/os/initrd".to_owned(), "/boot/initrd"),
            attribute("guest/xml/devices/rng/0/backend".to_owned(), "/dev/hwrng"),
        ];
        let found = files(&connection, &guest(Vec::new()), &definition);
        assert_eq!(
            found,
            [attribute("destination/files/srv/boot/vmlinuz".to_owned(), true)],
            "others are unknown"
        );
    }

    #[test]
    fn filters_are_listed_where_one_is_named() {
        let connection: Connection = Arc::new(crate::sys::Connection::open("test:///default").unwrap());
        assert_eq!(filters(&connection, &[]), []);
        let definition =
            [attribute("guest/xml/devices/interface/0/filterref/@filter".to_owned(), "clean-traffic")];
        // The test driver has no filters; it must not be taken for a host that has none.
        assert_eq!(filters(&connection, &definition), []);
    }
}
