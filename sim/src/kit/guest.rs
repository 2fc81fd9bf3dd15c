//! A guest for a test in a line: its memory and what writes to it.

use crate::guest::{Guest, Pattern, Writer};
use crate::world::VirtualMachine;

const PAGES_PER_MIB: u64 = 256;
/// Below lie the guest's own code and data, as in scenario files.
const REGION_START_MIB: u64 = 16;

/// A guest that is being described. It turns into a [`VirtualMachine`], where everything else can be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestGuest {
    machine: VirtualMachine,
}

impl TestGuest {
    /// A guest of this name that writes nothing, with half of its memory filled.
    #[must_use]
    pub fn new(name: &str, memory_mib: u64) -> Self {
        let memory = Guest {
            memory_mib,
            region_first_page: REGION_START_MIB * PAGES_PER_MIB,
            filled_pages: pages(memory_mib / 2),
            ..Guest::default()
        };
        Self { machine: VirtualMachine::named(name, memory) }
    }

    /// So much memory, in MiB, is not zero when the migration begins, and has to be sent once at least.
    #[must_use]
    pub fn filled_mib(mut self, mib: u64) -> Self {
        self.machine.memory.filled_pages = pages(mib);
        self
    }

    /// It writes this many times a second, each time to a page drawn uniformly from a working set of this many MiB.
    /// Given several times, several programs write to the same memory.
    #[must_use]
    pub fn writing(self, working_set_mib: u64, writes_per_second: u64) -> Self {
        self.with_writer(Writer::steady(Pattern::Uniform, writes_per_second, pages(working_set_mib)))
    }

    /// Something else writes to its memory. What it may write to is filled.
    #[must_use]
    pub fn with_writer(mut self, writer: Writer) -> Self {
        let memory = &mut self.machine.memory;
        memory.filled_pages = memory.filled_pages.max(writer.reach_pages());
        memory.writers.push(writer);
        self
    }

    /// Its CPUs are stopped.
    #[must_use]
    pub fn paused(mut self) -> Self {
        self.machine.memory.paused = true;
        self
    }
}

impl From<TestGuest> for VirtualMachine {
    fn from(guest: TestGuest) -> Self {
        guest.machine
    }
}

fn pages(mib: u64) -> u64 {
    mib.saturating_mul(PAGES_PER_MIB)
}
