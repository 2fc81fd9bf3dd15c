//! `sim://` connections: simulated hosts that answer the same port as libvirt's, in real or scaled time.
//!
//! A world of hosts and guests lives on a thread of its own (`land`), here or in another process that is reached
//! through a Unix socket (`socket`), as libvirt's daemons live outside of whoever drives a migration. Whoever drives
//! must not be able to tell a simulated host from a real one by anything but its URI.

mod built_in;
mod definition;
mod driver;
mod facts;
pub mod fixtures;
mod land;
mod port;
mod socket;

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::Sender;

use whimbrel_core::Failure;
use whimbrel_facts::Facts;
use whimbrel_sim::world::World;

pub use self::built_in::{built_in_world, scenario_world};
pub use self::socket::serve;

use self::land::{Ask, Land};
use whimbrel_drive::hosts::{Inquiry, Route};
use whimbrel_drive::inventory::Inventory;
use whimbrel_drive::{Message, Port};

/// What every URI of a simulated host begins with.
pub const SCHEME: &str = "sim://";

/// A connection to a simulated world. Clones share it.
#[derive(Clone, Debug)]
pub struct SimulatedHosts(Place);

#[derive(Clone, Debug)]
enum Place {
    Here(Land),
    Elsewhere(PathBuf),
}

impl SimulatedHosts {
    /// Sets a world going on a thread of its own. `speed` simulated seconds pass in each real one.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(world: World, speed: u32) -> io::Result<Self> {
        Land::start(world, speed).map(|land| Self(Place::Here(land)))
    }

    /// A world that another process serves on this Unix socket. It is connected to with each question.
    #[must_use]
    pub fn at(socket: PathBuf) -> Self {
        Self(Place::Elsewhere(socket))
    }

    /// From now on, `speed` simulated seconds pass in each real one.
    ///
    /// # Errors
    /// When the world's process is gone.
    pub fn set_speed(&self, speed: u32) -> io::Result<()> {
        match &self.0 {
            Place::Here(land) => {
                land.ask(Ask::Pace(speed));
                Ok(())
            }
            Place::Elsewhere(socket) => socket::set_speed(socket, speed),
        }
    }

    /// Every host with its guests.
    ///
    /// # Errors
    /// When the world's thread or process is gone.
    pub fn inventories(&self) -> io::Result<Vec<Inventory>> {
        match &self.0 {
            Place::Here(land) => land.inventory(),
            Place::Elsewhere(socket) => socket::inventory(socket),
        }
    }

    /// What rules are told of a guest and both hosts; a failure where an address or the guest is not known.
    ///
    /// # Errors
    /// When the world's thread or process is gone.
    pub fn facts_of(&self, inquiry: &Inquiry) -> io::Result<Result<Box<Facts>, Failure>> {
        match &self.0 {
            Place::Here(land) => land.facts(inquiry),
            Place::Elsewhere(socket) => socket::facts(socket, inquiry),
        }
    }

    /// A port that answers into `inbox`. A route that leads nowhere is told by its answers, as with real hosts.
    ///
    /// # Errors
    /// When the world's thread or process is gone.
    pub fn open_port(&self, route: Route, inbox: Sender<Message>) -> io::Result<Box<dyn Port + Send>> {
        match &self.0 {
            Place::Here(land) => Ok(Box::new(port::SimulatedPort::open(land.clone(), route, inbox)?)),
            Place::Elsewhere(socket) => Ok(Box::new(socket::open(socket, &route, inbox)?)),
        }
    }
}
