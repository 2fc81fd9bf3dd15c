//! What a migration reports at its end, compared with what happened.

use crate::history::{Event, History, HostId, Seen, SettingId};
use crate::state::{Copy, Memory, State};

/// Equal observations of each host, one after the other, after which a doubt about a constant state is not justified.
const CONFIRMATIONS: usize = 3;

/// Something that a migration reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Claim {
    /// A copy of the guest runs on this host with all of its memory, and none runs elsewhere. Whether it may run, the
    /// rules say: a hypervisor may have started one that is stale.
    RunsOn(HostId),
    /// A copy of the guest runs on this host with all of its memory. Of other hosts nothing is claimed.
    CopyRunsOn(HostId),
    /// The guest is on this host, does not run, and can go on from there.
    StandsOn(HostId),
    /// The guest is off, and defined on this host.
    OffOn(HostId),
    /// The guest runs or stands on this host without a part of its memory, which another copy still holds.
    NeedsBothCopies(HostId),
    /// No copy is left from which the guest can go on.
    Lost,
    /// No host has a copy of the guest.
    Nowhere,
    /// Two copies run.
    BothRun,
    /// This host has no copy of the guest.
    NoCopyOn(HostId),
    /// This host does not keep the guest's definition.
    NotDefinedOn(HostId),
    /// The setting of the copy from which the guest goes on is what it was when it was recorded first.
    Restored(SettingId),
    /// Where the guest is could not be found out.
    InDoubt,
}

/// A claim that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimViolation {
    /// The claim.
    pub claim: Claim,
    /// Why not.
    pub reason: Reason,
}

/// Why a claim does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It was never true from this instant on, which is when the hosts in question were observed last.
    NotTrueSince {
        /// The instant.
        since_ns: u64,
    },
    /// It was reported as not known, and the observations since this instant determined it: the guest ran on this host
    /// alone all the time, and every host had been observed often enough.
    WasDetermined {
        /// Where it ran.
        host: HostId,
        /// The instant.
        since_ns: u64,
    },
}

/// Compares a claim that is made at the end of a history with that history.
///
/// A claim can be no newer than the observations it rests on. It holds if it was true at some instant since the hosts
/// in question were observed last; of a host that was not observed, at the end.
///
/// # Errors
/// When the claim does not hold.
pub fn check_claim(history: &History, claim: Claim) -> Result<(), ClaimViolation> {
    let reason = if claim == Claim::InDoubt {
        determined(history).map(|(host, since_ns)| Reason::WasDetermined { host, since_ns })
    } else {
        let observed_ns = observed_since(history, claim);
        // Without an observation only the last state counts, which no instant of an event belongs to.
        let held =
            was_true_since(history, observed_ns.unwrap_or(u64::MAX), |state| holds(history, state, claim));
        let end_ns = history.events().last().map_or(0, |(at_ns, _)| *at_ns);
        (!held).then_some(Reason::NotTrueSince { since_ns: observed_ns.unwrap_or(end_ns) })
    };
    reason.map_or(Ok(()), |reason| Err(ClaimViolation { claim, reason }))
}

/// Whether a claim is true in a state.
fn holds(history: &History, state: &State, claim: Claim) -> bool {
    let on = |host| state.copies.iter().find(move |copy| copy.host == host);
    let running = || state.copies.iter().filter(|copy| copy.runs());
    match claim {
        Claim::RunsOn(host) => {
            on(host).is_some_and(|copy| copy.runs() && state.is_complete(copy)) && running().count() == 1
        }
        Claim::CopyRunsOn(host) => on(host).is_some_and(|copy| copy.runs() && state.is_complete(copy)),
        Claim::StandsOn(host) => on(host).is_some_and(|copy| !copy.runs() && state.can_go_on(copy)),
        Claim::OffOn(host) => {
            state.defined_on.contains(&host) && on(host).is_none() && running().count() == 0
        }
        Claim::NeedsBothCopies(host) => on(host).is_some_and(|copy| match copy.memory {
            Memory::Half(rest) => state.copy(rest).is_some(),
            Memory::Empty | Memory::Fresh | Memory::Whole => false,
        }),
        Claim::Lost => !state.is_alive(),
        Claim::Nowhere => !state.copies.iter().any(|copy| copy.is_taken_over),
        Claim::BothRun => running().count() > 1,
        Claim::NoCopyOn(host) => on(host).is_none(),
        Claim::NotDefinedOn(host) => !state.defined_on.contains(&host),
        Claim::Restored(setting) => {
            let first = history.events().iter().find_map(|(_, event)| match event {
                Event::Set { setting: other, value, .. } if *other == setting => Some(*value),
                _ => None,
            });
            let is_first =
                |copy: &Copy| copy.settings.iter().all(|(id, value)| *id != setting || Some(*value) == first);
            state.copies.iter().filter(|copy| state.can_go_on(copy)).all(is_first)
        }
        Claim::InDoubt => true,
    }
}

/// The instant since when a claim has to have been true: the oldest of the last observations it rests on.
fn observed_since(history: &History, claim: Claim) -> Option<u64> {
    let concerns = |host: HostId| match claim {
        Claim::CopyRunsOn(one) | Claim::NoCopyOn(one) | Claim::NotDefinedOn(one) => host == one,
        Claim::RunsOn(_)
        | Claim::StandsOn(_)
        | Claim::OffOn(_)
        | Claim::NeedsBothCopies(_)
        | Claim::Lost
        | Claim::Nowhere
        | Claim::BothRun
        | Claim::Restored(_)
        | Claim::InDoubt => true,
    };
    last_observations(history).filter(|(host, _)| concerns(*host)).map(|(_, since_ns)| since_ns).min()
}

/// Every host that ever answered, with the instant that its last answer is about.
fn last_observations(history: &History) -> impl Iterator<Item = (HostId, u64)> {
    let mut last: Vec<(HostId, u64)> = Vec::new();
    for (_, event) in history.events().iter().rev() {
        if let Event::Observed { host, since_ns, seen } = event
            && *seen != Seen::NoAnswer
            && !last.iter().any(|(other, _)| other == host)
        {
            last.push((*host, *since_ns));
        }
    }
    last.into_iter()
}

fn was_true_since(history: &History, since_ns: u64, is_true: impl Fn(&State) -> bool) -> bool {
    let (mut state, mut held) = (State::default(), false);
    for (at_ns, event) in history.events() {
        // The state before an event lasts until the event.
        state.advance(*at_ns, history.writes());
        held |= *at_ns >= since_ns && is_true(&state);
        state.apply(*at_ns, event, history.writes());
    }
    held || is_true(&state)
}

/// The host on which the guest ran alone, and since when, if the observations at the end of the history leave no other
/// explanation: each host was observed several times with the same result, and nothing changed meanwhile.
fn determined(history: &History) -> Option<(HostId, u64)> {
    let mut rows: Vec<Row> = Vec::new();
    for (_, event) in history.events().iter().rev() {
        let Event::Observed { host, since_ns, seen } = event else { continue };
        match rows.iter_mut().find(|row| row.host == *host) {
            None => {
                rows.push(Row { host: *host, seen: *seen, since_ns: *since_ns, count: 1, is_over: false });
            }
            Some(row) if row.seen == *seen && !row.is_over && row.count < CONFIRMATIONS => {
                row.count += 1;
                row.since_ns = *since_ns;
            }
            Some(row) => row.is_over = true,
        }
    }
    let running = rows.iter().find(|row| row.seen == Seen::Running)?;
    let others_absent =
        rows.iter().filter(|row| row.host != running.host).all(|row| row.seen == Seen::Absent);
    let since_ns = rows.iter().map(|row| row.since_ns).min()?;
    let is_sure = rows.len() > 1 && others_absent && rows.iter().all(|row| row.count >= CONFIRMATIONS);
    let runs_alone = |state: &State| {
        let mut copies = state.copies.iter();
        copies.next().is_some_and(|copy| copy.host == running.host && copy.runs() && state.can_go_on(copy))
            && copies.next().is_none()
    };
    let is_constant = || !was_true_since(history, since_ns, |state| !runs_alone(state));
    (is_sure && is_constant()).then_some((running.host, since_ns))
}

/// Equal observations of a host at the end of a history.
struct Row {
    host: HostId,
    seen: Seen,
    since_ns: u64,
    count: usize,
    is_over: bool,
}
