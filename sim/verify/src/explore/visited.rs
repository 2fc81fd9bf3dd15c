//! The visited states, by their fingerprints, in one flat table.
//!
//! Two states with one fingerprint would be taken for one. With 64 bits and n states that happens anywhere with a
//! chance of about n²/2^65: 1 in 3,700 for 10^8 states. The explorer reports the figure.

/// Fingerprints with the number under which each was met first.
pub(super) struct Visited {
    fingerprints: Vec<u64>,
    numbers: Vec<u32>,
    mask: u64,
    len: usize,
}

/// The result of an insertion.
pub(super) enum Insert {
    /// For the first time.
    New,
    /// Before, under this number.
    Existing(u32),
}

/// A slot without a state.
const EMPTY: u64 = 0;

impl Visited {
    /// A table for at least this many states.
    pub(super) fn new(states: usize) -> Self {
        // Two thirds full at most: probes stay short.
        let slots = states.saturating_add(states / 2).max(1024).next_power_of_two();
        Self { fingerprints: vec![EMPTY; slots], numbers: vec![0; slots], mask: slots as u64 - 1, len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether no more should be put in.
    pub(super) fn is_full(&self) -> bool {
        self.len * 3 >= self.fingerprints.len() * 2
    }

    /// Notes a state under this number unless it was met before.
    pub(super) fn insert(&mut self, fingerprint: u64, number: u32) -> Insert {
        let wanted = fingerprint.max(1);
        let mut slot = wanted & self.mask;
        loop {
            let index = usize::try_from(slot).unwrap_or(0);
            match self.fingerprints.get(index).copied() {
                Some(EMPTY) | None => {
                    if let (Some(place), Some(kept)) =
                        (self.fingerprints.get_mut(index), self.numbers.get_mut(index))
                    {
                        *place = wanted;
                        *kept = number;
                        self.len += 1;
                    }
                    return Insert::New;
                }
                Some(there) if there == wanted => {
                    return Insert::Existing(self.numbers.get(index).copied().unwrap_or(0));
                }
                Some(_) => slot = (slot + 1) & self.mask,
            }
        }
    }

    /// The number of a state, if it was met.
    pub(super) fn number(&self, fingerprint: u64) -> Option<u32> {
        let wanted = fingerprint.max(1);
        let mut slot = wanted & self.mask;
        loop {
            let index = usize::try_from(slot).unwrap_or(0);
            match self.fingerprints.get(index).copied() {
                Some(EMPTY) | None => return None,
                Some(there) if there == wanted => return self.numbers.get(index).copied(),
                Some(_) => slot = (slot + 1) & self.mask,
            }
        }
    }
}

/// A state's fingerprint: every part of it, folded by multiplication and rotation, the same on every machine.
pub(super) fn fingerprint(state: &impl std::hash::Hash) -> u64 {
    use std::hash::Hasher as _;
    let mut fold = Fold(0x9e37_79b9_7f4a_7c15);
    state.hash(&mut fold);
    fold.finish()
}

struct Fold(u64);

impl std::hash::Hasher for Fold {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(u64::from(value));
    }

    fn write_u16(&mut self, value: u16) {
        self.write_u64(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0xf135_7aea_2e62_a9c5);
    }

    fn write_isize(&mut self, value: isize) {
        self.write_u64(value.cast_unsigned() as u64);
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    fn finish(&self) -> u64 {
        // The low bits choose the slot: the high ones, which everything has reached, are brought down.
        let mut x = self.0;
        x ^= x >> 32;
        x = x.wrapping_mul(0xd6e8_feb8_6659_fd93);
        x ^ (x >> 32)
    }
}
