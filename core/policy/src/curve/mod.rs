//! The guest's dirty curve: how much of its memory is dirtied at least once in an interval.
//!
//! `D(Δt) = Σ W_c (1 − e^(−λ_c Δt))` over classes whose rates `λ_c` lie on a fixed logarithmic grid, with `W_c ≥ 0`:
//! increasing and concave by construction, so that noise cannot make a forecast explode. The sum covers scans as well, by
//! classes of one speed. Weights come from a least-squares fit under W ≥ 0 with a small ridge (`fit`).
//!
//! An observation is used with its interval, never as a rate alone. At a sync within a pass, pages that are still to be
//! sent hide what was dirtied of them again; the share of each class that is hidden follows from the rates alone, so that
//! the fit stays linear.

mod evidence;
mod fit;
mod grid;

use core::cell::OnceCell;

use evidence::{Evidence, Row};
use grid::{CLASSES, Grid};

use crate::number::{real, whole};

/// The error of the curve before anything was fitted, relative to its value. A starting value, not measured.
const FIRST_ERROR: f64 = 0.3;
/// It is never taken to be better than this. A starting value, not measured.
const LEAST_ERROR: f64 = 0.02;

/// What one sync shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The guest's own time since the sync before, in seconds: shorter than the clock's while it is throttled.
    pub guest_seconds: f64,
    /// Memory that was clean and is dirty now.
    pub dirtied_bytes: u64,
    /// The part of what was to be sent at the sync before that is unsent still, 0 to 1; 0 at the end of a pass.
    pub unsent_share: f64,
}

/// The dirty curve of one guest, as far as it is known.
#[derive(Clone, Debug)]
pub struct DirtyCurve {
    grid: Grid,
    memory_bytes: u64,
    evidence: Evidence,
    /// The share of each class that was dirty after the last sync.
    dirty_share: [f64; CLASSES],
    /// The fit to the evidence, made when it is needed: syncs may come more often than forecasts.
    fitted: OnceCell<Fitted>,
}

/// Bytes of each class, and the error relative to what was observed.
#[derive(Clone, Copy, Debug)]
struct Fitted {
    weights: [f64; CLASSES],
    error: f64,
}

impl DirtyCurve {
    /// Of a guest with so much memory, of which nothing else is known; all of it is to be sent.
    #[must_use]
    pub fn new(memory_bytes: u64) -> Self {
        Self {
            grid: Grid::new(),
            memory_bytes,
            evidence: Evidence::default(),
            dirty_share: [1.0; CLASSES],
            fitted: OnceCell::new(),
        }
    }

    /// A dirty rate measured over an interval before the migration. It shows one phase of the guest only, and counts
    /// less once the first pass has ended.
    pub fn measured(&mut self, interval_ms: u64, bytes_per_second: u64) {
        let seconds = real(interval_ms) / 1000.0;
        if seconds > 0.0 {
            let touched = self.grid.map(|rate| touched(rate * seconds));
            let dirtied_bytes = real(bytes_per_second) * seconds;
            self.evidence.add_measured(Row { seconds, dirtied_bytes, exposed: touched });
            self.fitted.take();
        }
    }

    /// One sync. Constant time and memory.
    pub fn sync(&mut self, seen: &Interval) {
        if seen.guest_seconds <= 0.0 {
            return;
        }
        let hidden = seen.unsent_share.clamp(0.0, 1.0);
        let touched = self.grid.map(|rate| touched(rate * seen.guest_seconds));
        let mut exposed = [0.0; CLASSES];
        let classes = exposed.iter_mut().zip(&mut self.dirty_share).zip(touched);
        for ((exposed, share), touched) in classes {
            let unsent = hidden * *share;
            *exposed = (1.0 - unsent) * touched;
            *share = unsent + *exposed;
        }
        let dirtied_bytes = real(seen.dirtied_bytes);
        self.evidence.add(Row { seconds: seen.guest_seconds, dirtied_bytes, exposed });
        self.fitted.take();
    }

    /// Whether anything was observed.
    #[must_use]
    pub fn is_known(&self) -> bool {
        !self.evidence.is_empty()
    }

    /// Observations that it rests on. One alone leaves open how the memory is shared among fast and slow classes.
    #[must_use]
    pub fn observations(&self) -> usize {
        self.evidence.len()
    }

    /// The longest interval that was observed, in seconds of the guest's own time; `None` before the first.
    #[must_use]
    pub fn longest_seconds(&self) -> Option<f64> {
        self.evidence.weighted().map(|(_, row)| row.seconds).reduce(f64::max)
    }

    /// Memory dirtied at least once in an interval of the guest's own time, all of it clean before.
    #[must_use]
    pub fn dirtied_bytes(&self, guest_seconds: f64) -> u64 {
        let sum: f64 = self.classes().map(|class| class.bytes * touched(class.rate * guest_seconds)).sum();
        whole(sum).min(self.memory_bytes)
    }

    /// How far observations lie from the curve, relative to it.
    #[must_use]
    pub fn relative_error(&self) -> f64 {
        self.fitted().error
    }

    /// The classes that hold something, slowest first.
    pub fn classes(&self) -> impl Iterator<Item = Class> + '_ {
        let classes = self.grid.rates().zip(self.fitted().weights).zip(self.dirty_share);
        classes.filter(|((_, bytes), _)| *bytes > 0.0).map(|((rate, bytes), dirty_share)| Class {
            rate,
            bytes,
            dirty_share,
        })
    }

    fn fitted(&self) -> &Fitted {
        self.fitted.get_or_init(|| {
            if self.evidence.is_empty() {
                return Fitted { weights: [0.0; CLASSES], error: FIRST_ERROR };
            }
            let (weights, error) = fit::fit(&self.evidence, real(self.memory_bytes));
            // No more than the memory there is.
            let total: f64 = weights.iter().sum();
            let scale = if total > 0.0 { (real(self.memory_bytes) / total).min(1.0) } else { 1.0 };
            let few = 1.0 / real(u64::try_from(self.evidence.len()).unwrap_or(1)).max(1.0);
            let error =
                (error * error + LEAST_ERROR * LEAST_ERROR).max(FIRST_ERROR * FIRST_ERROR * few * few);
            Fitted { weights: weights.map(|weight| weight * scale), error: libm::sqrt(error) }
        })
    }
}

/// A class of pages that are written equally often.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Class {
    /// Writes to each of its pages, by second of the guest's own time.
    pub rate: f64,
    /// Its size.
    pub bytes: f64,
    /// The part of it that was dirty after the last sync.
    pub dirty_share: f64,
}

/// The chance that a page is written at least once, when this many writes are expected.
pub(crate) fn touched(writes: f64) -> f64 {
    -libm::expm1(-writes)
}
