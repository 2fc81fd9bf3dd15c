//! How busy the network was: the bytes that migrations sent over each group's cards and uplink, as a part of what these
//! could have carried while the evacuation lasted.

use serde::Serialize;

use super::description::{Fleet, HostPlace};
use super::evacuation::Moved;

const BYTES_PER_MIB: u64 = 1 << 20;
const NS_PER_S: u128 = 1_000_000_000;

/// Links that are alike, in one direction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LinkUse {
    /// The group of hosts.
    pub group: String,
    /// Which of its links.
    pub link: LinkKind,
    /// How many there are.
    pub count: u64,
    /// What each carries, in bytes a second.
    pub capacity_bytes_per_second: u64,
    /// Bytes that migrations sent over all of them.
    pub sent_bytes: u64,
    /// The part of what all of them could have carried, in thousandths.
    pub used_per_mille: u64,
    /// The same of the busiest.
    pub busiest_per_mille: u64,
}

/// A kind of link, and a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkKind {
    /// The hosts' cards, sending.
    CardOut,
    /// The hosts' cards, receiving.
    CardIn,
    /// The group's uplink, to other groups.
    UplinkOut,
    /// The group's uplink, from other groups.
    UplinkIn,
}

/// Bytes by group and host.
#[derive(Clone, Debug)]
pub(super) struct Traffic {
    groups: Vec<GroupTraffic>,
}

#[derive(Clone, Debug)]
struct GroupTraffic {
    out: Vec<u64>,
    into: Vec<u64>,
    uplink_out: u64,
    uplink_in: u64,
}

impl Traffic {
    pub(super) fn new(fleet: &Fleet) -> Self {
        let group = |count: u64| {
            let hosts = vec![0; usize::try_from(count).unwrap_or(0)];
            GroupTraffic { out: hosts.clone(), into: hosts, uplink_out: 0, uplink_in: 0 }
        };
        Self { groups: fleet.hosts.iter().map(|hosts| group(hosts.count)).collect() }
    }

    /// Adds what one migration sent.
    pub(super) fn add(&mut self, moved: &Moved) {
        let (from, to) = (moved.source, moved.destination);
        let crosses = if from.group == to.group { 0 } else { moved.sent_bytes };
        if let Some(group) = self.groups.get_mut(from.group) {
            add(&mut group.out, from, moved.sent_bytes);
            group.uplink_out += crosses;
        }
        if let Some(group) = self.groups.get_mut(to.group) {
            add(&mut group.into, to, moved.sent_bytes);
            group.uplink_in += crosses;
        }
    }

    /// The links that carried anything, over so long a time.
    pub(super) fn used(&self, fleet: &Fleet, lasted_ns: u64) -> Vec<LinkUse> {
        let mut links = Vec::new();
        for (hosts, group) in fleet.hosts.iter().zip(&self.groups) {
            let mut tell = |link, capacity_mib: Option<u64>, bytes: &[u64]| {
                let sent_bytes: u64 = bytes.iter().sum();
                let Some(capacity_mib) = capacity_mib.filter(|_| sent_bytes > 0) else { return };
                let capacity = capacity_mib.saturating_mul(BYTES_PER_MIB);
                let count = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                links.push(LinkUse {
                    group: hosts.name.clone(),
                    link,
                    count,
                    capacity_bytes_per_second: capacity,
                    sent_bytes,
                    used_per_mille: per_mille(sent_bytes, capacity.saturating_mul(count), lasted_ns),
                    busiest_per_mille: per_mille(
                        bytes.iter().copied().max().unwrap_or(0),
                        capacity,
                        lasted_ns,
                    ),
                });
            };
            tell(LinkKind::CardOut, Some(hosts.card_mib_per_second), &group.out);
            tell(LinkKind::CardIn, Some(hosts.card_mib_per_second), &group.into);
            tell(LinkKind::UplinkOut, hosts.uplink_mib_per_second, &[group.uplink_out]);
            tell(LinkKind::UplinkIn, hosts.uplink_mib_per_second, &[group.uplink_in]);
        }
        links
    }
}

fn add(hosts: &mut [u64], place: HostPlace, bytes: u64) {
    if let Some(sum) = hosts.get_mut(place.index) {
        *sum += bytes;
    }
}

/// These bytes in this time, in thousandths of the capacity, rounded down.
fn per_mille(bytes: u64, bytes_per_second: u64, lasted_ns: u64) -> u64 {
    let carried = u128::from(bytes_per_second) * u128::from(lasted_ns) / NS_PER_S;
    let part = (u128::from(bytes) * 1_000).checked_div(carried).unwrap_or(0);
    u64::try_from(part).unwrap_or(u64::MAX)
}
