//! Facts of many guests between the same hosts: each host is connected to once, and reports of itself once.
//!
//! The facts of a guest are those that a query of its own would have had. A host that does not answer is not tried a
//! second time: its guests, and the guests that could go to it, get the same error.

use std::collections::BTreeMap;

use whimbrel_core::Side;
use whimbrel_drive::hosts::{Ends, HostsError, Inquiry, Survey};
use whimbrel_drive::inventory::Inventory;
use whimbrel_drive::uri::HostUri;
use whimbrel_facts::Facts;

use super::between;
use super::remembered::Remembered;
use crate::LibvirtError;
use crate::access::Access;
use crate::listing::inventory_over;

/// The hosts that were queried so far.
#[derive(Debug)]
pub(crate) struct LibvirtSurvey {
    access: Access,
    hosts: BTreeMap<String, Result<Remembered, LibvirtError>>,
}

impl LibvirtSurvey {
    pub(crate) fn new(access: &Access) -> Self {
        Self { access: access.clone(), hosts: BTreeMap::new() }
    }

    fn host(&mut self, uri: &HostUri) -> Result<Remembered, HostsError> {
        let open = || self.access.open(uri).map(Remembered::new);
        let host = self.hosts.entry(uri.to_string()).or_insert_with(open);
        host.clone().map_err(|error| refused(uri, &error))
    }
}

fn refused(uri: &HostUri, error: &LibvirtError) -> HostsError {
    HostsError::Refused { uri: uri.to_string(), reason: error.to_string() }
}

impl Survey for LibvirtSurvey {
    fn inventory(&mut self, uri: &HostUri) -> Result<Inventory, HostsError> {
        let host = self.host(uri)?.with_probes(false);
        inventory_over(&host, uri).map_err(|error| refused(uri, &error))
    }

    fn facts(&mut self, inquiry: &Inquiry, ends: &Ends) -> Result<Facts, HostsError> {
        let source = self.host(&ends.source)?.with_probes(inquiry.probe);
        let destination = self.host(&ends.destination)?.with_probes(inquiry.probe);
        let of_source = |error| refused(&ends.source, &error);
        let domain = source.lookup(&inquiry.guest).map_err(of_source)?;
        between(inquiry, [&source, &destination], &domain).map_err(|(side, error)| match side {
            Side::Source => of_source(error),
            Side::Destination => refused(&ends.destination, &error),
        })
    }
}
