//! Real hosts as a program registers them.

use std::io;
use std::path::Path;
use std::sync::mpsc::Sender;

use whimbrel_drive::dirty_rate::DirtyRate;
use whimbrel_drive::hosts::{Assignment, Ends, HostDriver, HostsError, Inquiry, Survey};
use whimbrel_drive::inventory::Inventory;
use whimbrel_drive::uri::HostUri;
use whimbrel_drive::{Message, Port};
use whimbrel_facts::Facts;

use crate::LibvirtPort;
use crate::access::Access;

/// Hosts that libvirt reaches. A process has one: connections and calls are counted in it, by host.
#[derive(Clone, Debug, Default)]
pub struct LibvirtHosts {
    access: Access,
}

impl LibvirtHosts {
    /// Hosts behind another library.
    #[cfg(test)]
    pub(crate) fn over(access: Access) -> Self {
        Self { access }
    }
}

impl HostDriver for LibvirtHosts {
    fn reaches(&self, uri: &HostUri) -> bool {
        !uri.is_simulated()
    }

    fn trust(&self, known_hosts: &Path, script: &Path) -> io::Result<()> {
        crate::trust(known_hosts, script)
    }

    fn inventory(&self, uri: &HostUri) -> Result<Inventory, HostsError> {
        crate::inventory(&self.access, uri)
            .map_err(|error| HostsError::Refused { uri: uri.to_string(), reason: error.to_string() })
    }

    fn facts(&self, inquiry: &Inquiry, ends: &Ends) -> Result<Facts, HostsError> {
        crate::collect(&self.access, inquiry, ends)
            .map_err(|untold| HostsError::Refused { uri: untold.uri, reason: untold.error.to_string() })
    }

    fn survey(&self) -> Box<dyn Survey> {
        Box::new(crate::LibvirtSurvey::new(&self.access))
    }

    fn dirty_rate(&self, inquiry: &Inquiry, ends: &Ends, seconds: u16) -> Result<DirtyRate, HostsError> {
        let refused = |error: crate::LibvirtError| HostsError::Refused {
            uri: ends.source.to_string(),
            reason: error.to_string(),
        };
        crate::dirty_rate::measure(&self.access, inquiry, &ends.source, seconds).map_err(refused)
    }

    fn port(
        &self,
        assignment: Assignment,
        ends: Ends,
        inbox: Sender<Message>,
    ) -> Result<Box<dyn Port + Send>, HostsError> {
        Ok(Box::new(LibvirtPort::new(&self.access, assignment, ends, inbox)))
    }
}
