//! A password in the service's care: wiped when it is dropped, and never shown. It has no `Debug`, no `Display`, and
//! cannot be written into a document.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

/// Characters of a password at most.
const MOST_CHARACTERS: usize = 1_024;

/// A password.
pub(super) struct Password(Zeroizing<String>);

impl Password {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Only for the socket from which `ssh` reads it.
    pub(super) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl<'de> Deserialize<'de> for Password {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Text)
    }
}

/// Takes a text. The usual errors about anything else would repeat it, and it may be a password all the same.
struct Text;

const NOT_TEXT: &str = "a password: a string of at most 1024 characters, none of them a control character";

impl Visitor<'_> for Text {
    type Value = Password;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NOT_TEXT)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Password, E> {
        if text.chars().count() > MOST_CHARACTERS || text.chars().any(|c| c.is_ascii_control()) {
            return Err(E::custom(NOT_TEXT));
        }
        Ok(Password(Zeroizing::new(text.to_owned())))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Password, E> {
        Err(E::custom(NOT_TEXT))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Password, E> {
        Err(E::custom(NOT_TEXT))
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Password, E> {
        Err(E::custom(NOT_TEXT))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Password, E> {
        Err(E::custom(NOT_TEXT))
    }
}

#[cfg(test)]
mod tests {
    use super::Password;

    #[test]
    fn no_error_repeats_what_may_be_a_password() {
        for text in ["12345", "-12345", "12345.5", "[\"12345\"]", "{\"12345\":1}"] {
            let error = serde_json::from_str::<Password>(text).err().unwrap().to_string();
            assert!(!error.contains("12345"), "{error}");
        }
        let long = serde_json::to_string(&"12345".repeat(1_000)).unwrap();
        assert!(!serde_json::from_str::<Password>(&long).err().unwrap().to_string().contains("12345"));
        assert!(serde_json::from_str::<Password>("\"\"").unwrap().is_empty());
    }
}
