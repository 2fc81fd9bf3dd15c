//! `[[guest.writer]]`: one program on a virtual CPU of its own, where it writes and how fast.
//!
//! However its rates are written down (steady, in bursts, in phases, as a trace), they are kept as one list of steps
//! that may repeat.

use std::num::NonZeroU64;
use std::ops::Range;

use toml::de::DeTable;

use super::bounds::{MAX_TIME_MS, MAX_WRITES_PER_SECOND, NS_PER_MS, PAGES_PER_MIB};
use super::reader::{MOST_ENTRIES, Reader, Section};
use crate::guest::{HOT_SHARE_ONE, MOST_EXPONENT, MOST_ZIPF_THOUSANDTHS, Pace, Pattern, Writer};

/// A program that writes to the guest's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioWriter {
    /// Which page of its working set a write hits.
    pub pattern: Pattern,
    /// Where its working set begins, in MiB from 16 MiB on.
    pub offset_mib: u64,
    /// Its working set in MiB.
    pub working_set_mib: u64,
    /// Instants in milliseconds since the guest started to write, and the writes a second from then on; the first is
    /// at 0, each later one is later.
    pub steps: Vec<(u64, u64)>,
    /// After this many milliseconds the steps begin again.
    pub repeat_after_ms: Option<NonZeroU64>,
    /// After this many writes the working set moves up by its own length, and after as many more it moves back.
    pub moves_after_writes: Option<NonZeroU64>,
    /// How long it may be kept from running and still makes up for its writes, in milliseconds; zero for one that is
    /// bound by its CPU.
    pub catches_up_ms: u64,
}

/// Steps in time, and after how long they repeat.
type Rates = (Vec<(u64, u64)>, Option<NonZeroU64>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Uniform,
    Sequential,
    HotCold,
    PowerLaw,
    Zipf,
}

const KINDS: [(&str, Kind); 5] = [
    ("uniform", Kind::Uniform),
    ("sequential", Kind::Sequential),
    ("hot-cold", Kind::HotCold),
    ("power-law", Kind::PowerLaw),
    ("zipf", Kind::Zipf),
];

impl ScenarioWriter {
    /// The end of what it may ever write to, in MiB from 16 MiB on.
    #[must_use]
    pub fn reach_mib(&self) -> u64 {
        let times = if self.moves_after_writes.is_some() { 2 } else { 1 };
        self.offset_mib.saturating_add(self.working_set_mib.saturating_mul(times))
    }

    /// The writer as the engines take it.
    #[must_use]
    pub fn simulated(&self) -> Writer {
        let ns = |(at_ms, rate): &(u64, u64)| (at_ms.saturating_mul(NS_PER_MS), *rate);
        let pace = Pace::phases(self.steps.iter().map(ns));
        let period = self.repeat_after_ms.map(|ms| ms.saturating_mul(MS));
        Writer {
            pattern: self.pattern,
            offset_pages: self.offset_mib.saturating_mul(PAGES_PER_MIB),
            working_set_pages: self.working_set_mib.saturating_mul(PAGES_PER_MIB),
            pace: match period {
                Some(period_ns) => pace.repeated(period_ns),
                None => pace,
            },
            moves_after_writes: self.moves_after_writes,
            catches_up_ns: self.catches_up_ms.saturating_mul(NS_PER_MS),
            // Its configured rate is the rate that it can reach.
            top_writes_per_second: 0,
        }
    }
}

const MS: NonZeroU64 = NonZeroU64::new(NS_PER_MS).unwrap();

impl<'t> Reader<'t> {
    pub(super) fn writer(
        &mut self,
        table: &DeTable<'t>,
        span: Range<usize>,
        room_mib: u64,
    ) -> Option<ScenarioWriter> {
        const KEYS: [&str; 16] = [
            "pattern",
            "hot_mib",
            "hot_share_percent",
            "exponent",
            "exponent_thousandths",
            "offset_mib",
            "working_set_mib",
            "writes_per_second",
            "cpu_bound",
            "catches_up_ms",
            "active_ms",
            "idle_ms",
            "phase",
            "trace",
            "repeat_after_ms",
            "moves_after_writes",
        ];
        let writer = self.section("guest.writer.", table, span, &KEYS);
        let offset_mib = self.whole(&writer, "offset_mib", 0..=room_mib).unwrap_or(0);
        let working_set_mib = self.required_whole(&writer, "working_set_mib", 1..=room_mib);
        let pattern = self.pattern(&writer, working_set_mib.unwrap_or(room_mib));
        let moves_after_writes = self.whole(&writer, "moves_after_writes", 1..=u64::from(u32::MAX));
        let catches_up_ms = self.debt(&writer);
        let rates = self.rates(&writer);
        let (steps, repeat_after_ms) = rates?;
        let read = ScenarioWriter {
            pattern: pattern?,
            offset_mib,
            working_set_mib: working_set_mib?,
            steps,
            repeat_after_ms,
            moves_after_writes: moves_after_writes.and_then(NonZeroU64::new),
            catches_up_ms,
        };
        if read.reach_mib() > room_mib {
            let message = format!("the writer reaches to {} MiB", read.reach_mib());
            let help =
                format!("the guest's region has {room_mib} MiB; one that moves needs its working set twice");
            self.report_at(&writer, "working_set_mib", message, help);
        }
        Some(read)
    }

    fn pattern(&mut self, writer: &Section<'_, 't>, working_set_mib: u64) -> Option<Pattern> {
        let kind = self.optional_word(writer, "pattern", &KINDS);
        let kind = if writer.has("pattern") { kind? } else { Kind::Uniform };
        if kind != Kind::HotCold {
            self.refuse(
                writer,
                &["hot_mib", "hot_share_percent"],
                "only the pattern `hot-cold` has a hot set",
            );
        }
        if kind != Kind::PowerLaw {
            self.refuse(writer, &["exponent"], "only the pattern `power-law` has it");
        }
        if kind != Kind::Zipf {
            self.refuse(writer, &["exponent_thousandths"], "only the pattern `zipf` has it");
        }
        Some(match kind {
            Kind::Uniform => Pattern::Uniform,
            Kind::Sequential => Pattern::Sequential,
            Kind::HotCold => {
                let hot_mib = self.required_whole(writer, "hot_mib", 1..=working_set_mib);
                let percent: Option<u32> = self.required_small(writer, "hot_share_percent", 0..=100);
                Pattern::HotCold {
                    hot_pages: hot_mib?.saturating_mul(PAGES_PER_MIB),
                    hot_share: percent? * HOT_SHARE_ONE / 100,
                }
            }
            Kind::PowerLaw => {
                let exponent = self.required_small(writer, "exponent", 1..=u64::from(MOST_EXPONENT));
                Pattern::PowerLaw { exponent: exponent? }
            }
            Kind::Zipf => {
                let most = u64::from(MOST_ZIPF_THOUSANDTHS);
                let exponent = self.required_small(writer, "exponent_thousandths", 0..=most);
                Pattern::Zipf { exponent_thousandths: exponent? }
            }
        })
    }

    /// How long a writer may be kept from running before its writes are lost.
    fn debt(&mut self, writer: &Section<'_, 't>) -> u64 {
        let bound = self.truth(writer, "cpu_bound");
        let catches_up_ms = self.whole(writer, "catches_up_ms", 0..=MAX_TIME_MS).unwrap_or(0);
        if bound == Some(true) && catches_up_ms > 0 {
            let why = "a writer that is bound by its CPU cannot make up for anything";
            self.refuse(writer, &["catches_up_ms"], why);
        }
        if bound == Some(false) && catches_up_ms == 0 {
            let help = "one that is paced says in `catches_up_ms` how much it makes up for".to_owned();
            self.report_at(writer, "cpu_bound", "a writer without a pace".to_owned(), help);
        }
        catches_up_ms
    }

    /// The rates in whichever form they are written, and after how long they repeat.
    fn rates(&mut self, writer: &Section<'_, 't>) -> Option<Rates> {
        let bounds = 0..=MAX_WRITES_PER_SECOND;
        let repeat_after_ms =
            self.whole(writer, "repeat_after_ms", 1..=MAX_TIME_MS).and_then(NonZeroU64::new);
        if writer.has("trace") {
            let others = ["writes_per_second", "active_ms", "idle_ms", "phase"];
            self.refuse(writer, &others, "the `trace` says how fast it writes");
            let trace = self.pairs(writer, "trace", 0..=MAX_TIME_MS, bounds)?;
            let ascends = trace.is_sorted_by(|one, next| one.0 < next.0);
            if !ascends || trace.first().is_none_or(|first| first.0 != 0) {
                let help = "it begins at 0 ms, and each step is later than the one before".to_owned();
                self.report_at(writer, "trace", "a trace out of order".to_owned(), help);
            }
            self.check_repeat(writer, &trace, repeat_after_ms);
            return Some((trace, repeat_after_ms));
        }
        let rate = self.required_whole(writer, "writes_per_second", bounds);
        if writer.has("active_ms") || writer.has("idle_ms") {
            self.refuse(writer, &["phase", "repeat_after_ms"], "bursts of `active_ms` repeat by themselves");
            let active_ms = self.required_whole(writer, "active_ms", 1..=MAX_TIME_MS);
            let idle_ms = self.required_whole(writer, "idle_ms", 1..=MAX_TIME_MS);
            let (active_ms, idle_ms) = (active_ms?, idle_ms?);
            return Some((vec![(0, rate?), (active_ms, 0)], NonZeroU64::new(active_ms + idle_ms)));
        }
        let mut steps = vec![(0, rate.unwrap_or(0))];
        for table in self.tables(writer, "phase", MOST_ENTRIES) {
            let before_ms = steps.last().map_or(0, |last| last.0);
            let read = self.within(table, |reader, table, span| reader.writer_phase(table, span, before_ms));
            steps.extend(read.flatten());
        }
        self.check_repeat(writer, &steps, repeat_after_ms);
        rate.map(|_| (steps, repeat_after_ms))
    }

    /// Steps that are repeated before the last of them begins are a mistake.
    fn check_repeat(
        &mut self,
        writer: &Section<'_, 't>,
        steps: &[(u64, u64)],
        repeat_after_ms: Option<NonZeroU64>,
    ) {
        let last_ms = steps.last().map_or(0, |last| last.0);
        if let Some(repeat_ms) = repeat_after_ms.filter(|ms| ms.get() <= last_ms) {
            let message = format!("`{}` is {repeat_ms}", writer.label("repeat_after_ms"));
            let help = format!("it must be more than {last_ms}, or the last step is never taken");
            self.report_at(writer, "repeat_after_ms", message, help);
        }
    }

    fn writer_phase(
        &mut self,
        table: &DeTable<'t>,
        span: Range<usize>,
        before_ms: u64,
    ) -> Option<(u64, u64)> {
        let phase = self.section("guest.writer.phase.", table, span, &["at_ms", "writes_per_second"]);
        let at_ms = self.later_ms(&phase, before_ms);
        let rate = self.required_whole(&phase, "writes_per_second", 0..=MAX_WRITES_PER_SECOND);
        Some((at_ms?, rate?))
    }
}
