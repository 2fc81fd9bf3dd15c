//! A password that somebody trusted us with: wiped when it is dropped, and shown to nobody. It has no `Debug`, no
//! `Display`, and cannot be written into a document.

use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

/// Bytes of a password at most.
const MOST_BYTES: usize = 1_024;

/// A password.
pub(super) struct Password(Zeroizing<String>);

impl Password {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'de> Deserialize<'de> for Password {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        if text.len() > MOST_BYTES {
            return Err(serde::de::Error::custom("the password is too long"));
        }
        Ok(Self(text))
    }
}
