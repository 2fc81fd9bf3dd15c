//! The lab's guest: its description, and the XML that libvirt starts it from.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::console::Console;
use crate::host::MONITOR;
use crate::witness::CopyRecord;
use crate::{GuestDisk, Host, LabError, Snapshot};

/// Where the region starts, and what firmware keeps at the top of memory.
const OUTSIDE_REGION_MIB: u32 = 18;
/// Beyond this, a 32-bit guest's memory is not in one piece.
const MEMORY_MAX_MIB: u32 = 2048;
/// Disks are `vda` to `vdz`.
const DISK_LETTERS: &str = "abcdefghijklmnopqrstuvwxyz";
/// As the guest's own table of phases.
const PHASES_MAX: usize = 16;
/// The guest's phase lengths in ticks of its clock must fit 64 bits with room to spare.
const WRITES_PER_SECOND_MAX: u32 = 4_000_000;

/// What the guest is and does.
#[derive(Clone, Debug)]
pub struct GuestSpec {
    /// Letters, digits and dashes.
    pub name: String,
    /// QEMU's machine type. A versioned one, such as `pc-i440fx-5.2`, can be migrated to every QEMU that has it; `pc` becomes
    /// the newest of the QEMU that the guest is defined on.
    pub machine: String,
    /// Memory in MiB, at most 2048.
    pub memory_mib: u32,
    /// The region that it fills and writes to, in MiB, at least 1 and at most 18 less than the memory.
    pub region_mib: u32,
    /// Page writes a second, uniform over the region; 0 for an idle guest. At most 4 million, of which an
    /// emulated processor may not manage all.
    pub writes_per_second: u32,
    /// When not empty, the guest goes through these again and again, and `writes_per_second` does not count.
    /// At most 16.
    pub phases: Vec<Phase>,
    /// Seed of the pattern of writes.
    pub seed: u32,
    /// Whether libvirt keeps the guest's definition when it is off.
    pub persistent: bool,
    /// Whether it is only prepared, to be set running with `virsh resume`.
    pub paused: bool,
    /// Host bridges that it has a network card on, one card for each entry, such as [`crate::GUEST_BRIDGE`].
    pub bridges: Vec<String>,
    /// Its disks, in order: `vda`, `vdb` …; at most 26. The guest's program does not use them.
    pub disks: Vec<GuestDisk>,
    /// Whether each QEMU of it has a monitor beside libvirt's, for [`Host::monitor`]; at most one guest of a host.
    pub monitor: bool,
}

/// A stretch of the guest's own time with one rate of writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phase {
    /// How long, in milliseconds of guest time; at least 1.
    pub length_ms: u32,
    /// Page writes a second, as in [`GuestSpec`].
    pub writes_per_second: u32,
}

impl Default for GuestSpec {
    fn default() -> Self {
        Self {
            name: "guest".into(),
            machine: "pc".into(),
            memory_mib: 256,
            region_mib: 192,
            writes_per_second: 0,
            phases: Vec::new(),
            seed: 1,
            persistent: true,
            paused: false,
            bridges: Vec::new(),
            disks: Vec::new(),
            monitor: false,
        }
    }
}

/// A guest that was started, and the ear at its console. Keep it while the guest may migrate: a
/// destination's QEMU that finds no listener at the console does not start.
#[derive(Debug)]
pub struct Guest {
    name: String,
    console: Console,
}

impl Guest {
    /// The guest's name in libvirt.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the witness has shown up to now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.console.snapshot()
    }

    /// Every QEMU process that ran or runs the guest, in the order in which they connected.
    #[must_use]
    pub fn copies(&self) -> Vec<CopyRecord> {
        self.console.copies()
    }

    /// Begins a new measurement: `longest_gap`, `handover` and `ticking` count from here. Gives the state at the mark.
    #[must_use = "the snapshot is what later ones are compared with"]
    pub fn mark(&self) -> Snapshot {
        self.console.mark()
    }

    /// Waits until the witness shows what is wanted.
    ///
    /// # Errors
    /// [`LabError::Witness`] with what it showed last, when it does not in the time allowed.
    pub fn wait_until(
        &self,
        allowed: Duration,
        wanted: impl Fn(&Snapshot) -> bool,
    ) -> Result<Snapshot, LabError> {
        self.console.wait_until(allowed, wanted)
    }

    /// Waits for a scan of the whole region that began after `earlier`, so that its finding is about
    /// the memory as it is now.
    ///
    /// # Errors
    /// [`LabError::Witness`] when there is none in the time allowed.
    pub fn wait_for_scan_after(&self, earlier: &Snapshot, allowed: Duration) -> Result<Snapshot, LabError> {
        // One scan may have been under way.
        let scans = earlier.scans.saturating_add(2);
        self.wait_until(allowed, |now| now.scans >= scans)
    }
}

/// Where a guest's files are.
#[derive(Debug)]
pub(crate) struct GuestFiles<'a> {
    /// The program that it boots.
    pub(crate) program: &'a Path,
    /// The socket of its console.
    pub(crate) socket: PathBuf,
    /// Where its XML is written.
    pub(crate) xml: PathBuf,
}

/// Defines the guest on a host, and leaves it off.
pub(crate) fn define(host: &Host, spec: &GuestSpec, files: &GuestFiles<'_>) -> Result<Guest, LabError> {
    let guest = prepare(spec, files)?;
    host.virsh(&["define", &files.xml.to_string_lossy()])?;
    Ok(guest)
}

/// Starts the guest on a host.
pub(crate) fn start(host: &Host, spec: &GuestSpec, files: &GuestFiles<'_>) -> Result<Guest, LabError> {
    let guest = prepare(spec, files)?;
    let file = files.xml.to_string_lossy();
    let paused: &[&str] = if spec.paused { &["--paused"] } else { &[] };
    if spec.persistent {
        host.virsh(&["define", &file])?;
        host.virsh(&[&["start", spec.name.as_str()], paused].concat())?;
    } else {
        host.virsh(&[&["create", &file], paused].concat())?;
    }
    if !spec.paused {
        guest.wait_until(Duration::from_mins(2), |now| now.seq > 0)?;
    }
    Ok(guest)
}

/// Listens at the console, and writes the guest's XML.
fn prepare(spec: &GuestSpec, files: &GuestFiles<'_>) -> Result<Guest, LabError> {
    check(spec)?;
    let console = Console::listen(&files.socket)?;
    let xml = domain_xml(spec, files.program, &files.socket);
    std::fs::write(&files.xml, xml).map_err(LabError::io(format!("write `{}`", files.xml.display())))?;
    Ok(Guest { name: spec.name.clone(), console })
}

fn check(spec: &GuestSpec) -> Result<(), LabError> {
    let bad = |reason: &str| Err(LabError::BadGuest { name: spec.name.clone(), reason: reason.into() });
    let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
    let rates = spec.phases.iter().map(|phase| phase.writes_per_second).chain([spec.writes_per_second]);
    if spec.name.is_empty() || !spec.name.chars().all(plain) {
        return bad("give a name of letters, digits and dashes");
    }
    if spec.machine.is_empty() || !spec.machine.chars().all(|letter| plain(letter) || letter == '.') {
        return bad("give a machine type of letters, digits, dashes and dots");
    }
    if spec.memory_mib > MEMORY_MAX_MIB || spec.region_mib == 0 {
        return bad("give at most 2048 MiB of memory and a region of at least 1 MiB");
    }
    if spec.region_mib.saturating_add(OUTSIDE_REGION_MIB) > spec.memory_mib {
        return bad("give at least 18 MiB more memory than region");
    }
    if spec.phases.len() > PHASES_MAX || spec.phases.iter().any(|phase| phase.length_ms == 0) {
        return bad("give at most 16 phases, each of at least 1 ms");
    }
    if rates.max().unwrap_or(0) > WRITES_PER_SECOND_MAX {
        return bad("ask for at most 4 million writes a second");
    }
    if spec.disks.len() > DISK_LETTERS.len() {
        return bad("give at most 26 disks");
    }
    Ok(())
}

fn domain_xml(spec: &GuestSpec, program: &Path, socket: &Path) -> String {
    let pages = spec.region_mib * 256;
    let mut arguments = format!("pages={pages} rate={} seed={}", spec.writes_per_second, spec.seed);
    for phase in &spec.phases {
        // Writing to a string cannot fail.
        let _ = write!(arguments, " phase={}:{}", phase.length_ms, phase.writes_per_second);
    }
    let mut devices = String::new();
    for (disk, letter) in spec.disks.iter().zip(DISK_LETTERS.chars()) {
        devices.push_str(&disk.xml(letter));
    }
    for bridge in &spec.bridges {
        // Without a boot ROM: the guest boots its own program.
        let _ = write!(
            devices,
            "    <interface type='bridge'>\n      <source bridge='{bridge}'/>\n      <model type='virtio'/>\n      \
             <rom enabled='no'/>\n    </interface>\n"
        );
    }
    let (namespace, more) = if spec.monitor {
        let namespace = " xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'";
        let argument = |value: &str| format!("    <qemu:arg value='{value}'/>\n");
        let arguments = argument("-monitor") + &argument(&format!("unix:/{MONITOR},server=on,wait=off"));
        (namespace, format!("  <qemu:commandline>\n{arguments}  </qemu:commandline>\n"))
    } else {
        ("", String::new())
    };
    format!(
        "<domain type='qemu'{namespace}>\n  <name>{}</name>\n  <memory unit='MiB'>{}</memory>\n  <vcpu>1</vcpu>\n  <os>\n    \
         <type arch='x86_64' machine='{}'>hvm</type>\n    <kernel>{}</kernel>\n    <cmdline>{arguments}</cmdline>\n  \
         </os>\n  <features><acpi/></features>\n  <clock offset='utc'/>\n  <on_reboot>destroy</on_reboot>\n  \
         <on_crash>destroy</on_crash>\n  <devices>\n    <controller type='usb' model='none'/>\n    \
         <memballoon model='none'/>\n{devices}    <serial type='unix'>\n      <source mode='connect' path='{}'/>\n      \
         <target port='0'/>\n    </serial>\n  </devices>\n{more}</domain>\n",
        spec.name,
        spec.memory_mib,
        spec.machine,
        program.display(),
        socket.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(change: impl FnOnce(&mut GuestSpec)) -> GuestSpec {
        let mut spec = GuestSpec::default();
        change(&mut spec);
        spec
    }

    #[test]
    fn a_region_must_fit_the_memory() {
        assert!(check(&spec(|s| s.region_mib = s.memory_mib - OUTSIDE_REGION_MIB)).is_ok());
        assert!(check(&spec(|s| s.region_mib = s.memory_mib - OUTSIDE_REGION_MIB + 1)).is_err());
        assert!(check(&spec(|s| s.region_mib = u32::MAX)).is_err());
    }

    #[test]
    fn a_name_must_be_plain() {
        for name in ["", "a b", "<a/>", "../a"] {
            assert!(check(&spec(|s| s.name = name.into())).is_err(), "{name}");
        }
    }

    #[test]
    fn a_machine_type_may_have_a_version_and_nothing_else() {
        assert!(check(&spec(|s| s.machine = "pc-i440fx-5.2".into())).is_ok());
        for machine in ["", "pc' type='x", "pc q35"] {
            assert!(check(&spec(|s| s.machine = machine.into())).is_err(), "{machine}");
        }
    }

    #[test]
    fn phases_stand_on_the_command_line() {
        let spec = spec(|s| s.phases = vec![Phase { length_ms: 250, writes_per_second: 7 }; 2]);
        let xml = domain_xml(&spec, Path::new("/k"), Path::new("/s"));
        assert!(
            xml.contains("<cmdline>pages=49152 rate=0 seed=1 phase=250:7 phase=250:7</cmdline>"),
            "{xml}"
        );
    }
}
