//! What is asked before a migration begins: every rule, on the facts of both hosts.
//!
//! It must never let a migration begin on facts that were not collected for it.

pub mod matrix;
pub mod together;

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::json;
use whimbrel_core::{Spec, Verdict};
use whimbrel_facts::{Facts, Finding, Request, StorageCopy};
use whimbrel_plugins::{Judged, RuleSet};

use whimbrel_drive::hosts::{Hosts, HostsError, Inquiry, Route};
use whimbrel_drive::today;

/// The rules that judge one migration, and what is to be done in it.
#[derive(Debug)]
pub struct Preflight {
    set: Arc<RuleSet>,
    spec: Spec,
    route: Route,
}

/// What the rules say.
#[derive(Clone, Debug)]
pub struct Opinion {
    /// As the core takes it.
    pub verdict: Verdict,
    /// How many rules had no verdict although they received all facts that exist.
    pub unknown: usize,
}

impl Preflight {
    /// The rules of this set about a migration.
    #[must_use]
    pub fn new(set: Arc<RuleSet>, spec: Spec, route: Route) -> Self {
        Self { set, spec, route }
    }

    /// What the rules say of a migration, on the facts that were collected for it.
    #[must_use]
    pub fn judge(&self, collected: Facts) -> Opinion {
        let facts = with_request(collected, &self.spec, &self.route);
        let judgement = self.set.judge(&facts, &today());
        let unknown = judgement.count(whimbrel_facts::Verdict::Unknown);
        // What was judged, and by which rules, for the journal: they can be evaluated again.
        let basis = Some(json!({ "set": judgement.set, "facts": facts }));
        let forceful = judgement.findings.into_iter().filter(|one| one.waived.is_none());
        let verdict = whimbrel_plugins::verdict(forceful.map(with_expiry));
        Opinion { verdict: Verdict { basis, ..verdict }, unknown }
    }
}

/// The finding of a judgement, with the waiver that covered it until it expired in its message: an operator who relied on
/// it sees why the same migration is refused now.
fn with_expiry(one: Judged) -> Finding {
    let mut finding = one.finding;
    if let Some(waiver) = one.expired {
        // A string takes every text.
        let _ = write!(finding.message, " (its waiver expired on {}: {})", waiver.until, waiver.reason);
    }
    finding
}

/// The facts that rules judge, from both hosts, with what is to be done. Blocks for as long as they take to answer. With
/// `probe`, shared storage may be proved by a file that is made and removed again.
///
/// # Errors
/// When a host cannot be asked, or the source has no such guest.
pub fn facts(hosts: &Hosts, spec: &Spec, route: &Route, probe: bool) -> Result<Facts, HostsError> {
    let inquiry = Inquiry { probe, ..route.inquiry() };
    Ok(with_request(hosts.facts(&inquiry)?, spec, route))
}

/// Facts of two hosts, with what is to be done.
fn with_request(mut facts: Facts, spec: &Spec, route: &Route) -> Facts {
    facts.request = Some(request(spec, route));
    route.disks.tell(&mut facts);
    facts
}

fn request(spec: &Spec, route: &Route) -> Request {
    let transfer = route.transfer;
    Request {
        live: !transfer.offline,
        offline: transfer.offline,
        postcopy: transfer.postcopy,
        storage_copy: if transfer.copy_disks { StorageCopy::Full } else { StorageCopy::None },
        allow_unsafe: route.allow_unsafe,
        peer_to_peer: true,
        parallel_connections: transfer.parallel_connections.map(u32::from),
        compression: if transfer.xbzrle { vec!["xbzrle".to_owned()] } else { Vec::new() },
        auto_converge: transfer.auto_converge,
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
