//! A migration that lasted for hours is adopted from its journal in memory and time that are bounded. The only test of its
//! process, whose memory it measures.

#![cfg(test)]

use std::cell::Cell;
use std::fs;

use whimbrel_core::Instant;
use whimbrel_core::journal::{Line, Lines};
use whimbrel_drive::{EarlierLines, Journal, Resumption, resume};
use whimbrel_sim::qemu::Engine;
use whimbrel_sim::scenario::{Conditions, Scenario};
use whimbrel_sim::simulation::Simulation;

/// Inputs of the migration that is adopted, and its header.
const LINES: usize = 100_000;
/// Its journal has some 30 MB; what is read of it at a time has less than this, an allocator's own parts included.
const MOST_BYTES: u64 = 4 << 20;

/// A guest that is copied for hours.
const ENDLESS: &str = r#"
name = "endless"
[guest]
name = "swift"
memory_mib = 256
working_set_mib = 64
writes_per_second = 60000
[link]
bandwidth_mib_per_second = 1000
latency_us = 100
[migration]
bandwidth_limit_mib_per_second = 32
timeout_ms = 14400000
[expect]
result = "failed"
guest_on = "source"
"#;

/// The journal of a driver that was killed in the middle.
fn journal() -> String {
    let scenario = Scenario::parse(ENDLESS, "endless").unwrap_or_else(|error| panic!("{error}"));
    let conditions = Conditions { engine: Engine::Lumped, ..scenario.conditions() };
    let mut simulation =
        Simulation::new(&scenario, conditions, whimbrel_rules::native::judge).unwrap().with_journal();
    simulation.run(|| None, |_, _, _| ()).unwrap();
    let lines = simulation.journal().unwrap().split_inclusive('\n');
    let text: String = lines.take(LINES).collect();
    assert_eq!(text.lines().count(), LINES);
    text
}

/// Counts how often a line is read.
struct Counted {
    lines: EarlierLines,
    read: Cell<usize>,
}

impl Lines for Counted {
    fn lines(&self) -> Box<dyn Iterator<Item = Line<'_>> + '_> {
        Box::new(self.lines.lines().inspect(|_| self.read.set(self.read.get() + 1)))
    }
}

/// A value of `/proc/self/status`, in bytes.
fn memory(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

#[test]
fn a_long_journal_is_adopted_line_by_line() {
    let path = std::env::temp_dir().join(format!("whimbrel-long-{}.journal", std::process::id()));
    let text = journal();
    let bytes = text.len();
    // A line was being written when the driver was killed.
    fs::write(&path, text + "{\"at_ns\":").unwrap();
    let before = memory("VmRSS");
    // The highest use counts from here.
    fs::write("/proc/self/clear_refs", "5").unwrap();

    let (journal, lines) = Journal::adopt(&path).unwrap();
    let counted = Counted { lines, read: Cell::new(0) };
    let mut records = 0;
    let resumed = resume(&counted, Instant::BEGIN, |_, _, _| records += 1).unwrap();
    let used = memory("VmHWM").saturating_sub(before);

    assert!(matches!(resumed, Resumption::DriveSession { not_replayed: None, .. }));
    assert_eq!(records, LINES - 1);
    assert_eq!(counted.read.get(), 2 * LINES, "one pass for a takeover, one for the replay");
    assert!(used < MOST_BYTES, "{used} bytes for a journal of {bytes}");
    println!("{used} bytes of memory for a journal of {bytes}");

    // Damaged in the middle, it is read as far as it can be, in two more passes at most.
    drop(journal);
    let text = fs::read_to_string(&path).unwrap();
    let at = text.len() / 2;
    let damaged = format!("{}x{}", text.get(..at).unwrap(), text.get(at + 1..).unwrap());
    fs::write(&path, damaged).unwrap();
    drop(text);
    let before = memory("VmRSS");
    fs::write("/proc/self/clear_refs", "5").unwrap();
    let (_journal, lines) = Journal::adopt(&path).unwrap();
    let counted = Counted { lines, read: Cell::new(0) };
    let resumed = resume(&counted, Instant::BEGIN, |_, _, _| ()).unwrap();
    let used = memory("VmHWM").saturating_sub(before);
    assert!(matches!(resumed, Resumption::DriveSession { not_replayed: Some(_), .. }));
    assert!(counted.read.get() <= 4 * LINES, "{} lines were read", counted.read.get());
    assert!(used < MOST_BYTES, "{used} bytes for a journal of {bytes}");
    fs::remove_file(path).unwrap();
}
