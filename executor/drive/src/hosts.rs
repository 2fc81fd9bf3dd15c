//! The drivers that a program has, by the URIs of their hosts: inventories of hosts, and ports through which guests are
//! migrated.
//!
//! Drivers are registered by the program. Nothing here names one of them or decides anything about a migration.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::{fmt, io};

use whimbrel_facts::Facts;

use crate::dirty_rate::{DirtyRate, INTERVALS_S};
use crate::inventory::Inventory;
use crate::redacted::Redacted;
pub use crate::route::{Assignment, Inquiry, Route};
use crate::uri::{HostUri, Origin, UriError, check_migrate_uri};
use crate::{Message, Port};

/// One kind of host, and how it is reached. Every call but [`reaches`](Self::reaches) and [`port`](Self::port) blocks for as
/// long as the host takes to answer.
pub trait HostDriver: fmt::Debug + Send + Sync {
    /// Whether a host at this URI is of this kind.
    fn reaches(&self, uri: &HostUri) -> bool;

    /// URIs of the hosts that the driver knows without configuration.
    ///
    /// # Errors
    /// When it cannot find out.
    fn known_uris(&self) -> Result<Vec<String>, HostsError> {
        Ok(Vec::new())
    }

    /// From now on, connections over ssh trust the host keys of this file only. `script` is a path for a program that a
    /// transport may need.
    ///
    /// # Errors
    /// When the script cannot be written.
    fn trust(&self, known_hosts: &Path, script: &Path) -> io::Result<()> {
        let _ = (known_hosts, script);
        Ok(())
    }

    /// A host and its guests.
    ///
    /// # Errors
    /// When the host cannot be queried.
    fn inventory(&self, uri: &HostUri) -> Result<Inventory, HostsError>;

    /// The facts of a guest and both hosts, for the rules.
    ///
    /// # Errors
    /// When a host cannot be queried, or the source has no such guest.
    fn facts(&self, inquiry: &Inquiry, ends: &Ends) -> Result<Facts, HostsError>;

    /// A survey of many guests. Nothing is connected to before its first query.
    fn survey(&self) -> Box<dyn Survey>;

    /// The dirty rate of a guest on its source over this many seconds, within [`INTERVALS_S`]. The guest runs on; it blocks for
    /// the interval and the host's answers.
    ///
    /// # Errors
    /// When the host cannot measure it, or has no such guest: the rate is unknown then.
    fn dirty_rate(&self, inquiry: &Inquiry, ends: &Ends, seconds: u16) -> Result<DirtyRate, HostsError> {
        let _ = (inquiry, seconds);
        let reason = "its driver measures no dirty rate".to_owned();
        Err(HostsError::Refused { uri: ends.source.to_string(), reason })
    }

    /// A port that answers into `inbox`. Nothing is connected to before the first command.
    ///
    /// # Errors
    /// When there can be none.
    fn port(
        &self,
        assignment: Assignment,
        ends: Ends,
        inbox: Sender<Message>,
    ) -> Result<Box<dyn Port + Send>, HostsError>;
}

/// A survey of the hosts of one driver. Every call blocks for as long as a host takes to answer.
pub trait Survey: fmt::Debug + Send {
    /// A host and its guests.
    ///
    /// # Errors
    /// When the host cannot be queried; the same error for each query about a host that did not answer.
    fn inventory(&mut self, uri: &HostUri) -> Result<Inventory, HostsError>;

    /// The facts of a guest and both hosts, for the rules.
    ///
    /// # Errors
    /// When a host cannot be queried, or the source has no such guest.
    fn facts(&mut self, inquiry: &Inquiry, ends: &Ends) -> Result<Facts, HostsError>;
}

/// Both hosts of a migration, read and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The source.
    pub source: HostUri,
    /// The destination, as its daemon is reached.
    pub destination: HostUri,
}

/// Every driver that this process has.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    drivers: Vec<Arc<dyn HostDriver>>,
}

/// Why a host cannot be queried.
#[derive(Debug, thiserror::Error)]
pub enum HostsError {
    /// It is not a URI that may be opened.
    #[error(transparent)]
    Uri(#[from] UriError),
    /// The guest's memory cannot be sent there.
    #[error("{0}")]
    MigrateUri(&'static str),
    /// A simulated host without a simulated world.
    #[error("`{0}` is a simulated host, and this process has no simulated hosts")]
    NoWorld(String),
    /// The URI needs the libvirt driver.
    #[error("this build cannot connect to `{0}`: the libvirt driver is not built in")]
    NoDriver(String),
    /// One end is simulated and the other is not.
    #[error("cannot migrate from `{0}` to `{1}`: only one of them is simulated")]
    Mixed(String, String),
    /// The simulated world does not answer.
    #[error("the simulated hosts do not answer")]
    World(#[source] io::Error),
    /// The host does not answer, or refuses.
    #[error("cannot query `{uri}`: {reason}")]
    Refused {
        /// Which host.
        uri: String,
        /// The driver's message.
        reason: String,
    },
}

impl Hosts {
    /// The hosts of these drivers. Where two reach a URI, the first one is used.
    #[must_use]
    pub fn new(drivers: Vec<Arc<dyn HostDriver>>) -> Self {
        Self { drivers }
    }

    /// Makes every ssh connection of this process trust the host keys of this file only. `script` is made for
    /// transports that take a program.
    ///
    /// # Errors
    /// When the script cannot be written.
    pub fn trust(&self, known_hosts: &Path, script: &Path) -> io::Result<()> {
        self.drivers.iter().try_for_each(|driver| driver.trust(known_hosts, script))
    }

    /// Reads the URI that `origin` wrote, and checks that there is a driver for it. Nothing is connected to.
    ///
    /// # Errors
    /// [`HostsError::Uri`], [`HostsError::NoWorld`] or [`HostsError::NoDriver`].
    pub fn check(&self, uri: &str, origin: Origin) -> Result<HostUri, HostsError> {
        let uri = HostUri::parse(uri, origin)?;
        self.driver(&uri)?;
        Ok(uri)
    }

    pub(crate) fn driver(&self, uri: &HostUri) -> Result<&Arc<dyn HostDriver>, HostsError> {
        let missing = if uri.is_simulated() { HostsError::NoWorld } else { HostsError::NoDriver };
        let found = self.drivers.iter().find(|driver| driver.reaches(uri));
        found.ok_or_else(|| missing(uri.to_string()))
    }

    /// Checks that one driver reaches both ends of a migration. Nothing is connected to.
    ///
    /// # Errors
    /// As [`Hosts::check`], and [`HostsError::Mixed`].
    pub fn check_both(&self, source: &str, destination: &str) -> Result<Ends, HostsError> {
        self.both(source, destination).map(|(_, ends)| ends)
    }

    pub(crate) fn both(
        &self,
        source: &str,
        destination: &str,
    ) -> Result<(&Arc<dyn HostDriver>, Ends), HostsError> {
        let [source, destination] = [source, destination].map(|uri| HostUri::parse(uri, Origin::Operator));
        let ends = Ends { source: source?, destination: destination? };
        let (driver, other) = (self.driver(&ends.source)?, self.driver(&ends.destination)?);
        if !Arc::ptr_eq(driver, other) {
            return Err(HostsError::Mixed(ends.source.to_string(), ends.destination.to_string()));
        }
        Ok((driver, ends))
    }

    /// A host and its guests. Blocks for as long as the host takes to answer.
    ///
    /// # Errors
    /// When the host cannot be queried.
    pub fn inventory(&self, uri: &str) -> Result<Inventory, HostsError> {
        let uri = HostUri::parse(uri, Origin::Operator)?;
        self.driver(&uri)?.inventory(&uri)
    }

    /// URIs of the hosts that drivers know without configuration: the simulated ones.
    ///
    /// # Errors
    /// When the simulated world does not answer.
    pub fn known_uris(&self) -> Result<Vec<String>, HostsError> {
        let uris: Result<Vec<_>, _> = self.drivers.iter().map(|driver| driver.known_uris()).collect();
        Ok(uris?.concat())
    }

    /// The facts of a guest and both hosts, for the rules. Blocks for as long as the hosts take to answer.
    ///
    /// # Errors
    /// When a host cannot be queried, or the source has no such guest.
    pub fn facts(&self, inquiry: &Inquiry) -> Result<Facts, HostsError> {
        let (driver, ends) = self.both(&inquiry.source, &inquiry.destination)?;
        driver.facts(inquiry, &ends)
    }

    /// The dirty rate of a guest on its source over this many seconds. Blocks for the interval and the host's answers.
    ///
    /// # Errors
    /// When the interval is out of bounds, or the host cannot measure it, or has no such guest: the rate is unknown then.
    pub fn dirty_rate(&self, inquiry: &Inquiry, seconds: u16) -> Result<DirtyRate, HostsError> {
        let (driver, ends) = self.both(&inquiry.source, &inquiry.destination)?;
        if !INTERVALS_S.contains(&seconds) {
            let reason = format!("a dirty rate is measured over {INTERVALS_S:?} s");
            return Err(HostsError::Refused { uri: ends.source.to_string(), reason });
        }
        driver.dirty_rate(inquiry, &ends, seconds)
    }

    /// A port that answers into `inbox`. Nothing is connected to before the first command. A port of a route that was read
    /// from a record without its secrets starts no copy.
    ///
    /// # Errors
    /// When there is no driver for one of the URIs, they need different ones, or memory cannot be sent where the route says.
    pub fn port(
        &self,
        assignment: Assignment,
        inbox: Sender<Message>,
    ) -> Result<Box<dyn Port + Send>, HostsError> {
        if !assignment.route.is_redacted() {
            return self.whole_port(assignment, inbox);
        }
        let port = self.whole_port(assignment, inbox.clone())?;
        Ok(Box::new(Redacted { port, inbox }))
    }

    fn whole_port(
        &self,
        assignment: Assignment,
        inbox: Sender<Message>,
    ) -> Result<Box<dyn Port + Send>, HostsError> {
        let route = &assignment.route;
        let (driver, mut ends) = self.both(&route.source, &route.destination)?;
        if let Some(uri) = &route.migrate_uri {
            check_migrate_uri(uri, Origin::Operator).map_err(HostsError::MigrateUri)?;
        }
        ends.destination = self.check(&route.way_to_destination(), Origin::Operator)?;
        driver.port(assignment, ends, inbox)
    }
}
