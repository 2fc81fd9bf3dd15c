//! Reads the TOML files of this crate: policies and lock files. A table is never taken from an array.

use serde::Deserialize;
use whimbrel_core::document::ObjectsOnly;

/// Reads one file's text; the error names the place.
pub(crate) fn read<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, String> {
    let document = toml::Deserializer::parse(text).map_err(|error| error.to_string())?;
    T::deserialize(ObjectsOnly(document)).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use crate::lock::Lock;
    use crate::policy::Policy;

    #[test]
    fn an_array_is_no_decision_no_waiver_and_no_pin() {
        assert!(Policy::parse("[rule.\"guest.paused\"]\nenabled = false").is_ok());
        let refused = Policy::parse("[rule]\n\"guest.paused\" = [false, \"warn\"]").unwrap_err().to_string();
        assert!(refused.contains("an array, expected an object with named fields"), "{refused}");
        assert!(Policy::parse("waiver = [[\"guest.paused\", \"2099-01-01\", \"known\"]]").is_err());
        let pin = "[\"one\", \"1.0.0\", \"whimbrel:rules@1.0.0\", \"00\"]";
        assert!(Lock::parse(&format!("version = 1\npack = [{pin}]")).is_err());
    }
}
