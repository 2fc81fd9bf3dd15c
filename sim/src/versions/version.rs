//! Version numbers as libvirt and QEMU write them.

use std::fmt;
use std::str::FromStr;

/// A version of libvirt or of QEMU; the order is that of releases.
///
/// QEMU gives its snapshots of development the last release's number with a third part of 50 and its release candidates
/// one of 90 and more (the first candidate of 9.2 is 9.1.90), so that both are older than the release that they become:
/// they are taken to lack what it brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The first part.
    pub major: u32,
    /// The second part.
    pub minor: u32,
    /// The third part; zero where only two are written.
    pub micro: u32,
}

/// Something that is no version.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum VersionError {
    /// The number's first part is too large.
    Number(u64),
    /// The text is not two or three numbers with dots between them.
    Text(String),
}

impl Version {
    /// Names a version by its parts, as QEMU's greeting gives them.
    #[must_use]
    pub const fn new(major: u32, minor: u32, micro: u32) -> Self {
        Self { major, minor, micro }
    }

    /// Reads libvirt's encoding, in which it reports its own version and its hypervisor's: 1,000,000 × major + 1,000 ×
    /// minor + micro (`virGetVersion` in libvirt's reference).
    ///
    /// # Errors
    ///
    /// [`VersionError::Number`] if the first part is above `u32::MAX`.
    pub fn from_number(number: u64) -> Result<Self, VersionError> {
        let part = |value: u64| u32::try_from(value).map_err(|_| VersionError::Number(number));
        Ok(Self::new(part(number / 1_000_000)?, part(number / 1_000 % 1_000)?, part(number % 1_000)?))
    }

    /// Writes libvirt's encoding, as [`from_number`](Self::from_number) reads it. Only the first part can be above 999
    /// in it: libvirt and QEMU have no others.
    #[must_use]
    pub fn to_number(self) -> u64 {
        u64::from(self.major) * 1_000_000 + u64::from(self.minor) * 1_000 + u64::from(self.micro)
    }
}

impl FromStr for Version {
    type Err = VersionError;

    /// Reads `9.0.0`, or `9.0` for the same.
    fn from_str(text: &str) -> Result<Self, VersionError> {
        let error = || VersionError::Text(text.to_owned());
        let number = |part: &str| {
            let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            part.parse().ok().filter(|_| digits)
        };
        let parts: Option<Vec<u32>> = text.split('.').map(number).collect();
        match parts.ok_or_else(error)?.as_slice() {
            [major, minor] => Ok(Self::new(*major, *minor, 0)),
            [major, minor, micro] => Ok(Self::new(*major, *minor, *micro)),
            _ => Err(error()),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.micro)
    }
}

impl fmt::Display for VersionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(
                f,
                "{number} is no version; libvirt writes 1,000,000 × major + 1,000 × minor + micro, as in 9000000"
            ),
            Self::Text(text) => {
                write!(f, "\"{text}\" is no version; write two or three numbers, as in 7.2.22")
            }
        }
    }
}

impl std::error::Error for VersionError {}
