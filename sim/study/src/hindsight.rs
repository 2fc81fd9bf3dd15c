//! The best that could have been done on a path, known afterwards: the best static limit, and a clairvoyant oracle.

use whimbrel_policy::policies::StaticLimit;
use whimbrel_policy::{Action, Beforehand, Decision, Intent, Policy, Seen, Start};

use crate::cost::cost_ms;
use crate::grid::Case;
use crate::migration::{Run, run};

/// Syncs at which the oracle may switch over; on a path with more, evenly spread ones of them.
const MOST_BRANCHES: u64 = 12;

/// What hindsight found on one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hindsight {
    /// The best static limit.
    pub limit_ms: u64,
    /// The run under it.
    pub best_static: Run,
    /// The cheapest run of all that the oracle tried: every static limit, and a switchover at any sync of the most patient
    /// of them.
    pub oracle: Run,
}

/// Tries everything on one path.
///
/// The oracle is clairvoyant about when to switch over. It throttles nothing, never pauses and never moves the guest
/// first: with those, less work may be lost still.
#[must_use]
pub fn hindsight(case: &Case) -> Hindsight {
    let cost = |run: &Run| cost_ms(run, &case.intent);
    let candidates = StaticLimit::candidates_ms(&case.intent);
    let tried = candidates.map(|ms| (ms, run(case, &mut StaticLimit::new(ms))));
    let [first, ..] = tried;
    let (limit_ms, best_static) =
        tried.into_iter().fold(first, |best, one| if cost(&one.1) < cost(&best.1) { one } else { best });
    let (patient_ms, patient) = first;
    let every = (patient.syncs / MOST_BRANCHES).max(1);
    let branches = (0..MOST_BRANCHES).map(|branch| {
        let mut policy = SwitchAt { limit_ms: patient_ms, iteration: 2 + branch * every };
        run(case, &mut policy)
    });
    let oracle = branches.fold(best_static, |best, one| if cost(&one) < cost(&best) { one } else { best });
    Hindsight { limit_ms, best_static, oracle }
}

/// Switches over at one sync.
#[derive(Clone, Copy, Debug)]
struct SwitchAt {
    limit_ms: u64,
    iteration: u64,
}

impl Policy for SwitchAt {
    fn start(&mut self, _: &Beforehand, _: &Intent) -> Start {
        Start::with_limit(self.limit_ms)
    }

    fn on(&mut self, _: whimbrel_core::Instant, seen: Seen<'_>) -> Decision {
        match seen {
            Seen::Sync(sync) if sync.iteration >= self.iteration => {
                Decision::act(Action::SWITCH_OVER, "known in advance")
            }
            _ => Decision::WAIT,
        }
    }
}
