//! The evidence before a copy begins: earlier migrations of the same guest between the same hosts, from the journals that
//! `migrate` leaves.
//!
//! Nothing is measured on the guest, and nothing is concluded: without earlier migrations it is unknown.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use whimbrel_core::journal::{self, Left};
use whimbrel_core::{Ending, Outcome, Spec};
use whimbrel_observe::names::Names;
use whimbrel_observe::units::span;

use super::migrate::journal_prefix;

/// Journals that are read, the newest first.
const MOST_JOURNALS: usize = 16;
/// A larger one is not read: its replay would take long.
const MOST_BYTES: u64 = 64 << 20;

/// Completed migrations of one guest between two hosts.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Earlier {
    /// How many were read; at most 16.
    completed: usize,
    /// The shortest and the longest, in ms.
    total_ms: Option<[u64; 2]>,
    /// The least and the most downtime that was observed, in ms.
    downtime_ms: Option<[u64; 2]>,
    /// Why nothing is known.
    unknown: Option<String>,
    #[serde(skip)]
    guest: String,
    #[serde(skip)]
    destination: String,
}

impl Earlier {
    /// Of this migration's guest and hosts, from the journals in a folder, if that is known.
    pub(super) fn of(spec: &Spec, folder: Option<&Path>) -> Self {
        let journals = folder.map(|folder| journals(folder, &spec.guest)).unwrap_or_default();
        let outcomes: Vec<Outcome> = journals.iter().filter_map(|path| completed(path, spec)).collect();
        let range = |of: fn(&Outcome) -> Option<u64>| {
            let values = || outcomes.iter().filter_map(of);
            values().min().zip(values().max()).map(|(least, most)| [least, most])
        };
        let Names { guest, destination, .. } = Names::of(spec);
        let unknown = outcomes.is_empty().then(|| {
            format!(
                "the dirty rate of {guest} is not measured before the copy without --measure-dirty-rate, and no completed migration of it to \
                 {destination} is on record in {}",
                folder.map_or("a folder that is known: set HOME".to_owned(), |folder| folder.display().to_string())
            )
        });
        Self {
            completed: outcomes.len(),
            total_ms: range(|outcome| Some(outcome.total_ms)),
            downtime_ms: range(|outcome| outcome.downtime_ms),
            unknown,
            guest,
            destination,
        }
    }
}

impl Earlier {
    /// Whether no earlier migration is on record.
    pub(super) fn is_unknown(&self) -> bool {
        self.unknown.is_some()
    }
}

impl fmt::Display for Earlier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(reason) = &self.unknown {
            return write!(f, "forecast: unknown: {reason}");
        }
        let Self { completed, guest, destination, .. } = self;
        write!(f, "forecast: {completed} completed migrations of {guest} to {destination} on record")?;
        if let Some([least, most]) = self.total_ms {
            write!(f, " took {} to {}", span(least), span(most))?;
        }
        if let Some([least, most]) = self.downtime_ms {
            write!(f, ", with a downtime of {} to {}", span(least), span(most))?;
        }
        f.write_str("; the forecast of this one follows its first pass")
    }
}

/// The journals of a guest, the newest first: their names end with the time.
fn journals(folder: &Path, guest: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let prefix = journal_prefix(guest);
    let began = |path: &PathBuf| -> Option<u64> {
        let name = path.file_name()?.to_str()?;
        name.strip_prefix(&prefix)?.strip_suffix(".journal")?.parse().ok()
    };
    let mut found: Vec<_> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter_map(|path| Some((began(&path)?, path)))
        .collect();
    found.sort_unstable_by(|one, other| other.cmp(one));
    found.into_iter().take(MOST_JOURNALS).map(|(_, path)| path).collect()
}

/// How a migration of this guest between these hosts ended, if it completed.
fn completed(path: &Path, spec: &Spec) -> Option<Outcome> {
    if fs::metadata(path).ok()?.len() > MOST_BYTES {
        return None;
    }
    let text = fs::read_to_string(path).ok()?;
    let earlier = journal::header(&text).ok()?.spec;
    // A definition that was moved says nothing about a copy of memory.
    let is_same = (&earlier.guest, &earlier.source, &earlier.destination)
        == (&spec.guest, &spec.source, &spec.destination)
        && !earlier.transfer.offline;
    if !is_same {
        return None;
    }
    let outcome = match journal::resume(&text, |_, _, _| ()).ok()? {
        Left::Replayed(replayed) => replayed.migration.view().outcome.cloned(),
        Left::Read { takeover, .. } => takeover.snapshot.outcome.map(|outcome| *outcome),
    };
    outcome.filter(|outcome| outcome.ending == Ending::Completed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use whimbrel_sim::qemu::Engine;
    use whimbrel_sim::scenario::{Conditions, Scenario};
    use whimbrel_sim::simulation::Simulation;

    #[test]
    fn earlier_migrations_of_the_same_guest_and_hosts_are_the_only_evidence() {
        let scenario = Scenario::built_in("converges").unwrap().unwrap();
        let conditions = Conditions { engine: Engine::Lumped, ..scenario.conditions() };
        let mut simulation =
            Simulation::new(&scenario, conditions, whimbrel_rules::native::judge).unwrap().with_journal();
        simulation.run(|| None, |_, _, _| ()).unwrap();
        let spec = simulation.migration().view().spec.clone();
        let folder = std::env::temp_dir().join(format!("whimbrel-earlier-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let none = Earlier::of(&spec, Some(&folder));
        assert!(none.unknown.is_some() && none.total_ms.is_none(), "{none}");
        let path = folder.join(format!("{}1732492800000.journal", journal_prefix(&spec.guest)));
        fs::write(&path, simulation.journal().unwrap()).unwrap();
        let other = Spec { destination: "qemu+tcp://elsewhere/system".to_owned(), ..spec.clone() };
        let [known, unknown] = [&spec, &other].map(|spec| Earlier::of(spec, Some(&folder)));
        fs::remove_dir_all(&folder).unwrap();
        let outcome = simulation.migration().view().outcome.unwrap().clone();
        assert_eq!(known.total_ms, Some([outcome.total_ms; 2]));
        assert_eq!(known.downtime_ms, outcome.downtime_ms.map(|ms| [ms; 2]));
        assert!(unknown.unknown.is_some(), "{unknown}");
    }
}
