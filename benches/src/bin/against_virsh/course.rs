//! The course of the comparison: hosts, guest, warm-up, pairs, and the last look at the guest.

use std::fs;
use std::thread;
use std::time::Duration;

use serde::Serialize;
use whimbrel_lab::{Guest, GuestSpec, Host, Lab, LabError, LabOptions, Pace, Snapshot, say_if_interrupted};

use crate::client::{Client, PhaseEntered, Reactions};
use crate::{BenchError, Options, say};

/// Guest memory, and the part of it that is filled and written to.
pub(crate) const MEMORY_MIB: u32 = 256;
pub(crate) const REGION_MIB: u32 = 192;

/// For the guest to show something; a busy machine may need much of it.
const PATIENCE: Duration = Duration::from_mins(2);
/// Between two migrations: daemons tidy up behind a guest that left, and write its files.
const REST: Duration = Duration::from_secs(1);
/// Ticks of the guest after the switchover before its witness is read (5 ms each).
const TICKS_AFTER: u64 = 40;

/// All that was measured.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    /// In the order in which they were run.
    pub(crate) pairs: Vec<Pair>,
    /// What libvirt says of itself and of QEMU.
    pub(crate) versions: String,
    /// Load average over a minute, before and after.
    pub(crate) load: [Option<f64>; 2],
}

/// One migration by each, right after the other.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Pair {
    /// Who went first, from `alpha` to `beta`; the other came back.
    pub(crate) first: Client,
    /// The run of `virsh`.
    pub(crate) virsh: Run,
    /// The run of Whimbrel.
    pub(crate) whimbrel: Run,
}

/// One migration. Times in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Run {
    /// The client's whole run, from its start to its end.
    pub(crate) command_ms: f64,
    /// User and system time of the client.
    pub(crate) client_cpu_ms: f64,
    /// Between the guest's last tick on one host and its first on the other.
    pub(crate) standstill_ms: f64,
    /// The longest time between two ticks, at any moment of the migration.
    pub(crate) longest_gap_ms: f64,
    /// The job's whole time as libvirt counted it.
    pub(crate) libvirt_total_ms: Option<f64>,
    /// The downtime as libvirt counted it.
    pub(crate) libvirt_downtime_ms: Option<f64>,
    /// How fast Whimbrel answered events.
    pub(crate) reactions: Option<Reactions>,
    /// Whimbrel's phases.
    pub(crate) phases: Vec<PhaseEntered>,
}

/// Builds the hosts, measures, and removes everything.
pub(crate) fn run(options: &Options) -> Result<Measured, BenchError> {
    let lab = Lab::build(&LabOptions::default())?;
    let measured = pairs(&lab, options);
    let removed = lab.remove();
    let measured = measured?;
    removed?;
    Ok(measured)
}

fn pairs(lab: &Lab, options: &Options) -> Result<Measured, BenchError> {
    let spec = GuestSpec {
        memory_mib: MEMORY_MIB,
        region_mib: REGION_MIB,
        writes_per_second: options.writes,
        ..GuestSpec::default()
    };
    let guest = lab.start_guest(&spec)?;
    let filled = guest.wait_until(PATIENCE, |now| now.scans > 0)?;
    let load_before = load_average();
    let versions = lab.alpha().virsh(&["version"])?;
    for first in Client::BOTH {
        // The daemons look up and keep what QEMU can do: the first guest of each host pays for it.
        pair(lab, options, &guest, first)?;
        say(&format!("warm-up, {first} first"));
    }
    let mut pairs = Vec::new();
    let all = usize::try_from(options.pairs).unwrap_or(usize::MAX);
    let pace = Pace::new(all);
    for (number, first) in (1..=all).zip(Client::BOTH.into_iter().cycle()) {
        // A run that is cut short is none, and the guest's memory was not checked: there is no table then.
        say_if_interrupted(pace.stopped_before(number, "pairs, which are listed above"));
        let label = pace.before(number);
        let pair = pair(lab, options, &guest, first)?;
        say(&format!(
            "{label} virsh {:.0} ms (standstill {:.0}), whimbrel {:.0} ms ({:.0})",
            pair.virsh.command_ms,
            pair.virsh.standstill_ms,
            pair.whimbrel.command_ms,
            pair.whimbrel.standstill_ms
        ));
        pairs.push(pair);
    }
    let load = [load_before, load_average()];
    unharmed(&guest.wait_for_scan_after(&filled, PATIENCE)?)?;
    Ok(Measured { pairs, versions, load })
}

/// Each once: the first from `alpha` to `beta`, the other back. Who goes first alternates, so each goes either way.
fn pair(lab: &Lab, options: &Options, guest: &Guest, first: Client) -> Result<Pair, BenchError> {
    let there = one(lab, options, guest, (first, lab.alpha(), lab.beta()))?;
    let second = if first == Client::Virsh { Client::Whimbrel } else { Client::Virsh };
    let back = one(lab, options, guest, (second, lab.beta(), lab.alpha()))?;
    let (virsh, whimbrel) = if first == Client::Virsh { (there, back) } else { (back, there) };
    Ok(Pair { first, virsh, whimbrel })
}

fn one(
    lab: &Lab,
    options: &Options,
    guest: &Guest,
    (client, from, to): (Client, &Host, &Host),
) -> Result<Run, BenchError> {
    thread::sleep(REST);
    let before = guest.mark();
    let call = client.migrate(lab, options, from, to)?;
    let arrived = guest.wait_until(PATIENCE, |now| now.handover.is_some() && now.owner != before.owner)?;
    let settled = guest.wait_until(PATIENCE, |now| now.seq >= arrived.seq + TICKS_AFTER)?;
    unharmed(&settled)?;
    let standstill = settled.handover.ok_or(BenchError::Nothing)?;
    // What is not there yet, or was read by the client itself, is left out.
    let job = to.virsh(&["domjobinfo", "--completed", guest.name()]).unwrap_or_default();
    left(from, guest)?;
    Ok(Run {
        command_ms: ms(call.wall),
        client_cpu_ms: ms(call.cpu),
        standstill_ms: ms(standstill),
        longest_gap_ms: ms(settled.longest_gap),
        libvirt_total_ms: job_field(&job, "Time elapsed:"),
        libvirt_downtime_ms: job_field(&job, "Total downtime:"),
        reactions: call.reactions,
        phases: call.phases,
    })
}

fn unharmed(seen: &Snapshot) -> Result<(), BenchError> {
    if seen.bad > 0 || seen.lost > 0 || seen.two_copies_ran() {
        return Err(BenchError::Harmed(format!("{seen:?}")));
    }
    Ok(())
}

/// Both are asked to take the guest's definition along.
fn left(host: &Host, guest: &Guest) -> Result<(), BenchError> {
    match host.domain_state(guest.name())? {
        None => Ok(()),
        Some(state) => Err(LabError::Command {
            command: format!("the migration away from `{}`", host.name()),
            message: format!("the guest is still there: {state}"),
        }
        .into()),
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// A line of `virsh domjobinfo` such as `Time elapsed:       3210         ms`.
fn job_field(job: &str, field: &str) -> Option<f64> {
    let value = job.lines().find_map(|line| line.trim().strip_prefix(field))?;
    value.trim().strip_suffix("ms")?.trim().parse().ok()
}

fn load_average() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_jobs_numbers_are_found() {
        let job = "Job type:         Completed\nTime elapsed:     3210         ms\n\
                   Time elapsed w/o network: 3208         ms\nTotal downtime:   42           ms\n";
        assert_eq!(job_field(job, "Time elapsed:"), Some(3210.0));
        assert_eq!(job_field(job, "Total downtime:"), Some(42.0));
        assert_eq!(job_field("Job type:         None\n", "Total downtime:"), None);
    }
}
