//! Fleets: many hosts and guests in one world, and their evacuation.

mod description;
mod moving;
mod placement;
mod schedule;
mod staging;

pub use description::{
    Evacuation, Fleet, FleetExpectation, FleetFault, FleetMigration, GuestGroup, HostFault, HostGroup,
    HostPlace, Order, Spread,
};
pub use moving::{Evacuating, FleetError, Moved};
pub use placement::NoRoom;
