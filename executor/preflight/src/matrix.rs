//! Every guest of some hosts against every permitted destination, and where the guests could go together.
//!
//! Each host is queried for itself once, however many guests it has. Nothing is proven by a file on a host unless disks
//! are copied: a check of a whole host must not write once for each guest. What could not be judged is never allowed.

use serde::Serialize;
use whimbrel_core::{GuestRun, Spec};
use whimbrel_drive::hosts::{Hosts, HostsError, Inquiry, Route};
use whimbrel_drive::inventory::GuestEntry;
use whimbrel_drive::survey::HostSurvey;
use whimbrel_drive::today;
use whimbrel_facts::{Finding, Verdict};
use whimbrel_plugins::{Judged, Judgement, RuleSet};
use whimbrel_schedule::{Need, Room, place};

use crate::together::{Shortage, add_room, need, shortages};
use crate::{with_expiry, with_request};

/// Which guests, and to where.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// URIs of the hosts whose running guests are to go. One that is named twice counts once.
    pub sources: Vec<String>,
    /// URIs of the hosts to which they may go, the preferred one first. One that is named twice counts once.
    pub destinations: Vec<String>,
    /// Only the guests of these names; empty: all of them.
    pub guests: Vec<String>,
    /// Whether disks are copied.
    pub copy_disks: bool,
    /// Number of guests at most.
    pub guests_most: usize,
}

/// A guest on its host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Guest {
    /// Its name.
    pub guest: String,
    /// Its UUID.
    pub uuid: String,
    /// URI of its host.
    pub source: String,
}

/// One guest and one destination.
#[derive(Clone, Debug, Serialize)]
pub struct Pair {
    /// The guest.
    #[serde(flatten)]
    pub guest: Guest,
    /// URI of the destination.
    pub destination: String,
    /// Whether the rules let the migration begin.
    pub allowed: bool,
    /// How many findings warn.
    pub warn: usize,
    /// How many rules had no verdict.
    pub unknown: usize,
    /// Findings that fail and are not waived; in place of them why the hosts could not be queried.
    pub reasons: Vec<Reason>,
}

/// Why a guest cannot go to a destination.
#[derive(Clone, Debug, Serialize)]
pub struct Reason {
    /// The code of the rule; `host` where a host could not be queried, `guest.running_twice` where two hosts
    /// have the guest in memory.
    pub code: String,
    /// What it is about, as a JSON pointer into the facts; empty for a host.
    pub subject: String,
    /// What was found.
    pub message: String,
    /// What to do.
    pub remediation: String,
}

impl Pair {
    fn refused(guest: &Guest, destination: &str, reasons: Vec<Reason>) -> Self {
        let (guest, destination) = (guest.clone(), destination.to_owned());
        Self { guest, destination, allowed: false, warn: 0, unknown: 0, reasons }
    }
}

impl Reason {
    /// Which of two copies is to be kept must not be guessed, and a migration would touch one of them.
    fn running_twice() -> Self {
        Self {
            code: "guest.running_twice".to_owned(),
            subject: String::new(),
            message: "another of the given hosts has a copy of this guest in memory".to_owned(),
            remediation: "destroy none; follow docs/in-doubt.md".to_owned(),
        }
    }
}

/// What one destination would take.
#[derive(Clone, Debug, Serialize)]
pub struct Load {
    /// URI of the destination.
    pub destination: String,
    /// The guests, in the order of the pairs.
    pub guests: Vec<Guest>,
    /// What they cannot have there together, or may not have.
    pub shortages: Vec<Shortage>,
}

/// The result.
#[derive(Clone, Debug, Serialize)]
pub struct Matrix {
    /// Digest of the rules that were evaluated.
    pub rules: String,
    /// Every guest with every destination, by source, guest and destination.
    pub pairs: Vec<Pair>,
    /// Each destination, in the given order.
    pub placement: Vec<Load>,
    /// Guests for which no destination remains.
    pub unplaced: Vec<Guest>,
    /// Whether the guests fit on their destinations together: `fail` when a guest has none, otherwise the worst of the
    /// shortages.
    #[serde(serialize_with = "crate::together::verdict_name")]
    pub together: Verdict,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum MatrixError {
    /// A source cannot be queried: which guests it has is not known.
    #[error(transparent)]
    Hosts(#[from] HostsError),
    /// There are more guests than are compared at once.
    #[error("{found} guests are to be checked, and at most {most} are checked at once")]
    TooMany {
        /// How many there are.
        found: usize,
        /// The limit.
        most: usize,
    },
    /// None of the sources has a running guest of this name.
    #[error("no running guest `{0}` is on the given sources")]
    NoGuest(String),
    /// Two of the destinations are one host, whose room would be counted twice.
    #[error("`{0}` and `{1}` are the same host: name it once")]
    SameHost(String, String),
    /// The caller ended it.
    #[error("the check was ended before every guest was checked")]
    Ended,
}

/// Queries the hosts and evaluates the rules for each pair, one after the other, until `is_over`. Blocks for as long as
/// the hosts take to answer.
///
/// # Errors
/// When a source cannot be queried, there are too many guests, or it was ended.
pub fn matrix(
    hosts: &Hosts,
    set: &RuleSet,
    wanted: &Wanted,
    is_over: &dyn Fn() -> bool,
) -> Result<Matrix, MatrixError> {
    let (sources, destinations) = (distinct(&wanted.sources), distinct(&wanted.destinations));
    let mut survey = HostSurvey::new(hosts);
    let guests = guests(&mut survey, &sources, wanted, is_over)?;
    let mut rooms: Vec<Place> = destinations.iter().map(|_| Place::default()).collect();
    let (mut pairs, mut options) = (Vec::new(), Vec::new());
    for guest in &guests {
        let twice = guests.iter().any(|other| other.uuid == guest.uuid && other.source != guest.source);
        let mut needs: Vec<Option<Need>> = Vec::new();
        for (destination, place) in destinations.iter().zip(&mut rooms) {
            if is_over() {
                return Err(MatrixError::Ended);
            }
            if twice {
                pairs.push(Pair::refused(guest, destination, vec![Reason::running_twice()]));
                needs.push(None);
                continue;
            }
            let (pair, need) = pair(&mut survey, set, guest, destination, wanted.copy_disks, place);
            pairs.push(pair);
            needs.push(need);
        }
        options.push(needs);
    }
    distinct_hosts(&destinations, &rooms)?;
    let rooms: Vec<Room> = rooms.into_iter().map(|place| place.room).collect();
    let places = place(&options, &rooms);
    let load = |(host, destination): (usize, &String)| {
        let here =
            || guests.iter().zip(&options).zip(&places).filter(move |(_, place)| **place == Some(host));
        let needs: Vec<&Need> = here().filter_map(|((_, needs), _)| needs.get(host)?.as_ref()).collect();
        let room = rooms.get(host).filter(|_| !needs.is_empty());
        Load {
            destination: destination.clone(),
            guests: here().map(|((guest, _), _)| guest.clone()).collect(),
            shortages: room.map(|room| shortages(room, &needs)).unwrap_or_default(),
        }
    };
    let placement: Vec<Load> = destinations.iter().enumerate().map(load).collect();
    let unplaced: Vec<Guest> = guests
        .iter()
        .zip(&places)
        .filter(|(_, place)| place.is_none())
        .map(|(guest, _)| guest.clone())
        .collect();
    let worst = placement.iter().flat_map(|load| &load.shortages).map(|one| one.verdict);
    let together = if unplaced.is_empty() { worst.fold(Verdict::Pass, worse) } else { Verdict::Fail };
    Ok(Matrix { rules: set.digest().to_owned(), pairs, placement, unplaced, together })
}

/// The worse of two verdicts: what fails before what is not known, and that before a warning.
fn worse(one: Verdict, other: Verdict) -> Verdict {
    let rank = |verdict| match verdict {
        Verdict::Pass => 0,
        Verdict::Warn => 1,
        Verdict::Unknown => 2,
        Verdict::Fail => 3,
    };
    if rank(other) > rank(one) { other } else { one }
}

/// In the given order, each once.
fn distinct(all: &[String]) -> Vec<String> {
    let mut distinct: Vec<String> = Vec::new();
    for one in all {
        if !distinct.contains(one) {
            distinct.push(one.clone());
        }
    }
    distinct
}

/// What is known of a destination.
#[derive(Debug, Default)]
struct Place {
    room: Room,
    /// The host's UUID; empty where it is not known.
    uuid: String,
}

fn distinct_hosts(destinations: &[String], places: &[Place]) -> Result<(), MatrixError> {
    for (at, (uri, place)) in destinations.iter().zip(places).enumerate() {
        let earlier = destinations.iter().zip(places).take(at);
        let same = |(_, other): &(&String, &Place)| !place.uuid.is_empty() && other.uuid == place.uuid;
        if let Some((other, _)) = earlier.into_iter().find(same) {
            return Err(MatrixError::SameHost(other.clone(), uri.clone()));
        }
    }
    Ok(())
}

fn guests(
    survey: &mut HostSurvey<'_>,
    sources: &[String],
    wanted: &Wanted,
    is_over: &dyn Fn() -> bool,
) -> Result<Vec<Guest>, MatrixError> {
    let mut guests = Vec::new();
    for source in sources {
        if is_over() {
            return Err(MatrixError::Ended);
        }
        let is_wanted = |guest: &GuestEntry| {
            guest.run != GuestRun::NotRunning
                && (wanted.guests.is_empty() || wanted.guests.contains(&guest.name))
        };
        let here = survey.inventory(source)?.guests.into_iter().filter(is_wanted);
        guests.extend(here.map(|guest| Guest {
            guest: guest.name,
            uuid: guest.uuid,
            source: source.clone(),
        }));
    }
    let is_there = |name: &&String| guests.iter().any(|guest| guest.guest == **name);
    if let Some(missing) = wanted.guests.iter().find(|name| !is_there(name)) {
        return Err(MatrixError::NoGuest(missing.clone()));
    }
    if guests.len() > wanted.guests_most {
        return Err(MatrixError::TooMany { found: guests.len(), most: wanted.guests_most });
    }
    Ok(guests)
}

/// The judgement of a pair, and what the guest takes of the destination if it may go there.
fn pair(
    survey: &mut HostSurvey<'_>,
    set: &RuleSet,
    guest: &Guest,
    destination: &str,
    copy_disks: bool,
    place: &mut Place,
) -> (Pair, Option<Need>) {
    let mut spec = Spec::new(guest.guest.as_str(), guest.source.as_str(), destination);
    spec.transfer.copy_disks = copy_disks;
    let route = Route { uuid: Some(guest.uuid.clone()), no_probe: !copy_disks, ..Route::of(&spec) };
    let inquiry = Inquiry { probe: copy_disks, ..route.inquiry() };
    let mut pair = Pair::refused(guest, destination, Vec::new());
    match survey.facts(&inquiry) {
        Ok(facts) => {
            let facts = with_request(facts, &spec, &route);
            add_room(&mut place.room, &facts);
            if let Some(host) = &facts.destination {
                place.uuid.clone_from(&host.uuid);
            }
            let judgement = set.judge(&facts, &today());
            pair.allowed = judgement.allows();
            (pair.warn, pair.unknown) = (judgement.count(Verdict::Warn), judgement.count(Verdict::Unknown));
            pair.reasons = reasons(judgement);
            let need = pair.allowed.then(|| need(&facts));
            (pair, need)
        }
        // A host that does not answer takes no guest; the others may.
        Err(error) => {
            pair.reasons.push(Reason {
                code: "host".to_owned(),
                subject: String::new(),
                message: error.to_string(),
                remediation: "make the host reachable, and check again".to_owned(),
            });
            (pair, None)
        }
    }
}

fn reasons(judgement: Judgement) -> Vec<Reason> {
    let refuses = |one: &Judged| one.finding.verdict == Verdict::Fail && one.waived.is_none();
    let reason = |one: Finding| Reason {
        code: one.code,
        subject: one.subject,
        message: one.message,
        remediation: one.remediation,
    };
    judgement.findings.into_iter().filter(refuses).map(with_expiry).map(reason).collect()
}
