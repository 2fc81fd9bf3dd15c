//! A running digest of every state that a migration went through.
//!
//! Two runs with the same digest went through the same states at the same instants and gave the same number of
//! outputs. A journal has it in every record, so a replay finds the first line at which it differs.

use core::hash::{Hash, Hasher};

use crate::control::Control;
use crate::time::Instant;

/// 64 bits by FNV-1a (offset basis and prime as published by its authors).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StateDigest(u64);

impl StateDigest {
    pub(super) const START: Self = Self(0xcbf2_9ce4_8422_2325);

    /// The digest after one more step.
    pub(super) fn step(mut self, now: Instant, control: &Control, outputs: usize) -> Self {
        self.write_u64(now.as_ns());
        control.hash(&mut self);
        self.write_usize(outputs);
        self
    }

    pub(super) const fn value(self) -> u64 {
        self.0
    }
}

impl Hasher for StateDigest {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    // The standard versions of these write the machine's own byte order and width; the digest must be the same
    // everywhere.
    fn write_u64(&mut self, value: u64) {
        self.write(&value.to_le_bytes());
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    fn write_isize(&mut self, value: isize) {
        self.write(&(value as i64).to_le_bytes());
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
