//! A whole scenario file: its tables, each read by a file of its own, and what one table says against another.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Scenario;
use super::error::Problem;
use super::hosts::{OWN_POOL, SHARED_POOL};
use super::reader::{MOST_ENTRIES, Reader, Section};

const MAX_NAME_CHARS: usize = 64;
const NAME: &str = "1 to 64 letters, digits, `-`, `_` or `.`";

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
        const KEYS: [&str; 12] = [
            "name",
            "description",
            "seed",
            "guest",
            "link",
            "migration",
            "source",
            "destination",
            "daemons",
            "costs",
            "fault",
            "expect",
        ];
        let top = self.section("", document, 0..0, &KEYS);
        let name = self.name(&top);
        let description = self.text(&top, "description", "a string").map(|(text, _)| text);
        let seed = self.whole(&top, "seed", 0..=i64::MAX.unsigned_abs());
        let guest = self.required_table(&top, "guest", Self::guest).flatten();
        let link = self.required_table(&top, "link", Self::link).flatten();
        let migration = self.optional_table(&top, "migration", Self::migration);
        let guest_mib = guest.as_ref().map_or(0, |guest| guest.memory_mib);
        let source = self.host(&top, "source", "alpha", guest_mib);
        let destination = self.host(&top, "destination", "beta", guest_mib);
        let daemons = self.optional_table(&top, "daemons", Self::daemons);
        let costs = self.optional_table(&top, "costs", Self::costs);
        let faults = self.tables(&top, "fault", MOST_ENTRIES);
        let faults = faults.into_iter().filter_map(|table| self.within(table, Self::fault)?).collect();
        let expect = self.required_table(&top, "expect", Self::expectation).flatten();
        let scenario = Scenario {
            name: name?,
            description: description.unwrap_or_default(),
            seed: seed.unwrap_or(1),
            guest: guest?,
            link: link?,
            migration: migration.unwrap_or_default(),
            source,
            destination,
            daemons: daemons.unwrap_or_default(),
            costs: costs.unwrap_or_default(),
            faults,
            expect: expect?,
        };
        self.impossibilities(&top, &scenario);
        Some(scenario)
    }

    /// Combinations of which no world can be made, although each table is valid alone.
    fn impossibilities(&mut self, top: &Section<'_, 't>, scenario: &Scenario) {
        let (guest, source) = (&scenario.guest, &scenario.source);
        if guest.memory_mib > source.memory_mib {
            let message = format!("the guest has {} MiB", guest.memory_mib);
            let help = format!("it cannot run on a source of {} MiB", source.memory_mib);
            self.report_within(top, ("guest", "memory_mib"), message, help);
        }
        for pool in [OWN_POOL, SHARED_POOL] {
            let is_needed = guest.disks.iter().any(|disk| disk.shared == (pool == SHARED_POOL));
            if is_needed && !source.pools.iter().any(|there| there.name == pool) {
                let message = format!("the source has no pool `{pool}`");
                let help = "a disk of the guest lies in it".to_owned();
                self.report_within(top, ("source", "pools"), message, help);
            }
        }
        if scenario.migration.offline && !guest.persistent {
            let message = "a guest that is off and has no definition".to_owned();
            let help = "there is nothing to move `offline` without `persistent`".to_owned();
            self.report_within(top, ("guest", "persistent"), message, help);
        }
        let is_ended = scenario.migration.timeout_ms.is_some()
            || scenario.faults.iter().any(|fault| fault.action.ends_a_standstill());
        if scenario.link.last_mib_per_second() == 0 && !is_ended {
            let message = "the link carries nothing for ever".to_owned();
            let help =
                "let it carry something later, or end the migration by `timeout_ms` or a fault".to_owned();
            self.report_within(top, ("link", "change"), message, help);
        }
    }

    /// Reports a problem with a key of a table; with the table where it has no such key.
    fn report_within(
        &mut self,
        top: &Section<'_, 't>,
        (table, key): (&'static str, &str),
        message: String,
        help: String,
    ) {
        let span = top.span_of(table, key);
        self.report(span, message, help);
    }

    fn optional_table<T>(
        &mut self,
        top: &Section<'_, 't>,
        key: &'static str,
        read: impl FnOnce(&mut Self, &DeTable<'t>, Range<usize>) -> T,
    ) -> Option<T> {
        let table = self.table(top, key)?;
        self.within(table, read)
    }

    pub(super) fn name(&mut self, section: &Section<'_, 't>) -> Option<String> {
        self.name_of(section, "name")
    }

    /// A word that can be a name everywhere; missing is a problem.
    pub(super) fn name_of(&mut self, section: &Section<'_, 't>, key: &'static str) -> Option<String> {
        self.require(section, key, NAME);
        let (name, span) = self.text(section, key, NAME)?;
        let fits = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        let good = !name.is_empty() && name.len() <= MAX_NAME_CHARS && name.chars().all(fits);
        if !good {
            self.report(span, format!("`{key}` cannot be used as a name"), format!("it must be {NAME}"));
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

    pub(super) fn within<T>(
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
