//! Scenario files: one migration, its guest, its link and its faults, for the simulator and the real lab alike.
//!
//! ```toml
//! name = "converges"                    # letters, digits, `-`, `_` and `.`
//!
//! [guest]
//! name = "finch"
//! memory_mib = 256
//! working_set_mib = 64                  # the region starts at 16 MiB
//! writes_per_second = 4000              # uniform over the working set
//!
//! [link]
//! bandwidth_mib_per_second = 1000
//!
//! [migration]
//! timeout_ms = 120000
//!
//! [[fault]]
//! at_iteration = 4
//! do = "cancel"
//!
//! [expect]
//! result = "completed"
//! guest_on = "destination"
//! ```
//!
//! The whole format stands in `docs/scenarios.md`. Each table is read by a file of its own, which also has the type
//! that comes out; `sections` puts them together, and `staging` makes a world of them. Numbers are whole numbers, units
//! stand last in the names. A file that says something this reader does not know is refused, never half understood.

mod bounds;
mod builtin;
mod constants;
mod disk;
mod engine;
mod error;
mod expect;
mod expectations;
mod fault;
mod fleet;
mod guest;
mod hosts;
mod link;
mod migration;
mod reader;
mod sections;
mod staging;
mod timeline;
mod writer;

pub use disk::{AtDestination, ScenarioDisk};
pub use error::{Problem, ScenarioError};
pub use expect::{Expectation, ExpectedResult, GuestPlace};
pub use expectations::end_of;
pub use fault::{Fault, FaultAction, Trigger};
pub use guest::{GuestPhase, ScenarioGuest, Writing};
pub use link::ScenarioLink;
pub use migration::ScenarioMigration;
pub use staging::{Conditions, Staged};
pub use timeline::timeline;
pub use writer::ScenarioWriter;

use crate::qemu::HostConstants;
use crate::world::{DaemonConstants, HostInventory};

/// One migration as a file describes it; every value within its documented bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// What it is called.
    pub name: String,
    /// What it shows, for people; may be empty.
    pub description: String,
    /// Seed of all chance in the simulator.
    pub seed: u64,
    /// The guest to migrate.
    pub guest: ScenarioGuest,
    /// The network between the hosts.
    pub link: ScenarioLink,
    /// The options of the migration.
    pub migration: ScenarioMigration,
    /// The host that the guest leaves.
    pub source: HostInventory,
    /// The host that it goes to.
    pub destination: HostInventory,
    /// Times of the daemons.
    pub daemons: DaemonConstants,
    /// Costs of the hosts.
    pub costs: HostConstants,
    /// Faults and requests on the way, in the order of the file.
    pub faults: Vec<Fault>,
    /// What must come out.
    pub expect: Expectation,
}

impl Scenario {
    /// Reads a scenario file's text; `file_name` only serves the messages.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the text at once, each with its place, what is allowed, and what was
    /// probably meant.
    pub fn parse(text: &str, file_name: &str) -> Result<Self, ScenarioError> {
        sections::read(text).map_err(|problems| ScenarioError::new(file_name, problems))
    }
}
