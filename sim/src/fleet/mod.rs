//! Fleets: many hosts and guests in one world, and the evacuation of some of the hosts.
//!
//! ```text
//!  description ─▶ placement ─▶ staging (the world)
//!                                 │
//!  schedule (who next, where) ─▶ moving (a machine for each guest) ─▶ links, report
//! ```
//!
//! Each guest is moved by the very machine that moves one guest on real hosts, at a port of its own, and all of them
//! share the hosts' daemons, memory and network. The schedule keeps to its limits and learns from outcomes only.
//!
//! ```
//! use whimbrel_sim::fleet::Fleet;
//! use whimbrel_sim::qemu::Engine;
//!
//! let text = r#"
//!     name = "two-hosts-into-one"
//!     [fleet]
//!     [[fleet.hosts]]
//!     name = "old"
//!     count = 2
//!     memory_mib = 65536
//!     card_mib_per_second = 1190
//!     [[fleet.hosts]]
//!     name = "new"
//!     count = 1
//!     memory_mib = 131072
//!     card_mib_per_second = 2980
//!     [[fleet.guests]]
//!     name = "web"
//!     count = 20
//!     on = "old"
//!     memory_mib = 4096
//!     working_set_mib = 256
//!     writes_per_second = 4000
//!     [fleet.evacuation]
//!     from = ["old"]
//!     to = ["new"]
//!     at_once = 4
//! "#;
//! let fleet = Fleet::parse(text, "fleet.toml")?;
//! let report = fleet.evacuate(Engine::Lumped, fleet.seed, |moved| {
//!     assert_eq!(moved.to, "new-1");
//! })?;
//! assert_eq!((report.guests.moved, report.incidents.len()), (20, 0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Nothing here may read the world's actual events before the evacuation is over, or decide by anything but integers.

mod description;
mod evacuation;
mod links;
mod placement;
mod report;
mod staging;
#[cfg(test)]
mod tests;

pub use description::{
    Evacuation, Fleet, FleetExpectation, FleetFault, FleetMigration, GuestGroup, HostFault, HostGroup,
    HostPlace, Spread,
};
pub use evacuation::{Evacuating, FleetError, Moved};
pub use links::{LinkKind, LinkUse};
pub use placement::NoRoom;
pub use report::{
    AtOnce, CauseCount, FleetReport, GuestCounts, IncidentReport, MigrationCounts, Percentiles,
};
pub use whimbrel_schedule::Order;
