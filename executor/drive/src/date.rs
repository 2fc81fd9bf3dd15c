//! Dates and times of day in UTC, as people and waivers have them.

use std::time::{SystemTime, UNIX_EPOCH};

const SECONDS_A_DAY: u64 = 86_400;

/// The date by which waivers expire.
#[must_use]
pub fn today() -> String {
    date(since_1970_s(SystemTime::now()) / SECONDS_A_DAY)
}

/// A moment, for people.
#[must_use]
pub fn date_of(moment: SystemTime) -> String {
    let seconds = since_1970_s(moment);
    let of_day = seconds % SECONDS_A_DAY;
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{} {hour:02}:{minute:02}:{second:02} UTC", date(seconds / SECONDS_A_DAY))
}

fn since_1970_s(moment: SystemTime) -> u64 {
    moment.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The date this many days after 1 January 1970. Source: Howard Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms", `civil_from_days`.
fn date(days: u64) -> String {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{UNIX_EPOCH, date, date_of};

    #[test]
    fn days_become_dates() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(19_782), "2024-02-29");
        assert_eq!(date(19_783), "2024-03-01");
        assert_eq!(date(20_453), "2025-12-31");
    }

    #[test]
    fn a_moment_has_its_time_of_day() {
        let moment = UNIX_EPOCH + Duration::from_secs(20_453 * 86_400 + 86_399);
        assert_eq!(date_of(moment), "2025-12-31 23:59:59 UTC");
    }
}
