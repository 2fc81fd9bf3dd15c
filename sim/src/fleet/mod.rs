//! Fleets: many hosts and guests in one world, and their evacuation.

mod description;
mod links;
mod moving;
mod placement;
mod report;
mod schedule;
mod staging;

pub use description::{
    Evacuation, Fleet, FleetExpectation, FleetFault, FleetMigration, GuestGroup, HostFault, HostGroup,
    HostPlace, Order, Spread,
};
pub use links::{LinkKind, LinkUse};
pub use moving::{Evacuating, FleetError, Moved};
pub use placement::NoRoom;
pub use report::{
    AtOnce, CauseCount, FleetReport, GuestCounts, IncidentReport, MigrationCounts, Percentiles,
};
