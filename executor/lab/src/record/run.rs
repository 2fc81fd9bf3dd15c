//! One run: a guest is started, watched for a while, migrated, and asked what it found.
//!
//! Whatever fails, both QEMU processes and everything of theirs is gone when this returns.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use serde_json::json;

use super::RecordError;
use super::case::{Case, DriverKind, Guest};
use super::direct::Direct;
use super::driver::{Driver, Machine};
use super::emulator::Emulator;
use super::environment::Host;
use super::follow::follow;
use super::libvirt_driver::{self, LibvirtDriver};
use super::linux::{self, Linux};
use super::load::{Meter, Quiet};
use super::profile::{self, Profile};
use super::row::{Measured, Row};
use super::trace::Course;
use super::writer;
use crate::cleanup::Cleanup;
use crate::programs::{Program, compile};
use crate::{Lab, LabError, LabOptions};

/// What all runs share: the guests' programs, and the lab once a run needs it.
#[derive(Debug)]
pub(super) struct Workshop {
    writer: PathBuf,
    linux: Option<Linux>,
    host: Host,
    emulator: Emulator,
    lab: Option<(Lab, String)>,
    guests: u32,
    /// Removes the programs when dropped.
    cleanup: Arc<Cleanup>,
}

impl Workshop {
    /// Builds the programs; a Linux guest only where its packages are given.
    pub(super) fn open(linux: Option<&Path>, emulator: &Emulator) -> Result<Self, RecordError> {
        Lab::remove_stale()?;
        let cleanup = Cleanup::create(true)?;
        let writer = compile(Program::Writer, &cleanup.folder)?;
        let linux = linux.map(|extracted| Linux::assemble(extracted, &cleanup.folder)).transpose()?;
        let emulator = emulator.clone();
        Ok(Self { writer, linux, host: Host::look(), emulator, lab: None, guests: 0, cleanup })
    }

    /// The version of the QEMU that is recorded.
    pub(super) fn qemu_version(&self) -> Result<String, RecordError> {
        self.emulator.version(&self.cleanup.folder)
    }

    fn machine(&self, case: &Case) -> Result<Machine, RecordError> {
        match (&case.guest, &self.linux) {
            (Guest::Writer(arguments), _) => {
                Ok(Machine { kernel: self.writer.clone(), initrd: None, append: arguments.to_string() })
            }
            (Guest::Linux { workload, .. }, Some(linux)) => Ok(linux.machine(*workload)),
            (Guest::Linux { .. }, None) => Err(RecordError::NoLinux(case.name.clone())),
        }
    }

    /// The lab, built when it is first needed.
    fn lab(&mut self) -> Result<&(Lab, String), RecordError> {
        if self.lab.is_none() {
            let root = self.emulator.root().cloned();
            let lab = Lab::build(&LabOptions {
                alpha_root: root.clone(),
                beta_root: root,
                ..LabOptions::default()
            })?;
            let version = libvirt_driver::version(&lab)?;
            self.lab = Some((lab, version));
        }
        self.lab.as_ref().ok_or(RecordError::Closed("the lab"))
    }

    /// Records one run, once the machine is quiet.
    pub(super) fn run(&mut self, case: &Case, rep: u32, quiet: &mut Quiet) -> Result<Row, RecordError> {
        let machine = self.machine(case)?;
        self.guests += 1;
        let (number, host) = (self.guests, self.host.clone());
        match case.driver {
            DriverKind::Qemu => {
                let busy_before = quiet.wait()?;
                let mut driver = Direct::start(case, &machine, &self.emulator)?;
                let guest_kernel = self.linux.as_ref().map(|linux| linux.release.clone());
                record(&mut driver, case, rep, Known { busy_before, host, libvirt: None, guest_kernel })
            }
            DriverKind::Libvirt => {
                let emulator = self.emulator.clone();
                let (lab, version) = self.lab()?;
                let busy_before = quiet.wait()?;
                let machine = seen_by_hosts(lab, &machine)?;
                let mut driver = LibvirtDriver::start(lab, case, &machine, number, emulator.path())?;
                let known = Known { busy_before, host, libvirt: Some(version.clone()), guest_kernel: None };
                record(&mut driver, case, rep, known)
            }
        }
    }
}

/// The same machine, with its files in the lab's folder: a host with a root of its own sees no other folder.
fn seen_by_hosts(lab: &Lab, machine: &Machine) -> Result<Machine, LabError> {
    let copied = |path: &Path| {
        let to = lab.folder().join(path.file_name().unwrap_or(path.as_os_str()));
        if !to.exists() {
            fs::copy(path, &to).map_err(LabError::io(format!("copy `{}`", path.display())))?;
        }
        Ok(to)
    };
    let initrd = machine.initrd.as_deref().map(copied).transpose()?;
    Ok(Machine { kernel: copied(&machine.kernel)?, initrd, append: machine.append.clone() })
}

/// What is known before the guest says anything.
struct Known {
    busy_before: f64,
    host: Host,
    libvirt: Option<String>,
    guest_kernel: Option<String>,
}

fn record(driver: &mut dyn Driver, case: &Case, rep: u32, known: Known) -> Result<Row, RecordError> {
    let before = Before::watch(driver, case)?;
    if case.paused {
        driver.source().qmp.execute("stop", &json!({}))?;
    }
    let mut meter = Meter::start(&driver.processes())?;
    let ended = follow(driver, case, &mut meter)?;
    let busy = meter.others()?;
    let guest_witness = ask_the_guest(driver, case, ended.completed)?;
    let course = Course::read(&driver.trace()?).map_err(|error| RecordError::Answer(error.to_string()))?;
    // Between the last figures and a cancel QEMU goes on.
    let course = course.until(ended.figures_us);
    let measured = Measured {
        rate: before.rate,
        tsc_hz: before.tsc_hz,
        age_ms: age_ms(before.since, ended.began),
        guest_witness,
        busy_before: known.busy_before,
        busy,
        qemu: driver.source().qmp.version().to_owned(),
        libvirt: known.libvirt,
        host: known.host,
        guest_kernel: known.guest_kernel.filter(|_| matches!(case.guest, Guest::Linux { .. })),
        profile: before.profile,
    };
    Row::new(case, rep, ended, &course, measured)
}

/// What was seen of the guest before its migration.
struct Before {
    /// The guest's first write, or its being ready.
    since: Instant,
    rate: f64,
    tsc_hz: Option<u64>,
    profile: Option<Profile>,
}

impl Before {
    fn watch(driver: &mut dyn Driver, case: &Case) -> Result<Self, RecordError> {
        let source = driver.source();
        match &case.guest {
            Guest::Writer(_) => {
                let start = writer::start(&mut source.serial)?;
                let rate = writer::measure(&mut source.serial, start.tsc_hz)?;
                Ok(Self { since: start.at, rate, tsc_hz: Some(start.tsc_hz), profile: None })
            }
            Guest::Linux { profile_s, .. } => {
                let since = linux::wait_until_ready(&mut source.serial)?;
                let profile = profile::measure(source, case.ram_mib, profile_s)?;
                Ok(Self { since, rate: 0.0, tsc_hz: None, profile: Some(profile) })
            }
        }
    }
}

/// Whether the guest, where it is now, finds what it wrote. A Linux guest can only say that it lives: when it does
/// not, that is damage; when it does, nothing is known.
fn ask_the_guest(driver: &mut dyn Driver, case: &Case, completed: bool) -> Result<Option<bool>, RecordError> {
    let place = if completed { driver.destination()? } else { driver.source() };
    if case.paused {
        place.qmp.execute("cont", &json!({}))?;
    }
    match &case.guest {
        Guest::Writer(_) => writer::verify(&mut place.serial).map(Some),
        Guest::Linux { .. } => Ok(if linux::is_alive(&mut place.serial)? { None } else { Some(false) }),
    }
}

fn age_ms(since: Instant, until: Instant) -> u64 {
    u64::try_from(until.saturating_duration_since(since).as_millis()).unwrap_or(u64::MAX)
}
