//! Hosts by their URIs, real or simulated: what is on them, and ports through which guests are moved between them.
//!
//! The one place that knows which driver stands behind which URI. It must never decide anything about a migration.

use std::io;
use std::path::Path;
use std::sync::mpsc::Sender;

use serde::{Deserialize, Serialize};
use whimbrel_core::{Failure, Fault, Ways};
use whimbrel_plugins::facts::Facts;
use whimbrel_plugins::xml::{REDACTED, without_secrets};

use crate::copying::DiskChoice;
use crate::drive::{Message, Port};
use crate::inventory::Inventory;
use crate::owner::Owner;
use crate::redacted::Redacted;
use crate::simulated::SimulatedHosts;
use crate::uri::{HostUri, Origin, UriError, check_migrate_uri};

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
    /// Which disks are copied, if [`ways`](Self::ways) says that disks are, and what that may overwrite.
    #[serde(default, skip_serializing_if = "DiskChoice::is_empty")]
    pub disks: DiskChoice,
    /// Whether the probe for shared storage is left out, by which a file is made and removed again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_probe: bool,
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
    /// The identity of a driver that is gone, whose owner tag on the guest may be replaced by ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replace_owner: Option<String>,
}

impl Route {
    /// What was asked for, without what was found out on the way.
    #[must_use]
    pub fn as_asked(self) -> Self {
        Self { tunnel: None, uuid: None, ..self }
    }

    /// As it is written down: without the secrets of the definition. One that cannot be read is left out whole.
    #[must_use]
    pub fn for_record(&self) -> Self {
        let redact =
            |xml: &String| without_secrets(xml).unwrap_or_else(|_| format!("<domain>{REDACTED}</domain>"));
        Self { destination_xml: self.destination_xml.as_ref().map(redact), ..self.clone() }
    }

    /// Whether its definition is not the whole one: no copy can be begun with it.
    #[must_use]
    pub fn is_redacted(&self) -> bool {
        self.destination_xml.as_ref().is_some_and(|xml| xml.contains(REDACTED))
    }

    /// The URI by which the destination's daemon is reached.
    #[must_use]
    pub fn way_to_destination(&self) -> String {
        match &self.tunnel {
            Some(socket) => HostUri::through_socket(socket),
            None => self.destination.clone(),
        }
    }
}

/// What a port is made for.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// Which guest goes which way.
    pub route: Route,
    /// The facts that were collected before, where the migration was begun before: only this guest and these hosts are
    /// accepted.
    pub known: Option<whimbrel_core::Facts>,
    /// Who drives it, as other drivers see it.
    pub owner: Owner,
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
    /// Whether disks are to be copied: then it is asked who uses the destination's files.
    pub copy_disks: bool,
    /// Whether shared storage may be proved by a file that is made and removed again.
    pub probe: bool,
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
    simulated: Option<SimulatedHosts>,
}

/// Why a host cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum HostsError {
    /// It is not a URI that may be opened.
    #[error(transparent)]
    Uri(#[from] UriError),
    /// The guest's memory cannot be sent there.
    #[error("{0}")]
    MigrateUri(&'static str),
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

    /// Reads the URI that `origin` wrote, and checks that there is a driver for it. Nothing is connected to.
    ///
    /// # Errors
    /// [`HostsError::Uri`], [`HostsError::NoWorld`] or [`HostsError::NoDriver`].
    pub fn check(&self, uri: &str, origin: Origin) -> Result<HostUri, HostsError> {
        let uri = HostUri::parse(uri, origin)?;
        match (uri.is_simulated(), &self.simulated) {
            (true, Some(_)) => Ok(uri),
            (true, None) => Err(HostsError::NoWorld(uri.to_string())),
            (false, _) if cfg!(feature = "libvirt") => Ok(uri),
            (false, _) => Err(HostsError::NoDriver(uri.to_string())),
        }
    }

    /// Checks that one driver reaches both ends of a migration. Nothing is connected to.
    ///
    /// # Errors
    /// As [`Hosts::check`], and [`HostsError::Mixed`].
    pub fn check_both(&self, source: &str, destination: &str) -> Result<Ends, HostsError> {
        let source = self.check(source, Origin::Operator)?;
        let destination = self.check(destination, Origin::Operator)?;
        if source.is_simulated() != destination.is_simulated() {
            return Err(HostsError::Mixed(source.to_string(), destination.to_string()));
        }
        Ok(Ends { source, destination })
    }

    /// A host and its guests. Blocks for as long as the host takes to answer.
    ///
    /// # Errors
    /// When the host cannot be asked.
    pub fn inventory(&self, uri: &str) -> Result<Inventory, HostsError> {
        let uri = self.check(uri, Origin::Operator)?;
        match &self.simulated {
            Some(world) if uri.is_simulated() => {
                let hosts = world.inventory().map_err(HostsError::World)?;
                hosts.into_iter().find(|found| found.host.uri == uri.as_str()).ok_or_else(|| {
                    HostsError::Refused {
                        uri: uri.to_string(),
                        reason: "there is no such simulated host".to_owned(),
                    }
                })
            }
            _ => real::inventory(&uri),
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
        let ends = self.check_both(&inquiry.source, &inquiry.destination)?;
        match &self.simulated {
            Some(world) if ends.source.is_simulated() => {
                let told = world.facts(inquiry).map_err(HostsError::World)?;
                let refused = |failure: Failure| {
                    let there = failure.fault == Fault::DestinationUnreachable;
                    let uri = if there { &ends.destination } else { &ends.source };
                    HostsError::Refused { uri: uri.to_string(), reason: failure.message }
                };
                told.map(|facts| *facts).map_err(refused)
            }
            _ => real::facts(inquiry, &ends),
        }
    }

    /// A port that answers into `inbox`. Nothing is connected to before the first command. One of a route that was read from
    /// a record without its secrets begins no copy.
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
        let mut ends = self.check_both(&route.source, &route.destination)?;
        if let Some(uri) = &route.migrate_uri {
            check_migrate_uri(uri, Origin::Operator).map_err(HostsError::MigrateUri)?;
        }
        match &self.simulated {
            Some(world) if ends.source.is_simulated() => {
                world.port(assignment.route, inbox).map_err(HostsError::World)
            }
            _ => {
                ends.destination = self.check(&route.way_to_destination(), Origin::Operator)?;
                real::port(assignment, ends, inbox)
            }
        }
    }
}

#[cfg(feature = "libvirt")]
mod real {
    use std::io;
    use std::path::Path;
    use std::sync::mpsc::Sender;

    use whimbrel_plugins::facts::Facts;

    use super::{Assignment, Ends, HostsError, Inquiry};
    use crate::drive::{Message, Port};
    use crate::inventory::Inventory;
    use crate::libvirt::{self, LibvirtPort};
    use crate::uri::HostUri;

    pub(super) fn trust(known_hosts: &Path, script: &Path) -> io::Result<()> {
        libvirt::trust(known_hosts, script)
    }

    pub(super) fn inventory(uri: &HostUri) -> Result<Inventory, HostsError> {
        libvirt::inventory(uri)
            .map_err(|error| HostsError::Refused { uri: uri.to_string(), reason: error.to_string() })
    }

    pub(super) fn facts(inquiry: &Inquiry, ends: &Ends) -> Result<Facts, HostsError> {
        libvirt::collect(inquiry, ends)
            .map_err(|untold| HostsError::Refused { uri: untold.uri, reason: untold.error.to_string() })
    }

    #[expect(clippy::unnecessary_wraps, reason = "the same without the driver, where it fails")]
    pub(super) fn port(
        assignment: Assignment,
        ends: Ends,
        inbox: Sender<Message>,
    ) -> Result<Box<dyn Port + Send>, HostsError> {
        Ok(Box::new(LibvirtPort::new(assignment, ends, inbox)))
    }
}

#[cfg(not(feature = "libvirt"))]
mod real {
    use std::io;
    use std::path::Path;
    use std::sync::mpsc::Sender;

    use whimbrel_plugins::facts::Facts;

    use super::{Assignment, Ends, HostsError, Inquiry};
    use crate::drive::{Message, Port};
    use crate::inventory::Inventory;
    use crate::uri::HostUri;

    #[expect(clippy::unnecessary_wraps, reason = "the same with the driver, where it may fail")]
    pub(super) fn trust(_: &Path, _: &Path) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn inventory(uri: &HostUri) -> Result<Inventory, HostsError> {
        Err(HostsError::NoDriver(uri.to_string()))
    }

    pub(super) fn facts(inquiry: &Inquiry, _: &Ends) -> Result<Facts, HostsError> {
        Err(HostsError::NoDriver(inquiry.source.clone()))
    }

    pub(super) fn port(
        assignment: Assignment,
        _: Ends,
        _: Sender<Message>,
    ) -> Result<Box<dyn Port + Send>, HostsError> {
        Err(HostsError::NoDriver(assignment.route.source))
    }
}
