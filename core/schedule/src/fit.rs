//! Whether guests fit on a host together: the one place where that is decided, for a plan and for a check beforehand.
//!
//! Each guest could run there alone; what several of them need of one host adds up. A sum must never be taken for
//! sufficient where a part of it is not known.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

/// Whether an amount fits into what is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It does.
    Fits,
    /// There is too little.
    Exceeds {
        /// The amount.
        needed: u64,
        /// What is left.
        left: u64,
    },
    /// One of them is not known.
    Unknown,
}

impl Fit {
    /// Compares an amount with what is left, both in the same unit.
    #[must_use]
    pub const fn of(needed: Option<u64>, left: Option<u64>) -> Self {
        match (needed, left) {
            (Some(needed), Some(left)) if needed > left => Self::Exceeds { needed, left },
            (Some(_), Some(_)) => Self::Fits,
            (None, _) | (_, None) => Self::Unknown,
        }
    }
}

/// What a host has for guests. None, or missing in a map: not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Memory in all, in KiB.
    pub memory_kib: Option<u64>,
    /// Memory that is free now, in KiB. The host may make more of it by giving back caches.
    pub free_memory_kib: Option<u64>,
    /// CPUs.
    pub cpus: Option<u64>,
    /// Free huge pages, by their size in KiB.
    pub free_pages: BTreeMap<u64, u64>,
    /// Free bytes of storage pools, by their names.
    pub free_pool_bytes: BTreeMap<String, u64>,
}

/// What a guest takes of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// The guest's name.
    pub guest: String,
    /// Its memory in KiB.
    pub memory_kib: Option<u64>,
    /// Where its memory comes from.
    pub pages: Pages,
    /// Its CPUs.
    pub cpus: u64,
    /// CPUs of the host to which its own are pinned.
    pub pinned_cpus: BTreeSet<u32>,
    /// Bytes that its copied disks take of storage pools; no bytes where the size of a disk is not known.
    pub pool_bytes: Vec<(String, Option<u64>)>,
    /// What only one guest can have.
    pub exclusive: BTreeSet<(Exclusive, String)>,
}

/// Where a guest's memory comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pages {
    /// From the host's usual memory.
    #[default]
    Usual,
    /// From huge pages, which are set aside and are not among the free memory.
    Huge {
        /// The size of a page in KiB; more than 0.
        size_kib: u64,
    },
    /// From huge pages of several sizes, or of a size that is not known.
    Unknown,
}

/// What only one guest of a host can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exclusive {
    /// A device of the host, by its address.
    Device,
    /// A disk that only one guest may write to, by its path.
    Path,
    /// A name.
    Name,
}

/// What guests cannot have together on one host, or may not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// They have more memory in KiB than the host has in all.
    Memory(Fit),
    /// They have more memory in KiB than is free now. They may fit all the same.
    FreeMemory(Fit),
    /// They need more huge pages of this size in KiB than are free.
    HugePages(u64, Fit),
    /// The pages of this guest cannot be counted.
    UncountedPages(String),
    /// They have more CPUs than the host: they run, slowly.
    Cpus(Fit),
    /// Two guests, in the order in which they are given, are pinned to this CPU: they run, slowly.
    Pinned(u32, [String; 2]),
    /// Their disks need more bytes than this pool has free.
    Pool(String, Fit),
    /// Both guests have this, and only one can.
    Exclusive(Exclusive, String, [String; 2]),
}

/// What a shortage means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// They cannot run there together.
    Refuses,
    /// They can, with less than each needs, or after the host has freed something.
    Strains,
    /// It is not known whether they can.
    Unknown,
}

impl Shortage {
    /// What it means.
    #[must_use]
    pub const fn weight(&self) -> Weight {
        match self {
            Self::Memory(Fit::Unknown)
            | Self::FreeMemory(Fit::Unknown)
            | Self::HugePages(_, Fit::Unknown)
            | Self::Cpus(Fit::Unknown)
            | Self::Pool(_, Fit::Unknown)
            | Self::UncountedPages(_) => Weight::Unknown,
            Self::FreeMemory(_) | Self::Cpus(_) | Self::Pinned(..) => Weight::Strains,
            Self::Memory(_) | Self::HugePages(..) | Self::Pool(..) | Self::Exclusive(..) => Weight::Refuses,
        }
    }
}

/// All that these guests cannot have together, or may not have. Empty: they fit.
#[must_use]
pub fn shortages(room: &Room, guests: &[&Need]) -> Vec<Shortage> {
    let mut found = Vec::new();
    memory(room, guests, &mut found);
    huge_pages(room, guests, &mut found);
    cpus(room, guests, &mut found);
    pools(room, guests, &mut found);
    exclusive(guests, &mut found);
    found
}

/// A sum; not known where a part is not known.
fn sum(mut parts: impl Iterator<Item = Option<u64>>) -> Option<u64> {
    parts.try_fold(0, |sum: u64, part| Some(sum.saturating_add(part?)))
}

fn push(found: &mut Vec<Shortage>, fit: Fit, shortage: impl FnOnce(Fit) -> Shortage) {
    if fit != Fit::Fits {
        found.push(shortage(fit));
    }
}

fn memory(room: &Room, guests: &[&Need], found: &mut Vec<Shortage>) {
    let all_kib = sum(guests.iter().map(|guest| guest.memory_kib));
    push(found, Fit::of(all_kib, room.memory_kib), Shortage::Memory);
    if all_kib.is_none() {
        return;
    }
    let usual = guests.iter().filter(|guest| guest.pages == Pages::Usual);
    let usual_kib = sum(usual.map(|guest| guest.memory_kib));
    push(found, Fit::of(usual_kib, room.free_memory_kib), Shortage::FreeMemory);
}

fn huge_pages(room: &Room, guests: &[&Need], found: &mut Vec<Shortage>) {
    let mut needed: BTreeMap<u64, Option<u64>> = BTreeMap::new();
    for guest in guests {
        match guest.pages {
            Pages::Usual => {}
            Pages::Huge { size_kib } => {
                let pages = guest.memory_kib.map(|kib| kib.div_ceil(size_kib.max(1)));
                let all = needed.entry(size_kib).or_insert(Some(0));
                *all = sum([*all, pages].into_iter());
            }
            Pages::Unknown => found.push(Shortage::UncountedPages(guest.guest.clone())),
        }
    }
    for (size_kib, pages) in needed {
        let fit = Fit::of(pages, room.free_pages.get(&size_kib).copied());
        push(found, fit, |fit| Shortage::HugePages(size_kib, fit));
    }
}

fn cpus(room: &Room, guests: &[&Need], found: &mut Vec<Shortage>) {
    let all = sum(guests.iter().map(|guest| Some(guest.cpus)));
    push(found, Fit::of(all, room.cpus), Shortage::Cpus);
    let mut pinned: BTreeMap<u32, &str> = BTreeMap::new();
    for guest in guests {
        // One CPU speaks for all that two guests have in common.
        let mut shared: BTreeMap<&str, u32> = BTreeMap::new();
        for cpu in &guest.pinned_cpus {
            if let Some(other) = pinned.insert(*cpu, &guest.guest) {
                shared.entry(other).or_insert(*cpu);
            }
        }
        let pair = |other: &str| [other.into(), guest.guest.clone()];
        found.extend(shared.into_iter().map(|(other, cpu)| Shortage::Pinned(cpu, pair(other))));
    }
}

fn pools(room: &Room, guests: &[&Need], found: &mut Vec<Shortage>) {
    let mut needed: BTreeMap<&str, Option<u64>> = BTreeMap::new();
    for (pool, bytes) in guests.iter().flat_map(|guest| &guest.pool_bytes) {
        let all = needed.entry(pool).or_insert(Some(0));
        *all = sum([*all, *bytes].into_iter());
    }
    for (pool, bytes) in needed {
        let fit = Fit::of(bytes, room.free_pool_bytes.get(pool).copied());
        push(found, fit, |fit| Shortage::Pool(pool.into(), fit));
    }
}

fn exclusive(guests: &[&Need], found: &mut Vec<Shortage>) {
    let mut taken: BTreeMap<&(Exclusive, String), &str> = BTreeMap::new();
    for guest in guests {
        for one in &guest.exclusive {
            if let Some(other) = taken.insert(one, &guest.guest) {
                found.push(Shortage::Exclusive(one.0, one.1.clone(), [other.into(), guest.guest.clone()]));
            }
        }
    }
}
