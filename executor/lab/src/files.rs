//! The files that a host sees in place of the machine's own: libvirt's configuration and directories,
//! the name tables, and the users with root's home and password.
//!
//! It must never write outside the lab's own folder: hosts get these files by mounts of their own.

use std::fs;
use std::path::Path;

use crate::{LabError, LabOptions};

/// Root's password on every host of a lab.
pub const PASSWORD: &str = "wren-and-whimbrel";
/// As `crypt` keeps it (SHA-512).
const PASSWORD_DIGEST: &str =
    "$6$whimbrel$3vMUKgPusV.CIWpEN/Z2LIUp9XxVDCCuOur5FxUBdQoxHia7gBYtRv8SBc.PFknt5dovpvPdLxfwAXG6DMhiz/";

/// Writes everything that `Holder::host` mounts. `system` is where the host's users are: its root, or the machine's.
pub(crate) fn write(
    folder: &Path,
    host: &HostIdentity,
    options: &LabOptions,
    system: &Path,
) -> Result<(), LabError> {
    for below in [
        "etc/libvirt",
        "var/lib/libvirt/images",
        "var/cache/libvirt",
        "var/log/libvirt",
        "run/libvirt",
        "root",
    ] {
        let path = folder.join(below);
        fs::create_dir_all(&path).map_err(LabError::io(format!("create `{}`", path.display())))?;
    }
    put(folder, "etc/libvirt/libvirtd.conf", &libvirtd_conf(host, options))?;
    put(folder, "etc/libvirt/qemu.conf", &qemu_conf(options))?;
    put(folder, "etc/hosts", &hosts(options))?;
    // Names come from the table alone, so that an unknown name fails at once and in one way.
    put(folder, "etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n")?;
    let user = "libvirt-qemu:x:64055:64055::/nonexistent:/usr/sbin/nologin";
    put(
        folder,
        "etc/passwd",
        &at_home(&with_lines(&system.join("etc/passwd"), &[user])?, &folder.join("root")),
    )?;
    // Only root, with the lab's own password; the machine's passwords are not for its guests' hosts.
    put(folder, "etc/shadow", &format!("root:{PASSWORD_DIGEST}:20000:0:99999:7:::\nsshd:!:20000::::::\n"))?;
    put(folder, "var/log/btmp", "")?;
    put(
        folder,
        "etc/group",
        &with_lines(&system.join("etc/group"), &["libvirt-qemu:x:64055:", "kvm:x:64056:"])?,
    )
}

/// The differences between the hosts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HostIdentity {
    pub(crate) name: &'static str,
    pub(crate) address: &'static str,
    /// libvirt refuses to migrate to a host of the same id.
    pub(crate) uuid: &'static str,
}

fn libvirtd_conf(host: &HostIdentity, options: &LabOptions) -> String {
    format!(
        "host_uuid = \"{}\"\nlisten_tls = 0\nlisten_tcp = 1\nlisten_addr = \"{}\"\nauth_tcp = \"none\"\n\
         auth_unix_rw = \"none\"\nauth_unix_ro = \"none\"\nkeepalive_interval = {}\nkeepalive_count = {}\n\
         log_level = 3\nlog_outputs = \"3:file:/var/log/libvirt/libvirtd.log\"\n",
        host.uuid, host.address, options.keepalive_interval_s, options.keepalive_count
    )
}

fn qemu_conf(options: &LabOptions) -> String {
    format!(
        "user = \"root\"\ngroup = \"root\"\nsecurity_driver = \"none\"\ncgroup_controllers = []\nnamespaces = []\n\
         stdio_handler = \"file\"\nremember_owner = 0\nkeepalive_interval = {}\nkeepalive_count = {}\n\
         migration_port_min = {}\nmigration_port_max = {}\n",
        options.keepalive_interval_s,
        options.keepalive_count,
        options.migration_ports.start(),
        options.migration_ports.end()
    )
}

fn hosts(options: &LabOptions) -> String {
    let mut text = String::from("127.0.0.1 localhost\n");
    if options.names_resolve {
        text.push_str("10.77.0.11 alpha\n10.77.0.12 beta\n");
    }
    text
}

/// The table of users with another home for root, so that its keys and known hosts are the lab's.
fn at_home(table: &str, home: &Path) -> String {
    let line = |line: &str| match line.strip_prefix("root:") {
        Some(_) => format!("root:x:0:0:root:{}:/bin/sh\n", home.display()),
        None => format!("{line}\n"),
    };
    table.lines().map(line).collect()
}

/// The system's table, with those entries that libvirt requires and the system does not have.
fn with_lines(table: &Path, lines: &[&str]) -> Result<String, LabError> {
    let mut text = fs::read_to_string(table).map_err(LabError::io(format!("read `{}`", table.display())))?;
    for line in lines {
        let name = line.split_inclusive(':').next().unwrap_or(line);
        if !text.lines().any(|entry| entry.starts_with(name)) {
            text.push_str(line);
            text.push('\n');
        }
    }
    Ok(text)
}

pub(crate) fn put(folder: &Path, file: &str, text: &str) -> Result<(), LabError> {
    let path = folder.join(file);
    fs::write(&path, text).map_err(LabError::io(format!("write `{}`", path.display())))
}
