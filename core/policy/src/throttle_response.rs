//! How much slower a guest dirties its memory when its virtual CPUs are throttled.

use crate::number::real;

/// The guest's response to a throttle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ThrottleResponse {
    utilisation_permille: u64,
}

impl Default for ThrottleResponse {
    /// Of a guest that uses all of its time: every percent of throttle counts.
    fn default() -> Self {
        Self { utilisation_permille: 1_000 }
    }
}

impl ThrottleResponse {
    /// Of a guest whose busiest writer uses this part of its virtual CPU.
    #[must_use]
    pub fn of_utilisation(permille: u64) -> Self {
        Self { utilisation_permille: permille.clamp(1, 1_000) }
    }

    /// The speed of the writers that is left, 0 to 1: min(1, (1 − p) / u). A paced writer first uses its idle time.
    #[must_use]
    pub fn speed(self, throttle_percent: u64) -> f64 {
        let left = real(100 - throttle_percent.min(99)) / 100.0;
        (left * 1000.0 / real(self.utilisation_permille)).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paced_writer_first_uses_its_idle_time() {
        let close = |a: f64, b: f64| (a - b).abs() < 1e-12;
        assert!(close(ThrottleResponse::default().speed(20), 0.8));
        let paced = ThrottleResponse::of_utilisation(300);
        assert!(close(paced.speed(70), 1.0));
        assert!(close(paced.speed(85), 0.5));
        assert!(close(paced.speed(0), 1.0));
    }
}
