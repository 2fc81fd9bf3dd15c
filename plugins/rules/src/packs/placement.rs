//! Parts of the destination that the guest names: CPUs, NUMA nodes, huge pages by size and node. Which one counts, and
//! never only how many there are.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use whimbrel_facts::{Domain, Host, HugePages, Scalar};

use crate::case::{Case, called};
use crate::pack::{Rule, rule};
use crate::report::Report;

pub(super) const RULES: &[Rule] = &[
    rule(
        "destination.pinning",
        "the destination has the CPUs that the guest is pinned to",
        "a guest that is pinned to missing CPUs cannot start",
        "change the pinning in the definition for the destination",
        pinning,
    ),
    rule(
        "destination.huge-pages",
        "the destination has enough free huge pages of each size, on the required nodes",
        "huge pages have to be free before the guest arrives; the hypervisor does not allocate them",
        "reserve more: `virsh allocpages PAGESIZE COUNT --cellno NODE`; or change the sizes in the definition for the \
         destination",
        huge_pages,
    ),
    rule(
        "destination.numa",
        "the destination has the NUMA nodes that the guest's memory is placed on",
        "libvirt refuses to start a guest whose memory is placed on a missing NUMA node, in every mode",
        "change the nodes in the definition for the destination (`numatune`, `nodemask` of memory devices)",
        numa,
    ),
];

fn pinning(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.arriving(report)?;
    if guest.pinned_cpus.is_empty() {
        return Some(());
    }
    let destination = case.destination(report)?;
    let pointer = format!("{}/pinned-cpus", case.arriving_at());
    let numbered: Vec<u32> =
        destination.numa_nodes.iter().flatten().flat_map(|node| &node.cpus).copied().collect();
    let missing: Vec<String> = if numbered.is_empty() {
        // Without their numbers, CPUs count from 0.
        let count = report.need(destination.cpus, "/destination/cpus")?;
        guest.pinned_cpus.iter().filter(|cpu| **cpu >= count).map(|cpu| format!("{cpu}")).collect()
    } else {
        guest.pinned_cpus.iter().filter(|cpu| !numbered.contains(cpu)).map(|cpu| format!("{cpu}")).collect()
    };
    if !missing.is_empty() {
        let message = format!(
            "the guest is pinned to CPUs that {} does not have: {}",
            called(destination),
            missing.join(", ")
        );
        report.fail(pointer, message);
    }
    Some(())
}

/// Huge pages that the guest wants.
#[derive(Debug, Default)]
struct Wanted {
    /// 0: of the host's default size. None: a size that was not read.
    size_kib: Option<u64>,
    memory_kib: u64,
    nodes: Vec<u32>,
}

/// By the facts of the definition; without them, of the fields alone, in which several sizes have no amounts.
fn wanted(case: &Case<'_>, guest: &Domain) -> Vec<Wanted> {
    let below = format!("{}/huge-pages/", case.arriving_at().trim_start_matches('/'));
    let mut groups: BTreeMap<&str, Wanted> = BTreeMap::new();
    for one in case.attributes() {
        let Some((number, name)) =
            one.path.strip_prefix(below.as_str()).and_then(|rest| rest.split_once('/'))
        else {
            continue;
        };
        let group = groups.entry(number).or_default();
        match (name, &one.value) {
            ("size-kib", Scalar::Integer(kib)) => group.size_kib = u64::try_from(*kib).ok(),
            ("memory-kib", Scalar::Integer(kib)) => {
                group.memory_kib = u64::try_from(*kib).unwrap_or_default();
            }
            ("nodes", Scalar::Text(nodes)) => group.nodes = words(nodes),
            _ => {}
        }
    }
    if !groups.is_empty() {
        return groups.into_values().collect();
    }
    let is_one = guest.huge_pages_kib.len() == 1;
    let of = |size_kib: &u64| Wanted {
        size_kib: Some(*size_kib),
        memory_kib: if is_one { guest.memory_kib } else { *size_kib },
        nodes: Vec::new(),
    };
    guest.huge_pages_kib.iter().map(of).collect()
}

fn words(text: &str) -> Vec<u32> {
    text.split(' ').filter_map(|word| word.parse().ok()).collect()
}

fn huge_pages(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.arriving(report)?;
    if guest.huge_pages_kib.is_empty() {
        return Some(());
    }
    let destination = case.destination(report)?;
    let pools = report.need(destination.huge_pages.as_deref(), "/destination/huge-pages")?;
    let groups = wanted(case, guest);
    let mut by_size: BTreeMap<u64, u64> = BTreeMap::new();
    for group in &groups {
        match group.size_kib {
            None => report
                .unknown("/guest/huge-pages-kib", "the size of the guest's huge pages was not understood"),
            Some(0) => default_size(report, destination, pools, group.memory_kib),
            Some(size_kib) => {
                let count = group.memory_kib.div_ceil(size_kib);
                *by_size.entry(size_kib).or_default() += count;
                on_nodes(case, report, group, size_kib, count);
            }
        }
    }
    for (size_kib, wanted) in by_size {
        let free: u64 = pools.iter().filter(|pool| pool.size_kib == size_kib).map(|pool| pool.free).sum();
        if free < wanted {
            let message = format!(
                "the guest needs {wanted} pages of {size_kib} KiB, and {} has {free} free",
                called(destination)
            );
            report.fail("/destination/huge-pages", message);
        }
    }
    Some(())
}

/// libvirt does not report which size is a host's default: what holds for every size holds for that one.
fn default_size(report: &mut Report, destination: &Host, pools: &[HugePages], memory_kib: u64) {
    let host = called(destination);
    let is_enough = |pool: &HugePages| pool.free.saturating_mul(pool.size_kib) >= memory_kib;
    if pools.is_empty() {
        let message =
            format!("the guest needs huge pages of the default size; {host} does not report its pages");
        report.unknown("/destination/huge-pages", message);
    } else if !pools.iter().any(is_enough) {
        let message = format!(
            "the guest needs {} MiB in huge pages of the default size, and {host} has as much free in no size",
            memory_kib >> 10
        );
        report.fail("/destination/huge-pages", message);
    } else if !pools.iter().all(is_enough) {
        let message = format!(
            "the guest needs {} MiB in huge pages of the default size; {host} has them in some sizes, and which one is its \
             default is not known",
            memory_kib >> 10
        );
        report.unknown("/destination/huge-pages", message);
    }
}

fn on_nodes(case: &Case<'_>, report: &mut Report, group: &Wanted, size_kib: u64, count: u64) {
    if group.nodes.is_empty() {
        return;
    }
    let free = |node: &u32| match case.attribute(&format!("destination/huge-pages/{node}/{size_kib}"))? {
        Scalar::Integer(free) => u64::try_from(*free).ok(),
        Scalar::Boolean(_) | Scalar::Text(_) => None,
    };
    let nodes = group.nodes.iter().map(|node| format!("{node}")).collect::<Vec<_>>().join(", ");
    let known: Option<Vec<u64>> = group.nodes.iter().map(free).collect();
    match known.map(|free| free.iter().sum::<u64>()) {
        Some(free) if free < count => report.fail(
            "/destination/huge-pages",
            format!("the guest needs {count} pages of {size_kib} KiB on the NUMA nodes {nodes}, where {free} are free"),
        ),
        Some(_) => {}
        None => report.unknown(
            "/destination/huge-pages",
            format!("how many pages of {size_kib} KiB are free on the NUMA nodes {nodes} is not known"),
        ),
    }
}

fn numa(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.arriving(report)?;
    let pointer = case.arriving_at();
    let below = format!("{}/host-nodes/", pointer.trim_start_matches('/'));
    let mut named: BTreeMap<u32, String> = BTreeMap::new();
    for node in &guest.strict_nodes {
        named.insert(*node, format!("{pointer}/strict-nodes"));
    }
    for one in case.attributes().iter().filter(|one| one.path.starts_with(&below)) {
        if let Scalar::Text(nodes) = &one.value {
            for node in words(nodes) {
                named.entry(node).or_insert_with(|| format!("/{}", one.path));
            }
        }
    }
    if named.is_empty() {
        return Some(());
    }
    let destination = case.destination(report)?;
    let nodes = report.need(destination.numa_nodes.as_ref(), "/destination/numa-nodes")?;
    for (wanted, subject) in named {
        if !nodes.iter().any(|node| node.id == wanted && node.memory_kib > 0) {
            report.fail(subject, format!("{} has no memory on NUMA node {wanted}", called(destination)));
        }
    }
    Some(())
}
