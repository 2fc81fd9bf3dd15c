//! `whimbrel migrate`: a running guest from one libvirt host to another.

use super::args::Migrate;
use super::{CliError, Exit};

pub(super) fn run(arguments: &Migrate) -> Result<Exit, CliError> {
    for uri in [&arguments.source, &arguments.dest] {
        check_uri(uri)?;
    }
    drive(arguments)
}

pub(super) fn check_uri(uri: &str) -> Result<(), CliError> {
    if uri.starts_with("sim:") {
        return Err(CliError::Uri {
            reason: format!("`{uri}` is a simulated host, and `migrate` moves real guests"),
            hint: "`whimbrel simulate` runs a migration with no hypervisor",
        });
    }
    if !uri.contains("://") || uri.contains('\0') {
        return Err(CliError::Uri {
            reason: format!("`{}` is not a libvirt connection URI", uri.escape_debug()),
            hint: "write it as qemu+ssh://HOST/system, qemu+tls://HOST/system, or qemu:///system for this host",
        });
    }
    Ok(())
}

#[cfg(not(feature = "libvirt"))]
fn drive(arguments: &Migrate) -> Result<Exit, CliError> {
    Err(not_built_in(&arguments.source))
}

#[cfg(not(feature = "libvirt"))]
pub(super) fn not_built_in(uri: &str) -> CliError {
    CliError::Uri {
        reason: format!("this build cannot connect to `{uri}`: the libvirt driver is not built in"),
        hint: "build with `cargo build --release --features libvirt`; it needs libvirt's headers (Debian: \
               `apt-get install libvirt-dev pkg-config`)",
    }
}

#[cfg(feature = "libvirt")]
use with_libvirt::drive;

#[cfg(feature = "libvirt")]
mod with_libvirt {
    use std::fmt::Write as _;
    use std::path::{Path, PathBuf};
    use std::sync::mpsc;
    use std::time::{SystemTime, UNIX_EPOCH};

    use whimbrel_core::control::Change;
    use whimbrel_core::{Ending, Facts, Migration, Outcome, PhaseName, Spec, Verdict, Ways};
    use whimbrel_plugins::facts::{Request, StorageCopy};

    use super::super::args::AtTimeoutName;
    use super::super::{CliError, Exit, interrupt, rule, say, stdout_is_terminal};
    use super::Migrate;
    use crate::drive::{self, Journal};
    use crate::libvirt::{LibvirtPort, Route};
    use crate::watch::{self, Origin, picture};

    pub(super) fn drive(arguments: &Migrate) -> Result<Exit, CliError> {
        let path = arguments.journal.clone().unwrap_or_else(|| usual_journal(&arguments.domain));
        let journal = Journal::create(&path)?;
        let (sender, inbox) = mpsc::channel();
        interrupt::listen(sender.clone())?;
        let route = Route {
            guest: arguments.domain.clone(),
            source: arguments.source.clone(),
            destination: arguments.dest.clone(),
            migrate_uri: arguments.migrate_uri.clone(),
            ways: ways(arguments),
            destination_xml: arguments.xml.as_deref().map(read_xml).transpose()?,
        };
        let judge = judge(arguments)?;
        let mut port = LibvirtPort::new(route, sender);
        let watcher =
            watch::choose(arguments.format, stdout_is_terminal(), picture::FRAME_MS, Origin::default());
        let driven = drive::drive(spec(arguments), &mut port, &inbox, journal, judge, watcher)?;
        let exit = driven.outcome.as_ref().map_or(Exit::Left, exit_of);
        if exit == Exit::Left {
            say(&how_to_look_after(arguments, &driven.migration));
        }
        say(&format!("journal: {}", path.display()));
        if let Some(error) = &driven.journal_error {
            say(&format!("warning: the journal breaks off: {error}"));
        }
        if let (Some(p50), Some(p99)) = (driven.reactions.quantile_us(50), driven.reactions.quantile_us(99)) {
            say(&format!(
                "reactions to libvirt's events: {}, p50 {p50} µs, p99 {p99} µs",
                driven.reactions.count()
            ));
        }
        Ok(exit)
    }

    /// The preflight: every rule on the facts of both hosts. Hosts that cannot be asked are the driver's to name, so
    /// that then the core's own few facts are judged.
    fn judge(arguments: &Migrate) -> Result<impl Fn(&Facts) -> Verdict + use<>, CliError> {
        let set = rule::load_set(&arguments.rules)?;
        let told = crate::libvirt::collect(&arguments.domain, &arguments.source, &arguments.dest);
        let verdict = told.ok().map(|mut facts| {
            facts.request = Some(request(arguments));
            let judgement = set.judge(&facts, &rule::today());
            let forceful = judgement.findings.into_iter().filter(|one| one.waived.is_none());
            whimbrel_plugins::verdict(forceful.map(|one| one.finding))
        });
        Ok(move |facts: &Facts| verdict.clone().unwrap_or_else(|| whimbrel_plugins::judge(facts)))
    }

    fn request(arguments: &Migrate) -> Request {
        let ways = ways(arguments);
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

    fn spec(arguments: &Migrate) -> Spec {
        let mut spec =
            Spec::new(arguments.domain.as_str(), arguments.source.as_str(), arguments.dest.as_str());
        spec.downtime_limit_ms = arguments.downtime;
        spec.bandwidth_limit_bytes_per_second = arguments.bandwidth.map(|mib| mib << 20);
        spec.timeout_ms = arguments.timeout.map(|s| s.saturating_mul(1000));
        spec.at_timeout = arguments.at_timeout.into();
        spec.ways = ways(arguments);
        spec.doubt_patience_ms = arguments.doubt_patience.saturating_mul(1000);
        spec.recovery_patience_ms = arguments.recovery_patience.saturating_mul(1000);
        spec
    }

    fn ways(arguments: &Migrate) -> Ways {
        Ways {
            postcopy: arguments.postcopy || arguments.at_timeout == AtTimeoutName::Postcopy,
            auto_converge: arguments.auto_converge,
            xbzrle: arguments.xbzrle,
            parallel_connections: arguments.parallel,
            copy_disks: arguments.copy_disks,
            offline: arguments.offline,
        }
    }

    fn read_xml(path: &Path) -> Result<String, CliError> {
        std::fs::read_to_string(path).map_err(|source| CliError::Unreadable { path: path.into(), source })
    }

    /// The code that tells this outcome.
    fn exit_of(outcome: &Outcome) -> Exit {
        match (outcome.ending, outcome.guest) {
            (Ending::Completed, _) => Exit::Done,
            (Ending::Cancelled, _) => Exit::Cancelled,
            (Ending::InDoubt, _) => Exit::InDoubt,
            (Ending::Failed, guest) if guest.is_lost() => Exit::InDoubt,
            (Ending::Failed, _) => Exit::StayedOnSource,
        }
    }

    /// What an operator who leaves needs to know: what goes on without us, and what will not be done any more.
    fn how_to_look_after(arguments: &Migrate, migration: &Migration) -> String {
        let Migrate { domain, source, dest, .. } = arguments;
        let phase = migration.view().phase;
        let what = match phase {
            PhaseName::Validating | PhaseName::Preparing => {
                format!("left: no copy of `{domain}` was begun; it is on the source")
            }
            PhaseName::Precopy | PhaseName::SwitchingOver if migration.view().cancel_asked => format!(
                "left: the end was asked for and has not come; until it does, the source's libvirt daemon drives the \
                 migration of `{domain}` on"
            ),
            PhaseName::Precopy | PhaseName::SwitchingOver => {
                format!("left: the migration of `{domain}` goes on, driven by the source's libvirt daemon")
            }
            PhaseName::Postcopy | PhaseName::Recovering => format!(
                "left: `{domain}` runs on the destination and needs its memory on the source: end neither copy; the \
                 daemons go on as long as they reach each other"
            ),
            PhaseName::Completing | PhaseName::RollingBack | PhaseName::Resolving | PhaseName::Done => {
                format!(
                    "left: the copy of `{domain}` has ended, and where it runs was still being made sure ({phase})"
                )
            }
        };
        let mut text = format!(
            "{what}\n  \
             look:    virsh -c {source} domjobinfo {domain}\n  \
             cancel:  virsh -c {source} domjobabort {domain}\n  \
             where:   virsh -c {source} domstate {domain} --reason; virsh -c {dest} domstate {domain} --reason"
        );
        for change in migration.control().ledger().undo.iter() {
            let what = match change {
                Change::DowntimeLimit => {
                    "the downtime limit stays changed; see `virsh migrate-setmaxdowntime`"
                }
                Change::BandwidthLimit => "the bandwidth limit stays changed; see `virsh migrate-setspeed`",
                Change::Pause => "the guest was stopped for the migration; see `virsh resume`",
                Change::Disks => "disks were made on the destination; see `virsh vol-delete`",
            };
            // Writing into a string does not fail.
            let _ = write!(text, "\n  put back, should `{domain}` stay on the source: {what}");
        }
        text
    }

    /// A new file under the user's state directory; its name holds the guest and the time.
    fn usual_journal(guest: &str) -> PathBuf {
        let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
        let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).or_else(home);
        let ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let safe = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
        let guest: String = guest.chars().take(80).map(safe).collect();
        state.unwrap_or_default().join("whimbrel").join(format!("{guest}-{ms}.journal"))
    }
}
