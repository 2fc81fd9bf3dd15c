//! Whether a guest's memory is sound after a migration, by the guest's own scan of all of it.
//!
//! A scan that was not finished shows nothing: without one the answer must never be that the guest is sound.

use std::time::Duration;

use whimbrel_lab::{LabError, Snapshot};

use crate::error::Error;

/// How long one wait for the end of a scan takes.
pub(super) const WAIT: Duration = Duration::from_secs(10);
/// Longer than two scans of a large region take on an emulated processor, in waits.
const WAITS: u32 = 12;

/// The state of a guest's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// The guest has verified all of its memory since the migration, and every tick arrived once.
    Sound,
    /// A page or a tick was lost, or two copies ran. No complete scan is needed for this.
    Damaged,
    /// Nothing wrong was seen, and not all of the memory was verified: the reason.
    Unknown(String),
}

/// Waits until the guest has verified all of its memory since `now`, and gives what it reported last. `wait` waits for
/// such a scan, [`WAIT`] at most, and fails with [`LabError::Witness`] if there is none.
pub(super) fn observe(
    now: &Snapshot,
    mut wait: impl FnMut(&Snapshot) -> Result<Snapshot, LabError>,
) -> Result<(Snapshot, Health), Error> {
    let scanned = match (now.open, now.seq) {
        (_, 0) => Err((now.clone(), "the guest never ran".to_owned())),
        (0, _) => Err((now.clone(), "the guest has ended, so it cannot scan its memory".to_owned())),
        _ => scan(now, &mut wait)?,
    };
    Ok(match scanned {
        Ok(seen) if is_intact(&seen) => (seen, Health::Sound),
        Err((seen, reason)) if is_intact(&seen) => (seen, Health::Unknown(reason)),
        Ok(seen) | Err((seen, _)) => (seen, Health::Damaged),
    })
}

/// The report after a whole scan, or the last one and why there was no scan.
fn scan(
    now: &Snapshot,
    wait: &mut impl FnMut(&Snapshot) -> Result<Snapshot, LabError>,
) -> Result<Result<Snapshot, (Snapshot, String)>, Error> {
    let mut last = now.clone();
    for number in 1..=WAITS {
        match wait(now) {
            Err(LabError::Witness { last: seen, .. }) => {
                let (waited, all) = (WAIT * number, WAIT * WAITS);
                println!(
                    "    {} of {} s, {} page writes so far",
                    waited.as_secs(),
                    all.as_secs(),
                    seen.writes
                );
                last = *seen;
            }
            other => return Ok(Ok(other?)),
        }
    }
    let waited = (WAIT * WAITS).as_secs();
    let reason = format!(
        "it did not finish a scan of its memory within {waited} s after the migration; run it again on a machine with \
         less other work"
    );
    Ok(Err((last, reason)))
}

/// Whether nothing wrong was seen.
fn is_intact(seen: &Snapshot) -> bool {
    seen.bad == 0 && seen.lost == 0 && seen.torn == 0 && !seen.two_copies_ran()
}

/// The guest's observations, in its own numbers.
pub(super) fn report(seen: &Snapshot, health: &Health) -> String {
    let place = match seen.owner {
        None => "it never ran",
        Some(0) => "the process that it started in",
        Some(_) => "another process than it started in",
    };
    let downtime =
        seen.handover.map_or("it did not move".to_owned(), |gap| format!("{} ms", gap.as_millis()));
    let memory = match health {
        Health::Sound => "sound".to_owned(),
        Health::Damaged => "DAMAGED".to_owned(),
        Health::Unknown(reason) => format!("UNKNOWN: {reason}"),
    };
    format!(
        "Observed inside the guest:\n\
         \x20 runs in                  {place}\n\
         \x20 page writes              {}\n\
         \x20 scans of its memory      {}, with {} wrong pages\n\
         \x20 ticks lost, torn, twice  {}, {}, {}\n\
         \x20 two copies ran           {}\n\
         \x20 memory                   {memory}\n\
         \x20 downtime                 {downtime}\n\
         \x20 longest stop             {} ms",
        seen.writes,
        seen.scans,
        seen.bad,
        seen.lost,
        seen.torn,
        seen.repeated,
        if seen.two_copies_ran() { "YES" } else { "no" },
        seen.longest_gap.as_millis(),
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use whimbrel_lab::{LabError, Snapshot};

    use super::{Health, WAIT, WAITS, observe, report};

    fn running() -> Snapshot {
        Snapshot {
            seq: 9,
            open: 1,
            owner: Some(1),
            handover: Some(Duration::from_millis(7)),
            ..Snapshot::default()
        }
    }

    /// A guest whose scan ends in this wait, if at all, with these observations.
    fn ends_in(wait: Option<u32>, seen: &Snapshot) -> (Snapshot, Health) {
        let mut waits = 0;
        let found = observe(&running(), |_| {
            waits += 1;
            if Some(waits) == wait {
                Ok(seen.clone())
            } else {
                Err(LabError::Witness { allowed: WAIT, last: Box::new(seen.clone()) })
            }
        });
        assert_eq!(waits, wait.unwrap_or(WAITS));
        found.unwrap()
    }

    #[test]
    fn a_whole_scan_without_a_fault_is_sound() {
        let (seen, health) = ends_in(Some(3), &running());
        assert_eq!(health, Health::Sound);
        let text = report(&seen, &health);
        assert!(text.contains("7 ms") && text.contains("memory                   sound"), "{text}");
    }

    #[test]
    fn a_scan_that_does_not_end_is_unknown() {
        let (seen, health) = ends_in(None, &running());
        assert!(matches!(&health, Health::Unknown(reason) if reason.contains("within 120 s")), "{health:?}");
        assert!(report(&seen, &health).contains("UNKNOWN: it did not finish"));
    }

    #[test]
    fn a_guest_that_cannot_scan_is_unknown() {
        for (gone, words) in [
            (Snapshot { open: 0, ..running() }, "has ended"),
            (Snapshot { seq: 0, owner: None, ..running() }, "never ran"),
        ] {
            let (_, health) = observe(&gone, |_| panic!("there is nothing to wait for")).unwrap();
            assert!(matches!(&health, Health::Unknown(reason) if reason.contains(words)), "{health:?}");
        }
    }

    #[test]
    fn damage_is_seen_with_or_without_a_whole_scan() {
        for wrong in [
            Snapshot { bad: 1, ..running() },
            Snapshot { lost: 1, ..running() },
            Snapshot { torn: 1, ..running() },
            Snapshot { overtaken: 1, ..running() },
        ] {
            for wait in [Some(1), None] {
                assert_eq!(ends_in(wait, &wrong).1, Health::Damaged, "{wrong:?}");
            }
        }
        let ended = Snapshot { open: 0, repeated: 1, ..running() };
        let (seen, health) = observe(&ended, |_| panic!("there is nothing to wait for")).unwrap();
        assert_eq!(health, Health::Damaged);
        assert!(report(&seen, &health).contains("YES"));
    }
}
