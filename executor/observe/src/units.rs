//! Numbers as people read them.
//!
//! Lines use one unit throughout, so that columns can be compared; the picture, short of room, picks the unit that
//! fits. Nothing here may round a non-zero amount to a plain zero.

use whimbrel_core::Instant;

const MIB: u64 = 1 << 20;

/// Mebibytes with one decimal, for example `432.0`. Less than a tenth, but not zero, is `<0.1`.
#[must_use]
pub fn mib(bytes: u64) -> String {
    if bytes > 0 && bytes < MIB / 10 {
        return String::from("<0.1");
    }
    format!("{:.1}", approx(bytes) / approx(MIB))
}

/// Bytes in the unit that fits, at most seven characters wide, for example `1.5 GiB`.
#[must_use]
pub fn short(bytes: f64) -> String {
    let (scale, unit) = scale_of(bytes);
    let scaled = bytes / scale;
    let decimals = usize::from(scaled < 9.95 && (scaled.round() - scaled).abs() > 0.049);
    format!("{scaled:.decimals$} {unit}")
}

/// The next round amount from `bytes` upwards: an end for an axis.
#[must_use]
pub fn round_up(bytes: f64) -> f64 {
    let (scale, _) = scale_of(bytes);
    let scaled = (bytes / scale).max(1.0);
    let decade = 10_f64.powf(scaled.log10().floor());
    let steps = [1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    let step = steps.into_iter().find(|step| step * decade >= scaled * 0.999_999).unwrap_or(10.0);
    step * decade * scale
}

/// Seconds since the beginning with three decimals, without their unit.
#[must_use]
pub fn seconds(now: Instant) -> String {
    let ms = now.as_ms();
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

/// A span for prose: `42 ms`, `12.3 s`, `4 min 10 s`, `2 h 5 min`.
#[must_use]
pub fn span(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..100_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        100_000..7_200_000 => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1000),
        _ => format!("{} h {} min", ms / 3_600_000, ms % 3_600_000 / 60_000),
    }
}

/// The nearest `f64`.
#[expect(clippy::cast_precision_loss, reason = "for people and pictures; exact below 8 PiB")]
#[must_use]
pub fn approx(number: u64) -> f64 {
    number as f64
}

fn scale_of(bytes: f64) -> (f64, &'static str) {
    let units = [(1024.0, "KiB"), (1_048_576.0, "MiB"), (1_073_741_824.0, "GiB")];
    let fitting = units.into_iter().find(|(scale, _)| bytes / scale < 999.5);
    if bytes < 1.0 { (1.0, "B") } else { fitting.unwrap_or((1_099_511_627_776.0, "TiB")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_keep_their_size_and_never_round_to_nothing() {
        assert_eq!([mib(0), mib(1), mib(MIB), mib(3 * MIB / 2)], ["0.0", "<0.1", "1.0", "1.5"]);
        let shown = [0.0, 1024.0, 1536.0, 440.0 * 1024.0 * 1024.0, 1.5 * 1024_f64.powi(3)].map(short);
        assert_eq!(shown, ["0 B", "1 KiB", "1.5 KiB", "440 MiB", "1.5 GiB"]);
    }

    #[test]
    fn an_axis_ends_at_a_round_amount_that_covers_its_curve() {
        for bytes in [1.0, 900.0, 1025.0, 7.3e6, 1e9, 1.03e9, 9.9e12, 3e15] {
            let end = round_up(bytes);
            assert!(end >= bytes * 0.999 && end <= (bytes * 2.0).max(1024.0), "{bytes} gives {end}");
        }
        assert_eq!(short(round_up(413.0 * 1_048_576.0)), "500 MiB");
    }

    #[test]
    fn spans_are_read_at_a_glance() {
        assert_eq!(
            [42, 1_000, 12_345, 250_000, 7_500_000].map(span),
            ["42 ms", "1.0 s", "12.3 s", "4 min 10 s", "2 h 5 min"]
        );
    }
}
