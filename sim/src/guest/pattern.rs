//! Which pages a writer's writes go to: scattered over classes of equally likely pages, or one after the other.
//!
//! A scattered pattern is described as layers, each with its share of the writes. Shares are whole numbers and add up
//! exactly.

use crate::sampling::{exp_of_minus_fraction, ln};

/// The share of a hot set counts in these.
pub const HOT_SHARE_ONE: u32 = 1 << 16;
/// Binary digits after the point of a layer's share.
pub(crate) const SHARE_BITS: u32 = 31;
/// Largest exponent of a power law.
pub const MOST_EXPONENT: u32 = 8;
/// Largest exponent of Zipf's law, in thousandths.
pub const MOST_ZIPF_THOUSANDTHS: u32 = 4_000;
/// A bin of a falling density reaches from page b to b + b/8 and one page more. The density of a power law falls by at
/// most a tenth within it, which changes the expected number of dirty pages by less than a thousandth.
const BIN_DIVISOR: u64 = 8;
/// Binary digits after the point of an exponential.
const WORK_BITS: u32 = 62;
/// Bins of up to this many pages are summed up page by page.
const FEW_PAGES: u64 = 16;

/// Which page of a working set a write hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// Every page equally likely.
    Uniform,
    /// One page after the other, from the first again after the last.
    Sequential,
    /// A part of the writes is uniform over the first pages, the rest uniform over the whole working set.
    HotCold {
        /// Pages of the hot set, from the start of the working set.
        hot_pages: u64,
        /// The part of the writes that goes there, in units of 1/[`HOT_SHARE_ONE`].
        hot_share: u32,
    },
    /// Page w·u^e of w pages, u uniform in 0..1: the first pages are by far the busiest.
    PowerLaw {
        /// The exponent e, 1 to [`MOST_EXPONENT`]; others are taken for the nearest of these. 1 is uniform.
        exponent: u32,
    },
    /// Page i of w pages, counted from 1, with a chance proportional to i^−s.
    Zipf {
        /// The exponent s in thousandths, up to [`MOST_ZIPF_THOUSANDTHS`].
        exponent_thousandths: u32,
    },
}

/// Pages that are hit equally often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layer {
    /// The first, from the start of the working set.
    pub(crate) first: u64,
    pub(crate) pages: u64,
    /// The part of the writes that goes there, in units of 2^-31.
    pub(crate) share: u64,
}

impl Pattern {
    /// The layers over a working set; none for a scan, whose pages are listed one by one. Their shares add up to one,
    /// and they may lie upon each other.
    pub(crate) fn layers(self, pages: u64) -> Vec<Layer> {
        let one = 1 << SHARE_BITS;
        match self {
            Self::Sequential => Vec::new(),
            Self::Uniform | Self::PowerLaw { exponent: 0 | 1 } => vec![Layer { first: 0, pages, share: one }],
            Self::HotCold { hot_pages, hot_share } => {
                let hot = u64::from(hot_share.min(HOT_SHARE_ONE)) << (SHARE_BITS - 16);
                vec![
                    Layer { first: 0, pages: hot_pages.min(pages), share: hot },
                    Layer { first: 0, pages, share: one - hot },
                ]
            }
            Self::PowerLaw { exponent } => {
                let exponent = exponent.min(MOST_EXPONENT);
                by_distribution(pages, |edge| root_of_fraction(edge, pages, exponent))
            }
            Self::Zipf { exponent_thousandths } => {
                zipf(pages, exponent_thousandths.min(MOST_ZIPF_THOUSANDTHS))
            }
        }
    }
}

/// The bins of geometric width that cover this many pages: first page and end of each.
fn bins(pages: u64) -> impl Iterator<Item = (u64, u64)> {
    let mut next = 0;
    std::iter::from_fn(move || {
        let first = next;
        next = (first + 1 + first / BIN_DIVISOR).min(pages);
        (first < pages).then_some((first, next))
    })
}

/// Layers of bins, given the part of the writes that goes to the pages before a bin's edge.
fn by_distribution(pages: u64, below: impl Fn(u64) -> u64) -> Vec<Layer> {
    let layer = |(first, end)| Layer { first, pages: end - first, share: below(end) - below(first) };
    bins(pages).map(layer).collect()
}

/// (edge / pages)^(1/exponent) in units of 2^-31.
fn root_of_fraction(edge: u64, pages: u64, exponent: u32) -> u64 {
    if edge == 0 {
        return 0;
    }
    exp_of_minus_fraction((ln(pages) - ln(edge)) / u64::from(exponent)) >> (WORK_BITS - SHARE_BITS)
}

/// Zipf's law over bins. The weight of a bin of a few pages is summed up, of a larger one integrated by Simpson's rule.
fn zipf(pages: u64, exponent_thousandths: u32) -> Vec<Layer> {
    // i^−s in units of 2^-62; pages are halved, so that a bin may begin half a page before its first.
    let weight = |half_pages: u64| {
        let logarithm = u128::from(ln(half_pages).saturating_sub(ln(2)));
        let power = logarithm * u128::from(exponent_thousandths) / 1000;
        u128::from(exp_of_minus_fraction(u64::try_from(power).unwrap_or(u64::MAX)))
    };
    let bin_weight = |(first, end): (u64, u64)| {
        if end - first <= FEW_PAGES {
            return (first + 1..=end).map(|page| weight(2 * page)).sum();
        }
        let (from, to) = (2 * first + 1, 2 * end + 1);
        (weight(from) + 4 * weight(u64::midpoint(from, to)) + weight(to)) / 6 * u128::from(end - first)
    };
    let total: u128 = bins(pages).map(bin_weight).sum();
    // Shares are differences of running sums, so that they add up to one. Sums are cut so that a product fits.
    let mut sum = 0;
    let mut share_before = 0;
    let layer = |(first, end)| {
        sum += bin_weight((first, end));
        let share_until = (sum >> 24 << SHARE_BITS) / (total >> 24).max(1);
        let until = u64::try_from(share_until).unwrap_or(0);
        let share = until - share_before;
        share_before = until;
        Layer { first, pages: end - first, share }
    };
    bins(pages).map(layer).collect()
}

#[cfg(test)]
#[expect(clippy::cast_precision_loss, reason = "a check of a distribution needs no more than 52 bits")]
mod tests {
    use super::*;

    const SIZES: [u64; 7] = [0, 1, 2, 9, 1000, 65_536, 1 << 32];

    #[test]
    fn layers_cover_every_page_once_and_shares_add_up() {
        let patterns = [
            Pattern::PowerLaw { exponent: 4 },
            Pattern::PowerLaw { exponent: 2 },
            Pattern::Zipf { exponent_thousandths: 990 },
        ];
        for pattern in patterns {
            for pages in SIZES {
                let layers = pattern.layers(pages);
                assert_eq!(layers.iter().map(|layer| layer.pages).sum::<u64>(), pages);
                let shares = layers.iter().map(|layer| layer.share).sum::<u64>();
                assert_eq!(shares, if pages == 0 { 0 } else { 1 << SHARE_BITS }, "{pattern:?} {pages}");
                assert!(layers.array_windows().all(|[a, b]| a.first + a.pages == b.first));
            }
        }
    }

    /// The part of the writes below each edge is the law's own distribution function.
    fn agrees(pattern: Pattern, pages: u64, below: impl Fn(u64) -> f64) {
        let mut sum = 0;
        for layer in pattern.layers(pages) {
            let got = sum as f64 / 2f64.powi(31);
            let expected = below(layer.first);
            assert!((got - expected).abs() < 2e-4, "{pattern:?} below {}: {got} {expected}", layer.first);
            sum += layer.share;
        }
    }

    #[test]
    fn power_laws_have_their_distribution() {
        for exponent in 2..=MOST_EXPONENT {
            let below = |edge: u64| (edge as f64 / 50_000.0).powf(1.0 / f64::from(exponent));
            agrees(Pattern::PowerLaw { exponent }, 50_000, below);
        }
    }

    #[test]
    fn zipfs_law_has_its_distribution() {
        for thousandths in [0, 500, 990, 1000, 1500] {
            let weight = |page: u64| (page as f64).powf(-f64::from(thousandths) / 1000.0);
            let total: f64 = (1..=20_000).map(weight).sum();
            let below = |edge: u64| (1..=edge).map(weight).sum::<f64>() / total;
            agrees(Pattern::Zipf { exponent_thousandths: thousandths }, 20_000, below);
        }
    }

    #[test]
    fn the_hot_set_lies_upon_the_rest() {
        let layers = Pattern::HotCold { hot_pages: 10, hot_share: HOT_SHARE_ONE / 4 }.layers(40);
        let quarter = 1 << (SHARE_BITS - 2);
        let expected = [
            Layer { first: 0, pages: 10, share: quarter },
            Layer { first: 0, pages: 40, share: 3 * quarter },
        ];
        assert_eq!(layers, expected);
    }
}
