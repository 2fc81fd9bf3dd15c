//! The timeline of a migration: the events that must agree when one scenario is simulated and when it runs on real
//! hosts.

use whimbrel_core::{Event, PhaseName};

/// The events in order, without times and numbers. Events whose number or order depends on the instants of queries,
/// which no scenario fixes, are left out: progress, syncs (`[expect]` bounds them), and observations of two hosts,
/// which come back in either order. The number of attempts to resume a post-copy depends on the same, so they count as
/// one.
#[must_use]
pub fn timeline<'e>(events: impl IntoIterator<Item = &'e Event>) -> Vec<String> {
    let recovering = format!("phase {}", PhaseName::Recovering);
    let postcopy = format!("phase {}", PhaseName::Postcopy);
    let mut all: Vec<String> = Vec::new();
    for one in events.into_iter().filter_map(entry) {
        if one == recovering && all.ends_with(&[recovering.clone(), postcopy.clone()]) {
            all.pop();
        } else {
            all.push(one);
        }
    }
    all
}

fn entry(event: &Event) -> Option<String> {
    match event {
        Event::Phase(name) => Some(format!("phase {name}")),
        Event::Judged(verdict) => Some(format!("judged {}", verdict.allows())),
        Event::CancelAnswered(answer) => Some(format!("cancel {answer}")),
        Event::Recovered(recovery) => Some(format!("recovered {recovery}")),
        Event::Reacted(reaction, result) => Some(format!("reaction {reaction}: {result}")),
        Event::Ended(outcome) => {
            let (ending, guest) = (outcome.ending, outcome.guest);
            Some(format!("ended {ending} {guest} {:?} {:?}", outcome.cause, outcome.unsettled))
        }
        Event::Seen(..) | Event::Progress(_) | Event::Sync(_) => None,
    }
}
