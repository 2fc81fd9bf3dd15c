//! A round's verdict: the oracle, on a history that is made of the guest's own ticks and of nothing that libvirt or the
//! program reported.
//!
//! Every QEMU process that ran the guest is a copy, and both hosts are one storage, because a guest that runs twice would
//! write to it twice. A copy that is closed has ended. Who ended a copy is not seen from inside, so the oracle's third rule
//! (no command ends the last copy) is not judged here. It must never take silence for health.

use std::fmt;
use std::time::Instant;

use serde_json::Value;
use whimbrel_sim::oracle::{
    Actor, Claim, CopyId, End, Event, History, HostId, Part, StorageId, Writes, check, check_claim,
};

use crate::{CopyRecord, Snapshot};

/// All copies write to one storage.
const STORAGE: StorageId = StorageId(0);

/// The result of a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The guest runs on the destination, with all of its memory.
    Moved,
    /// The guest runs on the source, with all of its memory.
    Stayed,
    /// The guest is gone, and the program reported that.
    Lost,
    /// Not everything is known: the reason.
    Unjudged(String),
    /// The guest was harmed, or is not where it was reported.
    Violation(String),
}

/// Where the program reported the guest, from the last document that it wrote; none without such a document.
pub(super) fn reported(text: &str) -> Option<String> {
    text.lines().rev().find_map(|line| {
        let document: Value = serde_json::from_str(line).ok()?;
        Some(document.pointer("/event/ended/guest")?.as_str()?.to_owned())
    })
}

/// Why the program did not migrate, in its own words; none if it did, or said nothing.
pub(super) fn why(text: &str) -> Option<String> {
    text.lines().rev().find_map(|line| {
        let document: Value = serde_json::from_str(line).ok()?;
        let cause = document.pointer("/event/ended/cause")?.as_str()?.to_owned();
        let message = document.pointer("/event/ended/failure/message").and_then(Value::as_str);
        Some(message.map_or(cause.clone(), |message| format!("{cause}: {message}")))
    })
}

/// The history of all copies since the guest was started. `hosts` has the host of each copy, in the order of the copies.
pub(super) fn history(copies: &[CopyRecord], hosts: &[HostId]) -> History {
    let mut starts: Vec<(Instant, Instant, usize)> = Vec::new();
    for (number, copy) in copies.iter().enumerate() {
        starts.extend(copy.runs.iter().map(|(first, last)| (*first, *last, number)));
    }
    starts.sort_unstable();
    let mut history = History::new(Writes::WhileRunning);
    let Some(origin) = starts.first().map(|(first, ..)| *first) else { return history };
    let at = |instant: Instant| {
        let since = instant.saturating_duration_since(origin);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    };
    let id = |number: usize| CopyId(u32::try_from(number).unwrap_or(u32::MAX));
    let mut before: Option<(usize, Instant)> = None;
    let mut created = Vec::new();
    for (first, last, number) in starts {
        let (copy, first_ns) = (id(number), at(first));
        if let Some((other, stopped)) = before {
            history.record(at(stopped), Event::Stopped { copy: id(other), by: Actor::Hypervisor });
        }
        if !created.contains(&number) {
            created.push(number);
            let host = hosts.get(number).copied().unwrap_or(HostId(u32::MAX));
            let is_incoming = before.is_some();
            history.record(first_ns, Event::Created { copy, host, storage: STORAGE, is_incoming });
            if let Some((other, _)) = before {
                let part = Part::Whole;
                history.record(first_ns, Event::MemoryReceived { copy, from: id(other), part });
            }
            history.record(first_ns, Event::TakenOver { copy });
        }
        history.record(first_ns, Event::Started { copy, by: Actor::Hypervisor });
        before = Some((number, last));
    }
    // When a console was closed is not recorded: a copy has ended at the end.
    let end_ns = history.events().last().map_or(0, |(at_ns, _)| at_ns.saturating_add(1));
    for (number, copy) in copies.iter().enumerate() {
        if copy.is_closed && created.contains(&number) {
            let (how, by) = (End::Destroyed, Actor::Hypervisor);
            history.record(end_ns, Event::Ended { copy: id(number), how, by });
        }
    }
    history
}

/// Judges a round. `seen` is the guest's last report, `scanned` whether it verified all of its memory since the program
/// ended, and `hosts` are the source and the destination.
pub(super) fn judge(
    history: &History,
    seen: &Snapshot,
    scanned: bool,
    reported: Option<&str>,
    (source, destination): (HostId, HostId),
) -> Verdict {
    if let Some(violation) = check(history).first() {
        return Verdict::Violation(format!("the oracle: {violation:?}"));
    }
    if (seen.bad, seen.lost, seen.torn) != (0, 0, 0) || seen.two_copies_ran() {
        return Verdict::Violation(format!("the guest's witness: {seen:?}"));
    }
    let (claim, verdict) = match reported {
        Some("untouched" | "source_running") => (Claim::RunsOn(source), Verdict::Stayed),
        Some("destination_running") => (Claim::RunsOn(destination), Verdict::Moved),
        // A definition may be left: the run of the guest is over all the same.
        Some("nowhere" | "left_behind" | "source_off" | "destination_off") => (Claim::Lost, Verdict::Lost),
        Some(other) => return Verdict::Unjudged(format!("the program reported `{other}`")),
        None => return Verdict::Unjudged("the program reported nothing at its end".to_owned()),
    };
    if let Err(violation) = check_claim(history, claim) {
        return Verdict::Violation(format!("the program's report: {violation:?}"));
    }
    if verdict != Verdict::Lost && !scanned {
        return Verdict::Unjudged("the guest did not verify its memory in time".to_owned());
    }
    verdict
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Moved => f.write_str("runs on the destination"),
            Self::Stayed => f.write_str("runs on the source"),
            Self::Lost => f.write_str("gone, as reported"),
            Self::Unjudged(reason) => write!(f, "UNJUDGED: {reason}"),
            Self::Violation(reason) => write!(f, "VIOLATION: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    const ENDS: (HostId, HostId) = (HostId(0), HostId(1));

    /// Copies from rows of their stretches in ms, on hosts 0 and 1 in turn.
    fn verdict(copies: &[(&[(u64, u64)], bool)], reported: Option<&str>, scanned: bool) -> Verdict {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let copy = |(runs, is_closed): &(&[(u64, u64)], bool)| CopyRecord {
            runs: runs.iter().map(|(first, last)| (at(*first), at(*last))).collect(),
            is_closed: *is_closed,
        };
        let copies: Vec<CopyRecord> = copies.iter().map(copy).collect();
        let hosts = [HostId(0), HostId(1)];
        judge(&history(&copies, &hosts), &Snapshot::default(), scanned, reported, ENDS)
    }

    #[test]
    fn a_guest_that_moved_or_stayed_is_found_where_it_was_reported() {
        let moved: &[(&[(u64, u64)], bool)] = &[(&[(0, 90)], true), (&[(100, 200)], false)];
        assert_eq!(verdict(moved, Some("destination_running"), true), Verdict::Moved);
        let wrong = verdict(moved, Some("source_running"), true);
        assert!(matches!(wrong, Verdict::Violation(_)), "{wrong:?}");
        let stayed: &[(&[(u64, u64)], bool)] = &[(&[(0, 200)], false), (&[], true)];
        assert_eq!(verdict(stayed, Some("source_running"), true), Verdict::Stayed);
        let wrong = verdict(stayed, Some("destination_running"), true);
        assert!(matches!(wrong, Verdict::Violation(_)), "{wrong:?}");
        let wrong = verdict(stayed, Some("nowhere"), true);
        assert!(matches!(wrong, Verdict::Violation(_)), "{wrong:?}");
    }

    #[test]
    fn a_source_that_goes_on_beside_its_copy_is_a_violation() {
        let twice: &[(&[(u64, u64)], bool)] =
            &[(&[(0, 90), (110, 110)], false), (&[(100, 105), (115, 200)], false)];
        let found = verdict(twice, Some("destination_running"), true);
        assert!(matches!(&found, Verdict::Violation(reason) if reason.contains("oracle")), "{found:?}");
    }

    #[test]
    fn what_is_not_known_is_not_good() {
        let moved: &[(&[(u64, u64)], bool)] = &[(&[(0, 90)], true), (&[(100, 200)], false)];
        for (reported, scanned) in
            [(Some("destination_running"), false), (Some("unknown"), true), (None, true)]
        {
            let found = verdict(moved, reported, scanned);
            assert!(matches!(found, Verdict::Unjudged(_)), "{found:?}");
        }
        let gone: &[(&[(u64, u64)], bool)] = &[(&[(0, 90)], true)];
        assert_eq!(verdict(gone, Some("nowhere"), false), Verdict::Lost);
        assert_eq!(verdict(gone, Some("source_off"), false), Verdict::Lost);
        let wrong = verdict(moved, Some("source_off"), true);
        assert!(matches!(wrong, Verdict::Violation(_)), "{wrong:?}");
        let left: &[(&[(u64, u64)], bool)] = &[(&[(0, 90)], false), (&[(100, 200)], true)];
        assert_eq!(verdict(left, Some("left_behind"), false), Verdict::Lost);
    }

    #[test]
    fn the_last_document_has_the_report() {
        let text = "preflight\n{\"event\":{\"phase\":\"precopy\"}}\n{\"event\":{\"ended\":{\"guest\":\"source_running\"}}}\n";
        assert_eq!(reported(text).as_deref(), Some("source_running"));
        assert_eq!(reported("{\"event\":{\"phase\":\"precopy\"}}\n"), None);
        let failed =
            "{\"event\":{\"ended\":{\"cause\":\"copy_failed\",\"failure\":{\"message\":\"no route\"}}}}";
        assert_eq!(why(failed).as_deref(), Some("copy_failed: no route"));
        assert_eq!(why("{\"event\":{\"ended\":{\"cause\":null}}}"), None);
    }
}
