//! What guests take of a host and what the host has for them, from the facts of each, and in words what they cannot have
//! there together.
//!
//! Whether they fit is decided by [`whimbrel_schedule`] alone. What is not known must stay so on the way there.

use whimbrel_facts::{Domain, Facts, StorageCopy, Verdict};
use whimbrel_schedule::{Exclusive, Fit, Need, Pages, Room, Weight};

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

pub(crate) fn verdict_name<S: serde::Serializer>(
    verdict: &Verdict,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(verdict.name())
}

/// All that these guests cannot have together on this host. Empty: they fit.
#[must_use]
pub fn shortages(room: &Room, guests: &[&Need]) -> Vec<Shortage> {
    whimbrel_schedule::shortages(room, guests).iter().map(described).collect()
}

/// The guest as it will be on the destination.
fn arriving(facts: &Facts) -> Option<&Domain> {
    facts.target.as_ref().or(facts.guest.as_ref())
}

/// What a guest takes of the destination that its facts are about.
#[must_use]
pub fn need(facts: &Facts) -> Need {
    let Some(guest) = arriving(facts) else { return Need::default() };
    let pages = match guest.huge_pages_kib.as_slice() {
        [] => Pages::Usual,
        [size_kib @ 1..=u64::MAX] => Pages::Huge { size_kib: *size_kib },
        _ => Pages::Unknown,
    };
    Need {
        guest: facts.guest.as_ref().unwrap_or(guest).name.clone(),
        memory_kib: Some(guest.memory_kib).filter(|kib| *kib > 0),
        pages,
        cpus: u64::from(guest.cpus),
        pinned_cpus: guest.pinned_cpus.iter().copied().collect(),
        pool_bytes: pool_bytes(facts),
        exclusive: exclusive(guest).into_iter().collect(),
    }
}

fn pool_bytes(facts: &Facts) -> Vec<(String, Option<u64>)> {
    let request = facts.request.as_ref().filter(|one| one.storage_copy != StorageCopy::None);
    let Some(request) = request else { return Vec::new() };
    let copied = facts.storage.iter().flatten().filter(|disk| request.copied_disks.contains(&disk.target));
    let needed = |disk: &whimbrel_facts::DiskStorage| {
        let there = disk.destination.size_bytes.unwrap_or(0);
        let bytes = disk.source.size_bytes.map(|bytes| bytes.saturating_sub(there));
        (disk.destination.pool.clone(), bytes)
    };
    copied.map(needed).collect()
}

/// What only one guest can have: a device of the host, a disk that others may not write to, and a name.
fn exclusive(guest: &Domain) -> Vec<(Exclusive, String)> {
    let devices = guest.host_devices.iter().map(|device| &device.address);
    let cards = guest.network_cards.iter().filter(|card| card.kind == "hostdev").map(|card| &card.source);
    let disks = guest.disks.iter().filter(|disk| !disk.shareable && !disk.read_only);
    let paths = disks.filter_map(|disk| disk.source.as_ref().map(|path| format!("{}{path}", disk.protocol)));
    let named = devices.chain(cards).filter(|address| !address.is_empty());
    named
        .map(|address| (Exclusive::Device, address.clone()))
        .chain(paths.map(|path| (Exclusive::Path, path)))
        .chain([(Exclusive::Name, guest.name.clone())])
        .collect()
}

/// Adds what the facts of a guest say of the destination to what is known of it. Huge pages and pools are reported as far
/// as a guest needs them.
pub fn add_room(room: &mut Room, facts: &Facts) {
    if let Some(host) = &facts.destination {
        room.memory_kib = host.memory_kib;
        room.free_memory_kib = host.free_memory_kib;
        room.cpus = host.cpus.map(u64::from);
        let pages = host.huge_pages.iter().flatten().map(|pages| (pages.size_kib, pages.free));
        room.free_pages.extend(pages);
    }
    let sides = facts.storage.iter().flatten().map(|disk| &disk.destination);
    let pools = sides.filter_map(|side| Some((side.pool.clone(), side.free_bytes?)));
    room.free_pool_bytes.extend(pools);
}

fn described(shortage: &whimbrel_schedule::Shortage) -> Shortage {
    use whimbrel_schedule::Shortage as Of;
    let verdict = match shortage.weight() {
        Weight::Refuses => Verdict::Fail,
        Weight::Strains => Verdict::Warn,
        Weight::Unknown => Verdict::Unknown,
    };
    let amount = |fit: &Fit, unknown: &str, words: &dyn Fn(u64, u64) -> String| match fit {
        Fit::Exceeds { needed, left } => words(*needed, *left),
        Fit::Fits | Fit::Unknown => unknown.to_owned(),
    };
    let (resource, message) = match shortage {
        Of::Memory(fit) => (
            "memory",
            amount(fit, "the memory of a guest or of the host is not known", &|needed, left| {
                format!(
                    "they have {} MiB of memory, and the host has {} MiB in all",
                    needed >> 10,
                    left >> 10
                )
            }),
        ),
        Of::FreeMemory(fit) => (
            "memory",
            amount(fit, "the host's free memory is not known", &|needed, left| {
                format!("they need {} MiB of memory, and the host has {} MiB free", needed >> 10, left >> 10)
            }),
        ),
        Of::HugePages(size_kib, fit) => (
            "huge-pages",
            amount(
                fit,
                &format!("how many pages of {size_kib} KiB they need, or are free, is not known"),
                &|needed, left| {
                    format!("they need {needed} pages of {size_kib} KiB, and the host has {left} free")
                },
            ),
        ),
        Of::UncountedPages(guest) => {
            ("huge-pages", format!("`{guest}` has pages of several sizes, or of the host's default size"))
        }
        Of::Cpus(fit) => (
            "cpus",
            amount(fit, "how many CPUs the host has is not known", &|needed, left| {
                format!("they have {needed} CPUs, and the host has {left}")
            }),
        ),
        Of::Pinned(cpu, [one, other]) => {
            ("pinning", format!("`{one}` and `{other}` are pinned to CPU {cpu}"))
        }
        Of::Pool(pool, fit) => (
            "pool",
            amount(
                fit,
                &format!("the size of a copied disk, or the space in pool `{pool}`, is not known"),
                &|needed, left| {
                    let (needed, left) = (needed >> 20, left >> 20);
                    format!("their disks need {needed} MiB in pool `{pool}`, which has {left} MiB free")
                },
            ),
        ),
        Of::Exclusive(kind, what, [one, other]) => {
            let resource = match kind {
                Exclusive::Device => "device",
                Exclusive::Path => "path",
                Exclusive::Name => "name",
            };
            (resource, format!("`{one}` and `{other}` both have `{what}`"))
        }
    };
    Shortage { verdict, resource, message }
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
        let mut room = Room::default();
        for facts in guests {
            add_room(&mut room, facts);
        }
        let needs: Vec<Need> = guests.iter().map(need).collect();
        let all: Vec<&Need> = needs.iter().collect();
        shortages(&room, &all).into_iter().map(|one| (one.verdict, one.resource)).collect()
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
