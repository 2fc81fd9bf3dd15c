//! Copies, memory and storage at one instant of a history, advanced event by event. It judges nothing.

use crate::history::{CopyId, Event, HostId, Part, SettingId, StorageId, Writes};

/// A version of the guest's storage: the number of changes to any storage of the guest so far.
pub(crate) type Version = u64;

/// What a copy's memory holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Memory {
    /// Nothing: it waits for another copy's.
    Empty,
    /// Nothing yet: it starts from its storage.
    Fresh,
    /// A part. The rest is at this copy.
    Half(CopyId),
    /// Everything.
    Whole,
}

#[derive(Clone, Debug)]
pub(crate) struct Copy {
    pub(crate) id: CopyId,
    pub(crate) host: HostId,
    pub(crate) storage: StorageId,
    pub(crate) memory: Memory,
    /// The version of the storage that the memory belongs to.
    pub(crate) knows: Version,
    pub(crate) is_taken_over: bool,
    pub(crate) has_run: bool,
    /// Since when it runs without its storage being advanced for it.
    pub(crate) running_since_ns: Option<u64>,
    pub(crate) settings: Vec<(SettingId, u64)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Storage {
    pub(crate) id: StorageId,
    pub(crate) version: Version,
    /// The copy that wrote the version, and when.
    pub(crate) written: Option<(CopyId, u64)>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    pub(crate) copies: Vec<Copy>,
    pub(crate) storages: Vec<Storage>,
    pub(crate) defined_on: Vec<HostId>,
    changes: Version,
}

impl Copy {
    pub(crate) const fn runs(&self) -> bool {
        self.running_since_ns.is_some()
    }
}

impl State {
    pub(crate) fn copy(&self, id: CopyId) -> Option<&Copy> {
        self.copies.iter().find(|copy| copy.id == id)
    }

    pub(crate) fn storage(&self, id: StorageId) -> Option<&Storage> {
        self.storages.iter().find(|storage| storage.id == id)
    }

    /// Whether the copy's memory belongs to its storage as that is now.
    pub(crate) fn is_current(&self, copy: &Copy) -> bool {
        copy.memory == Memory::Fresh
            || self.storage(copy.storage).is_some_and(|storage| storage.version == copy.knows)
    }

    /// Whether all of the copy's memory is there, if in two places.
    pub(crate) fn is_complete(&self, copy: &Copy) -> bool {
        match copy.memory {
            Memory::Empty => false,
            Memory::Fresh | Memory::Whole => true,
            Memory::Half(rest) => self.copy(rest).is_some(),
        }
    }

    /// Whether the guest can go on from this copy, together with the one that holds the rest of its memory.
    pub(crate) fn can_go_on(&self, copy: &Copy) -> bool {
        copy.is_taken_over && self.is_complete(copy) && self.is_current(copy)
    }

    /// Whether the guest can go on at all without being booted from its storage.
    pub(crate) fn is_alive(&self) -> bool {
        self.copies.iter().any(|copy| self.can_go_on(copy))
    }

    /// Lets time pass: every copy that runs writes.
    pub(crate) fn advance(&mut self, at_ns: u64, writes: Writes) {
        if writes == Writes::Recorded {
            return;
        }
        for place in 0..self.copies.len() {
            let Some(copy) = self.copies.get_mut(place) else { continue };
            if copy.running_since_ns.is_some_and(|since_ns| since_ns < at_ns) {
                copy.running_since_ns = Some(at_ns);
                let id = copy.id;
                self.write(id, at_ns);
            }
        }
    }

    /// A copy writes to its storage. One that is stale stays so, whatever it writes.
    fn write(&mut self, id: CopyId, at_ns: u64) {
        self.changes += 1;
        let changes = self.changes;
        let Some(copy) = self.copies.iter_mut().find(|copy| copy.id == id) else { return };
        let Some(storage) = self.storages.iter_mut().find(|storage| storage.id == copy.storage) else {
            return;
        };
        if copy.knows == storage.version {
            copy.knows = changes;
        }
        storage.version = changes;
        storage.written = Some((id, at_ns));
    }

    /// Applies an event at an instant to which time was advanced. False if it contradicts what happened before.
    pub(crate) fn apply(&mut self, at_ns: u64, event: &Event, writes: Writes) -> bool {
        match *event {
            Event::Created { copy, host, storage, is_incoming } => {
                self.create(copy, host, storage, is_incoming)
            }
            Event::MemoryReceived { copy, from, part } => self.receive(copy, from, part),
            Event::TakenOver { copy } => self.change(copy, |copy| copy.is_taken_over = true),
            Event::Started { copy, .. } => self.start(copy, at_ns, writes),
            Event::Stopped { copy, .. } => self.change(copy, |copy| copy.running_since_ns = None),
            Event::Rebooted { copy } => self.reboot(copy),
            Event::Wrote { copy } => {
                let runs = self.copy(copy).is_some_and(Copy::runs);
                if runs && writes == Writes::Recorded {
                    self.write(copy, at_ns);
                }
                runs
            }
            Event::Mirrored { to, from } => self.mirror(to, from),
            Event::Ended { copy, .. } => {
                let before = self.copies.len();
                self.copies.retain(|other| other.id != copy);
                self.copies.len() < before
            }
            Event::Defined { host } => {
                if !self.defined_on.contains(&host) {
                    self.defined_on.push(host);
                }
                true
            }
            Event::Undefined { host } => {
                self.defined_on.retain(|other| *other != host);
                true
            }
            Event::Set { copy, setting, value } => self.change(copy, |copy| {
                copy.settings.retain(|(other, _)| *other != setting);
                copy.settings.push((setting, value));
            }),
            Event::Observed { .. } => true,
        }
    }

    fn create(&mut self, id: CopyId, host: HostId, storage: StorageId, is_incoming: bool) -> bool {
        if self.copy(id).is_some() {
            return false;
        }
        self.add_storage(storage);
        self.copies.push(Copy {
            id,
            host,
            storage,
            memory: if is_incoming { Memory::Empty } else { Memory::Fresh },
            knows: 0,
            is_taken_over: !is_incoming,
            has_run: false,
            running_since_ns: None,
            settings: Vec::new(),
        });
        true
    }

    fn receive(&mut self, id: CopyId, from: CopyId, part: Part) -> bool {
        let Some(sender) = self.copy(from) else {
            // What had arrived before the sender ended was recorded before.
            return false;
        };
        let (knows, memory) = (sender.knows, sender.memory);
        let booted = if memory == Memory::Fresh { self.version_of(sender.storage) } else { knows };
        self.change(id, |copy| {
            // A copy that runs has changed what it received.
            if !copy.has_run {
                copy.knows = booted;
            }
            copy.memory = match part {
                Part::Whole => Memory::Whole,
                Part::Half => Memory::Half(from),
            };
        })
    }

    /// A copy that was started may have written, however soon it was stopped again.
    fn start(&mut self, id: CopyId, at_ns: u64, writes: Writes) -> bool {
        let is_new = self.copy(id).is_some_and(|copy| !copy.runs());
        let booted = self.copy(id).map_or(0, |copy| self.version_of(copy.storage));
        let is_there = self.change(id, |copy| {
            if copy.memory == Memory::Fresh {
                copy.knows = booted;
                copy.memory = Memory::Whole;
            }
            copy.is_taken_over = true;
            copy.has_run = true;
            copy.running_since_ns.get_or_insert(at_ns);
        });
        if is_new && writes == Writes::WhileRunning {
            self.write(id, at_ns);
        }
        is_there
    }

    fn reboot(&mut self, id: CopyId) -> bool {
        let booted = self.copy(id).map_or(0, |copy| self.version_of(copy.storage));
        self.change(id, |copy| copy.knows = booted)
    }

    fn mirror(&mut self, to: StorageId, from: StorageId) -> bool {
        let Some(source) = self.storage(from).cloned() else { return false };
        self.add_storage(to);
        let target = self.storages.iter_mut().find(|storage| storage.id == to);
        target.is_some_and(|target| {
            target.version = source.version;
            target.written = source.written;
            true
        })
    }

    fn add_storage(&mut self, id: StorageId) {
        if self.storage(id).is_none() {
            self.storages.push(Storage { id, version: 0, written: None });
        }
    }

    fn version_of(&self, id: StorageId) -> Version {
        self.storage(id).map_or(0, |storage| storage.version)
    }

    fn change(&mut self, id: CopyId, change: impl FnOnce(&mut Copy)) -> bool {
        self.copies.iter_mut().find(|copy| copy.id == id).map(change).is_some()
    }
}
