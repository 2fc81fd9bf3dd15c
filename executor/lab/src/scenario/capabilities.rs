//! What of a scenario real hosts can do. The rest is refused by name, before anything is started.
//!
//! The lab's hosts are what is installed, its guest writes uniformly to one working set, and its operator is the
//! program's command line. Nothing here may let a scenario through that would be run as something else.

use whimbrel_core::Side;
use whimbrel_sim::Scenario;
use whimbrel_sim::guest::{Content, Pattern};
use whimbrel_sim::network::Loss;
use whimbrel_sim::qemu::{AutoConverge, Channels, HostConstants, Postcopy, Xbzrle};
use whimbrel_sim::scenario::{Fault, FaultAction, GuestPhase, ScenarioWriter, Trigger, Writing};
use whimbrel_sim::world::{DaemonConstants, HostInventory, Milestone};

use crate::LabError;

/// Silence after which the lab's daemons give each other up: three messages, 2 s apart, and as long for the last answer.
const KEEP_ALIVE_NS: u64 = 8_000_000_000;

/// What a fault is to real hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LabFault {
    /// The program is interrupted.
    Interrupt,
    CutLink,
    RestoreLink,
    BreakStream,
    KillDaemon(Side),
    StartDaemon(Side),
    KillGuest(Side),
    /// A host that loses its power falls silent, and takes its daemon and its guest with it.
    LoseHost(Side),
    StartHost(Side),
    /// The program is killed, and another one adopts its journal after so many milliseconds.
    RestartDriver {
        gone_ms: u64,
    },
    Suspend(Side),
    Resume(Side),
}

/// Looks through a whole scenario.
///
/// # Errors
/// [`LabError::OnlySimulated`] with everything that only the simulator can do.
pub(super) fn check(scenario: &Scenario) -> Result<(), LabError> {
    let mut only = Vec::new();
    guest(scenario, &mut only);
    environment(scenario, &mut only);
    migration(scenario, &mut only);
    for fault in &scenario.faults {
        if lab_fault(fault.action).is_none() {
            only.push(format!("the fault `{}`", fault.action.word()));
        }
        if !can_be_seen(fault) {
            only.push(format!("a fault at {:?}", fault.trigger));
        }
    }
    if only.is_empty() {
        return Ok(());
    }
    Err(LabError::OnlySimulated { scenario: scenario.name.clone(), what: only.join(", ") })
}

/// How a fault is done here; none for one that only the simulator can do.
pub(super) const fn lab_fault(action: FaultAction) -> Option<LabFault> {
    match action {
        FaultAction::Cancel => Some(LabFault::Interrupt),
        FaultAction::CutLink => Some(LabFault::CutLink),
        FaultAction::RestoreLink => Some(LabFault::RestoreLink),
        FaultAction::BreakStream => Some(LabFault::BreakStream),
        FaultAction::KillDaemon(side) => Some(LabFault::KillDaemon(side)),
        FaultAction::StartDaemon(side) => Some(LabFault::StartDaemon(side)),
        FaultAction::StartHost(side) => Some(LabFault::StartHost(side)),
        FaultAction::RestartDriver { gone_ms } => Some(LabFault::RestartDriver { gone_ms }),
        FaultAction::KillGuest(side) => Some(LabFault::KillGuest(side)),
        FaultAction::LoseHost(side) => Some(LabFault::LoseHost(side)),
        FaultAction::PauseGuest(side) => Some(LabFault::Suspend(side)),
        FaultAction::UnpauseGuest(side) => Some(LabFault::Resume(side)),
        // The command line takes no wishes while it migrates, and a daemon's words cannot be held back.
        FaultAction::Postcopy
        | FaultAction::Pause
        | FaultAction::DowntimeLimit { .. }
        | FaultAction::BandwidthLimit { .. }
        | FaultAction::DropClients(_)
        | FaultAction::Silence(_)
        | FaultAction::DelayReplies { .. }
        | FaultAction::DoubleReplies(_)
        | FaultAction::LoseEvents(_)
        | FaultAction::Speak(_)
        | FaultAction::TakeMemory { .. }
        | FaultAction::LeaveRoom { .. }
        | FaultAction::FailDisk(_) => None,
    }
}

/// The phases of the guest's writes; none for writes that the lab's guest cannot do.
pub(super) fn phases(writing: &Writing) -> Option<Vec<GuestPhase>> {
    match writing {
        Writing::Phases(phases) => {
            let mut sizes = phases.iter().map(|phase| phase.working_set_mib);
            let first = sizes.next();
            sizes.all(|size| Some(size) == first).then(|| phases.clone())
        }
        Writing::Writers(writers) => {
            let [writer] = writers.as_slice() else { return None };
            let ScenarioWriter { pattern, offset_mib, repeat_after_ms, moves_after_writes, .. } = writer;
            let plain = *pattern == Pattern::Uniform
                && *offset_mib == 0
                && repeat_after_ms.is_none()
                && moves_after_writes.is_none();
            let phase = |(at_ms, writes_per_second): &(u64, u64)| GuestPhase {
                at_ms: *at_ms,
                writes_per_second: *writes_per_second,
                working_set_mib: writer.working_set_mib,
            };
            plain.then(|| writer.steps.iter().map(phase).collect())
        }
    }
}

fn guest(scenario: &Scenario, only: &mut Vec<String>) {
    let guest = &scenario.guest;
    let mut unless = |can: bool, what: &str| {
        if !can {
            only.push(what.to_owned());
        }
    };
    unless(
        phases(&guest.writing).is_some(),
        "writes that are not uniform over one working set from 16 MiB on",
    );
    unless(guest.vcpus == 1, "`guest.vcpus`");
    unless(guest.ballooned_mib == 0, "`guest.ballooned_mib`");
    unless(guest.content == Content::default(), "`guest.compressed_page_bytes` and `changed_bytes_per_page`");
    unless(guest.persistent, "`guest.persistent = false`");
    unless(guest.disks.is_empty(), "`guest.disk`");
}

/// Links, hosts and times are what they are.
fn environment(scenario: &Scenario, only: &mut Vec<String>) {
    let link = &scenario.link;
    let mut unless = |can: bool, what: &str| {
        if !can {
            only.push(what.to_owned());
        }
    };
    unless(link.jitter_us == 0, "`link.jitter_us`");
    unless(link.loss == Loss::NONE, "`link.loss_per_million`");
    unless(link.tcp_window_kib.is_none(), "`link.tcp_window_kib`");
    unless(link.changes.is_empty(), "`link.change`");
    for (key, host) in [("source", &scenario.source), ("destination", &scenario.destination)] {
        let usual = HostInventory::named(&host.name);
        let pools = host.pools.clone();
        unless(*host == HostInventory { pools, ..usual }, &format!("`{key}`"));
    }
    let usual = DaemonConstants::default();
    let as_here = DaemonConstants { keep_alive_ns: KEEP_ALIVE_NS, ..usual };
    unless([usual, as_here].contains(&scenario.daemons), "`daemons` but for `keep_alive_ms = 8000`");
    unless(scenario.costs == HostConstants::default(), "`costs`");
}

/// The program's command line has no parameters of the ways.
fn migration(scenario: &Scenario, only: &mut Vec<String>) {
    let migration = &scenario.migration;
    let mut unless = |can: bool, what: &str| {
        if !can {
            only.push(what.to_owned());
        }
    };
    let throttle = migration.auto_converge.is_none_or(|rules| rules == AutoConverge::default());
    unless(throttle, "`migration.throttle_initial_percent` and its like");
    unless(migration.dirty_limit.is_none(), "`migration.dirty_limit_mib_per_second`");
    unless(
        migration.xbzrle.is_none_or(|cache| cache == Xbzrle::default()),
        "an `xbzrle_cache_mib` that is not 64",
    );
    let plain = |channels: Channels| channels == Channels { count: channels.count, ..Channels::default() };
    unless(migration.channels.is_none_or(plain), "`migration.zero_copy` and `compression_ns_per_page`");
    let postcopy = migration.postcopy.is_none_or(|postcopy| postcopy == Postcopy::default());
    unless(postcopy, "`migration.postcopy_bandwidth_mib_per_second` and `postcopy_preempt`");
    unless(migration.copy_disks.is_none(), "`migration.copy_disks`");
    unless(!migration.unsafe_storage, "`migration.unsafe_storage`");
}

/// Whether the journal or the destination's processes tell that a fault's moment has come.
const fn can_be_seen(fault: &Fault) -> bool {
    match fault.trigger {
        Trigger::AtMs(_) | Trigger::AtIteration(_) => true,
        Trigger::At(milestone) => {
            matches!(
                milestone,
                Milestone::Preparing | Milestone::Copying | Milestone::Stopped | Milestone::Postcopy
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(more: &str) -> Scenario {
        let text = format!(
            "name = \"lab\"\n[guest]\nname = \"wren\"\nmemory_mib = 256\nworking_set_mib = 64\nwrites_per_second = 1\n\
             {more}\n[link]\nbandwidth_mib_per_second = 1000\n[expect]\nresult = \"completed\"\nguest_on = \"destination\"\n"
        );
        Scenario::parse(&text, "lab.toml").unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn what_real_hosts_can_do_passes() {
        for can in [
            "",
            "[[guest.phase]]\nat_ms = 5\nwrites_per_second = 9",
            "[migration]\npostcopy = true\ntimeout_ms = 9000\nat_timeout = \"postcopy\"\nauto_converge = true",
            "[[fault]]\nat = \"stopped\"\ndo = \"lose-destination-host\"",
            "[[fault]]\nat_ms = 5\ndo = \"pause-source-guest\"",
        ] {
            check(&scenario(can)).unwrap_or_else(|error| panic!("{error}"));
        }
    }

    #[test]
    fn everything_else_is_refused_by_name() {
        let refused = check(&scenario(
            "vcpus = 2\n[[guest.phase]]\nat_ms = 5\nwrites_per_second = 9\nworking_set_mib = 8\n\
             [source]\nqemu = \"9.2.0\"\n[migration]\nxbzrle_cache_mib = 8\n\
             [[fault]]\nat = \"starting\"\ndo = \"silence-source\"\n\
             [[fault]]\nat_ms = 5\nto_ms = 1\ndo = \"downtime-limit\"",
        ));
        assert_eq!(
            refused.unwrap_err().to_string(),
            "only the simulator can do all of the scenario `lab`; real hosts cannot do: writes that are not uniform over \
             one working set from 16 MiB on, `guest.vcpus`, `source`, an `xbzrle_cache_mib` that is not 64, the fault \
             `silence-source`, a fault at At(Starting), the fault `downtime-limit`"
        );
    }
}
