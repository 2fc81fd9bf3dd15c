//! Which guest goes which way, and what is asked about that: plain data.
//!
//! Nothing here connects to anything.

use serde::{Deserialize, Serialize};
use whimbrel_core::{Spec, TransferOptions};
use whimbrel_facts::xml::{REDACTED, without_secrets};

use crate::copying::DiskChoice;
use crate::owner::Owner;
use crate::uri::HostUri;

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
    #[serde(rename = "ways")]
    pub transfer: TransferOptions,
    /// Which disks are copied, if [`transfer`](Self::transfer) says that disks are, and what that may overwrite.
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

/// Whether a definition for the destination can be used: readable, and with its secrets.
///
/// # Errors
/// What is wrong with it.
pub fn check_definition(xml: &str) -> Result<(), String> {
    without_secrets(xml).map_err(|error| error.to_string())?;
    if xml.contains(REDACTED) {
        return Err("a secret was taken out of it, as in a record: give the whole definition".to_owned());
    }
    Ok(())
}

impl Route {
    /// The route of a migration with this spec, and nothing asked for beyond it.
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

    /// What is asked about this migration.
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
