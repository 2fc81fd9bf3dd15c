//! First and last words: what was asked for, and what came of it, in plain English.
//!
//! The last words always say where the guest is, why, what was put right, what was not, and what to do. They must never
//! sound surer than what was observed.

use whimbrel_core::{Advice, Ending, GuestLocation, Leftover, Outcome, Side, Spec};

use super::units::{mib, span};
use super::words::{Names, clean, recovered};

/// What was asked for, on one line.
#[must_use]
pub fn heading(spec: &Spec) -> String {
    let Names { guest, source, destination, is_offline } = Names::of(spec);
    let limits = [
        spec.downtime_limit_ms.map(|ms| format!(", downtime limit {}", span(ms))),
        spec.bandwidth_limit_bytes_per_second.map(|rate| format!(", bandwidth limit {} MiB/s", mib(rate))),
        spec.timeout_ms.map(|ms| format!(", pre-copy for at most {}", span(ms))),
    ];
    let limits: String = limits.into_iter().flatten().collect();
    let what = if is_offline { "moving the definition of" } else { "migrating" };
    format!("{what} {guest} from {source} to {destination}{limits}")
}

/// The closing words: one sentence or two a line, each line one matter, without a line end after the last.
#[must_use]
pub fn describe(outcome: &Outcome, spec: &Spec) -> String {
    let names = Names::of(spec);
    let mut lines = vec![format!("{}: {}", capital(&outcome.ending.to_string()), headline(outcome, &names))];
    if spec.transfer.offline && outcome.guest == GuestLocation::DestinationOff {
        lines.push("Only the definition was moved: disks stay where they are.".to_owned());
    }
    lines.extend(figures(outcome).map(|figures| format!("{}.", capital(&figures))));
    lines.extend(why(outcome));
    if !outcome.recovered.is_empty() {
        let put_right: Vec<_> =
            outcome.recovered.iter().map(|recovery| recovered(*recovery, &names)).collect();
        lines.push(format!("Put right: {}.", put_right.join("; ")));
    }
    lines.extend(unsettled(outcome, &names));
    lines.extend(not_undone(outcome, &names));
    lines.extend(to_do(outcome, &names));
    lines.join("\n")
}

/// Total time and downtime where they mean something, as a fragment.
fn figures(outcome: &Outcome) -> Option<String> {
    if outcome.guest == GuestLocation::Untouched {
        return None;
    }
    let total = span(outcome.total_ms);
    Some(match (outcome.downtime_ms, outcome.hypervisor_downtime_ms.map(span)) {
        (Some(ms), Some(by_hypervisor)) => {
            format!("it took {total}, with {} of downtime (the hypervisor reports {by_hypervisor})", span(ms))
        }
        (Some(ms), None) => format!("it took {total}, with {} of downtime", span(ms)),
        (None, Some(by_hypervisor)) if outcome.ending == Ending::ArrivedStopped => format!(
            "it took {total}; the guest is still stopped, so its downtime has not ended (the hypervisor reports {by_hypervisor})"
        ),
        (None, Some(by_hypervisor)) => {
            format!("it took {total}; the downtime was not observed (the hypervisor reports {by_hypervisor})")
        }
        (None, None) => format!("it took {total}"),
    })
}

/// Where the guest is: one sentence with its full stop.
#[must_use]
pub fn headline(outcome: &Outcome, names: &Names) -> String {
    let Names { guest, source, destination, .. } = names;
    match outcome.guest {
        GuestLocation::Untouched => format!("{guest} is on {source} as it was; nothing was done to it."),
        GuestLocation::SourceRunning => format!("{guest} runs on {source}."),
        GuestLocation::SourcePaused => format!("{guest} is on {source}, paused."),
        GuestLocation::DestinationRunning => format!("{guest} runs on {destination}."),
        GuestLocation::DestinationPaused => format!("{guest} is on {destination}, paused."),
        GuestLocation::SourceOff => format!("{guest} is off, and defined on {source}."),
        GuestLocation::DestinationOff => format!("{guest} is off, and defined on {destination}."),
        GuestLocation::DestinationPostcopy => format!(
            "{guest} runs on {destination} until it needs memory that is still on {source}: the two are cut off."
        ),
        GuestLocation::DestinationIncomplete => format!(
            "{guest} is lost: it is on {destination} without the memory that {source} still had, and that is gone."
        ),
        GuestLocation::LeftBehind => format!(
            "{guest} is lost: {destination} has it no more, and what is left on {source} is older than what it did since."
        ),
        GuestLocation::BothRunning => {
            format!("ALARM! {guest} was seen running on BOTH {source} and {destination}.")
        }
        GuestLocation::Nowhere => {
            format!("{guest} runs nowhere; neither {source} nor {destination} has it in memory.")
        }
        GuestLocation::Unknown => {
            format!("whether {guest} is on {source} or on {destination} could not be found out.")
        }
    }
}

fn why(outcome: &Outcome) -> Option<String> {
    let own_words = outcome.failure.as_ref().map(|failure| clean(failure.message.trim()));
    let own_words = own_words.filter(|message| !message.is_empty());
    match (outcome.cause, own_words) {
        (Some(cause), Some(words)) => {
            Some(format!("Why: {cause}. In the hypervisor's own words: \"{words}\"."))
        }
        (Some(cause), None) => Some(format!("Why: {cause}.")),
        (None, Some(words)) => Some(format!("In the hypervisor's own words: \"{words}\".")),
        (None, None) => None,
    }
}

fn unsettled(outcome: &Outcome, names: &Names) -> Option<String> {
    let Names { guest, source, destination, .. } = names;
    if may_be_stale(outcome) {
        return Some(format!(
            "Not settled: {guest} may have run on {destination} meanwhile. The copy on {source} would be older than its disks then, and \
             resuming it could destroy its file systems."
        ));
    }
    let side = names.side(outcome.unsettled?);
    Some(format!("Not settled: {side} could not be looked at, or a copy of {guest} may be left there."))
}

/// Whether the source's copy is stopped, and it is not known whether the guest has run on the destination since.
fn may_be_stale(outcome: &Outcome) -> bool {
    outcome.ending == Ending::InDoubt
        && outcome.guest == GuestLocation::SourcePaused
        && outcome.unsettled == Some(Side::Destination)
}

fn not_undone(outcome: &Outcome, names: &Names) -> Option<String> {
    if outcome.not_undone.is_empty() {
        return None;
    }
    let Names { guest, destination, .. } = names;
    let what: Vec<_> = outcome
        .not_undone
        .iter()
        .map(|leftover| match leftover {
            Leftover::DowntimeLimit | Leftover::BandwidthLimit => {
                format!("{leftover} of {guest}; set it by hand")
            }
            Leftover::Paused => format!("{guest}, which was stopped; resume it where it is whole"),
            Leftover::Disks => format!(
                "files for disks on {destination} ({}); remove those that no guest uses once {guest} is not there",
                outcome.disks_left.join(", ")
            ),
            Leftover::Definition(side) => {
                format!(
                    "the definition of {guest} on {}; drop it, or a second copy can be started",
                    names.side(*side)
                )
            }
        })
        .collect();
    Some(format!("Not put back: {}.", what.join("; ")))
}

fn to_do(outcome: &Outcome, names: &Names) -> Option<String> {
    let Names { guest, source, destination, .. } = names;
    let both = format!("Look at {guest} on {source} and on {destination} before anything else");
    let text = match (outcome.guest, outcome.advice) {
        (GuestLocation::BothRunning, _) => format!(
            "{both}, at once. Two running copies spoil the disks they share; nothing was stopped, because only you can choose which copy is to stay."
        ),
        (_, Advice::LookAtBothHosts) if may_be_stale(outcome) => format!(
            "Find out whether {guest} ran on {destination} (`virsh domstate --reason`, and its log below /var/log/libvirt/qemu there). If it \
             did, or that cannot be found out, do not resume the copy on {source}: destroy it, and start {guest} from its disks. Only if it \
             did not, resume it on {source}."
        ),
        (_, Advice::LookAtBothHosts) => {
            format!("{both}. Resume, start or remove nothing until one copy is known to be dead.")
        }
        (_, Advice::ResumePostcopy) => format!(
            "End neither copy of {guest}: it needs both. Mend the way between {source} and {destination}, then let the migration go on with `virsh migrate --postcopy-resume`."
        ),
        (_, Advice::StartAnew) => {
            format!("Look at both hosts, end what is left of {guest}, and start it anew from its disks.")
        }
        (_, Advice::FindOut) => format!(
            "Neither {source} nor {destination} has {guest} in memory. Find out whether it ended or somebody took it to a third host, and start it only when no host runs it."
        ),
        (guest_is, Advice::ResumeGuest) => {
            let side = names.side(guest_is.side()?);
            format!(
                "Find out on {side} why {guest} is paused (`virsh domstate --reason`; after an I/O error `virsh domblkerror`), then resume it there (`virsh resume`)."
            )
        }
        (GuestLocation::DestinationPaused, Advice::Nothing) => {
            format!("Resume {guest} on {destination} if it is to run.")
        }
        (GuestLocation::SourcePaused, Advice::Nothing) => {
            format!("Resume {guest} on {source} if it is to run.")
        }
        (_, Advice::Nothing) => {
            let side = names.side(outcome.unsettled?);
            format!("Look at {side} for a copy of {guest}; if it does not run, remove it.")
        }
        (_, advice @ (Advice::MendThenRetry | Advice::Retry | Advice::AllowMore)) => {
            format!("{}.", capital(&advice.to_string()))
        }
    };
    Some(format!("What to do: {text}"))
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or(String::new(), |first| first.to_uppercase().chain(characters).collect())
}
