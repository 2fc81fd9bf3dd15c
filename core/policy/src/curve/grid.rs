//! The rates of the classes: a fixed logarithmic grid, from a write in a quarter of an hour to a thousand a second.

/// Classes of the curve, four in a decade.
pub(super) const CLASSES: usize = 24;
/// The slowest rate is 10^-3 a second, the fastest 10^3.
const DECADES: f64 = 6.0;
const SLOWEST: f64 = 1e-3;

/// The rates, slowest first, in writes to a page by second.
#[derive(Clone, Debug)]
pub(super) struct Grid([f64; CLASSES]);

impl Grid {
    pub(super) fn new() -> Self {
        let step = libm::pow(10.0, DECADES / 23.0);
        let mut rate = SLOWEST;
        Self([(); CLASSES].map(|()| {
            let this = rate;
            rate *= step;
            this
        }))
    }

    pub(super) fn rates(&self) -> impl Iterator<Item = f64> + '_ {
        self.0.iter().copied()
    }

    pub(super) fn map(&self, of: impl Fn(f64) -> f64) -> [f64; CLASSES] {
        self.0.map(of)
    }
}
