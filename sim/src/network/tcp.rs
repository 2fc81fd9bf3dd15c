//! How fast one TCP connection can be on a line, however much of it is free: by its window and by loss.
//!
//! Both are upper bounds of a long transfer in congestion avoidance. Slow start, delayed acknowledgements, time-outs
//! and competing congestion controls are not modelled; all of them make a connection slower.

use super::line::{Line, Loss};

const NS_PER_S: u128 = 1_000_000_000;
const MILLION: u128 = 1_000_000;

/// What a connection brings along.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tcp {
    /// Bytes that may be on their way at once: the smaller of what the receiver offers and the sender keeps.
    pub window_bytes: u64,
    /// Payload of one packet (MSS), at most what the 16 bits of TCP's option can say.
    pub segment_bytes: u16,
}

impl Tcp {
    /// The most bytes a second over `there`, with the acknowledgements coming over `back`; `u64::MAX` is no bound.
    ///
    /// The round trip is the mean of both ways, jitter included. Only loss on the way there counts: a later
    /// acknowledgement stands in for a lost one.
    #[must_use]
    pub fn bound_bytes_per_second(&self, there: &Line, back: &Line) -> u64 {
        let round_trip_ns = there.mean_delay_ns().saturating_add(back.mean_delay_ns());
        let by_window = window_bound_bytes_per_second(self.window_bytes, round_trip_ns);
        by_window.min(loss_bound_bytes_per_second(self.segment_bytes, round_trip_ns, there.loss))
    }
}

/// A window a round trip: no more may be on its way unacknowledged (RFC 9293, section 3.8.6). Rounded down; without a
/// round trip there is no bound.
#[must_use]
pub fn window_bound_bytes_per_second(window_bytes: u64, round_trip_ns: u64) -> u64 {
    let per_second = (u128::from(window_bytes) * NS_PER_S).checked_div(u128::from(round_trip_ns));
    per_second.map_or(u64::MAX, saturated)
}

/// MSS / (RTT × √(2p/3)), rounded down to a byte a second: Mathis, Semke, Mahdavi and Ott, "The macroscopic behavior of
/// the TCP congestion avoidance algorithm", 1997, with the constant √(3/2) of periodic loss and an acknowledgement for
/// every packet.
///
/// It leaves time-outs out, so that it promises too much where loss is heavy (Padhye, Firoiu, Towsley and Kurose,
/// "Modeling TCP throughput", 1998, has them). Without loss or without a round trip there is no bound; where everything
/// is lost nothing passes.
#[must_use]
pub fn loss_bound_bytes_per_second(segment_bytes: u16, round_trip_ns: u64, loss: Loss) -> u64 {
    if loss == Loss::ALL {
        return 0;
    }
    // MSS × 10^9 × √(3 × 10^6 / 2l) / RTT with l packets of a million lost. What stands below the root is at most
    // (2^16 × 10^9)^2 × 1.5 × 10^6, which is below 2^113.
    let segment = u128::from(segment_bytes) * NS_PER_S;
    let squared = (segment * segment * 3 * MILLION).checked_div(2 * u128::from(loss.of_a_million()));
    let scaled = squared.map(u128::isqrt);
    scaled.and_then(|scaled| scaled.checked_div(u128::from(round_trip_ns))).map_or(u64::MAX, saturated)
}

fn saturated(value: u128) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Line, Loss, Tcp, loss_bound_bytes_per_second, window_bound_bytes_per_second};

    fn loss(per_million: u32) -> Loss {
        Loss::per_million(per_million).unwrap()
    }

    #[test]
    fn a_window_a_round_trip() {
        assert_eq!(window_bound_bytes_per_second(65_536, 1_000_000), 65_536_000);
        assert_eq!(window_bound_bytes_per_second(1, 3), 333_333_333);
        assert_eq!(window_bound_bytes_per_second(0, 3), 0);
        assert_eq!(window_bound_bytes_per_second(0, 0), u64::MAX);
        assert_eq!(window_bound_bytes_per_second(u64::MAX, 1), u64::MAX);
    }

    /// 1460 bytes over 100 ms with one packet of ten thousand lost: 14,600 × √15,000 = 1,788,127.5.
    #[test]
    fn the_formula_by_hand() {
        assert_eq!(loss_bound_bytes_per_second(1460, 100_000_000, loss(100)), 1_788_127);
        // Four times the loss halves it, twice the round trip too: 894,063.76.
        assert_eq!(loss_bound_bytes_per_second(1460, 100_000_000, loss(400)), 894_063);
        assert_eq!(loss_bound_bytes_per_second(1460, 200_000_000, loss(100)), 894_063);
    }

    #[test]
    fn the_edges_of_loss() {
        assert_eq!(loss_bound_bytes_per_second(1460, 1, Loss::NONE), u64::MAX);
        assert_eq!(loss_bound_bytes_per_second(1460, 0, loss(1)), u64::MAX);
        assert_eq!(loss_bound_bytes_per_second(1460, 0, Loss::ALL), 0);
        assert_eq!(loss_bound_bytes_per_second(0, 5, loss(1)), 0);
        // The largest numbers that there are: 65,535 × √1,500,000 × 10^9 bytes a second.
        assert_eq!(loss_bound_bytes_per_second(u16::MAX, 1, loss(1)), 80_263_655_146_647_788);
    }

    #[test]
    fn a_connection_feels_both_ways_and_the_smaller_bound() {
        let there = Line { latency_ns: 9_000_000, jitter_ns: 2_000_000, loss: loss(100) };
        let back = Line { latency_ns: 10_000_000, jitter_ns: 0, loss: Loss::ALL };
        let tcp = |window_bytes| Tcp { window_bytes, segment_bytes: 1448 };
        assert_eq!(tcp(65_536).bound_bytes_per_second(&there, &back), 3_276_800);
        let by_loss = loss_bound_bytes_per_second(1448, 20_000_000, loss(100));
        assert_eq!(tcp(1 << 30).bound_bytes_per_second(&there, &back), by_loss);
        assert_eq!(tcp(1 << 30).bound_bytes_per_second(&back, &there), 0);
    }

    fn any_latency() -> impl Strategy<Value = u64> {
        prop_oneof![0..1_000_u64, 0..1_000_000_000_u64, any::<u64>()]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// More loss, more distance or a smaller segment never makes a connection faster.
        #[test]
        fn bounds_fall_with_distance_and_loss(
            window_bytes in any::<u64>(), segment_bytes in any::<u16>(),
            latency_ns in any_latency(), more_ns in any_latency(),
            lost in prop_oneof![0..1000_u32, 0..=1_000_000_u32], more_lost in 0..=1_000_000_u32,
        ) {
            let line = |latency_ns, lost: u32| Line { latency_ns, jitter_ns: 0, loss: Loss::per_million(lost).unwrap() };
            let tcp = Tcp { window_bytes, segment_bytes };
            let near = line(latency_ns, lost);
            let far = line(latency_ns.saturating_add(more_ns), lost.max(more_lost));
            let bound = |tcp: Tcp, line: &Line| tcp.bound_bytes_per_second(line, line);
            prop_assert!(bound(tcp, &far) <= bound(tcp, &near));
            let smaller = Tcp { window_bytes: window_bytes / 2, segment_bytes: segment_bytes / 2 };
            prop_assert!(bound(smaller, &near) <= bound(tcp, &near));
        }
    }
}
