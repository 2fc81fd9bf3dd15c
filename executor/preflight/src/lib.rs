//! What is asked before a migration begins: every rule, on the facts of both hosts.
//!
//! Facts that could not be had are a finding. It must never let a migration begin as if it had been judged on them.

use std::sync::Arc;

use serde_json::{Value, json};
use whimbrel_core::{Facts as Known, Spec, Verdict};
use whimbrel_facts::{Facts, Host, Request, StorageCopy};
use whimbrel_plugins::{Judgement, RuleSet};

use whimbrel_drive::hosts::{Hosts, HostsError, Inquiry, Route};
use whimbrel_drive::today;

/// The rules, and what the hosts told for them.
#[derive(Debug)]
pub struct Preflight {
    set: Arc<RuleSet>,
    told: Told,
}

#[derive(Debug)]
enum Told {
    /// All that rules can be told.
    Everything(Box<Facts>),
    /// The hosts did not tell, and why.
    Nothing(String),
}

/// What the rules say.
#[derive(Clone, Debug)]
pub struct Opinion {
    /// As the core takes it.
    pub verdict: Verdict,
    /// How many rules could not tell, of those that were told everything that there is to know.
    pub unknown: usize,
}

impl Preflight {
    /// Asks the hosts. Blocks for as long as they take to answer.
    #[must_use]
    pub fn new(set: Arc<RuleSet>, hosts: &Hosts, spec: &Spec, route: &Route, probe: bool) -> Self {
        let told = match facts(hosts, spec, route, probe) {
            Ok(facts) => Told::Everything(Box::new(facts)),
            Err(error) => Told::Nothing(error.to_string()),
        };
        Self { set, told }
    }

    /// What the rules say of a migration of which the core knows this much.
    #[must_use]
    pub fn judge(&self, known: &Known) -> Opinion {
        let judgement = self.judgement(known);
        let unknown = match self.told {
            Told::Everything(_) => judgement.count(whimbrel_facts::Verdict::Unknown),
            Told::Nothing(_) => 0,
        };
        let basis = self.basis(known, &judgement);
        let forceful = judgement.findings.into_iter().filter(|one| one.waived.is_none());
        let verdict = whimbrel_plugins::verdict(forceful.map(|one| one.finding));
        Opinion { verdict: Verdict { basis, ..verdict }, unknown }
    }

    /// What was judged, and by which rules, for the journal: whoever reads it can ask them again.
    fn basis(&self, known: &Known, judgement: &Judgement) -> Option<Value> {
        match &self.told {
            Told::Everything(facts) if is_of(facts, known) => {
                Some(json!({ "set": judgement.set, "facts": facts }))
            }
            Told::Everything(_) | Told::Nothing(_) => None,
        }
    }

    fn judgement(&self, known: &Known) -> Judgement {
        match &self.told {
            Told::Everything(facts) if is_of(facts, known) => self.set.judge(facts, &today()),
            Told::Everything(_) => {
                let why = "another guest has had this name, or another host this address, since the hosts were asked";
                self.set.judge_without(known, why, &today())
            }
            Told::Nothing(why) => self.set.judge_without(known, why, &today()),
        }
    }
}

/// The facts that rules judge, from both hosts, with what is asked for. Blocks for as long as they take to answer. With
/// `probe`, shared storage may be proved by a file that is made and removed again.
///
/// # Errors
/// When a host cannot be asked, or the source has no such guest.
pub fn facts(hosts: &Hosts, spec: &Spec, route: &Route, probe: bool) -> Result<Facts, HostsError> {
    let mut facts = hosts.facts(&Inquiry {
        guest: route.guest.clone(),
        source: route.source.clone(),
        destination: route.way_to_destination(),
        destination_xml: route.destination_xml.clone(),
        copy_disks: route.ways.copy_disks,
        probe,
    })?;
    facts.request = Some(request(spec, route));
    route.disks.tell(&mut facts);
    Ok(facts)
}

fn request(spec: &Spec, route: &Route) -> Request {
    let ways = route.ways;
    Request {
        live: !ways.offline,
        offline: ways.offline,
        postcopy: ways.postcopy,
        storage_copy: if ways.copy_disks { StorageCopy::Full } else { StorageCopy::None },
        allow_unsafe: route.allow_unsafe,
        peer_to_peer: true,
        parallel_connections: ways.parallel_connections.map(u32::from),
        compression: if ways.xbzrle { vec!["xbzrle".to_owned()] } else { Vec::new() },
        auto_converge: ways.auto_converge,
        persist_destination: true,
        undefine_source: true,
        destination_xml: route.destination_xml.is_some(),
        persistent_xml: route.destination_xml.is_some(),
        migrate_uri: route.migrate_uri.clone(),
        bandwidth_mib_per_second: spec.bandwidth_limit_bytes_per_second.map(|bytes| bytes >> 20),
        downtime_limit_ms: spec.downtime_limit_ms,
        ..Request::default()
    }
}

/// A name may have gone to another guest between two queries, and an address to another host; a UUID does not. A host
/// whose driver reports none cannot be compared.
fn is_of(facts: &Facts, known: &Known) -> bool {
    let is_host = |host: &Option<Host>, known: &str| {
        let found = host.as_ref().map_or("", |host| host.uuid.as_str());
        found.is_empty() || known.is_empty() || found.eq_ignore_ascii_case(known)
    };
    facts.guest.as_ref().is_some_and(|guest| guest.uuid == known.guest.uuid)
        && is_host(&facts.source, &known.source.host_uuid)
        && is_host(&facts.destination, &known.destination.host_uuid)
}

#[cfg(test)]
mod tests {
    use whimbrel_core::{GuestFacts, GuestRun, HostFacts};
    use whimbrel_facts::Domain;

    use super::*;

    #[test]
    fn facts_of_another_host_at_the_same_address_are_not_those_of_this_migration() {
        let host = |uuid: &str| HostFacts {
            uri: "test:///default".to_owned(),
            hostname: String::new(),
            host_uuid: uuid.to_owned(),
            hypervisor: String::new(),
            architecture: String::new(),
            library_version: 0,
            hypervisor_version: 0,
            free_memory_bytes: None,
            has_guest: None,
        };
        let known = |destination: &str| Known {
            guest: GuestFacts {
                name: "web".to_owned(),
                uuid: "u".to_owned(),
                run: GuestRun::Running,
                persistent: true,
                memory_bytes: 0,
                job_active: false,
            },
            source: host("a"),
            destination: host(destination),
            disks_to_make: Vec::new(),
        };
        let facts = Facts {
            guest: Some(Domain { uuid: "u".to_owned(), ..Domain::default() }),
            source: Some(Host { uuid: "A".to_owned(), ..Host::default() }),
            destination: Some(Host { uuid: "b".to_owned(), ..Host::default() }),
            ..Facts::default()
        };
        assert!(is_of(&facts, &known("b")));
        assert!(!is_of(&facts, &known("c")));
        assert!(is_of(&facts, &known("")), "a host whose driver reports none cannot be compared");
    }
}
