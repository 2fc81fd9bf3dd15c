//! Whether a migration ended as its scenario expects, in plain words.

use std::ops::RangeInclusive;

use whimbrel_core::convergence::SyncTotals;
use whimbrel_core::{Ending, GuestLocation, Outcome, View};

use super::expect::{INCIDENTS, PLACES, RECOVERIES, RESULTS};
use super::{ExpectedResult, GuestPlace, Scenario};
use crate::world::IncidentKind;

impl Scenario {
    /// Everything that came out otherwise than the scenario expects, a fragment each; empty when all is as expected.
    /// `incidents` is what really happened in the world, where that is known.
    #[must_use]
    pub fn differences(&self, view: View<'_>, incidents: Option<&[IncidentKind]>) -> Vec<String> {
        let expect = &self.expect;
        let Some(outcome) = view.outcome else { return vec!["the migration has not ended".to_owned()] };
        let mut all = Vec::new();
        let (result, place) = end_of(outcome);
        if !expect.or.contains(&(result, place)) {
            all.extend(unless_equal("the result", &expect.result, &result, |it| word(&RESULTS, it)));
            all.extend(unless_equal("where the guest is", &expect.guest_on, &place, |it| word(&PLACES, it)));
        }
        let SyncTotals { regressions, non_converging_syncs, .. } = view.convergence.totals();
        all.extend(at_least("regressions", expect.regressions_at_least, regressions));
        all.extend(at_least("gains", expect.gains_at_least, non_converging_syncs));
        let iterations = view.convergence.latest().map_or(0, |(_, statistics)| statistics.iteration);
        all.extend(within("the total time in ms", expect.total_ms.as_ref(), Some(outcome.total_ms)));
        all.extend(within("the downtime in ms", expect.downtime_ms.as_ref(), outcome.downtime_ms));
        let by_hypervisor = outcome.hypervisor_downtime_ms;
        let wanted = expect.hypervisor_downtime_ms.as_ref();
        all.extend(within("the hypervisor's downtime in ms", wanted, by_hypervisor));
        all.extend(within("the number of iterations", expect.iterations.as_ref(), Some(iterations)));
        if let Some(wanted) = &expect.recovered {
            let told = |list: &Vec<_>| words(&RECOVERIES, list);
            all.extend(unless_equal("what was put right", wanted, &outcome.recovered, told));
        }
        if let (Some(wanted), Some(happened)) = (&expect.incidents, incidents) {
            let told = |list: &Vec<_>| words(&INCIDENTS, list);
            all.extend(unless_equal("what really happened", wanted, &happened.to_vec(), told));
        }
        all
    }
}

/// How a migration ended and where the guest is, in a scenario file's words.
#[must_use]
pub fn end_of(outcome: &Outcome) -> (ExpectedResult, GuestPlace) {
    (result(outcome.ending), place(outcome.guest))
}

const fn result(ending: Ending) -> ExpectedResult {
    match ending {
        Ending::Completed => ExpectedResult::Completed,
        Ending::Cancelled => ExpectedResult::Cancelled,
        Ending::Failed => ExpectedResult::Failed,
        Ending::InDoubt => ExpectedResult::InDoubt,
        Ending::ArrivedStopped => ExpectedResult::ArrivedStopped,
    }
}

const fn place(guest: GuestLocation) -> GuestPlace {
    match guest {
        GuestLocation::Untouched
        | GuestLocation::SourceRunning
        | GuestLocation::SourcePaused
        | GuestLocation::SourceOff => GuestPlace::Source,
        GuestLocation::DestinationRunning
        | GuestLocation::DestinationPaused
        | GuestLocation::DestinationOff => GuestPlace::Destination,
        GuestLocation::DestinationPostcopy => GuestPlace::Halves,
        GuestLocation::DestinationIncomplete | GuestLocation::LeftBehind => GuestPlace::Lost,
        GuestLocation::BothRunning => GuestPlace::Both,
        GuestLocation::Nowhere => GuestPlace::Nowhere,
        GuestLocation::Unknown => GuestPlace::Unknown,
    }
}

fn unless_equal<T: PartialEq>(
    what: &str,
    wanted: &T,
    found: &T,
    worded: impl Fn(&T) -> String,
) -> Option<String> {
    (wanted != found).then(|| format!("{what}: expected {}, found {}", worded(wanted), worded(found)))
}

fn at_least(what: &str, wanted: u64, found: u64) -> Option<String> {
    (found < wanted).then(|| format!("{what}: expected {wanted} or more, found {found}"))
}

fn within(what: &str, wanted: Option<&RangeInclusive<u64>>, found: Option<u64>) -> Option<String> {
    let wanted = wanted.filter(|wanted| found.is_none_or(|found| !wanted.contains(&found)))?;
    let found = found.map_or_else(|| "none".to_owned(), |found| found.to_string());
    Some(format!("{what}: expected {} to {}, found {found}", wanted.start(), wanted.end()))
}

impl ExpectedResult {
    /// Its word in the files.
    #[must_use]
    pub fn word(self) -> String {
        word(&RESULTS, &self)
    }
}

impl GuestPlace {
    /// Its word in the files.
    #[must_use]
    pub fn word(self) -> String {
        word(&PLACES, &self)
    }
}

fn word<T: PartialEq>(words: &[(&str, T)], meaning: &T) -> String {
    let found = words.iter().find(|(_, known)| known == meaning);
    found.map_or_else(String::new, |(word, _)| (*word).to_owned())
}

fn words<T: PartialEq>(known: &[(&str, T)], list: &[T]) -> String {
    let told: Vec<String> = list.iter().map(|meaning| word(known, meaning)).collect();
    format!("[{}]", told.join(", "))
}
