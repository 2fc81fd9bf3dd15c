//! The heading and the summary of a migration, in plain English.
//!
//! The summary always states where the guest is, the cause, what was restored, what was not, and what to do. It must never
//! claim more than was observed.

use whimbrel_core::{Advice, Cause, Ending, GuestLocation, Leftover, Outcome, Side, Spec};

use crate::messages::recovered;
use crate::names::{Names, clean};
use crate::units::{mib, span};

/// The requested migration and its limits, on one line.
#[must_use]
pub fn heading(spec: &Spec) -> String {
    let Names { guest, source, destination, is_offline } = Names::of(spec);
    let limits = [
        spec.downtime_limit_ms.map(|ms| format!(", downtime limit {}", span(ms))),
        spec.bandwidth_limit_bytes_per_second.map(|rate| format!(", bandwidth limit {} MiB/s", mib(rate))),
        spec.timeout_ms.map(|ms| format!(", pre-copy time limit {}", span(ms))),
    ];
    let limits: String = limits.into_iter().flatten().collect();
    let what = if is_offline { "moving the definition of" } else { "migrating" };
    format!("{what} {guest} from {source} to {destination}{limits}")
}

/// The summary: one subject per line, in one or two sentences, without a line end after the last.
#[must_use]
pub fn describe(outcome: &Outcome, spec: &Spec) -> String {
    let names = Names::of(spec);
    let mut lines = vec![format!("{}: {}", capital(&outcome.ending.to_string()), headline(outcome, &names))];
    if spec.transfer.offline && outcome.guest == GuestLocation::DestinationOff {
        lines.push("Only the definition was moved: the disks stay where they are.".to_owned());
    }
    lines.extend(figures(outcome).map(|figures| format!("{}.", capital(&figures))));
    lines.extend(why(outcome));
    if !outcome.recovered.is_empty() {
        let restored: Vec<_> =
            outcome.recovered.iter().map(|recovery| recovered(*recovery, &names)).collect();
        lines.push(format!("Restored: {}.", restored.join("; ")));
    }
    lines.extend(unsettled(outcome, &names));
    lines.extend(not_undone(outcome, &names));
    lines.extend(to_do(outcome, &names));
    lines.join("\n")
}

/// Total time and downtime, as a fragment; none for a guest that was not touched.
fn figures(outcome: &Outcome) -> Option<String> {
    if outcome.guest == GuestLocation::Untouched {
        return None;
    }
    let total = span(outcome.total_ms);
    Some(match (outcome.downtime_ms, outcome.hypervisor_downtime_ms.map(span)) {
        (Some(ms), Some(by_hypervisor)) => {
            format!("total time {total}, downtime {} (the hypervisor reports {by_hypervisor})", span(ms))
        }
        (Some(ms), None) => format!("total time {total}, downtime {}", span(ms)),
        (None, Some(by_hypervisor)) if outcome.ending == Ending::ArrivedStopped => format!(
            "total time {total}; the guest is still stopped, so its downtime has not ended (the hypervisor reports {by_hypervisor})"
        ),
        (None, Some(by_hypervisor)) => {
            format!(
                "total time {total}; the downtime was not observed (the hypervisor reports {by_hypervisor})"
            )
        }
        (None, None) => format!("total time {total}"),
    })
}

/// Where the guest is: one sentence with its full stop.
#[must_use]
pub fn headline(outcome: &Outcome, names: &Names) -> String {
    let Names { guest, source, destination, .. } = names;
    match outcome.guest {
        // No host was found to have it: where it is was not observed.
        GuestLocation::Untouched if outcome.cause == Some(Cause::FactsMissing) => {
            format!("nothing was done to {guest}, and whether it is on {source} is not known.")
        }
        GuestLocation::Untouched => format!("{guest} is on {source}; nothing was done to it."),
        GuestLocation::SourceRunning => format!("{guest} runs on {source}."),
        GuestLocation::SourcePaused => format!("{guest} is on {source}, paused."),
        GuestLocation::DestinationRunning => format!("{guest} runs on {destination}."),
        GuestLocation::DestinationPaused => format!("{guest} is on {destination}, paused."),
        GuestLocation::SourceOff => format!("{guest} is off, and defined on {source}."),
        GuestLocation::DestinationOff => format!("{guest} is off, and defined on {destination}."),
        GuestLocation::DestinationPostcopy => format!(
            "{guest} runs on {destination} until it needs memory that is still on {source}: the connection between them is lost."
        ),
        GuestLocation::DestinationIncomplete => format!(
            "{guest} is lost: it is on {destination} without the memory that was still on {source}, and that memory is gone."
        ),
        GuestLocation::LeftBehind => format!(
            "{guest} is lost: it is no longer on {destination}, and the copy left on {source} is older than what it did since."
        ),
        GuestLocation::BothRunning => {
            format!("ALARM! {guest} was seen running on BOTH {source} and {destination}.")
        }
        GuestLocation::Nowhere => {
            format!("{guest} is in the memory of neither {source} nor {destination}.")
        }
        GuestLocation::Unknown => {
            format!("could not determine whether {guest} is on {source} or on {destination}.")
        }
    }
}

fn why(outcome: &Outcome) -> Option<String> {
    let message = outcome.failure.as_ref().map(|failure| clean(failure.message.trim()));
    let message = message.filter(|message| !message.is_empty());
    match (outcome.cause, message) {
        (Some(cause), Some(message)) => {
            Some(format!("Cause: {cause}. The hypervisor reports: \"{message}\"."))
        }
        (Some(cause), None) => Some(format!("Cause: {cause}.")),
        (None, Some(message)) => Some(format!("The hypervisor reports: \"{message}\".")),
        (None, None) => None,
    }
}

fn unsettled(outcome: &Outcome, names: &Names) -> Option<String> {
    let Names { guest, source, destination, .. } = names;
    if may_be_stale(outcome) {
        return Some(format!(
            "Unverified: {guest} may have run on {destination} in the meantime. The copy on {source} would then be older than its disks, \
             and resuming it could destroy its file systems."
        ));
    }
    let side = names.side(outcome.unsettled?);
    Some(format!("Unverified: {side} could not be queried, or a copy of {guest} may be left there."))
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
                format!("{leftover} of {guest}; set it manually")
            }
            Leftover::Paused => format!("{guest}, which was paused; resume it where it is complete"),
            Leftover::Disks => format!(
                "disk files on {destination} ({}); remove those that no guest uses once {guest} is not there",
                outcome.disks_left.join(", ")
            ),
            Leftover::Definition(side) => {
                format!(
                    "the definition of {guest} on {}; undefine it, or a second copy can be started",
                    names.side(*side)
                )
            }
        })
        .collect();
    Some(format!("Not restored: {}.", what.join("; ")))
}

fn to_do(outcome: &Outcome, names: &Names) -> Option<String> {
    let Names { guest, source, destination, .. } = names;
    let both = format!("Check {guest} on {source} and on {destination} before anything else");
    let text = match (outcome.guest, outcome.advice) {
        (GuestLocation::BothRunning, _) => format!(
            "{both}, immediately. Two running copies corrupt the disks that they share; nothing was stopped, because only an operator can choose which copy to keep."
        ),
        (_, Advice::LookAtBothHosts) if may_be_stale(outcome) => format!(
            "Find out whether {guest} ran on {destination} (`virsh domstate --reason`, and its log below /var/log/libvirt/qemu there). If it \
             did, or if that cannot be determined, do not resume the copy on {source}: destroy it, and cold-boot {guest} from its disks. \
             Resume it on {source} only if it did not."
        ),
        (_, Advice::LookAtBothHosts) => {
            format!("{both}. Do not resume, start or remove anything until one copy is known to be dead.")
        }
        (_, Advice::ResumePostcopy) => format!(
            "Destroy neither copy of {guest}: it needs both. Repair the connection between {source} and {destination}, then resume the migration with `virsh migrate --postcopy-resume`."
        ),
        (_, Advice::StartAnew) => {
            format!("Check both hosts, destroy what is left of {guest}, and cold-boot it from its disks.")
        }
        (_, Advice::FindOut) => format!(
            "Neither {source} nor {destination} has {guest} in memory. Find out whether it was shut down or another operator moved it to a third host, and start it only when no host runs it."
        ),
        (guest_is, Advice::ResumeGuest) => {
            let side = names.side(guest_is.side()?);
            format!(
                "Find out on {side} why {guest} is paused (`virsh domstate --reason`; after an I/O error `virsh domblkerror`), then resume it there (`virsh resume`)."
            )
        }
        (GuestLocation::DestinationPaused, Advice::Nothing) => {
            format!("Resume {guest} on {destination} if it should run.")
        }
        (GuestLocation::SourcePaused, Advice::Nothing) => {
            format!("Resume {guest} on {source} if it should run.")
        }
        (_, Advice::Nothing) => {
            let side = names.side(outcome.unsettled?);
            format!("Check {side} for a copy of {guest}; if it does not run, remove it.")
        }
        (_, advice @ (Advice::MendThenRetry | Advice::Retry | Advice::AllowMore)) => {
            format!("{}.", capital(&advice.to_string()))
        }
    };
    Some(format!("To do: {text}"))
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or(String::new(), |first| first.to_uppercase().chain(characters).collect())
}
