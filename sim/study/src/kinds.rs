//! The kinds of guests. Rates are relative to the link, so that a kind means the same on every link.
//!
//! The first fourteen are those of the prototype that the forecast was designed on, the last five those that it had not
//! seen.

use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};
use whimbrel_sim::guest::{Guest, HOT_SHARE_ONE, PAGE_BYTES, Pace, Pattern, Writer};
use whimbrel_sim::random::Random;

const NS_PER_S: u64 = 1_000_000_000;
const PAGES_PER_GIB: u64 = 1 << 18;

/// A kind of guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Writes next to nothing.
    Idle,
    /// Uniform over half of the memory, at 30 % of the link.
    Uniform30,
    /// At 80 %.
    Uniform80,
    /// At 95 %: just below the edge.
    Uniform95,
    /// At 105 %: just above it.
    Uniform105,
    /// At 150 %.
    Uniform150,
    /// 150 % of the link over 2 % of the memory.
    SmallSet,
    /// 150 % of the link, nine tenths of it over a twentieth of the working set.
    HotCold,
    /// Zipf's law with s = 0.99, at 150 % of the link.
    Zipf,
    /// A scan at 70 % of the link.
    Scan,
    /// 150 % of the link for 3 s, then nothing for 5 s.
    Bursty,
    /// 150 % of the link for the first 45 s to 75 s of the migration.
    Stops,
    /// 30 % of the link, and 150 % for 20 s in every 61 s.
    Spike,
    /// 120 % of the link, and a tenth less every 20 s.
    Decreasing,
    /// A power law with exponent 4, at 120 % of the link.
    PowerLaw,
    /// 80 % of the link over a set that moves every 30 s.
    MovingSet,
    /// A hot set, and bursts over the rest.
    HotAndBursts,
    /// 80 % of the link, by a writer that makes up for what a throttle takes.
    Paced,
    /// Bursts and pauses of very different lengths.
    HeavyTailed,
}

impl Kind {
    /// The guest of this kind with so much memory, for a link of this many bytes a second. The seed varies rates by a tenth
    /// and working sets by 30 %.
    #[must_use]
    pub fn guest(self, memory_gib: u64, link: u64, random: &mut Random) -> Guest {
        let pages = memory_gib * PAGES_PER_GIB;
        let rate_permille = 900 + random.below(201);
        let set_permille = 700 + random.below(601);
        let setting = Setting {
            set_pages: pages / 2 * set_permille / 1000,
            link_pages: link / PAGE_BYTES * rate_permille / 1000,
        };
        let writers = setting.writers(self, random);
        Guest { memory_mib: memory_gib << 10, filled_pages: pages, writers, ..Guest::default() }
    }
}

/// What the seed varies.
#[derive(Clone, Copy, Debug)]
struct Setting {
    set_pages: u64,
    /// Pages that the link carries in a second, varied.
    link_pages: u64,
}

impl Setting {
    fn writers(self, kind: Kind, random: &mut Random) -> Vec<Writer> {
        let uniform = |percent| vec![self.steady(Pattern::Uniform, percent, self.set_pages)];
        match kind {
            Kind::Idle => vec![Writer::steady(Pattern::Uniform, 20, 2_000)],
            Kind::Uniform30 => uniform(30),
            Kind::Uniform80 => uniform(80),
            Kind::Uniform95 => uniform(95),
            Kind::Uniform105 => uniform(105),
            Kind::Uniform150 => uniform(150),
            Kind::SmallSet => vec![self.steady(Pattern::Uniform, 150, self.set_pages / 25)],
            Kind::HotCold => {
                let hot =
                    Pattern::HotCold { hot_pages: self.set_pages / 20, hot_share: HOT_SHARE_ONE / 10 * 9 };
                vec![self.steady(hot, 150, self.set_pages)]
            }
            Kind::Zipf => vec![self.steady(Pattern::Zipf { exponent_thousandths: 990 }, 150, self.set_pages)],
            Kind::Scan => vec![self.steady(Pattern::Sequential, 70, self.set_pages)],
            Kind::PowerLaw => vec![self.steady(Pattern::PowerLaw { exponent: 4 }, 120, self.set_pages)],
            Kind::MovingSet => {
                let writer = self.steady(Pattern::Uniform, 80, self.set_pages / 2);
                let moves_after_writes = NonZeroU64::new(self.pages(80) * 30);
                vec![Writer { moves_after_writes, ..writer }]
            }
            Kind::Paced => {
                let writer = self.steady(Pattern::Uniform, 80, self.set_pages);
                let top_writes_per_second = self.pages(80) * 4;
                vec![Writer { catches_up_ns: u64::MAX, top_writes_per_second, ..writer }]
            }
            Kind::Bursty | Kind::Stops | Kind::Spike | Kind::Decreasing | Kind::HeavyTailed => {
                vec![paced(self.pace(kind, random), self.set_pages)]
            }
            Kind::HotAndBursts => {
                let bursts = Pace::bursts(self.pages(120), 4 * NS_PER_S, 9 * NS_PER_S);
                vec![self.steady(Pattern::Uniform, 60, self.set_pages / 50), paced(bursts, self.set_pages)]
            }
        }
    }

    fn pace(self, kind: Kind, random: &mut Random) -> Pace {
        let busy = self.pages(150);
        match kind {
            Kind::Bursty => Pace::bursts(busy, 3 * NS_PER_S, 5 * NS_PER_S),
            Kind::Stops => {
                let calm_ns = PHASE_NS + (45 + random.below(31)) * NS_PER_S;
                Pace::phases([(0, busy), (calm_ns, self.pages(5))])
            }
            Kind::Spike => {
                let phases = Pace::phases([(0, self.pages(30)), (41 * NS_PER_S, busy)]);
                NonZeroU64::new(61 * NS_PER_S).map_or(phases.clone(), |period_ns| phases.repeated(period_ns))
            }
            Kind::Decreasing => {
                let mut pages = self.pages(120);
                Pace::phases((0..90).map(|step| {
                    let this = (PHASE_NS * u64::from(step > 0) + step * 20 * NS_PER_S, pages);
                    pages = pages * 9 / 10;
                    this
                }))
            }
            _ => heavy_tailed(busy, random),
        }
    }

    fn pages(self, percent: u64) -> u64 {
        self.link_pages * percent / 100
    }

    fn steady(self, pattern: Pattern, percent: u64, set_pages: u64) -> Writer {
        Writer::steady(pattern, self.pages(percent), set_pages.max(1))
    }
}

/// A uniform writer whose rate changes.
fn paced(pace: Pace, set_pages: u64) -> Writer {
    Writer { pace, ..Writer::steady(Pattern::Uniform, 0, set_pages.max(1)) }
}

/// The latest instant of the guest's own time at which a migration begins: its phase is drawn below it.
pub(crate) const PHASE_NS: u64 = 61 * NS_PER_S;

/// Bursts and pauses between 1 s and 64 s, half of each kind shorter than 2 s (Pareto, exponent 1).
fn heavy_tailed(busy: u64, random: &mut Random) -> Pace {
    let mut length_ns = || NS_PER_S * 64 / (1 + random.below(63));
    let mut at_ns = 0;
    let phases: Vec<(u64, u64)> = (0..400)
        .map(|step| {
            let this = (at_ns, if step % 2 == 0 { busy } else { 0 });
            at_ns += length_ns();
            this
        })
        .collect();
    Pace::phases(phases)
}
