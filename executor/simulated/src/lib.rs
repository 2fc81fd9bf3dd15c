//! `sim://` connections: simulated hosts that answer the same port as libvirt's, in real or scaled time.
//!
//! A world of hosts and guests lives on a thread of its own (`world_thread`), here or in another process that is reached
//! through a Unix socket (`socket`), as libvirt's daemons live outside of the driver of a migration. The driver
//! must not be able to distinguish a simulated host from a real one by anything but its URI.

mod built_in;
mod definition;
mod driver;
mod facts;
pub mod fixtures;
mod measurements;
mod port;
mod socket;
mod world_thread;

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::Sender;

use whimbrel_core::Failure;
use whimbrel_facts::Facts;
use whimbrel_sim::world::World;

pub use self::built_in::{built_in_world, scenario_world};
pub use self::socket::serve;

use self::world_thread::{Ask, WorldHandle};
use whimbrel_drive::dirty_rate::DirtyRate;
use whimbrel_drive::hosts::{Inquiry, Route};
use whimbrel_drive::inventory::Inventory;
use whimbrel_drive::{Message, Port};

/// What every URI of a simulated host begins with.
pub const SCHEME: &str = "sim://";

/// A connection to a simulated world. Clones share it.
#[derive(Clone, Debug)]
pub struct SimulatedHosts(Backend);

#[derive(Clone, Debug)]
enum Backend {
    Local(WorldHandle),
    Socket(PathBuf),
}

impl SimulatedHosts {
    /// Sets a world going on a thread of its own. `speed` simulated seconds pass in each real one.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(world: World, speed: u32) -> io::Result<Self> {
        WorldHandle::start(world, speed).map(|handle| Self(Backend::Local(handle)))
    }

    /// A world that another process serves on this Unix socket. It is connected to with each question.
    #[must_use]
    pub fn at(socket: PathBuf) -> Self {
        Self(Backend::Socket(socket))
    }

    /// From now on, `speed` simulated seconds pass in each real one.
    ///
    /// # Errors
    /// When the world's process is gone.
    pub fn set_speed(&self, speed: u32) -> io::Result<()> {
        match &self.0 {
            Backend::Local(handle) => {
                handle.ask(Ask::SetSpeed(speed));
                Ok(())
            }
            Backend::Socket(socket) => socket::set_speed(socket, speed),
        }
    }

    /// Every host with its guests.
    ///
    /// # Errors
    /// When the world's thread or process is gone.
    pub fn inventories(&self) -> io::Result<Vec<Inventory>> {
        match &self.0 {
            Backend::Local(handle) => handle.inventory(),
            Backend::Socket(socket) => socket::inventory(socket),
        }
    }

    /// The facts for rules about a guest and both hosts; a failure where an address or the guest is not known.
    ///
    /// # Errors
    /// When the world's thread or process is gone.
    pub fn facts_of(&self, inquiry: &Inquiry) -> io::Result<Result<Box<Facts>, Failure>> {
        match &self.0 {
            Backend::Local(handle) => handle.facts(inquiry),
            Backend::Socket(socket) => socket::facts(socket, inquiry),
        }
    }

    /// The dirty rate of a guest over this many seconds of simulated time; a failure where it cannot be measured.
    ///
    /// # Errors
    /// When the world's thread or process is gone.
    pub fn dirty_rate_of(&self, inquiry: &Inquiry, seconds: u16) -> io::Result<Result<DirtyRate, Failure>> {
        match &self.0 {
            Backend::Local(handle) => handle.dirty_rate(inquiry, seconds),
            Backend::Socket(socket) => socket::dirty_rate(socket, inquiry, seconds),
        }
    }

    /// A port that answers into `inbox`. An invalid route is reported by its answers, as with real hosts.
    ///
    /// # Errors
    /// When the world's thread or process is gone.
    pub fn open_port(&self, route: Route, inbox: Sender<Message>) -> io::Result<Box<dyn Port + Send>> {
        match &self.0 {
            Backend::Local(handle) => Ok(Box::new(port::SimulatedPort::open(handle.clone(), route, inbox)?)),
            Backend::Socket(socket) => Ok(Box::new(socket::open(socket, &route, inbox)?)),
        }
    }
}
