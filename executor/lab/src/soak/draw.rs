//! The way, the fault and the time of each round, drawn from the seed.

use std::fmt;
use std::time::Duration;

use whimbrel_sim::random::Random;

use super::Kind;

/// A fault comes within this time of the program's start, which is as long as most migrations take.
const FAULT_WITHIN_MS: u64 = 5000;
/// With post-copy, which begins after 8 s.
const POSTCOPY_FAULT_WITHIN_MS: u64 = 12_000;

/// How the guest is migrated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    PreCopy,
    PostCopy,
    AutoConverge,
    Parallel,
}

/// A failure in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Nothing,
    /// The path between the hosts; it is whole again later.
    Link,
    /// The connections of the copy.
    Stream,
    /// The daemon, which is started again later.
    SourceDaemon,
    DestinationDaemon,
    SourceQemu,
    DestinationQemu,
    /// The operator cancels.
    Interrupt,
}

/// A round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) way: Way,
    pub(super) fault: Fault,
    /// Since the program was started.
    pub(super) fault_at: Duration,
    pub(super) bandwidth_mib_per_second: u64,
}

/// Half of the rounds have no fault, so that migrations also end; the guest's own QEMU is rarely killed, since every such
/// round costs a guest.
const FAULTS: [(Fault, u64); 8] = [
    (Fault::Nothing, 14),
    (Fault::Link, 3),
    (Fault::Stream, 2),
    (Fault::SourceDaemon, 2),
    (Fault::DestinationDaemon, 2),
    (Fault::SourceQemu, 1),
    (Fault::DestinationQemu, 2),
    (Fault::Interrupt, 2),
];
const WAYS: [(Way, u64); 4] =
    [(Way::PreCopy, 3), (Way::PostCopy, 3), (Way::AutoConverge, 1), (Way::Parallel, 1)];

/// The kinds of both hosts; none if there are no kinds.
pub(super) fn pair<'a>(random: &mut Random, kinds: &'a [Kind]) -> Option<(&'a Kind, &'a Kind)> {
    let bound = u64::try_from(kinds.len()).ok()?;
    let mut one = || kinds.get(usize::try_from(random.below(bound)).ok()?);
    Some((one()?, one()?))
}

/// The next round.
pub(super) fn plan(random: &mut Random) -> Plan {
    let way = weighted(random, &WAYS).unwrap_or(Way::PreCopy);
    let fault = weighted(random, &FAULTS).unwrap_or(Fault::Nothing);
    // The guest writes 16 MiB/s: with less bandwidth its pre-copy never ends, and post-copy is needed.
    let (within_ms, least, more) =
        if way == Way::PostCopy { (POSTCOPY_FAULT_WITHIN_MS, 10, 5) } else { (FAULT_WITHIN_MS, 20, 60) };
    let fault_at = Duration::from_millis(random.below(within_ms));
    let bandwidth_mib_per_second = least + random.below(more);
    Plan { way, fault, fault_at, bandwidth_mib_per_second }
}

/// One of the values, each as likely as its weight; none of an empty table.
fn weighted<T: Copy>(random: &mut Random, table: &[(T, u64)]) -> Option<T> {
    let mut left = random.below(table.iter().map(|(_, weight)| weight).sum());
    for (value, weight) in table {
        match left.checked_sub(*weight) {
            Some(rest) => left = rest,
            None => return Some(*value),
        }
    }
    None
}

impl Plan {
    /// Whether anything is to fail.
    pub(super) fn has_fault(&self) -> bool {
        self.fault != Fault::Nothing
    }

    /// The program's options.
    pub(super) fn arguments(&self) -> Vec<String> {
        let bandwidth = self.bandwidth_mib_per_second.to_string();
        let words: &[&str] = match self.way {
            Way::PreCopy => &[],
            Way::PostCopy => &["--timeout", "8", "--at-timeout", "postcopy"],
            Way::AutoConverge => &["--auto-converge"],
            Way::Parallel => &["--parallel", "2"],
        };
        let always = ["--format", "ndjson", "--resolve-timeout", "60", "--bandwidth", &bandwidth];
        always.iter().chain(words).map(|word| (*word).to_owned()).collect()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = match self.way {
            Way::PreCopy => "pre-copy",
            Way::PostCopy => "post-copy",
            Way::AutoConverge => "auto-converge",
            Way::Parallel => "parallel connections",
        };
        let fault = match self.fault {
            Fault::Nothing => return write!(f, "{way} at {} MiB/s", self.bandwidth_mib_per_second),
            Fault::Link => "the link is cut",
            Fault::Stream => "the copy's connections break",
            Fault::SourceDaemon => "the source's daemon is killed",
            Fault::DestinationDaemon => "the destination's daemon is killed",
            Fault::SourceQemu => "the source's QEMU is killed",
            Fault::DestinationQemu => "the destination's QEMU is killed",
            Fault::Interrupt => "the operator cancels",
        };
        let (bandwidth, at) = (self.bandwidth_mib_per_second, self.fault_at.as_millis());
        write!(f, "{way} at {bandwidth} MiB/s, {fault} after {at} ms")
    }
}

#[cfg(test)]
mod tests {
    use whimbrel_sim::random::Random;

    use super::{FAULTS, Fault, Kind, pair, plan};

    #[test]
    fn the_same_seed_draws_the_same_rounds_and_every_fault_comes() {
        let draw = |seed| {
            let mut random = Random::from_seed(seed);
            std::iter::repeat_with(|| plan(&mut random)).take(300).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        for (fault, _) in FAULTS {
            assert!(draw(7).iter().any(|plan| plan.fault == fault), "{fault:?}");
        }
        let calm = draw(7).iter().filter(|plan| plan.fault == Fault::Nothing).count();
        assert!((100..200).contains(&calm), "{calm}");
    }

    #[test]
    fn every_pair_of_kinds_comes() {
        let kinds = ["a", "b"].map(|name| Kind { name: name.into(), root: None });
        let mut random = Random::from_seed(1);
        let drawn = std::iter::repeat_with(|| {
            let (one, other) = pair(&mut random, &kinds).unwrap();
            format!("{}{}", one.name, other.name)
        });
        let drawn: std::collections::BTreeSet<String> = drawn.take(50).collect();
        assert_eq!(drawn.len(), 4);
        assert!(pair(&mut random, &[]).is_none());
    }
}
