//! The route of a guest, and the queries about it: plain data. Nothing here connects to a host.

use serde::{Deserialize, Serialize};
use whimbrel_core::{Spec, TransferOptions};
use whimbrel_facts::xml::{REDACTED, without_secrets};

use crate::copying::DiskChoice;
use crate::owner::Owner;
use crate::uri::HostUri;

/// A guest, its source and destination, and how the migration reaches them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The guest's name on the source.
    pub guest: String,
    /// URI of the source.
    pub source: String,
    /// URI of the destination; the source's daemon must reach it too.
    pub destination: String,
    /// Address that receives QEMU's data, for example `tcp://192.0.2.12`; `None` lets the destination propose its host name.
    pub migrate_uri: Option<String>,
    /// The hypervisor's features that the migration uses.
    #[serde(rename = "ways")]
    pub transfer: TransferOptions,
    /// Which disks are copied, if [`transfer`](Self::transfer) includes disks, and what the copy may overwrite.
    #[serde(default, skip_serializing_if = "DiskChoice::is_empty")]
    pub disks: DiskChoice,
    /// Whether the probe for shared storage, which creates and removes a file, is skipped.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_probe: bool,
    /// The domain XML that the destination uses instead of the source's, with other paths, networks or host devices. The guest
    /// must see the same devices.
    pub destination_xml: Option<String>,
    /// Overrides the hypervisor's own check of shared storage. The caller must have proven the sharing.
    #[serde(default)]
    pub allow_unsafe: bool,
    /// A socket on this machine that is forwarded to the destination's daemon, where its URI alone does not suffice to log in.
    /// The source's daemon uses it too, so it must be on this machine as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tunnel: Option<String>,
    /// The guest's UUID, where it is known: another guest of the same name is a different one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// The identity of a driver that no longer runs, whose owner tag on the guest may be replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replace_owner: Option<String>,
}

/// Whether a definition for the destination can be used: readable, and with its secrets.
///
/// # Errors
/// The reason why it cannot be used.
pub fn check_definition(xml: &str) -> Result<(), String> {
    without_secrets(xml).map_err(|error| error.to_string())?;
    if xml.contains(REDACTED) {
        return Err("it has a redacted secret, as in a record: supply the complete definition".to_owned());
    }
    Ok(())
}

impl Route {
    /// The route of a migration with this spec, and no further options.
    #[must_use]
    pub fn of(spec: &Spec) -> Self {
        Self {
            guest: spec.guest.clone(),
            source: spec.source.clone(),
            destination: spec.destination.clone(),
            migrate_uri: None,
            transfer: spec.transfer,
            disks: DiskChoice::default(),
            no_probe: false,
            destination_xml: None,
            allow_unsafe: false,
            tunnel: None,
            uuid: None,
            replace_owner: None,
        }
    }

    /// The requested route, without what was determined since.
    #[must_use]
    pub fn as_asked(self) -> Self {
        Self { tunnel: None, uuid: None, ..self }
    }

    /// The route for records: without the secrets of the definition. A definition that cannot be parsed is omitted completely.
    #[must_use]
    pub fn for_record(&self) -> Self {
        let redact =
            |xml: &String| without_secrets(xml).unwrap_or_else(|_| format!("<domain>{REDACTED}</domain>"));
        Self { destination_xml: self.destination_xml.as_ref().map(redact), ..self.clone() }
    }

    /// Whether its definition is incomplete: no copy can be started with it.
    #[must_use]
    pub fn is_redacted(&self) -> bool {
        self.destination_xml.as_ref().is_some_and(|xml| xml.contains(REDACTED))
    }

    /// The query for the facts of this migration.
    #[must_use]
    pub fn inquiry(&self) -> Inquiry {
        Inquiry {
            guest: self.guest.clone(),
            source: self.source.clone(),
            destination: self.way_to_destination(),
            destination_xml: self.destination_xml.clone(),
            copy_disks: self.transfer.copy_disks,
            probe: !self.no_probe,
        }
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

/// The migration that a port is created for.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// The guest and its hosts.
    pub route: Route,
    /// The facts collected by an earlier driver of this migration, if any: only this guest and these hosts are accepted.
    pub known: Option<whimbrel_core::Facts>,
    /// The identity of this driver for others.
    pub owner: Owner,
}

/// A query for the facts of a possible migration.
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
    /// Whether disks are copied: then the users of the destination's files are queried too.
    pub copy_disks: bool,
    /// Whether the probe for shared storage may create and remove a file.
    pub probe: bool,
}
