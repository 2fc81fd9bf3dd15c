//! Simulated hosts as a program registers them.

use std::sync::mpsc::Sender;

use whimbrel_core::{Failure, Fault};
use whimbrel_drive::dirty_rate::DirtyRate;
use whimbrel_drive::hosts::{Assignment, Ends, HostDriver, HostsError, Inquiry, Survey};
use whimbrel_drive::inventory::Inventory;
use whimbrel_drive::uri::HostUri;
use whimbrel_drive::{Message, Port};
use whimbrel_facts::Facts;

use crate::SimulatedHosts;

impl HostDriver for SimulatedHosts {
    fn reaches(&self, uri: &HostUri) -> bool {
        uri.is_simulated()
    }

    fn known_uris(&self) -> Result<Vec<String>, HostsError> {
        let hosts = self.inventories().map_err(HostsError::World)?;
        Ok(hosts.into_iter().map(|found| found.host.uri).collect())
    }

    fn inventory(&self, uri: &HostUri) -> Result<Inventory, HostsError> {
        found(self.inventories().map_err(HostsError::World)?, uri)
    }

    fn facts(&self, inquiry: &Inquiry, ends: &Ends) -> Result<Facts, HostsError> {
        let refused = |failure: Failure| {
            let there = failure.fault == Fault::DestinationUnreachable;
            let uri = if there { &ends.destination } else { &ends.source };
            HostsError::Refused { uri: uri.to_string(), reason: failure.message }
        };
        let told = self.facts_of(inquiry).map_err(HostsError::World)?;
        told.map(|facts| *facts).map_err(refused)
    }

    fn survey(&self) -> Box<dyn Survey> {
        Box::new(SimulatedSurvey { hosts: self.clone(), inventories: None })
    }

    fn dirty_rate(&self, inquiry: &Inquiry, ends: &Ends, seconds: u16) -> Result<DirtyRate, HostsError> {
        let measured = self.dirty_rate_of(inquiry, seconds).map_err(HostsError::World)?;
        measured
            .map_err(|failure| HostsError::Refused { uri: ends.source.to_string(), reason: failure.message })
    }

    fn port(
        &self,
        assignment: Assignment,
        _: Ends,
        inbox: Sender<Message>,
    ) -> Result<Box<dyn Port + Send>, HostsError> {
        self.open_port(assignment.route, inbox).map_err(HostsError::World)
    }
}

fn found(inventories: Vec<Inventory>, uri: &HostUri) -> Result<Inventory, HostsError> {
    let is_it = |one: &Inventory| one.host.uri == uri.as_str();
    inventories.into_iter().find(is_it).ok_or_else(|| HostsError::Refused {
        uri: uri.to_string(),
        reason: "there is no such simulated host".to_owned(),
    })
}

/// A simulated world is listed once; its facts are computed from it for each guest, and cost no query of a host.
#[derive(Debug)]
struct SimulatedSurvey {
    hosts: SimulatedHosts,
    inventories: Option<Vec<Inventory>>,
}

impl Survey for SimulatedSurvey {
    fn inventory(&mut self, uri: &HostUri) -> Result<Inventory, HostsError> {
        let known = match self.inventories.take() {
            Some(known) => known,
            None => self.hosts.inventories().map_err(HostsError::World)?,
        };
        found(self.inventories.insert(known).clone(), uri)
    }

    fn facts(&mut self, inquiry: &Inquiry, ends: &Ends) -> Result<Facts, HostsError> {
        self.hosts.facts(inquiry, ends)
    }
}
