//! Hosts by their URIs, real or simulated: what is on them, and ports through which guests are moved between them.
//!
//! The one place that knows which driver stands behind which URI. It must never decide anything about a migration.

use std::io;
use std::path::Path;
use std::sync::mpsc::Sender;

use serde::{Deserialize, Serialize};
use whimbrel_core::{Failure, Fault, GuestFacts, Ways};
use whimbrel_plugins::facts::Facts;

use crate::drive::{Message, Port};
use crate::inventory::Inventory;
use crate::simulated::{SCHEME, SimulatedHosts};

/// Which guest goes which way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The guest's name on the source.
    pub guest: String,
    /// URI of the source.
    pub source: String,
    /// URI of the destination; the source's daemon must reach it too.
    pub destination: String,
    /// Where QEMU's data goes, for example `tcp://192.0.2.12`; `None` lets the destination propose its host name.
    pub migrate_uri: Option<String>,
    /// In which of the hypervisor's ways the guest is moved.
    pub ways: Ways,
    /// The domain XML that the destination is to use instead of the source's: other paths, networks, names of devices on
    /// the host. What the guest sees of them must be the same.
    pub destination_xml: Option<String>,
    /// Overrules the hypervisor's own doubts about shared storage. Whoever sets it has proved the sharing.
    #[serde(default)]
    pub allow_unsafe: bool,
    /// A socket on this machine that leads to the destination's daemon, where its URI alone would not let us in. The
    /// source's daemon goes through it too, so it has to be on this machine as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tunnel: Option<String>,
    /// The guest's UUID, where it is known already: another guest of its name is not it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
}

impl Route {
    /// What was asked for, without what was found out on the way.
    #[must_use]
    pub fn as_asked(self) -> Self {
        Self { tunnel: None, uuid: None, ..self }
    }

    /// The URI by which the destination's daemon is reached.
    #[must_use]
    pub fn way_to_destination(&self) -> String {
        match &self.tunnel {
            Some(socket) => format!("qemu+unix:///system?socket={socket}"),
            None => self.destination.clone(),
        }
    }
}

/// What is asked about a migration that may come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inquiry {
    /// The guest's name on the source.
    pub guest: String,
    /// URI of the source.
    pub source: String,
    /// URI of the destination.
    pub destination: String,
    /// The domain XML that the destination is to use instead of the source's.
    pub destination_xml: Option<String>,
    /// Whether disks are to be copied, so that they need not be shared.
    pub copy_disks: bool,
    /// Whether shared storage may be proved by a file that is made and removed again.
    pub probe: bool,
}

/// Every driver that this process has.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    simulated: Option<SimulatedHosts>,
}

/// Why a host cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum HostsError {
    /// It is not a URI of a kind that is known.
    #[error("`{}` is not a libvirt connection URI", .0.escape_debug())]
    NotAUri(String),
    /// A simulated host without a simulated world.
    #[error("`{0}` is a simulated host, and no simulated world runs here")]
    NoWorld(String),
    /// The URI needs the libvirt driver.
    #[error("this build cannot connect to `{0}`: the libvirt driver is not built in")]
    NoDriver(String),
    /// One end is simulated and the other is not.
    #[error("a guest cannot go from `{0}` to `{1}`: one of them is simulated")]
    Mixed(String, String),
    /// The simulated world is gone.
    #[error("the simulated world does not answer")]
    World(#[source] io::Error),
    /// The host does not answer, or refuses.
    #[error("cannot ask `{uri}`: {reason}")]
    Refused {
        /// Which host.
        uri: String,
        /// In the driver's words.
        reason: String,
    },
}

impl Hosts {
    /// Real hosts, where the driver is built in, and the simulated ones of this world.
    #[must_use]
    pub fn new(simulated: Option<SimulatedHosts>) -> Self {
        Self { simulated }
    }

    /// Lets every connection that this process makes over ssh trust the host keys of this file only. `script` is made for
    /// transports that are told by a program.
    ///
    /// # Errors
    /// When the script cannot be written.
    pub fn trust(known_hosts: &Path, script: &Path) -> io::Result<()> {
        real::trust(known_hosts, script)
    }

    /// Checks that there is a driver for this URI. Nothing is connected to.
    ///
    /// # Errors
    /// [`HostsError::NotAUri`], [`HostsError::NoWorld`] or [`HostsError::NoDriver`].
    pub fn check(&self, uri: &str) -> Result<(), HostsError> {
        if uri.chars().any(char::is_control) {
            return Err(HostsError::NotAUri(uri.to_owned()));
        }
        if uri.starts_with("sim:") {
            return match &self.simulated {
                Some(_) if uri.starts_with(SCHEME) => Ok(()),
                Some(_) => Err(HostsError::NotAUri(uri.to_owned())),
                None => Err(HostsError::NoWorld(uri.to_owned())),
            };
        }
        if !uri.contains("://") {
            return Err(HostsError::NotAUri(uri.to_owned()));
        }
        if cfg!(feature = "libvirt") { Ok(()) } else { Err(HostsError::NoDriver(uri.to_owned())) }
    }

    /// Checks that one driver reaches both ends of a migration. Nothing is connected to.
    ///
    /// # Errors
    /// As [`Hosts::check`], and [`HostsError::Mixed`].
    pub fn check_both(&self, source: &str, destination: &str) -> Result<(), HostsError> {
        self.check(source)?;
        self.check(destination)?;
        if source.starts_with(SCHEME) != destination.starts_with(SCHEME) {
            return Err(HostsError::Mixed(source.to_owned(), destination.to_owned()));
        }
        Ok(())
    }

    /// A host and its guests. Blocks for as long as the host takes to answer.
    ///
    /// # Errors
    /// When the host cannot be asked.
    pub fn inventory(&self, uri: &str) -> Result<Inventory, HostsError> {
        self.check(uri)?;
        match &self.simulated {
            Some(world) if uri.starts_with(SCHEME) => {
                let hosts = world.inventory().map_err(HostsError::World)?;
                let wanted = uri.trim_end_matches('/');
                hosts.into_iter().find(|found| found.host.uri == wanted).ok_or_else(|| HostsError::Refused {
                    uri: uri.to_owned(),
                    reason: "there is no such simulated host".to_owned(),
                })
            }
            _ => real::inventory(uri),
        }
    }

    /// URIs of the simulated hosts.
    ///
    /// # Errors
    /// When the simulated world is gone.
    pub fn simulated_uris(&self) -> Result<Vec<String>, HostsError> {
        let Some(world) = &self.simulated else { return Ok(Vec::new()) };
        let hosts = world.inventory().map_err(HostsError::World)?;
        Ok(hosts.into_iter().map(|found| found.host.uri).collect())
    }

    /// What rules are told of a guest and both hosts. Blocks for as long as the hosts take to answer.
    ///
    /// # Errors
    /// When a host cannot be asked, or the source has no such guest.
    pub fn facts(&self, inquiry: &Inquiry) -> Result<Facts, HostsError> {
        let ends = [&inquiry.source, &inquiry.destination];
        for uri in ends {
            self.check(uri)?;
        }
        let simulated = ends.iter().filter(|uri| uri.starts_with(SCHEME)).count();
        match &self.simulated {
            Some(world) if simulated == ends.len() => {
                let told = world.facts(inquiry).map_err(HostsError::World)?;
                let refused = |failure: Failure| HostsError::Refused {
                    uri: if failure.fault == Fault::DestinationUnreachable { ends[1] } else { ends[0] }
                        .clone(),
                    reason: failure.message,
                };
                told.map(|facts| *facts).map_err(refused)
            }
            _ if simulated > 0 => Err(HostsError::Mixed(inquiry.source.clone(), inquiry.destination.clone())),
            _ => real::facts(inquiry),
        }
    }

    /// A port that answers into `inbox`. Nothing is connected to before the first command. With `known`, the guest as it
    /// was found before, it looks for that guest and no other of its name.
    ///
    /// # Errors
    /// When there is no driver for one of the URIs, or they need different ones.
    pub fn port(
        &self,
        route: Route,
        known: Option<GuestFacts>,
        inbox: Sender<Message>,
    ) -> Result<Box<dyn Port + Send>, HostsError> {
        self.check_both(&route.source, &route.destination)?;
        match &self.simulated {
            Some(world) if route.source.starts_with(SCHEME) => {
                world.port(route, inbox).map_err(HostsError::World)
            }
            _ => real::port(route, known, inbox),
        }
    }
}

#[cfg(feature = "libvirt")]
mod real {
    use std::io;
    use std::path::Path;
    use std::sync::mpsc::Sender;

    use whimbrel_core::GuestFacts;
    use whimbrel_plugins::facts::Facts;

    use super::{HostsError, Inquiry, Route};
    use crate::drive::{Message, Port};
    use crate::inventory::Inventory;
    use crate::libvirt::{self, LibvirtPort};

    pub(super) fn trust(known_hosts: &Path, script: &Path) -> io::Result<()> {
        libvirt::trust(known_hosts, script)
    }

    pub(super) fn inventory(uri: &str) -> Result<Inventory, HostsError> {
        libvirt::inventory(uri)
            .map_err(|error| HostsError::Refused { uri: uri.to_owned(), reason: error.to_string() })
    }

    pub(super) fn facts(inquiry: &Inquiry) -> Result<Facts, HostsError> {
        libvirt::collect(inquiry)
            .map_err(|untold| HostsError::Refused { uri: untold.uri, reason: untold.error.to_string() })
    }

    #[expect(clippy::unnecessary_wraps, reason = "the same without the driver, where it fails")]
    pub(super) fn port(
        route: Route,
        known: Option<GuestFacts>,
        inbox: Sender<Message>,
    ) -> Result<Box<dyn Port + Send>, HostsError> {
        Ok(Box::new(LibvirtPort::new(route, known, inbox)))
    }
}

#[cfg(not(feature = "libvirt"))]
mod real {
    use std::io;
    use std::path::Path;
    use std::sync::mpsc::Sender;

    use whimbrel_core::GuestFacts;
    use whimbrel_plugins::facts::Facts;

    use super::{HostsError, Inquiry, Route};
    use crate::drive::{Message, Port};
    use crate::inventory::Inventory;

    #[expect(clippy::unnecessary_wraps, reason = "the same with the driver, where it may fail")]
    pub(super) fn trust(_: &Path, _: &Path) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn inventory(uri: &str) -> Result<Inventory, HostsError> {
        Err(HostsError::NoDriver(uri.to_owned()))
    }

    pub(super) fn facts(inquiry: &Inquiry) -> Result<Facts, HostsError> {
        Err(HostsError::NoDriver(inquiry.source.clone()))
    }

    pub(super) fn port(
        route: Route,
        _: Option<GuestFacts>,
        _: Sender<Message>,
    ) -> Result<Box<dyn Port + Send>, HostsError> {
        Err(HostsError::NoDriver(route.source))
    }
}
