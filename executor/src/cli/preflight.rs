//! What `whimbrel migrate` asks the rules before it begins: every rule, on the facts of both hosts.
//!
//! Facts that could not be had are a finding. It must never let a migration begin as if it had been judged on them.

use whimbrel_core::{Facts as Known, Verdict, Ways};
use whimbrel_plugins::facts::{Facts, Request, StorageCopy};
use whimbrel_plugins::{Judgement, RuleSet, facts_of_core, xml};

use super::args::Migrate;
use super::rule::{load_set, today};
use super::{CliError, say};
use crate::hosts::Hosts;

/// The rules, and what the hosts told for them.
pub(super) struct Preflight {
    set: RuleSet,
    told: Told,
}

enum Told {
    /// All that rules can be told.
    Everything(Box<Facts>),
    /// The hosts are simulated and have nothing beyond what the core asks for.
    Simulated,
    /// The hosts did not tell, and why.
    Nothing(String),
}

impl Preflight {
    /// Loads the rules and asks the hosts. Blocks for as long as they take to answer.
    ///
    /// # Errors
    /// When the rules, or the definition for the destination, cannot be used.
    pub(super) fn new(arguments: &Migrate, hosts: &Hosts, ways: Ways) -> Result<Self, CliError> {
        let set = load_set(&arguments.rules)?;
        let told = match hosts.facts(&arguments.domain, &arguments.source, &arguments.dest) {
            Ok(Some(mut facts)) => {
                facts.request = Some(request(arguments, ways));
                facts.target = target(arguments)?;
                Told::Everything(Box::new(facts))
            }
            Ok(None) => Told::Simulated,
            Err(error) => Told::Nothing(error.to_string()),
        };
        Ok(Self { set, told })
    }

    /// What the rules say, as the core takes it, of a migration of which it knows this much.
    pub(super) fn judge(&self, known: &Known) -> Verdict {
        let judgement = self.judgement(known);
        let unknown = judgement.count(whimbrel_plugins::facts::Verdict::Unknown);
        if unknown > 0 && matches!(self.told, Told::Everything(_)) {
            say(&format!("preflight: {unknown} findings are unknown; `whimbrel check` names them"));
        }
        let forceful = judgement.findings.into_iter().filter(|one| one.waived.is_none());
        whimbrel_plugins::verdict(forceful.map(|one| one.finding))
    }

    fn judgement(&self, known: &Known) -> Judgement {
        match &self.told {
            Told::Everything(facts) if is_of(facts, known) => self.set.judge(facts, &today()),
            Told::Everything(_) => {
                let why = "another guest has had this name since the hosts were asked";
                self.set.judge_without(known, why, &today())
            }
            Told::Simulated => self.set.judge(&facts_of_core(known), &today()),
            Told::Nothing(why) => self.set.judge_without(known, why, &today()),
        }
    }
}

/// A name may have gone to another guest between two questions; a UUID does not.
fn is_of(facts: &Facts, known: &Known) -> bool {
    facts.guest.as_ref().is_some_and(|guest| guest.uuid == known.guest.uuid)
}

fn target(arguments: &Migrate) -> Result<Option<whimbrel_plugins::facts::Domain>, CliError> {
    let Some(path) = &arguments.xml else { return Ok(None) };
    let text = std::fs::read_to_string(path)
        .map_err(|source| CliError::Unreadable { path: path.clone(), source })?;
    xml::domain(&text)
        .map(Some)
        .map_err(|error| CliError::Facts { path: path.clone(), reason: error.to_string() })
}

fn request(arguments: &Migrate, ways: Ways) -> Request {
    Request {
        live: !ways.offline,
        offline: ways.offline,
        postcopy: ways.postcopy,
        storage_copy: if ways.copy_disks { StorageCopy::Full } else { StorageCopy::None },
        peer_to_peer: true,
        parallel_connections: ways.parallel_connections.map(u32::from),
        compression: if ways.xbzrle { vec!["xbzrle".to_owned()] } else { Vec::new() },
        auto_converge: ways.auto_converge,
        persist_destination: true,
        undefine_source: true,
        destination_xml: arguments.xml.is_some(),
        persistent_xml: arguments.xml.is_some(),
        migrate_uri: arguments.migrate_uri.clone(),
        bandwidth_mib_per_second: arguments.bandwidth,
        downtime_limit_ms: arguments.downtime,
        ..Request::default()
    }
}
