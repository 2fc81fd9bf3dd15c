//! What was observed, forgotten by octave: a new observation makes those of about the same interval count less, and
//! leaves the others alone. A hundred short passes near the end then do not erase the one long pass that showed the slow
//! classes.

use alloc::vec::Vec;

use super::grid::CLASSES;

/// Observations of one octave that are kept.
const KEPT: usize = 6;
/// What an observation counts relative to the next of its octave. A starting value, not measured.
const FORGETTING: f64 = 0.8;
/// What a measurement from before the start counts, before and after the first sync. Starting values; a prototype found
/// that such a measurement biases the forecast towards the phase that it saw.
const MEASURED: [f64; 2] = [0.5, 0.1];
/// The shortest octave begins here, in seconds.
const SHORTEST: f64 = 1.0 / 64.0;
const OCTAVES: u32 = 24;

/// One observation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Row {
    /// Over so much of the guest's own time.
    pub(super) seconds: f64,
    pub(super) dirtied_bytes: f64,
    /// The part of each class that it would show, if the class were there.
    pub(super) exposed: [f64; CLASSES],
}

/// What was observed, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Evidence {
    rows: Vec<(u32, Row)>,
    measured: Vec<Row>,
}

impl Evidence {
    pub(super) fn add(&mut self, row: Row) {
        let octave = octave(row.seconds);
        let of_octave = self.rows.iter().filter(|(other, _)| *other == octave).count();
        if of_octave >= KEPT
            && let Some(oldest) = self.rows.iter().position(|(other, _)| *other == octave)
        {
            self.rows.remove(oldest);
        }
        self.rows.push((octave, row));
    }

    pub(super) fn add_measured(&mut self, row: Row) {
        if self.measured.len() < KEPT {
            self.measured.push(row);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.measured.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len() + self.measured.len()
    }

    /// Every observation with what it counts, in a fixed order.
    pub(super) fn weighted(&self) -> impl Iterator<Item = (f64, &Row)> {
        let [before, after] = MEASURED;
        let measured = if self.rows.is_empty() { before } else { after };
        let rows = self.rows.iter().enumerate().map(|(index, (octave, row))| {
            let newer = self.rows.iter().skip(index + 1).filter(|(other, _)| other == octave).count();
            ((0..newer).fold(1.0, |weight, _| weight * FORGETTING), row)
        });
        self.measured.iter().map(move |row| (measured, row)).chain(rows)
    }
}

fn octave(seconds: f64) -> u32 {
    let mut edge = SHORTEST;
    (0..OCTAVES)
        .find(|_| {
            edge *= 2.0;
            seconds < edge
        })
        .unwrap_or(OCTAVES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(seconds: f64) -> Row {
        Row { seconds, dirtied_bytes: 1.0, exposed: [0.0; CLASSES] }
    }

    #[test]
    fn short_intervals_do_not_erase_a_long_one() {
        let mut evidence = Evidence::default();
        evidence.add(row(50.0));
        (0..100).for_each(|_| evidence.add(row(0.3)));
        assert_eq!(evidence.len(), 1 + KEPT);
        let long: Vec<f64> =
            evidence.weighted().filter(|(_, row)| row.seconds > 1.0).map(|(weight, _)| weight).collect();
        assert_eq!(long, [1.0]);
        let oldest = evidence.weighted().nth(1).unwrap().0;
        assert!((oldest - FORGETTING.powi(5)).abs() < 1e-12, "{oldest}");
    }

    #[test]
    fn a_measurement_counts_less_once_a_pass_has_ended() {
        let mut evidence = Evidence::default();
        evidence.add_measured(row(1.0));
        assert_eq!(evidence.weighted().map(|(weight, _)| weight).collect::<Vec<_>>(), [0.5]);
        evidence.add(row(30.0));
        assert_eq!(evidence.weighted().map(|(weight, _)| weight).collect::<Vec<_>>(), [0.1, 1.0]);
    }
}
