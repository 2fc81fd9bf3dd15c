//! `[guest]`: its memory, what it holds, and what writes to it.

use std::ops::Range;

use toml::de::DeTable;

use super::bounds::{MAX_MEMORY_MIB, MAX_TIME_MS, MAX_WRITES_PER_SECOND, MIN_MEMORY_MIB, REGION_START_MIB};
use super::disk::ScenarioDisk;
use super::reader::{MOST_ENTRIES, Reader, Section};
use super::writer::ScenarioWriter;
use crate::guest::{Content, PAGE_BYTES};

/// More than any host offers.
const MAX_VCPUS: u64 = 4096;

/// The guest of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioGuest {
    /// Its name on both hosts.
    pub name: String,
    /// Its memory in MiB.
    pub memory_mib: u64,
    /// Memory in MiB, from 16 MiB on, that is not zero when the migration starts.
    pub filled_mib: u64,
    /// Whether it is paused when the migration starts.
    pub paused: bool,
    /// What writes to its memory.
    pub writing: Writing,
    /// Virtual CPUs, at least one for each writer.
    pub vcpus: u32,
    /// Memory at its end, in MiB, that the balloon has taken: zeros.
    pub ballooned_mib: u64,
    /// Whether the guest reports which memory the balloon has, so the pages are not even scanned.
    pub balloon_is_hinted: bool,
    /// What its pages hold, as far as it matters on the wire.
    pub content: Content,
    /// Whether its definition outlives its run.
    pub persistent: bool,
    /// Its disks.
    pub disks: Vec<ScenarioDisk>,
}

/// What writes to a guest's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Writing {
    /// The short form, uniform over one working set at a time; the first phase is at 0 ms, each later one is later.
    Phases(Vec<GuestPhase>),
    /// Programs, each on a virtual CPU of its own.
    Writers(Vec<ScenarioWriter>),
}

/// A stretch of time with one write rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuestPhase {
    /// Its beginning since the guest started to write, in milliseconds.
    pub at_ms: u64,
    /// Writes a second, each to a page drawn uniformly from the working set.
    pub writes_per_second: u64,
    /// The working set in MiB, from 16 MiB on.
    pub working_set_mib: u64,
}

impl ScenarioGuest {
    /// Memory in MiB, from 16 MiB on, that may ever be written to.
    #[must_use]
    pub fn reach_mib(&self) -> u64 {
        self.writing.reach_mib()
    }
}

impl Writing {
    fn reach_mib(&self) -> u64 {
        let reach = match self {
            Self::Phases(phases) => phases.iter().map(|phase| phase.working_set_mib).max(),
            Self::Writers(writers) => writers.iter().map(ScenarioWriter::reach_mib).max(),
        };
        reach.unwrap_or(0)
    }

    fn writers(&self) -> u64 {
        match self {
            Self::Phases(_) => 1,
            Self::Writers(writers) => writers.len() as u64,
        }
    }
}

impl<'t> Reader<'t> {
    pub(super) fn guest(&mut self, table: &DeTable<'t>, span: Range<usize>) -> Option<ScenarioGuest> {
        const KEYS: [&str; 15] = [
            "name",
            "memory_mib",
            "working_set_mib",
            "filled_mib",
            "writes_per_second",
            "paused",
            "phase",
            "writer",
            "vcpus",
            "ballooned_mib",
            "balloon_is_hinted",
            "compressed_page_bytes",
            "changed_bytes_per_page",
            "persistent",
            "disk",
        ];
        let guest = self.section("guest.", table, span, &KEYS);
        let name = self.name(&guest);
        let memory_mib = self.required_whole(&guest, "memory_mib", MIN_MEMORY_MIB..=MAX_MEMORY_MIB);
        // Without a memory to measure against, only what no memory could hold is wrong.
        let room_mib = memory_mib.unwrap_or(MAX_MEMORY_MIB) - REGION_START_MIB;
        let writing = if guest.has("writer") {
            self.writers(&guest, room_mib)
        } else {
            self.short_form(&guest, room_mib)
        };
        let reach_mib = writing.as_ref().map_or(0, Writing::reach_mib);
        let filled_mib = self.whole(&guest, "filled_mib", 0..=room_mib).unwrap_or(reach_mib);
        let ballooned_mib = self.balloon(&guest, room_mib, filled_mib.max(reach_mib));
        let least = writing.as_ref().map_or(1, Writing::writers).max(1);
        let content = self.content(&guest);
        let vcpus = self.small(&guest, "vcpus", least..=MAX_VCPUS);
        let paused = self.truth(&guest, "paused").unwrap_or(false);
        let persistent = self.truth(&guest, "persistent").unwrap_or(true);
        let balloon_is_hinted = self.truth(&guest, "balloon_is_hinted").unwrap_or(false);
        let disks = self.disks(&guest);
        Some(ScenarioGuest {
            name: name?,
            memory_mib: memory_mib?,
            filled_mib,
            paused,
            writing: writing?,
            vcpus: vcpus.or_else(|| u32::try_from(least).ok())?,
            ballooned_mib,
            balloon_is_hinted,
            content,
            persistent,
            disks,
        })
    }

    fn short_form(&mut self, guest: &Section<'_, 't>, room_mib: u64) -> Option<Writing> {
        let working_set_mib = self.required_whole(guest, "working_set_mib", 1..=room_mib);
        let writes_per_second = self.required_whole(guest, "writes_per_second", 0..=MAX_WRITES_PER_SECOND);
        let mut phase = GuestPhase {
            at_ms: 0,
            writes_per_second: writes_per_second.unwrap_or(0),
            working_set_mib: working_set_mib.unwrap_or(1),
        };
        let mut phases = vec![phase];
        for table in self.tables(guest, "phase", MOST_ENTRIES) {
            let read = self.within(table, |reader, table, span| reader.phase(table, span, phase, room_mib));
            if let Some(next) = read.flatten() {
                phase = next;
                phases.push(phase);
            }
        }
        // Whichever is missing was reported.
        writes_per_second.and(working_set_mib).map(|_| Writing::Phases(phases))
    }

    fn writers(&mut self, guest: &Section<'_, 't>, room_mib: u64) -> Option<Writing> {
        let short = ["working_set_mib", "writes_per_second", "phase"];
        self.refuse(guest, &short, "a guest with a `[[guest.writer]]` says this of each writer");
        let tables = self.tables(guest, "writer", MOST_ENTRIES);
        let read = |table| self.within(table, |reader, table, span| reader.writer(table, span, room_mib));
        let writers: Vec<Option<ScenarioWriter>> =
            tables.into_iter().map(read).map(Option::flatten).collect();
        writers.into_iter().collect::<Option<Vec<_>>>().map(Writing::Writers)
    }

    fn balloon(&mut self, guest: &Section<'_, 't>, room_mib: u64, used_mib: u64) -> u64 {
        let ballooned_mib = self.whole(guest, "ballooned_mib", 0..=room_mib).unwrap_or(0);
        if ballooned_mib > room_mib.saturating_sub(used_mib) {
            let message = format!("`guest.ballooned_mib` is {ballooned_mib}");
            let free_mib = room_mib.saturating_sub(used_mib);
            let help = format!("the balloon can only take what is not filled or written to, {free_mib} MiB");
            self.report_at(guest, "ballooned_mib", message, help);
        }
        if ballooned_mib == 0 {
            self.refuse(guest, &["balloon_is_hinted"], "there is no balloon without `ballooned_mib`");
        }
        ballooned_mib
    }

    fn content(&mut self, guest: &Section<'_, 't>) -> Content {
        let usual = Content::default();
        let compressed = self.whole(guest, "compressed_page_bytes", 1..=PAGE_BYTES);
        let changed = self.whole(guest, "changed_bytes_per_page", 1..=PAGE_BYTES);
        Content {
            compressed_page_bytes: compressed.unwrap_or(usual.compressed_page_bytes),
            changed_bytes: changed.unwrap_or(usual.changed_bytes),
        }
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
        let at_ms = self.later_ms(&phase, before.at_ms);
        let writes_per_second = self.required_whole(&phase, "writes_per_second", 0..=MAX_WRITES_PER_SECOND);
        let working_set_mib = self.whole(&phase, "working_set_mib", 1..=room_mib);
        Some(GuestPhase {
            at_ms: at_ms?,
            writes_per_second: writes_per_second?,
            working_set_mib: working_set_mib.unwrap_or(before.working_set_mib),
        })
    }

    /// The beginning of a phase or step, which must come after the one before it.
    pub(super) fn later_ms(&mut self, section: &Section<'_, 't>, before_ms: u64) -> Option<u64> {
        let at_ms = self.required_whole(section, "at_ms", 1..=MAX_TIME_MS)?;
        if at_ms <= before_ms {
            let message = format!("`{}` is {at_ms}", section.label("at_ms"));
            self.report_at(section, "at_ms", message, format!("it must be more than {before_ms}"));
        }
        Some(at_ms)
    }
}
