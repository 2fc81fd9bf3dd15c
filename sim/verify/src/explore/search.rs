//! The search: breadth first, so a violation is found by a shortest path.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use whimbrel_core::control::Phase;
use whimbrel_core::{Ending, GuestLocation, PhaseName};

use super::moves::Move;
use super::scope::Scope;
use super::state::{State, Transition};
use super::violation::Violation;
use super::visited::{Insert, Visited, fingerprint};

/// Where a search stops before everything was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Most states.
    pub states: usize,
    /// Longest path from the beginning.
    pub depth: u32,
    /// Different violations after which it gives up.
    pub violations: usize,
}

/// What a search covered, and what it found.
#[derive(Clone, Debug, PartialEq)]
pub struct Coverage {
    /// States that differ.
    pub unique_states: u64,
    /// Moves that were made between them.
    pub transitions: u64,
    /// The longest of the shortest paths to a state.
    pub depth: u32,
    /// Paths from the beginning to an end, shortest ones only, as a decimal logarithm: they are too many for an
    /// integer.
    pub interleavings_log10: f64,
    /// Whether nothing is left to be met within the scope.
    pub is_exhaustive: bool,
    /// Whether the caller stopped it.
    pub is_stopped: bool,
    /// The longest fair schedule to an end, once there are no more disruptions.
    pub longest_fair_path: u32,
    /// How often each end was met.
    pub ends: BTreeMap<(Ending, GuestLocation), u64>,
    /// How many states are in each phase.
    pub phases: BTreeMap<PhaseName, u64>,
    /// The violations, each with a shortest path to it.
    pub violations: Vec<Finding>,
}

/// Something wrong, and how to get there.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// What.
    pub violation: Violation,
    /// Every move from the beginning.
    pub way: Vec<Move>,
}

/// Explores everything within a scope, as far as the bounds allow.
#[must_use]
pub fn explore(scope: &Scope, bounds: Bounds, mut tell: impl FnMut(&Coverage)) -> Coverage {
    let mut search = Search::new(*scope, bounds);
    while search.go_deeper(&mut |_| ControlFlow::Continue(())) {
        tell(&search.coverage);
    }
    search.finish()
}

/// The same, with a caller that follows the work and may stop it: `watch` gets the number of states whose moves were
/// all made, at every thousandth or so.
#[must_use]
pub fn explore_watched(
    scope: &Scope,
    bounds: Bounds,
    mut watch: impl FnMut(u64) -> ControlFlow<()>,
) -> Coverage {
    let mut search = Search::new(*scope, bounds);
    while search.go_deeper(&mut watch) {}
    search.finish()
}

/// States between two calls of the caller's `watch`: a millisecond's work.
const WATCHED: u32 = 1_024;

struct Search {
    scope: Scope,
    bounds: Bounds,
    visited: Visited,
    /// The states of this depth, with the logarithm of the number of shortest paths to each.
    frontier: Vec<(State, f64)>,
    next: Vec<(State, f64)>,
    /// For each state, by its number: where it was met from.
    parents: Vec<(u32, Move)>,
    liveness: Liveness,
    coverage: Coverage,
    ends_log10: f64,
}

/// The length of the fair schedule from each state, by its number; zero where it is not known yet.
struct Liveness {
    lengths: Vec<u8>,
}

/// A fair schedule that is longer than this is taken for one that does not terminate.
const LONGEST_FAIR_PATH: usize = 250;

impl Liveness {
    fn length(&self, number: u32) -> Option<u32> {
        self.lengths.get(number as usize).filter(|length| **length > 0).map(|length| u32::from(*length))
    }

    fn note(&mut self, number: u32, length: u32) {
        if let Some(place) = self.lengths.get_mut(number as usize) {
            *place = u8::try_from(length).unwrap_or(u8::MAX);
        }
    }
}

impl Search {
    fn new(scope: Scope, bounds: Bounds) -> Self {
        let first = State::new(&scope);
        let mut visited = Visited::new(bounds.states);
        visited.insert(fingerprint(&first), 0);
        Self {
            scope,
            bounds,
            visited,
            frontier: vec![(first, 0.0)],
            next: Vec::new(),
            parents: vec![(0, Move::Begin)],
            liveness: Liveness { lengths: vec![0] },
            coverage: Coverage {
                unique_states: 1,
                transitions: 0,
                depth: 0,
                interleavings_log10: 0.0,
                is_exhaustive: false,
                is_stopped: false,
                longest_fair_path: 0,
                ends: BTreeMap::new(),
                phases: BTreeMap::new(),
                violations: Vec::new(),
            },
            ends_log10: f64::NEG_INFINITY,
        }
    }

    /// One step further from the beginning. False when there is nothing more, a bound was reached, or `watch` stops it.
    fn go_deeper(&mut self, watch: &mut impl FnMut(u64) -> ControlFlow<()>) -> bool {
        let base = self.parents.len() - self.frontier.len();
        let next_base = self.parents.len();
        let frontier = std::mem::take(&mut self.frontier);
        for (index, (state, ways_log10)) in frontier.iter().enumerate() {
            let number = u32::try_from(base + index).unwrap_or(u32::MAX);
            self.note(state, *ways_log10);
            self.expand(state, *ways_log10, number, next_base);
            if number % WATCHED == 0 && watch(u64::from(number) + 1).is_break() {
                self.coverage.is_stopped = true;
                return false;
            }
            if self.visited.is_full() || self.coverage.violations.len() >= self.bounds.violations {
                return false;
            }
        }
        self.frontier = std::mem::take(&mut self.next);
        self.coverage.unique_states = self.visited.len() as u64;
        if self.frontier.is_empty() {
            self.coverage.is_exhaustive = self.coverage.violations.is_empty();
            return false;
        }
        self.coverage.depth += 1;
        self.coverage.depth < self.bounds.depth
    }

    fn note(&mut self, state: &State, ways_log10: f64) {
        *self.coverage.phases.entry(state.control.phase().name()).or_default() += 1;
        if let Phase::Done(done) = state.control.phase() {
            *self.coverage.ends.entry((done.ending, done.guest)).or_default() += 1;
            self.ends_log10 = log10_sum(self.ends_log10, ways_log10);
        }
    }

    fn expand(&mut self, state: &State, ways_log10: f64, number: u32, next_base: usize) {
        let scope = self.scope;
        let mut moves = MoveList::default();
        state.for_each_move(&scope, |what| moves.push(what));
        for what in moves.iter() {
            match state.after(what, &scope) {
                Transition::Impossible => {}
                Transition::Violates(violation) => self.found(violation, number, Some(what)),
                Transition::To(next) => {
                    self.coverage.transitions += 1;
                    self.meet(next, ways_log10, (number, what), next_base);
                }
            }
        }
        self.follow_fair(state, number);
    }

    fn meet(&mut self, state: State, ways_log10: f64, from: (u32, Move), next_base: usize) {
        let number = u32::try_from(self.parents.len()).unwrap_or(u32::MAX);
        match self.visited.insert(fingerprint(&state), number) {
            Insert::New => {
                self.parents.push(from);
                self.liveness.lengths.push(0);
                self.next.push((state, ways_log10));
            }
            Insert::Existing(known) => {
                let place = (known as usize).checked_sub(next_base);
                if let Some((_, sum)) = place.and_then(|place| self.next.get_mut(place)) {
                    *sum = log10_sum(*sum, ways_log10);
                }
            }
        }
    }

    /// Follows the fair schedule from a state until its length is known.
    fn follow_fair(&mut self, state: &State, number: u32) {
        let mut way = Vec::new();
        let (mut state, mut place) = (*state, Some(number));
        let known = loop {
            if let Some(length) = place.and_then(|place| self.liveness.length(place)) {
                break length;
            }
            if matches!(state.control.phase(), Phase::Done(_)) {
                break 0;
            }
            way.push(place);
            let next = if way.len() < LONGEST_FAIR_PATH {
                state.next_fair(&self.scope)
            } else {
                Transition::Impossible
            };
            let next = match next {
                Transition::Violates(violation) => {
                    self.found(violation, number, None);
                    return;
                }
                next => next,
            };
            let Transition::To(next) = next else {
                self.found(Violation::NeverEnds, number, None);
                return;
            };
            state = next;
            place = self.visited.number(fingerprint(&state));
        };
        for (length, place) in (known + 1..).zip(way.into_iter().rev()) {
            if let Some(place) = place {
                self.liveness.note(place, length);
            }
            self.coverage.longest_fair_path = self.coverage.longest_fair_path.max(length);
        }
    }

    fn found(&mut self, violation: Violation, from: u32, last: Option<Move>) {
        if self.coverage.violations.iter().any(|found| found.violation == violation) {
            return;
        }
        let mut way: Vec<Move> = last.into_iter().collect();
        let mut number = from;
        while number != 0 {
            let Some((parent, what)) = self.parents.get(number as usize) else { break };
            way.push(*what);
            number = *parent;
        }
        way.reverse();
        self.coverage.violations.push(Finding { violation, way });
    }

    fn finish(mut self) -> Coverage {
        self.coverage.unique_states = self.visited.len() as u64;
        self.coverage.interleavings_log10 = self.ends_log10;
        self.coverage
    }
}

/// log10(10^a + 10^b).
fn log10_sum(a: f64, b: f64) -> f64 {
    let (more, less) = if a > b { (a, b) } else { (b, a) };
    if less == f64::NEG_INFINITY {
        more
    } else {
        more + (10_f64.powf(less - more)).ln_1p() / std::f64::consts::LN_10
    }
}

/// The moves of one state.
struct MoveList {
    moves: [Move; Self::MOST],
    len: usize,
}

impl MoveList {
    const MOST: usize = 96;

    fn push(&mut self, what: Move) {
        // A move that is left out would be an unexplored one.
        assert!(self.len < Self::MOST, "a state has more than {} moves", Self::MOST);
        if let Some(place) = self.moves.get_mut(self.len) {
            *place = what;
            self.len += 1;
        }
    }

    fn iter(&self) -> impl Iterator<Item = Move> + '_ {
        self.moves.iter().take(self.len).copied()
    }
}

impl Default for MoveList {
    fn default() -> Self {
        Self { moves: [Move::Begin; Self::MOST], len: 0 }
    }
}
