//! The world that comes with the program: three hosts, and guests that write to their memory in different ways.

use whimbrel_sim::Scenario;
use whimbrel_sim::guest::{Guest, HOT_SHARE_ONE, Pace, Pattern, Writer};
use whimbrel_sim::network::{Capacity, Line, Loss};
use whimbrel_sim::qemu::Engine;
use whimbrel_sim::world::{HostInventory, VirtualMachine, World};

const PAGES_PER_MIB: u64 = 256;
const NS_PER_S: u64 = 1_000_000_000;
/// A network of 2.5 Gbit/s, which a migration of some GiB takes seconds on: time to watch it.
const CARD_BYTES_PER_SECOND: u64 = 298 << 20;
/// Where a guest's program may begin to write: what lies below belongs to its kernel.
const REGION_FIRST_PAGE: u64 = 16 * PAGES_PER_MIB;

/// Hosts `sim://alpha`, `sim://beta` and `sim://gamma`; on the first a guest that is quiet, one that converges, one
/// that falls back whenever it works, and one that dirties memory faster than the network carries it. The others have a
/// quiet guest each, both of one name. `more` adds guests `guest-001` and so on to the first, which converge.
#[must_use]
pub fn built_in_world(seed: u64, more: u32) -> World {
    let line = Line { latency_ns: 100_000, jitter_ns: 50_000, loss: Loss::NONE };
    // Counts of pages instead of pages: a service that simulates a hundred guests has one core for it.
    let mut world = World::new(seed, line).with_engine(Engine::Lumped);
    let [alpha, beta, gamma] = ["alpha", "beta", "gamma"]
        .map(|name| world.add_host(HostInventory::named(name), Capacity::constant(CARD_BYTES_PER_SECOND)));
    let hot = Pattern::HotCold { hot_pages: 96 * PAGES_PER_MIB, hot_share: HOT_SHARE_ONE / 10 * 9 };
    let guests = [
        ("build", 2_048, 1_600, Pattern::Uniform, 1_024, Pace::bursts(120_000, 9 * NS_PER_S, 14 * NS_PER_S)),
        ("database", 4_096, 3_000, hot, 1_536, Pace::steady(220_000)),
        ("idle", 512, 200, Pattern::Uniform, 16, Pace::steady(20)),
        ("web", 1_024, 800, Pattern::Uniform, 256, Pace::steady(6_000)),
    ];
    for (name, memory_mib, filled_mib, pattern, working_set_mib, pace) in guests {
        let writer = Writer { pace, ..Writer::steady(pattern, 0, working_set_mib * PAGES_PER_MIB) };
        world.add_guest(alpha, VirtualMachine::named(name, memory(memory_mib, filled_mib, writer)));
    }
    // Two guests of one name: a request that has only the name is ambiguous.
    for (host, uuid_of) in [(beta, "proxy of beta"), (gamma, "proxy of gamma")] {
        let quiet = memory(256, 64, Writer::steady(Pattern::Uniform, 20, 4 * PAGES_PER_MIB));
        let machine = VirtualMachine { name: "proxy".to_owned(), ..VirtualMachine::named(uuid_of, quiet) };
        world.add_guest(host, machine);
    }
    for number in 1..=more {
        let writer = Writer::steady(Pattern::Uniform, 2_000, 64 * PAGES_PER_MIB);
        world.add_guest(
            alpha,
            VirtualMachine::named(&format!("guest-{number:03}"), memory(1_024, 512, writer)),
        );
    }
    world
}

/// The world of a scenario: two hosts, its guest, and what is going to go wrong.
#[must_use]
pub fn scenario_world(scenario: &Scenario) -> World {
    scenario.stage(scenario.conditions()).world
}

fn memory(memory_mib: u64, filled_mib: u64, writer: Writer) -> Guest {
    Guest {
        memory_mib,
        region_first_page: REGION_FIRST_PAGE,
        filled_pages: filled_mib * PAGES_PER_MIB,
        writers: vec![writer],
        ..Guest::default()
    }
}
