//! The same guest between the lab's two hosts, driven by libvirt as an operator would: `virsh migrate` and its kin.
//!
//! QEMU gets a second monitor and the trace by libvirt's pass-through of arguments. That monitor must only be looked
//! at: whatever is changed goes through libvirt.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use super::RecordError;
use super::case::Case;
use super::driver::{Driver, Machine};
use super::endpoint::{Endpoint, Posts, log_text, trace_arguments};
use crate::{Host, Lab, LabError};

/// Each host has this folder for itself.
const SOCKETS: &str = "run/libvirt";
const IMAGE: &str = "var/lib/libvirt/recorded.img";
const ENDPOINT: &str = "recorder";
const MIB: u64 = 1 << 20;
/// libvirt's own largest bandwidth, which it takes for no limit: 2^63 - 1 bytes a second.
const UNLIMITED_MIB_PER_SECOND: u64 = (1 << 43) - 1;

/// A guest on `alpha` that goes to `beta`.
#[derive(Debug)]
pub(super) struct LibvirtDriver<'a> {
    lab: &'a Lab,
    name: String,
    source: Endpoint,
    /// Where the destination's QEMU will connect.
    posts: Option<Posts>,
    destination: Option<Endpoint>,
    migrate: Vec<String>,
    running: Option<Child>,
    cancelled: bool,
}

impl<'a> LibvirtDriver<'a> {
    /// Starts the guest; `number` keeps the logs of different guests apart.
    pub(super) fn start(
        lab: &'a Lab,
        case: &Case,
        machine: &Machine,
        number: u32,
        emulator: Option<&Path>,
    ) -> Result<Self, RecordError> {
        let name = format!("recorded-{number}");
        let (alpha, beta) = (lab.alpha(), lab.beta());
        let here = Posts::open(&alpha.folder().join(SOCKETS), ENDPOINT)?;
        let there = Posts::open(&beta.folder().join(SOCKETS), ENDPOINT)?;
        if let Some(mib) = case.disk_mib {
            // A quarter holds data: an image of holes alone would be copied in no time.
            write_image(&alpha.folder().join(IMAGE), mib, mib.div_ceil(4))?;
            write_image(&beta.folder().join(IMAGE), mib, 0)?;
        }
        let file = lab.folder().join(format!("{name}.xml"));
        fs::write(&file, domain_xml(&name, case, machine, emulator))
            .map_err(LabError::io(format!("write `{}`", file.display())))?;
        alpha.virsh(&["create", &file.to_string_lossy()])?;
        let pid = alpha.qemu_pid(&name)?;
        let log = log_of(alpha, &name);
        let source = here.accept(pid, &|| fs::read_to_string(&log).unwrap_or_default())?;
        alpha.virsh(&["migrate-setmaxdowntime", &name, &case.downtime_limit_ms.to_string()])?;
        let migrate = migrate_arguments(&name, &beta.uri(), case);
        Ok(Self {
            lab,
            name,
            source,
            posts: Some(there),
            destination: None,
            migrate,
            running: None,
            cancelled: false,
        })
    }

    fn virsh(&self, arguments: &[&str]) -> Result<(), RecordError> {
        Ok(self.lab.alpha().virsh(arguments).map(drop)?)
    }
}

impl Driver for LibvirtDriver<'_> {
    fn source(&mut self) -> &mut Endpoint {
        &mut self.source
    }

    fn destination(&mut self) -> Result<&mut Endpoint, RecordError> {
        if let Some(posts) = self.posts.take() {
            let host = self.lab.beta();
            let pid = host.qemu_pid(&self.name)?;
            let log = log_of(host, &self.name);
            self.destination = Some(posts.accept(pid, &|| fs::read_to_string(&log).unwrap_or_default())?);
        }
        self.destination.as_mut().ok_or(RecordError::Closed("the destination's QEMU"))
    }

    fn begin(&mut self) -> Result<(), RecordError> {
        let arguments: Vec<&str> = self.migrate.iter().map(String::as_str).collect();
        let mut command = self.lab.alpha().virsh_command(&arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        self.running = Some(command.spawn().map_err(LabError::io("run `virsh migrate`"))?);
        Ok(())
    }

    fn goes_on(&mut self) -> Result<(), RecordError> {
        let ended = match &mut self.running {
            Some(child) => child.try_wait().map_err(LabError::io("look at `virsh migrate`"))?.is_some(),
            None => true,
        };
        if ended {
            self.settle()?;
            return Err(RecordError::Closed("`virsh migrate`"));
        }
        Ok(())
    }

    fn limit(&mut self, bytes_per_second: Option<u64>, downtime_ms: Option<u64>) -> Result<(), RecordError> {
        if let Some(bytes) = bytes_per_second {
            let mib = if bytes == 0 { UNLIMITED_MIB_PER_SECOND } else { bytes / MIB };
            self.virsh(&["migrate-setspeed", &self.name, &mib.to_string()])?;
        }
        if let Some(ms) = downtime_ms {
            self.virsh(&["migrate-setmaxdowntime", &self.name, &ms.to_string()])?;
        }
        Ok(())
    }

    fn post_copy(&mut self) -> Result<(), RecordError> {
        self.virsh(&["migrate-postcopy", &self.name])
    }

    fn cancel(&mut self) -> Result<(), RecordError> {
        self.cancelled = true;
        self.virsh(&["domjobabort", &self.name])
    }

    fn settle(&mut self) -> Result<(), RecordError> {
        let Some(mut child) = self.running.take() else { return Ok(()) };
        let mut said = String::new();
        if let Some(mut stderr) = child.stderr.take() {
            stderr.read_to_string(&mut said).map_err(LabError::io("read what `virsh migrate` says"))?;
        }
        let status = child.wait().map_err(LabError::io("wait for `virsh migrate`"))?;
        if status.success() || self.cancelled {
            return Ok(());
        }
        Err(RecordError::Migration { status: "failed".into(), reason: said.trim().to_owned() })
    }

    fn trace(&self) -> Result<String, RecordError> {
        log_text(&log_of(self.lab.alpha(), &self.name))
    }

    fn processes(&self) -> Vec<u32> {
        let hosts = [self.lab.alpha(), self.lab.beta()];
        let all = hosts.into_iter().flat_map(|host| [host.daemon_pid().ok(), host.qemu_pid(&self.name).ok()]);
        all.flatten().collect()
    }
}

impl Drop for LibvirtDriver<'_> {
    fn drop(&mut self) {
        if let Some(mut child) = self.running.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        // It is on one host or the other, or has ended; the lab's own removal takes what this cannot.
        for host in [self.lab.alpha(), self.lab.beta()] {
            let _ = host.kill_qemu(&self.name);
            let _ = fs::remove_file(host.folder().join(IMAGE));
        }
    }
}

fn log_of(host: &Host, name: &str) -> PathBuf {
    host.folder().join("var/log/libvirt/qemu").join(format!("{name}.log"))
}

fn migrate_arguments(name: &str, to: &str, case: &Case) -> Vec<String> {
    let mut words: Vec<String> = ["migrate", "--live", "--p2p", name, to].map(str::to_owned).into();
    let mut add = |option: &str, value: String| words.extend([option.to_owned(), value]);
    if case.bandwidth_bytes_per_second > 0 {
        add("--bandwidth", (case.bandwidth_bytes_per_second / MIB).to_string());
    }
    for (parameter, option) in [
        ("cpu-throttle-initial", "--auto-converge-initial"),
        ("cpu-throttle-increment", "--auto-converge-increment"),
        ("multifd-channels", "--parallel-connections"),
        ("xbzrle-cache-size", "--comp-xbzrle-cache"),
    ] {
        if let Some(value) = case.parameters.get(parameter) {
            add(option, value.to_string());
        }
    }
    if case.has("xbzrle") {
        add("--comp-methods", "xbzrle".to_owned());
    }
    for (is, flag) in [
        (case.has("xbzrle"), "--compressed"),
        (case.has("auto-converge"), "--auto-converge"),
        (case.has("multifd"), "--parallel"),
        (case.has("postcopy-ram"), "--postcopy"),
        (case.disk_mib.is_some(), "--copy-storage-all"),
    ] {
        if is {
            words.push(flag.to_owned());
        }
    }
    words
}

fn domain_xml(name: &str, case: &Case, machine: &Machine, emulator: Option<&Path>) -> String {
    let emulator =
        emulator.map_or_else(String::new, |path| format!("    <emulator>{}</emulator>\n", path.display()));
    let mut arguments = String::new();
    for word in trace_arguments().into_iter().chain(Posts::arguments(&Path::new("/").join(SOCKETS), ENDPOINT))
    {
        // Writing to a string cannot fail.
        let _ = writeln!(arguments, "    <qemu:arg value='{word}'/>");
    }
    let disk = if case.disk_mib.is_some() {
        format!(
            "    <disk type='file' device='disk'>\n      <driver name='qemu' type='raw' cache='none'/>\n      \
             <source file='/{IMAGE}'/>\n      <target dev='vda' bus='virtio'/>\n    </disk>\n"
        )
    } else {
        String::new()
    };
    format!(
        "<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>\n  <name>{name}</name>\n  \
         <memory unit='MiB'>{}</memory>\n  <vcpu>{}</vcpu>\n  <os>\n    <type arch='x86_64' machine='pc'>hvm</type>\n    \
         <kernel>{}</kernel>\n    <cmdline>{}</cmdline>\n  </os>\n  <features><acpi/><apic/></features>\n  \
         <clock offset='utc'/>\n  <on_reboot>destroy</on_reboot>\n  <on_crash>destroy</on_crash>\n  <devices>\n{emulator}    \
         <controller type='usb' model='none'/>\n    <memballoon model='none'/>\n{disk}  </devices>\n  \
         <qemu:commandline>\n{arguments}  </qemu:commandline>\n</domain>\n",
        case.ram_mib,
        case.processors(),
        machine.kernel.display(),
        machine.append
    )
}

/// An image of so many MiB, of which the first `data_mib` hold what cannot be compressed.
fn write_image(path: &Path, mib: u64, data_mib: u64) -> Result<(), LabError> {
    let failed = || format!("write `{}`", path.display());
    let mut file = fs::File::create(path).map_err(LabError::io(failed()))?;
    let mut noise = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        noise.to_le_bytes()
    };
    for _ in 0..data_mib {
        let data: Vec<u8> = std::iter::repeat_with(&mut next).take(1 << 17).flatten().collect();
        file.write_all(&data).map_err(LabError::io(failed()))?;
    }
    file.set_len(mib * MIB).map_err(LabError::io(failed()))
}

/// The version of libvirt's daemon.
pub(super) fn version(lab: &Lab) -> Result<String, RecordError> {
    let text = lab.alpha().virsh(&["version", "--daemon"])?;
    let line = text.lines().find_map(|line| line.strip_prefix("Running against daemon:"));
    line.map(|version| version.trim().to_owned())
        .ok_or_else(|| RecordError::Answer(format!("libvirt's version: {text}")))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::Plan;
    use super::*;

    fn case(more: &str) -> Case {
        let guest = "guest = \"m=1 w=256 n=2 c=489000 v=2\"";
        let text = format!("[[case]]\nname = \"a\"\n{guest}\ndriver = \"libvirt\"\n{more}\n");
        Plan::parse(&text, Path::new("p")).unwrap().cases.remove(0)
    }

    #[test]
    fn the_guest_is_described_with_the_recorders_ears() {
        let append = "m=1 w=256 n=2 c=489000 v=2";
        let machine = Machine { kernel: PathBuf::from("/k"), initrd: None, append: append.into() };
        let xml = domain_xml("recorded-1", &case("disk_mib = 8"), &machine, Some(Path::new("/opt/qemu")));
        for part in [
            "<vcpu>2</vcpu>",
            "<emulator>/opt/qemu</emulator>",
            "<cmdline>m=1 w=256 n=2 c=489000 v=2</cmdline>",
            "<source file='/var/lib/libvirt/recorded.img'/>",
            "<qemu:arg value='enable=migrate_transferred'/>",
            "<qemu:arg value='socket,id=recorder-monitor,path=/run/libvirt/recorder.monitor'/>",
        ] {
            assert!(xml.contains(part), "{part}: {xml}");
        }
        let plain = domain_xml("recorded-1", &case(""), &machine, None);
        assert!(!plain.contains("<disk") && !plain.contains("<emulator"), "{plain}");
    }

    #[test]
    fn what_the_case_asks_for_is_asked_of_virsh() {
        let words = |more: &str| migrate_arguments("g", "u", &case(more)).join(" ");
        assert_eq!(words(""), "migrate --live --p2p g u --bandwidth 100");
        assert_eq!(
            words("bandwidth_mib_per_second = 0\ndisk_mib = 8"),
            "migrate --live --p2p g u --copy-storage-all"
        );
        let more = "capabilities = [\"auto-converge\", \"postcopy-ram\"]\nparameters = { cpu-throttle-initial = 50 }";
        let expected =
            "migrate --live --p2p g u --bandwidth 100 --auto-converge-initial 50 --auto-converge --postcopy";
        assert_eq!(words(more), expected);
        let more = "capabilities = [\"multifd\", \"xbzrle\"]\nparameters = { multifd-channels = 4 }";
        let expected = "migrate --live --p2p g u --bandwidth 100 --parallel-connections 4 --comp-methods xbzrle \
                        --compressed --parallel";
        assert_eq!(words(more), expected);
    }
}
