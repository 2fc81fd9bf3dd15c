//! A pack's memory. Nothing is freed: the sandbox ends with its call, and an allocator that manages many small facts
//! would take most of a rule's time. The host limits its size.

#![expect(unsafe_code, reason = "that there is one thread cannot be seen by the compiler")]

use lol_alloc::{AssumeSingleThreaded, LeakingAllocator};

#[global_allocator]
static MEMORY: AssumeSingleThreaded<LeakingAllocator> =
    // SAFETY: a component is built without the feature `atomics` and imports nothing, so it cannot start a thread, and
    // the host lets one call at a time into an instance.
    unsafe { AssumeSingleThreaded::new(LeakingAllocator::new()) };
