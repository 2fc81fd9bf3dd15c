//! One migration of the guest from where it is to the other host, with its fault, until the guest has verified itself.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use whimbrel_sim::oracle::HostId;

use super::draw::{Fault, Plan};
use super::judge::{Verdict, history, judge, reported, why};
use super::usage::Usage;
use crate::{Guest, GuestSpec, Host, Lab, LabError};

/// The newest machine type that every kind of host has.
const MACHINE: &str = "pc-i440fx-5.2";
/// How long a fault that is repaired lasts.
const REPAIRED_AFTER: Duration = Duration::from_secs(3);
/// Longer than a migration takes whose hosts are all there again.
const ENDS_WITHIN: Duration = Duration::from_mins(5);
/// Longer than two scans of the guest's region take on an emulated processor.
const SCANNED_WITHIN: Duration = Duration::from_mins(1);
const LOOK_EVERY: Duration = Duration::from_millis(20);
const MEASURE_EVERY: Duration = Duration::from_secs(1);

/// The guest of one lab, which is started again when it was lost.
#[derive(Debug)]
pub(super) struct Soaked<'a> {
    lab: &'a Lab,
    program: &'a Path,
    guest: Option<Resident>,
    guests: u32,
    /// Why the program did not migrate in the last round.
    pub(super) why: Option<String>,
}

/// A guest and where it is.
#[derive(Debug)]
struct Resident {
    guest: Guest,
    /// Of each of its copies, in their order.
    hosts: Vec<HostId>,
    /// Whether it is on the second host.
    is_away: bool,
}

impl<'a> Soaked<'a> {
    pub(super) const fn new(lab: &'a Lab, program: &'a Path) -> Self {
        Self { lab, program, guest: None, guests: 0, why: None }
    }

    /// Migrates, and judges the result; also whether the fault came in time. Every fault is repaired then.
    pub(super) fn round(
        &mut self,
        plan: &Plan,
        number: u32,
        usage: &mut Usage,
    ) -> Result<(Verdict, bool), LabError> {
        let mut resident = match self.guest.take() {
            Some(resident) => resident,
            None => self.start()?,
        };
        let name = resident.guest.name().to_owned();
        let hosts = [self.lab.alpha(), self.lab.beta()];
        let ends = if resident.is_away { (hosts[1], hosts[0]) } else { (hosts[0], hosts[1]) };
        let ids = if resident.is_away { (HostId(1), HostId(0)) } else { (HostId(0), HostId(1)) };
        let log = self.lab.folder().join(format!("soak-{number}.log"));
        let child = self.spawn(&name, ends, plan, &log)?;
        let (ended, has_failed) = self.follow(child, &name, ends, plan, number, usage)?;
        self.lab.clear_faults()?;
        let text = fs::read_to_string(&log).map_err(LabError::io(format!("read `{}`", log.display())))?;
        let _ = fs::remove_file(&log);
        if !ended {
            self.lab.remove_guest(&name)?;
            let within = ENDS_WITHIN.as_secs();
            let reason = format!("the program did not end within {within} s");
            return Ok((Verdict::Unjudged(reason), has_failed));
        }
        let reported = reported(&text);
        self.why = why(&text);
        let is_running =
            reported.as_deref().is_some_and(|place| place == "untouched" || place.ends_with("_running"));
        let now = resident.guest.snapshot();
        let (seen, scanned) = if is_running {
            match resident.guest.wait_for_scan_after(&now, SCANNED_WITHIN) {
                Ok(seen) => (seen, true),
                Err(LabError::Witness { last, .. }) => (*last, false),
                Err(error) => return Err(error),
            }
        } else {
            (now, false)
        };
        let copies = resident.guest.copies();
        // Only the destination's QEMU was started since the round began.
        resident.hosts.resize(copies.len(), ids.1);
        let history = history(&copies, &resident.hosts);
        let verdict = judge(&history, &seen, scanned, reported.as_deref(), ids);
        match verdict {
            Verdict::Moved => resident.is_away = !resident.is_away,
            Verdict::Stayed => {}
            Verdict::Lost | Verdict::Unjudged(_) | Verdict::Violation(_) => {
                self.lab.remove_guest(&name)?;
                return Ok((verdict, has_failed));
            }
        }
        self.guest = Some(resident);
        Ok((verdict, has_failed))
    }

    fn start(&mut self) -> Result<Resident, LabError> {
        self.guests += 1;
        let guest = self.lab.start_guest(&GuestSpec {
            name: format!("soaked-{}", self.guests),
            machine: MACHINE.to_owned(),
            memory_mib: 128,
            region_mib: 64,
            writes_per_second: 4000,
            seed: self.guests,
            ..GuestSpec::default()
        })?;
        Ok(Resident { guest, hosts: vec![HostId(0)], is_away: false })
    }

    fn spawn(
        &self,
        guest: &str,
        (from, to): (&Host, &Host),
        plan: &Plan,
        log: &Path,
    ) -> Result<Child, LabError> {
        let failed = || LabError::io(format!("create `{}`", log.display()));
        let output = File::create(log).map_err(failed())?;
        let errors = output.try_clone().map_err(failed())?;
        let mut command = self.lab.operator_command(&self.program.to_string_lossy());
        command.args(["migrate", guest, &to.uri(), "--source", &from.uri()]).args(plan.arguments());
        command.env("XDG_STATE_HOME", self.lab.folder());
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        command.spawn().map_err(LabError::io(format!("start `{}`", self.program.display())))
    }

    /// Waits until the program ends, with the fault and its repair. Gives whether the program ended without being killed, and
    /// whether the fault came before that.
    fn follow(
        &self,
        mut child: Child,
        guest: &str,
        (from, to): (&Host, &Host),
        plan: &Plan,
        number: u32,
        usage: &mut Usage,
    ) -> Result<(bool, bool), LabError> {
        let began = Instant::now();
        let (mut is_due, mut is_repaired) = (plan.has_fault(), true);
        let mut measured = None;
        loop {
            if child.try_wait().map_err(LabError::io("wait for the program"))?.is_some() {
                return Ok((true, plan.has_fault() && !is_due));
            }
            if began.elapsed() > ENDS_WITHIN {
                child.kill().map_err(LabError::io("kill the program"))?;
                child.wait().map_err(LabError::io("wait for the program"))?;
                return Ok((false, plan.has_fault() && !is_due));
            }
            if is_due && began.elapsed() >= plan.fault_at {
                is_due = false;
                is_repaired = false;
                self.fail(plan.fault, guest, (from, to), &child)?;
            }
            if !is_repaired && began.elapsed() >= plan.fault_at + REPAIRED_AFTER {
                is_repaired = true;
                self.lab.clear_faults()?;
            }
            if measured.is_none_or(|at: Instant| at.elapsed() >= MEASURE_EVERY) {
                measured = Some(Instant::now());
                usage.add(number, "whimbrel", child.id())?;
                for (name, host) in [("libvirtd-source", from), ("libvirtd-destination", to)] {
                    if let Ok(pid) = host.daemon_pid() {
                        usage.add(number, name, pid)?;
                    }
                }
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    fn fail(
        &self,
        fault: Fault,
        guest: &str,
        (from, to): (&Host, &Host),
        child: &Child,
    ) -> Result<(), LabError> {
        let failed = match fault {
            Fault::Nothing => Ok(()),
            Fault::Link => self.lab.cut_link(),
            Fault::Stream => self.lab.break_stream_of(from),
            Fault::SourceDaemon => from.kill_daemon(),
            Fault::DestinationDaemon => to.kill_daemon(),
            Fault::SourceQemu => from.kill_qemu(guest),
            Fault::DestinationQemu => to.kill_qemu(guest),
            Fault::Interrupt => {
                if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                    // It has not been waited for, so the id is still its own.
                    let _ = kill_process(pid, Signal::INT);
                }
                Ok(())
            }
        };
        match failed {
            // The victim may not be there yet, or not any more.
            Err(LabError::NotRunning { .. }) => Ok(()),
            other => other,
        }
    }
}
