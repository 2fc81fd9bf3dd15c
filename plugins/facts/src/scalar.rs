//! Facts without a field of their own.

use alloc::string::String;
use core::fmt;

/// A plain value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(untagged))]
#[cfg_attr(
    feature = "host",
    derive(wasmtime::component::ComponentType, wasmtime::component::Lift, wasmtime::component::Lower),
    component(variant)
)]
pub enum Scalar {
    /// Yes or no.
    #[cfg_attr(feature = "host", component(name = "boolean"))]
    Boolean(bool),
    /// A whole number.
    #[cfg_attr(feature = "host", component(name = "integer"))]
    Integer(i64),
    /// Anything else.
    #[cfg_attr(feature = "host", component(name = "text"))]
    Text(String),
}

impl Default for Scalar {
    fn default() -> Self {
        Self::Boolean(false)
    }
}

impl From<bool> for Scalar {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl From<u64> for Scalar {
    /// What does not fit is the largest number.
    fn from(value: u64) -> Self {
        Self::Integer(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<u32> for Scalar {
    fn from(value: u32) -> Self {
        Self::Integer(i64::from(value))
    }
}

impl From<&str> for Scalar {
    fn from(value: &str) -> Self {
        Self::Text(value.into())
    }
}

impl From<String> for Scalar {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => value.fmt(f),
            Self::Integer(value) => value.fmt(f),
            Self::Text(value) => f.write_str(value),
        }
    }
}

record! {
    /// Something known that has no field of its own, or one piece of evidence. Facts are sorted by path.
    Attribute {
        /// Dotted, in lower case: `destination.kvm.nested`.
        path: String,
        /// What is known.
        value: Scalar,
    }
}
