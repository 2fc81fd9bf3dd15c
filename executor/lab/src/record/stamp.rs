//! The beginning of a trace line: when, and which event.
//!
//! Two forms: `THREAD@SECONDS.MICROSECONDS:EVENT ARGUMENTS`, and since QEMU 11.1 a UTC time as in RFC 3339 with six digits
//! after the point, `2026-11-30T13:41:54.116611Z EVENT ARGUMENTS`. Any other line is of something else.

/// Days from 1 March of the year 0 to 1 January 1970.
const DAYS_BEFORE_EPOCH: u64 = 719_468;
const DAYS_OF_400_YEARS: u64 = 146_097;

/// Microseconds since the epoch, the name and the arguments; none for any other line.
pub(super) fn traced(line: &str) -> Option<(u64, &str, &str)> {
    let (at_us, rest) = with_thread(line).or_else(|| with_date(line))?;
    let (event, arguments) = rest.split_once(' ').unwrap_or((rest, ""));
    Some((at_us, event, arguments))
}

fn with_thread(line: &str) -> Option<(u64, &str)> {
    let (stamp, rest) = line.split_once(':')?;
    let (thread, time) = stamp.split_once('@')?;
    let _: u64 = thread.parse().ok()?;
    let (seconds, micros) = time.split_once('.')?;
    Some((microseconds(seconds.parse().ok()?, micros)?, rest))
}

fn with_date(line: &str) -> Option<(u64, &str)> {
    let (stamp, rest) = line.split_once("Z ")?;
    let (date, time) = stamp.split_once('T')?;
    let (time, micros) = time.split_once('.')?;
    let [year, month, day] = three(date, '-')?;
    let [hour, minute, second] = three(time, ':')?;
    let is_time =
        (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second < 61;
    let days = days(year, month, day).filter(|_| is_time)?;
    let seconds = days.checked_mul(86_400)?.checked_add(hour * 3600 + minute * 60 + second)?;
    Some((microseconds(seconds, micros)?, rest))
}

fn three(text: &str, between: char) -> Option<[u64; 3]> {
    let numbers: Vec<u64> = text.split(between).map(|part| part.parse().ok()).collect::<Option<_>>()?;
    numbers.try_into().ok()
}

/// Days since the epoch of a date of the Gregorian calendar, by years that begin in March, so that the leap day is their last
/// (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`).
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let year = year.checked_sub(u64::from(month <= 2)).filter(|year| *year < 10_000)?;
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day.checked_sub(1)?;
    let of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    (era * DAYS_OF_400_YEARS + of_era).checked_sub(DAYS_BEFORE_EPOCH)
}

fn microseconds(seconds: u64, micros: &str) -> Option<u64> {
    let micros: u64 = micros.parse().ok().filter(|_| micros.len() == 6)?;
    seconds.checked_mul(1_000_000)?.checked_add(micros)
}

#[cfg(test)]
mod tests {
    use super::traced;

    #[test]
    fn both_forms_give_the_same_instant() {
        let old = "18448@1795538404.212649:migration_bitmap_sync_end dirty_pages 5";
        let new = "2026-11-24T16:40:04.212649Z migration_bitmap_sync_end dirty_pages 5";
        let expected = (1_795_538_404_212_649, "migration_bitmap_sync_end", "dirty_pages 5");
        assert_eq!((traced(old), traced(new)), (Some(expected), Some(expected)));
    }

    #[test]
    fn leap_days_and_ends_of_years_are_counted() {
        for (date, seconds) in [
            ("1970-01-01T00:00:00", 0),
            ("2000-02-29T12:00:00", 951_825_600),
            ("2000-03-01T00:00:00", 951_868_800),
            ("2023-12-31T23:59:59", 1_704_067_199),
            ("2100-03-01T00:00:00", 4_107_542_400),
        ] {
            let line = format!("{date}.000001Z event");
            assert_eq!(traced(&line), Some((seconds * 1_000_000 + 1, "event", "")), "{date}");
        }
    }

    #[test]
    fn other_lines_are_passed_over() {
        for line in [
            "",
            "2026-11-24 16:00:00.000+0000: starting up libvirt version: 9.0.0",
            "char device redirected",
            "x@1795538404.212649:event",
            "1@1795538404.2126:event",
            "2026-13-24T16:00:00.000000Z event",
            "2026-11-24T24:00:00.000000Z event",
            "2026-11-24T16:00:00.0Z event",
            "1969-12-31T00:00:00.000000Z event",
            "99999999999999999999-01-01T00:00:00.000000Z event",
        ] {
            assert_eq!(traced(line), None, "{line}");
        }
    }
}
