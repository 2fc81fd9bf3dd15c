//! Files, devices and other things of the source host that the definition names: is the same there on the destination?

use alloc::format;

use crate::case::{Case, called};
use crate::definition::Value;
use crate::pack::{Rule, rule};
use crate::report::Report;

/// Paths of the host, each with what it is for.
const PATHS: [(&str, &str); 32] = [
    ("os/kernel", "the kernel that the guest boots"),
    ("os/initrd", "the initial RAM disk that the guest boots"),
    ("os/dtb", "the device tree"),
    ("os/shim", "the boot shim"),
    ("os/acpi/table", "an ACPI table"),
    ("os/nvram/source/@file", "the firmware's variables"),
    ("os/nvram/source/@dev", "the firmware's variables"),
    ("sysinfo/entry/@file", "a file that the firmware receives"),
    ("blkiotune/device/path", "a device with an I/O limit"),
    ("devices/*/rom/@file", "a device's option ROM"),
    ("devices/disk/source/config/@file", "the configuration of a network disk"),
    ("devices/disk/source/identity/@keyfile", "the key of a network disk"),
    ("devices/disk/source/knownHosts/@path", "the known hosts of a network disk"),
    ("devices/interface/backend/@tap", "the TAP device"),
    ("devices/interface/backend/@vhost", "the vhost device"),
    ("devices/interface/backend/@logFile", "the log of the user network"),
    ("devices/interface/script/@path", "the script of a network card"),
    ("devices/interface/downscript/@path", "the script of a network card"),
    ("devices/video/model/acceleration/@rendernode", "the render node of the video device"),
    ("devices/graphics/gl/@rendernode", "the render node of the display"),
    ("devices/graphics/@socket", "the socket of the display"),
    ("devices/graphics/listen/@socket", "the socket of the display"),
    ("devices/input/source/@evdev", "an input device of the host"),
    ("devices/input/source/@dev", "an input device of the host"),
    ("devices/lease/target/@path", "the file of a lock lease"),
    ("devices/memory/source/path", "the file of a memory module"),
    ("devices/pstore/path", "the file of the persistent store"),
    ("devices/shmem/server/@path", "the socket of the shared memory"),
    ("devices/audio/@path", "the file of the sound"),
    ("devices/rng/backend", "the source of random numbers"),
    ("devices/smartcard/database", "the certificates of the smart card"),
    ("devices/*/log/@file", "the log of a port"),
];

/// What every Linux host has. Source: `Documentation/admin-guide/devices.txt` of the kernel.
const EVERYWHERE: [&str; 7] =
    ["/dev/urandom", "/dev/random", "/dev/null", "/dev/zero", "/dev/net/tun", "/dev/vhost-net", "/dev/kvm"];
/// Folders of libvirt's own, in which the destination's libvirt creates sockets and files itself.
const OF_LIBVIRT: [&str; 3] = ["/var/lib/libvirt/", "/run/libvirt/", "/var/run/libvirt/"];

pub(super) const RULES: &[Rule] = &[
    rule(
        "destination.paths",
        "the destination has every file and device that the definition names beside disks",
        "QEMU opens kernels, option ROMs, sources of random numbers, logs and sockets on the destination by the paths of the \
         source's definition, and refuses to start where one is missing",
        "provide the same path on the destination (`ls -l PATH` there), or give a definition for it (`--xml`) with a path \
         that it has",
        paths,
    ),
    rule(
        "destination.emulator",
        "the destination has the hypervisor's program that the definition names",
        "libvirt starts exactly the program in `<emulator>`, and refuses the guest where it is missing",
        "give a definition for the destination with its own `<emulator>` path",
        emulator,
    ),
    rule(
        "destination.resources",
        "the definition names no other resource of the source",
        "a resource of the source that libvirt cannot be queried for (a cache share, a host's own network device, a window, a \
         sound server) is missing on the destination or means something else there",
        "remove it from the definition for the destination, or verify it there and waive this rule for the guest",
        resources,
    ),
    rule(
        "destination.security-label",
        "the destination knows the kind of the guest's static security label",
        "a static label belongs to one security driver, such as `selinux`; a host with another one refuses to start \
         the guest",
        "use dynamic labels, or name a destination with the same security driver",
        security_label,
    ),
];

fn paths(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let definition = case.expected(report)?;
    for (pattern, what) in PATHS {
        for value in definition.all(pattern).filter(|value| value.text.starts_with('/')) {
            let is_created = pattern.ends_with("/log/@file") && is_of_libvirt(value.text);
            if !is_created && !EVERYWHERE.contains(&value.text) {
                file(case, report, value, what, pattern.ends_with("/log/@file"))?;
            }
        }
    }
    // A socket that the guest's port connects to, or offers outside of libvirt's own folders.
    for value in definition.all("devices/*/source/@path") {
        let is_socket = definition.beside(value, "@type") == Some("unix");
        let connects =
            definition.beside(value, "source/0/@mode").or(definition.beside(value, "source/@mode"));
        if is_socket && (connects == Some("connect") || !is_of_libvirt(value.text)) {
            file(case, report, value, "the socket of a port", connects != Some("connect"))?;
        }
    }
    Some(())
}

fn is_of_libvirt(path: &str) -> bool {
    OF_LIBVIRT.iter().any(|folder| path.starts_with(folder))
}

/// `is_made`: QEMU creates it, and its folder alone must be there, as it is where its content is known.
fn file(case: &Case<'_>, report: &mut Report, value: Value<'_>, what: &str, is_made: bool) -> Option<()> {
    let host = called(case.destination(report)?);
    match case.has_file(value.text) {
        Some(true) => {}
        Some(false) if is_made => {}
        Some(false) => report.fail(value.subject(), format!("{host} has no `{}`, {what}", value.text)),
        None => {
            report.unknown(
                value.subject(),
                format!("whether {host} has `{}`, {what}, is not known", value.text),
            );
        }
    }
    Some(())
}

fn emulator(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.arriving(report)?;
    let path = guest.emulator.as_str();
    if path.is_empty() {
        return Some(());
    }
    let host = called(case.destination(report)?);
    let subject = format!("{}/emulator", case.arriving_at());
    let mut known = case.texts("destination/emulators/").peekable();
    if known.peek().is_none() || case.has_file(path) == Some(true) {
        // A destination whose domain capabilities could not be had for this program says so elsewhere.
        return Some(());
    }
    if !known.any(|one| one == path) {
        let message = format!(
            "`{path}` is not among the hypervisors that {host} reports: whether it is there is not known"
        );
        report.unknown(subject, message);
    }
    Some(())
}

fn resources(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let definition = case.expected(report)?;
    let mut named = |pattern: &'static str, is_of_host: fn(&str) -> bool, what: &str| {
        for value in definition.all(pattern).filter(|value| is_of_host(value.text)) {
            let message = format!("the definition names {what} of the source: `{}`", value.text);
            report.unknown(value.subject(), message);
        }
    };
    named("resource/partition", |text| text != "/machine", "a cgroup partition");
    named("resource/fibrechannel/@appid", |_| true, "an identifier of the Fibre Channel fabric");
    named("cputune/cachetune/@vcpus", |_| true, "a share of the CPU's cache for the CPUs");
    named("cputune/memorytune/@vcpus", |_| true, "a share of the memory's bandwidth for the CPUs");
    named("devices/graphics/@display", |_| true, "a window");
    named("devices/audio/@type", |text| !matches!(text, "none" | "spice" | "dbus"), "a sound server");
    named("devices/smartcard/@mode", |text| text != "passthrough", "a smart card");
    named("devices/rng/backend/source/@host", |_| true, "a server of random numbers");
    named("devices/interface/portForward/@dev", |_| true, "a network device");
    for value in definition.all("devices/interface/target/@managed").filter(|value| value.text == "no") {
        let device = definition.beside(value, "target/@dev").unwrap_or_default();
        let message =
            format!("the definition names a network device that libvirt does not create: `{device}`");
        report.unknown(value.subject(), message);
    }
    Some(())
}

fn security_label(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let definition = case.expected(report)?;
    for value in definition.all("seclabel/@type").filter(|value| value.text == "static") {
        let path = format!("{}/@model", value.path.trim_end_matches("/@type"));
        let model = definition.text(&path).unwrap_or_default();
        // Labels of the user and group of the process exist on every host.
        if matches!(model, "dac" | "none" | "") {
            continue;
        }
        let host = called(case.destination(report)?);
        let mut known = case.texts("destination/security-models").peekable();
        if known.peek().is_none() {
            report.unknown(
                value.subject(),
                format!("the security drivers of {host} are not known; `{model}` is needed"),
            );
        } else if !known.any(|models| models.split(' ').any(|one| one == model)) {
            let message = format!(
                "the guest has a static label of `{model}`, a security driver that {host} does not run"
            );
            report.fail(value.subject(), message);
        }
    }
    Some(())
}
