//! The tables of a scenario file, one function each: which keys there are, their bounds and their defaults.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::Problem;
use super::reader::{Reader, Section};
use super::{
    Expectation, ExpectedResult, Fault, FaultAction, GuestPhase, GuestPlace, Scenario, ScenarioGuest,
    ScenarioLink, ScenarioMigration, Trigger,
};

/// Where the guest's region starts: below lie the guest's own code and data.
pub(super) const REGION_START_MIB: u64 = 16;
/// A guest that can hold itself and a region.
const MIN_MEMORY_MIB: u64 = 32;
/// 1 TiB: a page map of 32 MiB.
const MAX_MEMORY_MIB: u64 = 1 << 20;
const MAX_WRITES_PER_SECOND: u64 = 1_000_000_000;
/// 100 GiB/s, beyond any network card.
const MAX_BANDWIDTH_MIB_PER_SECOND: u64 = 100_000;
/// A week.
const MAX_TIME_MS: u64 = 604_800_000;
const MAX_LATENCY_US: u64 = 60_000_000;
const MAX_ITERATION: u64 = 1_000_000;
const MAX_ENTRIES: usize = 1000;
const MAX_NAME_CHARS: usize = 64;
/// QEMU's own bound on its downtime limit.
const MAX_DOWNTIME_MS: u64 = 2_000_000;
const NAME: &str = "1 to 64 letters, digits, `-`, `_` or `.`";

const RESULTS: [(&str, ExpectedResult); 3] = [
    ("completed", ExpectedResult::Completed),
    ("cancelled", ExpectedResult::Cancelled),
    ("failed", ExpectedResult::Failed),
];
const PLACES: [(&str, GuestPlace); 3] = [
    ("source", GuestPlace::Source),
    ("destination", GuestPlace::Destination),
    ("nowhere", GuestPlace::Nowhere),
];

/// Reads a whole file, or says everything that is wrong with it.
pub(super) fn read(text: &str) -> Result<Scenario, Vec<Problem>> {
    read_with(text, Reader::scenario)
}

/// The same for another kind of file.
pub(super) fn read_with<'t, T>(
    text: &'t str,
    read: impl FnOnce(&mut Reader<'t>, &DeTable<'t>) -> Option<T>,
) -> Result<T, Vec<Problem>> {
    let (document, syntax_errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader { text, problems: Vec::new() };
    if !syntax_errors.is_empty() {
        // What a broken file means is not worth guessing: its other problems may be the same one again.
        for error in syntax_errors {
            let message = format!("not valid TOML: {}", one_line(error.message()));
            reader.report(error.span().unwrap_or(0..0), message, String::new());
        }
        return Err(reader.problems);
    }
    let found = read(&mut reader, document.get_ref());
    found.filter(|_| reader.problems.is_empty()).ok_or(reader.problems)
}

impl<'t> Reader<'t> {
    fn scenario(&mut self, document: &DeTable<'t>) -> Option<Scenario> {
        const KEYS: [&str; 8] =
            ["name", "description", "seed", "guest", "link", "migration", "fault", "expect"];
        let top = self.section("", document, 0..0, &KEYS);
        let name = self.name(&top);
        let description = self.text(&top, "description", "a string").map(|(text, _)| text);
        let seed = self.whole(&top, "seed", 0..=i64::MAX.unsigned_abs());
        let guest = self.required_table(&top, "guest", Self::guest);
        let link = self.required_table(&top, "link", Self::link);
        let migration = self.table(&top, "migration").and_then(|table| self.within(table, Self::migration));
        let faults = self.tables(&top, "fault", MAX_ENTRIES);
        let faults = faults.into_iter().filter_map(|table| self.within(table, Self::fault)?).collect();
        let expect = self.required_table(&top, "expect", Self::expectation);
        Some(Scenario {
            name: name?,
            description: description.unwrap_or_default(),
            seed: seed.unwrap_or(1),
            guest: guest??,
            link: link??,
            migration: migration.unwrap_or_default(),
            faults,
            expect: expect??,
        })
    }

    fn guest(&mut self, table: &DeTable<'t>, span: Range<usize>) -> Option<ScenarioGuest> {
        const KEYS: [&str; 7] =
            ["name", "memory_mib", "working_set_mib", "filled_mib", "writes_per_second", "paused", "phase"];
        let guest = self.section("guest.", table, span, &KEYS);
        let name = self.name(&guest);
        let memory_mib = self.required_whole(&guest, "memory_mib", MIN_MEMORY_MIB..=MAX_MEMORY_MIB);
        // Without a memory to measure against, only what no memory could hold is wrong.
        let room_mib = memory_mib.unwrap_or(MAX_MEMORY_MIB) - REGION_START_MIB;
        let working_set_mib = self.required_whole(&guest, "working_set_mib", 1..=room_mib);
        let writes_per_second = self.required_whole(&guest, "writes_per_second", 0..=MAX_WRITES_PER_SECOND);
        let filled_mib = self.whole(&guest, "filled_mib", 0..=room_mib);
        let paused = self.truth(&guest, "paused").unwrap_or(false);
        let mut phase = GuestPhase {
            at_ms: 0,
            writes_per_second: writes_per_second.unwrap_or(0),
            working_set_mib: working_set_mib.unwrap_or(1),
        };
        let mut phases = vec![phase];
        for table in self.tables(&guest, "phase", MAX_ENTRIES) {
            let read = self.within(table, |reader, table, span| reader.phase(table, span, phase, room_mib));
            if let Some(next) = read.flatten() {
                phase = next;
                phases.push(phase);
            }
        }
        let largest_mib = phases.iter().map(|phase| phase.working_set_mib).max().unwrap_or(0);
        // Whichever is missing was reported.
        let (Some(_), Some(_)) = (writes_per_second, working_set_mib) else { return None };
        Some(ScenarioGuest {
            name: name?,
            memory_mib: memory_mib?,
            filled_mib: filled_mib.unwrap_or(largest_mib),
            paused,
            phases,
        })
    }

    fn phase(
        &mut self,
        table: &DeTable<'t>,
        span: Range<usize>,
        before: GuestPhase,
        room_mib: u64,
    ) -> Option<GuestPhase> {
        let phase =
            self.section("guest.phase.", table, span, &["at_ms", "writes_per_second", "working_set_mib"]);
        let at_ms = self.required_whole(&phase, "at_ms", 1..=MAX_TIME_MS);
        let writes_per_second = self.required_whole(&phase, "writes_per_second", 0..=MAX_WRITES_PER_SECOND);
        let working_set_mib = self.whole(&phase, "working_set_mib", 1..=room_mib);
        let at_ms = at_ms?;
        if at_ms <= before.at_ms {
            let message = format!("`guest.phase.at_ms` is {at_ms}");
            self.report_at(&phase, "at_ms", message, format!("it must be more than {}", before.at_ms));
        }
        Some(GuestPhase {
            at_ms,
            writes_per_second: writes_per_second?,
            working_set_mib: working_set_mib.unwrap_or(before.working_set_mib),
        })
    }

    fn link(&mut self, table: &DeTable<'t>, span: Range<usize>) -> Option<ScenarioLink> {
        let link = self.section("link.", table, span, &["bandwidth_mib_per_second", "latency_us"]);
        let bandwidth_mib_per_second =
            self.required_whole(&link, "bandwidth_mib_per_second", 1..=MAX_BANDWIDTH_MIB_PER_SECOND);
        let latency_us = self.whole(&link, "latency_us", 0..=MAX_LATENCY_US).unwrap_or(0);
        Some(ScenarioLink { bandwidth_mib_per_second: bandwidth_mib_per_second?, latency_us })
    }

    fn migration(&mut self, table: &DeTable<'t>, span: Range<usize>) -> ScenarioMigration {
        const KEYS: [&str; 3] = ["bandwidth_limit_mib_per_second", "downtime_limit_ms", "timeout_ms"];
        let migration = self.section("migration.", table, span, &KEYS);
        ScenarioMigration {
            bandwidth_limit_mib_per_second: self.whole(
                &migration,
                "bandwidth_limit_mib_per_second",
                1..=MAX_BANDWIDTH_MIB_PER_SECOND,
            ),
            downtime_limit_ms: self.whole(&migration, "downtime_limit_ms", 1..=MAX_DOWNTIME_MS),
            timeout_ms: self.whole(&migration, "timeout_ms", 1..=MAX_TIME_MS),
        }
    }

    fn fault(&mut self, table: &DeTable<'t>, span: Range<usize>) -> Option<Fault> {
        let fault = self.section("fault.", table, span, &["at_ms", "at_iteration", "after_ms", "do"]);
        let action = self.word(&fault, "do", &FaultAction::WORDS);
        let at_ms = self.whole(&fault, "at_ms", 0..=MAX_TIME_MS).map(Trigger::AtMs);
        let at_iteration = self.whole(&fault, "at_iteration", 1..=MAX_ITERATION).map(Trigger::AtIteration);
        let after_ms = self.whole(&fault, "after_ms", 0..=MAX_TIME_MS).unwrap_or(0);
        let help = || "it must have exactly one of `at_ms` and `at_iteration`".to_owned();
        match (fault.has("at_ms"), fault.has("at_iteration")) {
            (true, true) => {
                self.report_at(&fault, "at_iteration", "a fault with two triggers".to_owned(), help());
            }
            (false, false) => self.report_at(&fault, "do", "a fault without a trigger".to_owned(), help()),
            _ => {}
        }
        Some(Fault { trigger: at_ms.or(at_iteration)?, after_ms, action: action? })
    }

    fn expectation(&mut self, table: &DeTable<'t>, span: Range<usize>) -> Option<Expectation> {
        let expect = self.section("expect.", table, span, &["result", "guest_on", "regressions_at_least"]);
        let result = self.word(&expect, "result", &RESULTS);
        let guest_on = self.word(&expect, "guest_on", &PLACES);
        let regressions = self.whole(&expect, "regressions_at_least", 0..=MAX_ITERATION);
        let (result, guest_on) = (result?, guest_on?);
        let only = match result {
            ExpectedResult::Completed if guest_on != GuestPlace::Destination => Some("destination"),
            ExpectedResult::Cancelled if guest_on != GuestPlace::Source => Some("source"),
            _ => None,
        };
        if let Some(only) = only {
            let message = "`expect.guest_on` contradicts `expect.result`".to_owned();
            self.report_at(&expect, "guest_on", message, format!("with that result it can only be `{only}`"));
        }
        Some(Expectation { result, guest_on, regressions_at_least: regressions.unwrap_or(0) })
    }

    fn name(&mut self, section: &Section<'_, 't>) -> Option<String> {
        self.require(section, "name", NAME);
        let (name, span) = self.text(section, "name", NAME)?;
        let fits = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        let good = !name.is_empty() && name.len() <= MAX_NAME_CHARS && name.chars().all(fits);
        if !good {
            self.report(span, "`name` cannot be used as a name".to_owned(), format!("it must be {NAME}"));
        }
        good.then_some(name)
    }

    fn required_table<T>(
        &mut self,
        top: &Section<'_, 't>,
        key: &'static str,
        read: impl FnOnce(&mut Self, &DeTable<'t>, Range<usize>) -> T,
    ) -> Option<T> {
        self.require(top, key, &format!("a table, written as [{key}]"));
        let table = self.table(top, key)?;
        self.within(table, read)
    }

    fn within<T>(
        &mut self,
        value: &Spanned<DeValue<'t>>,
        read: impl FnOnce(&mut Self, &DeTable<'t>, Range<usize>) -> T,
    ) -> Option<T> {
        value.get_ref().as_table().map(|table| read(self, table, value.span()))
    }
}

fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}
