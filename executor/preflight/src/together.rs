//! Whether guests that each could run on a host can run there together.
//!
//! The rules judge one guest; what several of them need of one host adds up. It must never take a sum for sufficient where
//! a part of it is not known.

use std::collections::BTreeMap;

use whimbrel_facts::{Facts, StorageCopy, Verdict};

/// One thing of a host that guests need together.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Shortage {
    /// `fail`, `warn` or `unknown`, as a rule's verdict.
    #[serde(serialize_with = "verdict_name")]
    pub verdict: Verdict,
    /// `memory`, `huge-pages`, `cpus`, `pinning`, `pool`, `device`, `path` or `name`.
    pub resource: &'static str,
    /// What is too little or wanted twice, for the operator.
    pub message: String,
}

fn verdict_name<S: serde::Serializer>(verdict: &Verdict, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(verdict.name())
}

/// All that these guests cannot have together on the destination that the facts of each are about. Empty: they fit.
#[must_use]
pub fn shortages(guests: &[&Facts]) -> Vec<Shortage> {
    let mut found = Vec::new();
    for check in [memory, huge_pages, cpus, pools, twice] {
        check(guests, &mut found);
    }
    found
}

fn push(found: &mut Vec<Shortage>, verdict: Verdict, resource: &'static str, message: String) {
    found.push(Shortage { verdict, resource, message });
}

/// The guest as it will be on the destination.
fn arriving(facts: &Facts) -> Option<&whimbrel_facts::Domain> {
    facts.target.as_ref().or(facts.guest.as_ref())
}

fn name(facts: &Facts) -> &str {
    facts.guest.as_ref().map_or("", |guest| guest.name.as_str())
}

fn memory(guests: &[&Facts], found: &mut Vec<Shortage>) {
    let sizes: Option<Vec<u64>> = guests
        .iter()
        .map(|facts| arriving(facts).map(|guest| guest.memory_kib).filter(|kib| *kib > 0))
        .collect();
    let host = guests.first().and_then(|facts| facts.destination.as_ref());
    let (Some(sizes), Some(host)) = (sizes, host) else {
        return push(found, Verdict::Unknown, "memory", "the memory of a guest is not known".to_owned());
    };
    let all_kib: u64 = sizes.iter().sum();
    match host.memory_kib {
        Some(kib) if all_kib > kib => push(
            found,
            Verdict::Fail,
            "memory",
            format!("they have {} MiB of memory, and the host has {} MiB in all", all_kib >> 10, kib >> 10),
        ),
        Some(_) => {}
        None => push(found, Verdict::Unknown, "memory", "the host's memory is not known".to_owned()),
    }
    // Huge pages are set aside already and not among what is free.
    let has_plain_memory =
        |facts: &&&Facts| arriving(facts).is_some_and(|guest| guest.huge_pages_kib.is_empty());
    let plain_kib: u64 = guests
        .iter()
        .filter(has_plain_memory)
        .filter_map(|facts| arriving(facts))
        .map(|guest| guest.memory_kib)
        .sum();
    match host.free_memory_kib {
        Some(kib) if plain_kib > kib => push(
            found,
            Verdict::Warn,
            "memory",
            format!("they need {} MiB of memory, and the host has {} MiB free", plain_kib >> 10, kib >> 10),
        ),
        Some(_) => {}
        None => push(found, Verdict::Unknown, "memory", "the host's free memory is not known".to_owned()),
    }
}

fn huge_pages(guests: &[&Facts], found: &mut Vec<Shortage>) {
    let mut wanted: BTreeMap<u64, u64> = BTreeMap::new();
    let mut free: BTreeMap<u64, u64> = BTreeMap::new();
    for facts in guests {
        let Some(guest) = arriving(facts).filter(|guest| !guest.huge_pages_kib.is_empty()) else { continue };
        let [size_kib @ 1..=u64::MAX] = guest.huge_pages_kib.as_slice() else {
            let message =
                format!("`{}` has pages of several sizes, or of the host's default size", guest.name);
            push(found, Verdict::Unknown, "huge-pages", message);
            continue;
        };
        *wanted.entry(*size_kib).or_default() += guest.memory_kib.div_ceil(*size_kib);
        let pools = facts.destination.as_ref().and_then(|host| host.huge_pages.as_ref());
        for pool in pools.into_iter().flatten() {
            free.insert(pool.size_kib, pool.free);
        }
    }
    for (size_kib, pages) in wanted {
        match free.get(&size_kib) {
            Some(there) if *there >= pages => {}
            Some(there) => push(
                found,
                Verdict::Fail,
                "huge-pages",
                format!("they need {pages} pages of {size_kib} KiB, and the host has {there} free"),
            ),
            None => push(
                found,
                Verdict::Unknown,
                "huge-pages",
                format!("they need {pages} pages of {size_kib} KiB: how many are free is not known"),
            ),
        }
    }
}

fn cpus(guests: &[&Facts], found: &mut Vec<Shortage>) {
    let all: u64 = guests.iter().filter_map(|facts| arriving(facts)).map(|guest| u64::from(guest.cpus)).sum();
    let host = guests.first().and_then(|facts| facts.destination.as_ref());
    match host.and_then(|host| host.cpus) {
        Some(there) if all > u64::from(there) => {
            push(found, Verdict::Warn, "cpus", format!("they have {all} CPUs, and the host has {there}"));
        }
        Some(_) => {}
        None => push(found, Verdict::Unknown, "cpus", "how many CPUs the host has is not known".to_owned()),
    }
    let mut pinned: BTreeMap<u32, &str> = BTreeMap::new();
    for facts in guests {
        let cpus = arriving(facts).into_iter().flat_map(|guest| &guest.pinned_cpus);
        let taken = cpus.filter_map(|cpu| pinned.insert(*cpu, name(facts)).map(|other| (*cpu, other)));
        if let Some((cpu, other)) = taken.filter(|(_, other)| *other != name(facts)).last() {
            let message = format!("`{other}` and `{}` are pinned to CPU {cpu}", name(facts));
            push(found, Verdict::Warn, "pinning", message);
        }
    }
}

fn pools(guests: &[&Facts], found: &mut Vec<Shortage>) {
    let mut pools: BTreeMap<&str, (u64, Option<u64>)> = BTreeMap::new();
    for facts in guests {
        let Some(request) = facts.request.as_ref().filter(|one| one.storage_copy != StorageCopy::None) else {
            continue;
        };
        for disk in facts.storage.iter().flatten().filter(|disk| request.copied_disks.contains(&disk.target))
        {
            let Some(bytes) = disk.source.size_bytes else {
                let message = format!("the size of disk `{}` of `{}` is not known", disk.target, name(facts));
                push(found, Verdict::Unknown, "pool", message);
                continue;
            };
            let wanted = bytes.saturating_sub(disk.destination.size_bytes.unwrap_or(0));
            let pool = pools.entry(&disk.destination.pool).or_default();
            *pool = (pool.0.saturating_add(wanted), disk.destination.free_bytes);
        }
    }
    for (pool, (wanted, free)) in pools {
        match free {
            Some(free) if free >= wanted => {}
            Some(free) => push(
                found,
                Verdict::Fail,
                "pool",
                format!(
                    "their disks need {} MiB in pool `{pool}`, which has {} MiB free",
                    wanted >> 20,
                    free >> 20
                ),
            ),
            None => push(found, Verdict::Unknown, "pool", format!("the room in pool `{pool}` is not known")),
        }
    }
}

/// What only one guest can have: a device of the host, a disk that others may not write to, and a name.
fn twice(guests: &[&Facts], found: &mut Vec<Shortage>) {
    let mut taken: BTreeMap<(&'static str, String), &str> = BTreeMap::new();
    for facts in guests {
        let Some(guest) = arriving(facts) else { continue };
        let devices = guest.host_devices.iter().filter(|device| !device.address.is_empty());
        let cards =
            guest.network_cards.iter().filter(|card| card.kind == "hostdev" && !card.source.is_empty());
        let disks = guest.disks.iter().filter(|disk| !disk.shareable && !disk.read_only);
        let paths =
            disks.filter_map(|disk| disk.source.as_ref().map(|path| format!("{}{path}", disk.protocol)));
        let own: Vec<(&'static str, String)> = devices
            .map(|device| ("device", device.address.clone()))
            .chain(cards.map(|card| ("device", card.source.clone())))
            .chain(paths.map(|path| ("path", path)))
            .chain([("name", guest.name.clone())])
            .collect();
        for (resource, what) in own {
            if let Some(other) = taken.insert((resource, what.clone()), name(facts)) {
                let message = format!("`{other}` and `{}` both have `{what}`", name(facts));
                push(found, Verdict::Fail, resource, message);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use whimbrel_facts::{Disk, Domain, Host, HostDevice, HugePages, Request};

    use super::*;

    fn guest(name: &str, memory_mib: u64, change: impl Fn(&mut Domain)) -> Facts {
        let mut domain = Domain {
            name: name.to_owned(),
            memory_kib: memory_mib << 10,
            cpus: 2,
            disks: vec![Disk { source: Some(format!("/srv/{name}")), ..Disk::default() }],
            ..Domain::default()
        };
        change(&mut domain);
        let host = Host {
            memory_kib: Some(8 << 20),
            free_memory_kib: Some(6 << 20),
            cpus: Some(8),
            huge_pages: Some(vec![HugePages { size_kib: 2048, free: 1024 }]),
            ..Host::default()
        };
        Facts {
            guest: Some(domain),
            destination: Some(host),
            request: Some(Request::default()),
            ..Facts::default()
        }
    }

    fn of(guests: &[Facts]) -> Vec<(Verdict, &'static str)> {
        let all: Vec<&Facts> = guests.iter().collect();
        shortages(&all).into_iter().map(|one| (one.verdict, one.resource)).collect()
    }

    #[test]
    fn guests_that_fit_alone_may_not_fit_together() {
        let plain = |name: &str| guest(name, 4096, |_| ());
        assert_eq!(of(&[plain("a")]), []);
        assert_eq!(of(&[plain("a"), plain("b")]), [(Verdict::Warn, "memory")]);
        let three = [plain("a"), plain("b"), plain("c")];
        assert_eq!(of(&three), [(Verdict::Fail, "memory"), (Verdict::Warn, "memory")]);
        let paged = |name: &str| guest(name, 2048, |guest| guest.huge_pages_kib = vec![2048]);
        assert_eq!(
            (of(&[paged("a")]), of(&[paged("a"), paged("b")])),
            (vec![], vec![(Verdict::Fail, "huge-pages")])
        );
        let wide = |name: &str| guest(name, 1024, |guest| guest.cpus = 5);
        assert_eq!(of(&[wide("a"), wide("b")]), [(Verdict::Warn, "cpus")]);
        let pinned = |name: &str| guest(name, 1024, |guest| guest.pinned_cpus = vec![0, 1]);
        assert_eq!(
            (of(&[pinned("a")]), of(&[pinned("a"), pinned("b")])),
            (vec![], vec![(Verdict::Warn, "pinning")])
        );
    }

    #[test]
    fn what_one_guest_has_no_other_can_have() {
        let with = |name: &str| {
            guest(name, 1024, |guest| {
                guest
                    .host_devices
                    .push(HostDevice { address: "0000:3b:02.1".to_owned(), ..HostDevice::default() });
            })
        };
        assert_eq!(of(&[with("a"), with("b")]), [(Verdict::Fail, "device")]);
        let disk = |name: &str, shareable| {
            guest(name, 1024, |guest| {
                (guest.disks[0].source, guest.disks[0].shareable) = (Some("/srv/one".to_owned()), shareable);
            })
        };
        assert_eq!(of(&[disk("a", false), disk("b", false)]), [(Verdict::Fail, "path")]);
        assert_eq!(of(&[disk("a", true), disk("b", true)]), []);
        assert_eq!(
            of(&[guest("a", 1024, |_| ()), guest("a", 1024, |guest| guest.disks.clear())]),
            [(Verdict::Fail, "name")]
        );
    }

    #[test]
    fn what_is_not_known_is_not_enough() {
        let mut one = guest("a", 1024, |guest| guest.huge_pages_kib = vec![0]);
        let host = one.destination.as_mut().unwrap();
        (host.memory_kib, host.cpus) = (None, None);
        assert_eq!(
            of(&[one]),
            [(Verdict::Unknown, "memory"), (Verdict::Unknown, "huge-pages"), (Verdict::Unknown, "cpus")]
        );
        assert_eq!(of(&[guest("a", 0, |_| ())]), [(Verdict::Unknown, "memory")]);
    }

    #[test]
    fn copied_disks_share_the_room_of_their_pool() {
        let copied = |name: &str| {
            let mut facts = guest(name, 1024, |_| ());
            let request = facts.request.as_mut().unwrap();
            (request.storage_copy, request.copied_disks) = (StorageCopy::Full, vec!["vda".to_owned()]);
            let mut disk = whimbrel_facts::DiskStorage { target: "vda".to_owned(), ..Default::default() };
            disk.source.size_bytes = Some(3 << 30);
            disk.destination.free_bytes = Some(5 << 30);
            facts.storage = Some(vec![disk]);
            facts
        };
        assert_eq!(
            (of(&[copied("a")]), of(&[copied("a"), copied("b")])),
            (vec![], vec![(Verdict::Fail, "pool")])
        );
    }
}
