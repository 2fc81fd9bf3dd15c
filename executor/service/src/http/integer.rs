//! Whole numbers in documents. To JSON, and so to the API's description, `256` and `256.0` are the same number; to serde
//! they are not. Nothing here rounds: a number that is not whole is refused.

use std::fmt;

use serde::Deserializer;
use serde::de::{Error, Unexpected, Visitor};

/// The largest whole number below which none is left out by the numbers of JSON's readers: 2^53 - 1.
pub(super) const MOST: u64 = (1 << 53) - 1;

/// A whole number from 0 to [`MOST`].
pub(super) fn required<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    deserializer.deserialize_any(Whole)
}

/// The same, or nothing.
pub(super) fn optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    deserializer.deserialize_option(Perhaps)
}

struct Whole;

impl Visitor<'_> for Whole {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from 0 to {MOST}")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
        if number > MOST {
            return Err(E::invalid_value(Unexpected::Unsigned(number), &self));
        }
        Ok(number)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<u64, E> {
        let positive =
            u64::try_from(number).map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))?;
        self.visit_u64(positive)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<u64, E> {
        // What is whole is written without a fraction, and then it is an integer to the parser too.
        let whole =
            format!("{number}").parse().map_err(|_| E::invalid_value(Unexpected::Float(number), &self))?;
        self.visit_u64(whole)
    }
}

struct Perhaps;

impl<'de> Visitor<'de> for Perhaps {
    type Value = Option<u64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Whole.expecting(f)
    }

    fn visit_none<E: Error>(self) -> Result<Option<u64>, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<u64>, D::Error> {
        required(deserializer).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::MOST;

    #[derive(Deserialize)]
    struct Both {
        #[serde(deserialize_with = "super::required")]
        one: u64,
        #[serde(default, deserialize_with = "super::optional")]
        other: Option<u64>,
    }

    fn read(text: &str) -> Option<(u64, Option<u64>)> {
        serde_json::from_str(text).ok().map(|Both { one, other }| (one, other))
    }

    #[test]
    fn a_number_is_whole_however_it_is_written() {
        assert_eq!(read(r#"{"one":256.0,"other":1e3}"#), Some((256, Some(1000))));
        assert_eq!(read(r#"{"one":9007199254740991,"other":null}"#), Some((MOST, None)));
        assert_eq!(read(r#"{"one":0}"#), Some((0, None)));
        for text in ["0.5", "-1", "-1.0", "9007199254740992", "1e300", "true", "\"1\"", "null", "[1]"] {
            assert_eq!(read(&format!("{{\"one\":{text}}}")), None, "{text}");
        }
    }
}
