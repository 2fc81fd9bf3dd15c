//! Values of facts that have no field of their own, and of evidence.

use alloc::string::String;
use core::fmt;

/// The value of an attribute, in JSON a plain boolean, number or text.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(untagged))]
#[cfg_attr(
    feature = "host",
    derive(wasmtime::component::ComponentType, wasmtime::component::Lift, wasmtime::component::Lower),
    component(variant)
)]
pub enum Scalar {
    /// A yes or no, such as `request/copied-disks/automatic`.
    #[cfg_attr(feature = "host", component(name = "boolean"))]
    Boolean(bool),
    /// A whole number, such as a count; its unit is in the attribute's path or meaning.
    #[cfg_attr(feature = "host", component(name = "integer"))]
    Integer(i64),
    /// Anything else, such as the name of a guest.
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
    /// A larger number than `i64` holds becomes `i64::MAX`.
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
    /// A fact that has no field of its own, or one piece of evidence. Facts are sorted by path. An absent path is
    /// unknown.
    Attribute {
        /// Identifies it, in lower case, with dots or slashes: `guest/leases`, `destination.seen-links.eth0`. An
        /// evidence path is the rule's own.
        path: String,
        /// The value under this path. It is always known.
        value: Scalar,
    }
}
