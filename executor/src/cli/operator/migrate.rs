//! `whimbrel migrate`: one guest from one host to another.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use whimbrel_core::control::{Change, Mark};
use whimbrel_core::journal::DriverContext;
use whimbrel_core::{Ending, Migration, Outcome, PhaseName, Spec};

use super::args::Migrate;
use super::beforehand::Beforehand;
use super::rule::load_set;
use super::{CliError, Exit, OperatorError, hosts, interrupt, say, state_folder, stdout_is_terminal};
use crate::output::{self, Format, Origin, tui};
use whimbrel_drive::hosts::{Assignment, Hosts, HostsError, Route};
use whimbrel_drive::owner::{Owner, unix_ms};
use whimbrel_drive::private;
use whimbrel_drive::uri::{self, check_migrate_uri};
use whimbrel_drive::{DriveSession, Journal, JournalSinkError, Judge};
use whimbrel_observe::names::Names;
use whimbrel_observe::summary::headline;
use whimbrel_policy::follow::Known;
use whimbrel_preflight::Preflight;
use whimbrel_simulated::SCHEME;

pub(super) fn run(arguments: &Migrate) -> Result<Exit, CliError> {
    let asked = &arguments.asked;
    let hosts = hosts::for_uris(&asked.simulated, [&asked.source, &asked.dest])?;
    // The destination first: the operator typed it, while the source may be the default, so its error is the more useful one.
    hosts.check(&asked.dest, uri::Origin::Operator)?;
    hosts.check(&asked.source, uri::Origin::Operator)?;
    if let Some(uri) = &asked.migrate_uri {
        check_migrate_uri(uri, uri::Origin::Operator).map_err(HostsError::MigrateUri)?;
    }
    let mut route = asked.route(asked.destination_xml()?);
    route.replace_owner.clone_from(&arguments.replace_owner);
    let spec = spec(arguments);
    let set = Arc::new(load_set(&asked.rules)?);
    // A guest whose dirty rate cannot be measured is migrated all the same.
    let known = if arguments.measuring.measure_dirty_rate {
        let measured = Beforehand::measure(&hosts, &spec, &route);
        say(&measured.to_string());
        measured.known()
    } else {
        Known::default()
    };
    let preflight = Preflight::new(set, spec.clone(), route.clone());
    let session = DriveSession::begin(spec).map_err(OperatorError::Spec)?;
    let path = match &arguments.journal {
        Some(path) => path.clone(),
        None => usual_journal(&asked.domain)?,
    };
    let owner = Owner::of_journal(&path, unix_ms());
    let context = DriverContext {
        began_at_unix_ms: owner.began_at_unix_ms,
        migrate_uri: route.migrate_uri.clone(),
        destination_xml: route.for_record().destination_xml,
        copied_disks: route.disks.copied.clone(),
        overwritten_disks: route.disks.overwritten.clone(),
    };
    let journal = Journal::create(&path, context)?;
    follow(
        &hosts,
        Driving { route, session, owner, journal, path: &path, format: arguments.format, preflight, known },
    )
}

/// A migration to be driven to its end, from its start or from its journal.
pub(super) struct Driving<'a> {
    pub(super) route: Route,
    pub(super) session: DriveSession,
    pub(super) owner: Owner,
    pub(super) journal: Journal,
    pub(super) path: &'a Path,
    pub(super) format: Format,
    pub(super) preflight: Preflight,
    /// For the forecasts.
    pub(super) known: Known,
}

/// Drives the migration, shows it, and reports the result.
pub(super) fn follow(hosts: &Hosts, driving: Driving<'_>) -> Result<Exit, CliError> {
    let Driving { route, session, owner, journal, path, format, preflight, known } = driving;
    let (sender, inbox) = mpsc::channel();
    interrupt::listen(sender.clone())?;
    let assignment = Assignment { route: route.clone(), known: session.known_facts(), owner };
    let unknown = Arc::new(AtomicUsize::new(0));
    let judge = Judge::new(sender.clone(), {
        let unknown = Arc::clone(&unknown);
        move |facts| {
            let opinion = preflight.judge(facts);
            unknown.store(opinion.unknown, Ordering::Relaxed);
            opinion.verdict
        }
    });
    let mut port = hosts.port(assignment, sender)?;
    let watcher = output::choose(format, stdout_is_terminal(), tui::FRAME_MS, Origin::default(), known);
    let driven = whimbrel_drive::drive(session, &mut *port, &inbox, Box::new(journal), judge, Some(watcher))?;
    let exit = driven.outcome.as_ref().map_or(Exit::Detached, exit_of);
    // Not before the end: it would be written into the live picture.
    match unknown.load(Ordering::Relaxed) {
        0 => {}
        1 => say("preflight: 1 finding was unknown; `whimbrel check` shows it"),
        unknown => say(&format!("preflight: {unknown} findings were unknown; `whimbrel check` lists them")),
    }
    if exit == Exit::Detached {
        say(&how_to_look_after(&route, &driven.migration));
        say(&format!("  resume:  whimbrel adopt {}", path.display()));
    }
    for remark in driven.remarks.iter().chain(&driven.panics) {
        say(&format!("warning: {remark}"));
    }
    say(&format!("journal: {}", path.display()));
    if let Some(error) = &driven.journal_error {
        say(&journal_gap(error, driven.outcome.as_ref(), driven.migration.view().spec));
    }
    if let (Some(p50), Some(p99)) = (driven.latency.quantile_us(50), driven.latency.quantile_us(99)) {
        say(&format!(
            "reactions to libvirt's events: {}, p50 {p50} µs, p99 {p99} µs",
            driven.latency.count()
        ));
    }
    Ok(exit)
}

/// The warning for a journal without its last records: what happened, where the guest is, what to do.
fn journal_gap(error: &JournalSinkError, outcome: Option<&Outcome>, spec: &Spec) -> String {
    let (guest, to_do) = match outcome {
        Some(outcome) => (
            headline(outcome, &Names::of(spec)),
            "keep this output, which is not in the journal; do not use the journal with `whimbrel adopt`, because the \
             migration has ended",
        ),
        None => (
            "unknown: the driver detached before the end of the migration.".to_owned(),
            "check both hosts as shown above; `whimbrel adopt` would continue from an earlier state than the real one",
        ),
    };
    format!("warning: {error}\n  guest:   {guest}\n  to do:   {to_do}; free space on the disk or replace it")
}

fn spec(arguments: &Migrate) -> Spec {
    let mut spec = arguments.asked.spec();
    spec.resolve_timeout_ms = arguments.resolve_timeout.saturating_mul(1000);
    spec.postcopy_recovery_timeout_ms = arguments.postcopy_recovery_timeout.saturating_mul(1000);
    spec
}

/// The exit code for this outcome.
pub(super) fn exit_of(outcome: &Outcome) -> Exit {
    match (outcome.ending, outcome.guest) {
        (Ending::Completed, _) => Exit::Done,
        (Ending::Cancelled, _) => Exit::Cancelled,
        (Ending::InDoubt, _) => Exit::InDoubt,
        (Ending::ArrivedStopped, _) => Exit::ArrivedStopped,
        (Ending::Failed, guest) if guest.is_lost() => Exit::InDoubt,
        (Ending::Failed, _) => Exit::StayedOnSource,
    }
}

/// What an operator who detaches needs to know: what continues without a driver, and what will no longer be done.
fn how_to_look_after(route: &Route, migration: &Migration) -> String {
    let Route { guest: domain, source, destination: dest, .. } = route;
    let phase = migration.view().phase;
    let what = match phase {
        PhaseName::Validating | PhaseName::Preparing => {
            format!("detached: no copy of `{domain}` was started; it is on the source")
        }
        PhaseName::Precopy | PhaseName::SwitchingOver if migration.view().cancel_asked => format!(
            "detached: the cancel has not completed; until it does, the source's libvirt daemon continues the migration of \
             `{domain}`"
        ),
        PhaseName::Precopy if !migration.control().ledger().has(Mark::DestinationReceives) => format!(
            "detached: if the copy of `{domain}` had started, the source's libvirt daemon continues it; if not, it will not be \
             started"
        ),
        PhaseName::Precopy | PhaseName::SwitchingOver => {
            format!("detached: the source's libvirt daemon continues the migration of `{domain}`")
        }
        PhaseName::Postcopy | PhaseName::Recovering => format!(
            "detached: `{domain}` runs on the destination and needs its memory on the source: destroy neither copy; the \
             daemons continue as long as they reach each other"
        ),
        PhaseName::Completing | PhaseName::RollingBack | PhaseName::Resolving | PhaseName::Done => {
            format!(
                "detached: the copy of `{domain}` has ended, and its location was still being verified ({phase})"
            )
        }
    };
    let mut text = what;
    // virsh has no driver of simulated hosts.
    if !source.starts_with(SCHEME) {
        // Writing into a string does not fail.
        let _ = write!(
            text,
            "\n  \
             status:  virsh -c {source} domjobinfo {domain}\n  \
             cancel:  virsh -c {source} domjobabort {domain}\n  \
             where:   virsh -c {source} domstate {domain} --reason; virsh -c {dest} domstate {domain} --reason"
        );
    }
    for change in migration.control().ledger().undo.iter() {
        let what = match change {
            Change::DowntimeLimit => "the downtime limit stays changed; see `virsh migrate-setmaxdowntime`",
            Change::BandwidthLimit => "the bandwidth limit stays changed; see `virsh migrate-setspeed`",
            Change::Pause => "the guest was paused for the migration; see `virsh resume`",
            Change::Disks => "disks were created on the destination; see `virsh vol-delete`",
        };
        // Writing into a string does not fail.
        let _ = write!(text, "\n  to restore, if `{domain}` stays on the source: {what}");
    }
    text
}

/// A new file under the user's state directory; its name holds the guest and the time.
fn usual_journal(guest: &str) -> Result<PathBuf, CliError> {
    let folder = state_folder()?;
    private::make_folder(&folder).map_err(|source| CliError::Unwritable { path: folder.clone(), source })?;
    Ok(folder.join(format!("{}{}.journal", journal_prefix(guest), unix_ms())))
}

/// How the names of this guest's journals begin.
pub(super) fn journal_prefix(guest: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let guest: String = guest.chars().take(80).map(safe).collect();
    format!("{guest}-")
}
