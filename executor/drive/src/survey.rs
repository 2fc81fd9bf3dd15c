//! Queries about many guests in one pass, in which each host is queried for itself once.
//!
//! The facts of each guest are those that a query of its own would have. A survey is of one moment: it must not be kept
//! and used for a migration that begins later.

use std::collections::BTreeMap;
use std::sync::Arc;

use whimbrel_facts::Facts;

use crate::hosts::{HostDriver, Hosts, HostsError, Inquiry, Survey};
use crate::inventory::Inventory;
use crate::uri::{HostUri, Origin};

/// A survey of the hosts of every driver.
#[derive(Debug)]
pub struct HostSurvey<'h> {
    hosts: &'h Hosts,
    /// By the address of their driver, those that were used.
    surveys: BTreeMap<usize, Box<dyn Survey>>,
}

impl<'h> HostSurvey<'h> {
    /// A survey in which no host was queried yet.
    #[must_use]
    pub fn new(hosts: &'h Hosts) -> Self {
        Self { hosts, surveys: BTreeMap::new() }
    }

    /// A host and its guests.
    ///
    /// # Errors
    /// When there is no driver for the host, or it cannot be queried.
    pub fn inventory(&mut self, uri: &str) -> Result<Inventory, HostsError> {
        let uri = HostUri::parse(uri, Origin::Operator)?;
        let hosts = self.hosts;
        self.of(hosts.driver(&uri)?).inventory(&uri)
    }

    /// The facts of a guest and both hosts, for the rules.
    ///
    /// # Errors
    /// When there is no driver for both hosts, one cannot be queried, or the source has no such guest.
    pub fn facts(&mut self, inquiry: &Inquiry) -> Result<Facts, HostsError> {
        let hosts = self.hosts;
        let (driver, ends) = hosts.both(&inquiry.source, &inquiry.destination)?;
        self.of(driver).facts(inquiry, &ends)
    }

    fn of(&mut self, driver: &Arc<dyn HostDriver>) -> &mut dyn Survey {
        // The drivers live as long as the hosts that are borrowed here: no other gets the address of one.
        let address = Arc::as_ptr(driver).cast::<()>().addr();
        &mut **self.surveys.entry(address).or_insert_with(|| driver.survey())
    }
}
