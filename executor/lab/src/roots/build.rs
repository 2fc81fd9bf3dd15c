//! Makes a root: the smallest Debian by `debootstrap`, then the generation's packages by the root's own package manager.
//!
//! In two steps, because `debootstrap` alone cannot install systemd's dependencies on newer releases. Everything runs
//! in mounts and processes of its own, which end with the job: nothing stays mounted, and no daemon is started. It must
//! never install a package whose signature was not checked.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use super::{Generation, mirror};
use crate::{LabError, shell};

/// Runs the arguments after the root's folder, with the root's own `/proc` and the machine's devices.
const INSIDE: &str =
    "set -e; mount -t proc proc \"$0/proc\"; mount --rbind /dev \"$0/dev\"; exec chroot \"$0\" \"$@\"";
/// Keeps packages from starting daemons.
const NO_DAEMONS: &str = "#!/bin/sh\nexit 101\n";
const POLICY: &str = "usr/sbin/policy-rc.d";
/// A root that is not packed yet may be lost with the machine's power: nothing waits for the disk.
const UNSAFE_IO: &str = "Dpkg::Options::=--force-unsafe-io";
/// Hosts mount something over these, and cannot add to their root.
const FOLDERS: [&str; 7] =
    ["etc/libvirt", "var/lib/libvirt", "var/cache/libvirt", "var/log/libvirt", "run", "tmp", "var/tmp"];
const FILES: [&str; 6] =
    ["etc/hosts", "etc/nsswitch.conf", "etc/passwd", "etc/group", "etc/shadow", "var/log/btmp"];
/// This machine's, or of no use to a host.
const REMOVED: [&str; 5] = [POLICY, "etc/resolv.conf", "etc/hostname", "var/lib/apt/lists", "var/cache/apt"];
/// How much of a failed program's output an error quotes, in lines.
const TAIL_LINES: usize = 4;

/// A root that was made.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) mirror: String,
    /// Every package with its version.
    pub(super) packages: BTreeMap<String, String>,
}

/// Makes it in `folder`, which must not exist.
pub(super) fn build(
    generation: Generation,
    folder: &Path,
    tell: &mut dyn FnMut(&str),
) -> Result<Built, LabError> {
    let mirror = smallest(generation, folder, tell)?;
    let failed = |path: &Path| LabError::io(format!("write `{}`", path.display()));
    let policy = folder.join(POLICY);
    fs::write(&policy, NO_DAEMONS).map_err(failed(&policy))?;
    fs::set_permissions(&policy, fs::Permissions::from_mode(0o755)).map_err(failed(&policy))?;
    let sources = folder.join("etc/apt/sources.list");
    fs::write(&sources, sources_list(generation, &mirror)).map_err(failed(&sources))?;
    tell(&format!("{}: installing {}", generation.name, generation.packages));
    let mut options: Vec<String> =
        ["--quiet", "--yes", "--no-install-recommends", "-o", UNSAFE_IO].map(str::to_owned).into();
    if let Some(proxy) = mirror::proxy() {
        options.extend(["-o".to_owned(), format!("Acquire::http::Proxy={proxy}")]);
    }
    // Lists that cannot be fetched are errors: packages of another release would be installed otherwise.
    let update = ["-o", "APT::Update::Error-Mode=any", "update"];
    inside(folder, "apt-get", options.iter().map(String::as_str).chain(update))?;
    if let Some(backports) = generation.backports {
        options.extend(["--target-release".to_owned(), backports.to_owned()]);
    }
    let packages = generation.packages.split(' ');
    inside(folder, "apt-get", options.iter().map(String::as_str).chain(["install"]).chain(packages))?;
    let listed =
        inside(folder, "dpkg-query", ["--show", "--showformat", "${Package} ${Version}\\n"].into_iter())?;
    finish(folder)?;
    Ok(Built { mirror, packages: versions(&listed) })
}

/// The smallest Debian, from the first mirror that has it; gives the mirror.
fn smallest(generation: Generation, folder: &Path, tell: &mut dyn FnMut(&str)) -> Result<String, LabError> {
    let mut tried = Vec::new();
    for mirror in mirror::candidates(generation) {
        tell(&format!("{}: Debian {} from {mirror}", generation.name, generation.suite));
        let mut command = isolated();
        command.args(["debootstrap", "--force-check-gpg", "--variant=minbase", generation.suite]);
        command.arg(folder).arg(&mirror);
        if let Some(proxy) = mirror::proxy() {
            command.env("http_proxy", proxy);
        }
        match captured(&mut command) {
            Ok(_) => return Ok(mirror),
            Err(LabError::Command { message, .. }) => tried.push(format!("{mirror}: {message}")),
            Err(error) => return Err(error),
        }
        remove(folder)?;
    }
    Err(LabError::NoMirror { suite: generation.suite.to_owned(), tried: tried.join("; ") })
}

fn sources_list(generation: Generation, mirror: &str) -> String {
    let suites = [Some(generation.suite), generation.backports];
    let lines: Vec<String> =
        suites.into_iter().flatten().map(|suite| format!("deb {mirror} {suite} main\n")).collect();
    lines.concat()
}

/// A command in mounts and processes of its own, which end with this thread.
fn isolated() -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "unshare", "--mount-proc", "--pid", "--fork", "--kill-child", "--"]);
    command
}

fn inside<'a>(
    folder: &Path,
    program: &str,
    arguments: impl Iterator<Item = &'a str>,
) -> Result<String, LabError> {
    let mut command = isolated();
    command.args(["/bin/sh", "-c", INSIDE]).arg(folder).arg(program).args(arguments);
    command.env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C");
    captured(&mut command)
}

/// Standard output; an error has the end of everything that was written, since these programs report errors on both.
fn captured(command: &mut Command) -> Result<String, LabError> {
    let output = command
        .stdin(std::process::Stdio::null())
        .output()
        .map_err(|source| LabError::Io { what: format!("run `{}`", shell::describe(command)), source })?;
    let [said, errors] =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    if output.status.success() {
        return Ok(said);
    }
    Err(LabError::Command { command: shell::describe(command), message: tail(&[said, errors].concat()) })
}

/// The last lines, preferably those that are marked as errors.
fn tail(text: &str) -> String {
    let marked =
        |line: &&str| line.starts_with("E:") || line.starts_with("Err:") || line.starts_with("W: Failure");
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let errors: Vec<&str> = lines.iter().copied().filter(marked).collect();
    let chosen = if errors.is_empty() { &lines } else { &errors };
    chosen.get(chosen.len().saturating_sub(TAIL_LINES)..).unwrap_or_default().join(" / ")
}

fn versions(listed: &str) -> BTreeMap<String, String> {
    listed
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, version)| (name.into(), version.into()))
        .collect()
}

/// Removes everything of the machine's, and makes the places that hosts mount something over.
fn finish(folder: &Path) -> Result<(), LabError> {
    for name in REMOVED {
        remove(&folder.join(name))?;
    }
    for name in FOLDERS {
        let path = folder.join(name);
        fs::create_dir_all(&path).map_err(LabError::io(format!("create `{}`", path.display())))?;
    }
    for name in FILES {
        let path = folder.join(name);
        let opened = fs::OpenOptions::new().append(true).create(true).open(&path);
        opened.map_err(LabError::io(format!("create `{}`", path.display())))?;
    }
    Ok(())
}

/// Removes a file or a folder, if it is there.
pub(super) fn remove(path: &Path) -> Result<(), LabError> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    let removed = if metadata.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.map_err(LabError::io(format!("remove `{}`", path.display())))
}

#[cfg(test)]
mod tests {
    use super::super::GENERATIONS;
    use super::{sources_list, tail, versions};

    #[test]
    fn backports_are_a_source_of_their_own() {
        let text = |number: usize| sources_list(GENERATIONS[number], "http://near.example/debian");
        assert_eq!(text(0), "deb http://near.example/debian bullseye main\n");
        assert_eq!(
            text(3),
            "deb http://near.example/debian trixie main\ndeb http://near.example/debian trixie-backports main\n"
        );
    }

    #[test]
    fn an_error_quotes_what_is_marked_as_one() {
        let text = "I: Retrieving InRelease\nE: Failed getting release file http://near.example/x\nI: done\n";
        assert_eq!(tail(text), "E: Failed getting release file http://near.example/x");
        assert_eq!(tail("a\nb\n\nc\nd\ne\n"), "b / c / d / e");
        assert_eq!(tail(""), "");
    }

    #[test]
    fn packages_have_their_versions() {
        let found = versions("qemu-system-x86 1:10.0.13+ds-0+deb13u1\nlibc6 2.41-12\n");
        assert_eq!(found["qemu-system-x86"], "1:10.0.13+ds-0+deb13u1");
        assert_eq!(found.len(), 2);
    }
}
