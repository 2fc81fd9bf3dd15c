//! Values in numbered slots, found without searching.
//!
//! A slot is used again after its value was removed; a key remembers which of the slot's values it was given for, so
//! that an old key finds nothing instead of another entry. The order of keys says nothing about age.

/// Names one value, for as long as it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    /// Where it lies; of the values that are there, no two lie in the same slot.
    pub(crate) slot: usize,
    generation: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: Vec<usize>,
}

#[derive(Debug, Clone)]
struct Slot<T> {
    generation: u64,
    value: Option<T>,
}

impl<T> Slab<T> {
    pub(crate) fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }

    /// Keeps a value, in a slot that was freed if there is one.
    pub(crate) fn insert(&mut self, value: T) -> Key {
        let freed = self.free.pop();
        if let Some((slot, place)) = freed.and_then(|slot| Some((slot, self.slots.get_mut(slot)?))) {
            place.value = Some(value);
            return Key { slot, generation: place.generation };
        }
        self.slots.push(Slot { generation: 0, value: Some(value) });
        Key { slot: self.slots.len() - 1, generation: 0 }
    }

    /// Gives a value back. Its key finds nothing from here on.
    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let place = self.slots.get_mut(key.slot).filter(|place| place.generation == key.generation)?;
        let value = place.value.take()?;
        place.generation += 1;
        self.free.push(key.slot);
        Some(value)
    }

    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        let place = self.slots.get(key.slot).filter(|place| place.generation == key.generation)?;
        place.value.as_ref()
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let place = self.slots.get_mut(key.slot).filter(|place| place.generation == key.generation)?;
        place.value.as_mut()
    }

    /// The keys of the values that are there, in the order of their slots.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        let taken = |(slot, place): (usize, &Slot<T>)| {
            place.value.as_ref().map(|_| Key { slot, generation: place.generation })
        };
        self.slots.iter().enumerate().filter_map(taken)
    }

    /// How many slots there are, the freed ones too: every key's slot is below it.
    pub(crate) fn slots(&self) -> usize {
        self.slots.len()
    }
}

#[cfg(test)]
mod tests {
    use super::Slab;

    #[test]
    fn an_old_key_finds_nothing_in_a_slot_that_is_used_again() {
        let mut slab = Slab::new();
        let first = slab.insert("first");
        assert_eq!(slab.remove(first), Some("first"));
        assert_eq!(slab.remove(first), None);
        let second = slab.insert("second");
        assert_eq!(second.slot, first.slot);
        assert_eq!((slab.get(first), slab.get(second)), (None, Some(&"second")));
        assert_eq!(slab.get_mut(first), None);
        assert_eq!(slab.slots(), 1);
    }

    #[test]
    fn values_lie_apart() {
        let mut slab = Slab::new();
        let (one, two) = (slab.insert(1), slab.insert(2));
        *slab.get_mut(two).unwrap() = 3;
        assert_eq!((slab.get(one), slab.get(two), slab.slots()), (Some(&1), Some(&3), 2));
    }
}
