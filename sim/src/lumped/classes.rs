//! Memory as classes of pages that nothing tells apart: one range of addresses, one content, one write rate.
//!
//! A guest is cut where its working sets, its filled region and its memory end; within a class every page has the same
//! chance, so that a count says as much as a bitmap. A new way of writing is a new list of cuts and rates here: hot and
//! cold pages are two classes, a power law is classes of growing width.

use std::fmt;

use crate::qemu::{Guest, HOT_SHARE_ONE, Pattern, SteadyWriter, UniformPhase, Writer};

use super::exposure::rate_per_page;

/// Read-only memory beside the main memory, and how much of it is not zero; the page-accurate engine's numbers.
const FIRMWARE_PAGES: u64 = 130;
const FIRMWARE_NORMAL_PAGES: u64 = 116;

/// A range of pages that are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Class {
    /// How many there are.
    pub(crate) pages: u64,
    /// Whether they hold nothing but zeros when the migration starts.
    pub(crate) zero: bool,
    /// Whether they belong to the firmware's blocks.
    pub(crate) firmware: bool,
    /// Whether any phase writes to them.
    pub(crate) written: bool,
}

/// A stretch of time with constant rates; it lasts until the next begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Phase {
    /// Start, in the engine's nanoseconds.
    pub(crate) from_ns: u64,
    /// For each class, writes a nanosecond to each page in units of 2^-80.
    pub(crate) rates: Vec<u128>,
}

/// The classes of a guest in order of their addresses, and how they are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Classes {
    pub(crate) list: Vec<Class>,
    pub(crate) phases: Vec<Phase>,
    pub(crate) total_pages: u64,
    /// The class that is written to, if there is just one.
    pub(crate) only_written: Option<usize>,
}

/// What the page-accurate engine may know and the counts do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsupported {
    /// The guest's way of writing has no page classes.
    Writer,
    /// Auto-converge is asked for, and a guest that is slowed down is not modelled.
    AutoConverge,
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Writer => "this pattern of writes has no page classes; use the page-accurate engine",
            Self::AutoConverge => {
                "auto-converge needs the page-accurate engine; use it or switch auto-converge off"
            }
        })
    }
}

impl std::error::Error for Unsupported {}

impl Classes {
    /// Cuts the guest's memory into classes.
    pub(crate) fn of(guest: &Guest) -> Result<Self, Unsupported> {
        let layers = layers(&guest.writer)?;
        let memory = guest.memory_pages().min(u64::MAX >> 16);
        let total_pages = memory + FIRMWARE_PAGES;
        let first = guest.region_first_page.min(memory);
        let within = |pages: u64| first.saturating_add(pages).min(memory);
        let filled = within(guest.filled_pages);
        let mut cuts = vec![first, filled, memory, memory + FIRMWARE_NORMAL_PAGES, total_pages];
        cuts.extend(layers.iter().flat_map(|(_, layers)| layers).map(|layer| within(layer.pages)));
        cuts.sort_unstable();
        cuts.dedup();
        let starts = std::iter::once(0).chain(cuts.iter().copied());
        let ranges: Vec<(u64, u64)> =
            starts.zip(cuts.iter().copied()).filter(|(from, to)| from < to).collect();
        let rate = |layers: &[Layer], from, to| {
            let here = layers.iter().filter(|layer| from >= first && to <= within(layer.pages));
            here.fold(0, |sum: u128, layer| sum.saturating_add(layer.rate))
        };
        let class = |&(from, to): &(u64, u64)| Class {
            pages: to - from,
            zero: !(from >= first && to <= filled || from == memory),
            firmware: from >= memory,
            written: layers.iter().any(|(_, layers)| rate(layers, from, to) > 0),
        };
        let phase = |(from_ns, layers): &(u64, Vec<Layer>)| Phase {
            from_ns: guest.started_at_ns.saturating_add(*from_ns),
            rates: ranges.iter().map(|&(from, to)| rate(layers, from, to)).collect(),
        };
        let list: Vec<Class> = ranges.iter().map(class).collect();
        let mut written = list.iter().enumerate().filter(|(_, class)| class.written).map(|(index, _)| index);
        let only_written = written.next().filter(|_| written.next().is_none());
        Ok(Self { phases: layers.iter().map(phase).collect(), total_pages, only_written, list })
    }

    /// The integral of a class's write rate between two instants, in units of 2^-80 writes to each page.
    pub(crate) fn exposure(&self, class: usize, from_ns: u64, to_ns: u64) -> u128 {
        let ends = self.phases.iter().skip(1).map(|next| next.from_ns).chain([u64::MAX]);
        let spent = self.phases.iter().zip(ends).map(|(phase, end_ns)| {
            let length = to_ns.min(end_ns).saturating_sub(from_ns.max(phase.from_ns));
            phase.rates.get(class).copied().unwrap_or(0).saturating_mul(u128::from(length))
        });
        spent.fold(0, u128::saturating_add)
    }
}

/// A rate over the first pages of the region; where layers lie upon each other their rates add up.
#[derive(Clone, Copy, Debug)]
struct Layer {
    pages: u64,
    /// Writes a nanosecond to each page in units of 2^-80.
    rate: u128,
}

/// The layers of each phase, with the phase's start in the guest's time.
fn layers(writer: &Writer) -> Result<Vec<(u64, Vec<Layer>)>, Unsupported> {
    let layer = |writes_per_second, pages, share: u32| Layer {
        pages,
        rate: rate_per_page(writes_per_second, pages) / u128::from(HOT_SHARE_ONE) * u128::from(share),
    };
    let whole = |phase: &UniformPhase| Layer {
        pages: phase.working_set_pages,
        rate: rate_per_page(phase.writes_per_second, phase.working_set_pages),
    };
    match writer {
        Writer::Idle => Ok(Vec::new()),
        Writer::Uniform(phases) => {
            Ok(phases.iter().map(|phase| (phase.from_ns, vec![whole(phase)])).collect())
        }
        Writer::Steady(SteadyWriter {
            pattern,
            writes_per_second,
            working_set_pages,
            moves_after_writes: None,
            ..
        }) => {
            let (rate, pages) = (*writes_per_second, *working_set_pages);
            let (hot_pages, hot_share) = match pattern {
                Pattern::Uniform => (0, 0),
                Pattern::HotCold { hot_pages, hot_share } => (*hot_pages, (*hot_share).min(HOT_SHARE_ONE)),
                Pattern::Sequential | Pattern::PowerLaw => return Err(Unsupported::Writer),
            };
            let layers =
                vec![layer(rate, hot_pages, hot_share), layer(rate, pages, HOT_SHARE_ONE - hot_share)];
            Ok(vec![(0, layers)])
        }
        Writer::Steady(_) => Err(Unsupported::Writer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest(writer: Writer) -> Guest {
        Guest {
            memory_mib: 1,
            region_first_page: 16,
            filled_pages: 64,
            paused: false,
            started_at_ns: 5,
            writer,
        }
    }

    fn phase(from_ns: u64, working_set_pages: u64) -> UniformPhase {
        UniformPhase { from_ns, writes_per_second: 1000, working_set_pages }
    }

    #[test]
    fn an_idle_guest_has_five_classes() {
        let classes = Classes::of(&guest(Writer::Idle)).map(|classes| classes.list);
        let class = |pages, zero, firmware| Class { pages, zero, firmware, written: false };
        let expected = vec![
            class(16, true, false),
            class(64, false, false),
            class(176, true, false),
            class(116, false, true),
            class(14, true, true),
        ];
        assert_eq!(classes, Ok(expected));
    }

    #[test]
    fn working_sets_cut_and_reach_no_further_than_the_memory() {
        let writer = Writer::Uniform(vec![phase(10, 32), phase(20, 1000)]);
        let Ok(classes) = Classes::of(&guest(writer)) else { panic!("uniform writers are supported") };
        let pages: Vec<(u64, bool)> = classes.list.iter().map(|class| (class.pages, class.written)).collect();
        assert_eq!(pages, [(16, false), (32, true), (32, true), (176, true), (116, false), (14, false)]);
        let (small, large) = (rate_per_page(1000, 32), rate_per_page(1000, 1000));
        assert_eq!(classes.exposure(1, 0, 30), small * 10 + large * 5);
        assert_eq!(classes.exposure(2, 0, 30), large * 5);
        assert_eq!(classes.exposure(0, 0, 30), 0);
    }
}
