//! What is explored by default: slices of everything that may happen, each small enough to be met whole.
//!
//! One search over many faults, many requests and every feature never ends. What goes wrong needs few of them at a
//! time, so each slice takes one kind of trouble to its end.

use whimbrel_core::GuestRun;

use super::scope::Scope;

/// A part of everything that may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it holds.
    pub scope: Scope,
    /// Whether it takes more than a minute or two.
    pub is_long: bool,
    /// The states that it had when `docs/safety.md` was written: how far an exploration has come is an estimate by it,
    /// and nothing else.
    pub states: u64,
}

/// A guest that is moved without limits, disks or a definition: whatever goes wrong with its hosts goes wrong here too.
const PLAIN: Scope = Scope {
    hints: false,
    limits: false,
    disks: false,
    persistent: false,
    timeout: false,
    others: false,
    ..Scope::everything(1, 1)
};

/// Every slice, the small ones first.
#[must_use]
pub fn slices() -> [Slice; 15] {
    let small = |name, states, scope| Slice { name, scope, is_long: false, states };
    let long = |name, states, scope| Slice { name, scope, is_long: true, states };
    [
        small("faults", 2_428_604, Scope { faults: 2, requests: 0, persistent: true, ..PLAIN }),
        small("more-faults", 9_197_197, Scope { faults: 3, requests: 0, ..PLAIN }),
        small(
            "paused",
            7_163_737,
            Scope { guest: GuestRun::Paused, persistent: true, postcopy: false, ..PLAIN },
        ),
        small(
            "offline",
            1_054_300,
            Scope { guest: GuestRun::NotRunning, persistent: true, postcopy: false, faults: 2, ..PLAIN },
        ),
        small(
            "undo",
            1_911_042,
            Scope { faults: 1, requests: 0, hints: false, others: false, ..Scope::everything(1, 0) },
        ),
        small("hints", 395_232, Scope { restarts: false, ..Scope::everything(0, 0) }),
        small("requests", 9_805_046, PLAIN),
        small("others", 4_757_855, Scope { faults: 2, requests: 0, persistent: true, others: true, ..PLAIN }),
        long("others-transient", 4_159_886, Scope { faults: 2, requests: 0, others: true, ..PLAIN }),
        long("others-and-requests", 13_233_115, Scope { others: true, ..PLAIN }),
        long(
            "more-others",
            112_870_919,
            Scope { faults: 2, others: true, postcopy: false, restarts: false, ..PLAIN },
        ),
        long("hints-and-requests", 11_124_467, Scope { restarts: false, ..Scope::everything(0, 1) }),
        long("two-requests", 104_938_715, Scope { faults: 1, requests: 2, host_losses: false, ..PLAIN }),
        long("everything", 55_517_422, Scope { hints: false, others: false, ..Scope::everything(1, 1) }),
        long("faults-and-requests", 81_610_573, Scope { faults: 2, ..PLAIN }),
    ]
}

#[cfg(test)]
mod tests {
    use super::slices;

    #[test]
    fn the_sizes_are_those_that_the_page_reports() {
        let page = include_str!("../../../../docs/safety.md");
        for slice in slices() {
            let mark = if slice.is_long { " (`--long`)" } else { "" };
            let row =
                page.lines().find(|line| line.starts_with(&format!("| {}{mark} |", slice.name))).unwrap();
            let states = row.split('|').nth(3).unwrap().trim().replace(',', "");
            assert_eq!(states, slice.states.to_string(), "{}", slice.name);
        }
    }
}
