//! A pack's memory. Nothing is freed: the sandbox of a call goes with it, and most of what a rule takes would be the care
//! of an allocator for many small facts. How much there may be is the host's to say.

#![expect(unsafe_code, reason = "that there is one thread cannot be seen by the compiler")]

use lol_alloc::{AssumeSingleThreaded, LeakingAllocator};

#[global_allocator]
static MEMORY: AssumeSingleThreaded<LeakingAllocator> =
    // SAFETY: a component is built without the feature `atomics` and imports nothing, so that it cannot start a thread, and
    // the host lets one call at a time into an instance.
    unsafe { AssumeSingleThreaded::new(LeakingAllocator::new()) };
