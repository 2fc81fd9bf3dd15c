//! Sees to it that everything is there that building and testing needs.
//!
//! It looks for the programs, headers and modules themselves, so that it is quick where they are, and right where
//! they came some other way than as packages. It must never ask for a package of which nothing is missing.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::job::Job;

/// What things are needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Building and testing without real hosts.
    Build,
    /// Real hosts, a real browser, and a compiler for packs of rules as well.
    Lab,
}

enum Probe {
    /// On the search path, or among the system's own programs.
    Program(&'static str),
    /// Known to pkg-config.
    Library(&'static str),
    /// At this very place.
    File(&'static str),
    /// Below a folder of libraries: first for the architecture, then without.
    Module(&'static str),
}

struct Need {
    purpose: Purpose,
    probe: Probe,
    /// Debian's package.
    package: &'static str,
}

const fn need(purpose: Purpose, probe: Probe, package: &'static str) -> Need {
    Need { purpose, probe, package }
}

const NEEDS: [Need; 22] = [
    need(Purpose::Build, Probe::Program("git"), "git"),
    need(Purpose::Build, Probe::Program("gcc"), "gcc"),
    need(Purpose::Build, Probe::Program("pkg-config"), "pkg-config"),
    need(Purpose::Build, Probe::Library("libvirt"), "libvirt-dev"),
    need(Purpose::Lab, Probe::Program("libvirtd"), "libvirt-daemon"),
    need(
        Purpose::Lab,
        Probe::Module("libvirt/connection-driver/libvirt_driver_qemu.so"),
        "libvirt-daemon-driver-qemu",
    ),
    // Bridges, bonds and VLANs are listed by a driver of its own.
    need(
        Purpose::Lab,
        Probe::Module("libvirt/connection-driver/libvirt_driver_interface.so"),
        "libvirt-daemon",
    ),
    need(Purpose::Lab, Probe::Program("virsh"), "libvirt-clients"),
    need(Purpose::Lab, Probe::Program("qemu-system-x86_64"), "qemu-system-x86"),
    need(Purpose::Lab, Probe::Program("qemu-img"), "qemu-utils"),
    need(Purpose::Lab, Probe::Program("ip"), "iproute2"),
    need(Purpose::Lab, Probe::Program("tc"), "iproute2"),
    need(Purpose::Lab, Probe::Program("nft"), "nftables"),
    need(Purpose::Lab, Probe::Program("ssh"), "openssh-client"),
    need(Purpose::Lab, Probe::Program("sshd"), "openssh-server"),
    need(Purpose::Lab, Probe::Program("chromium"), "chromium"),
    need(Purpose::Lab, Probe::Program("node"), "nodejs"),
    need(Purpose::Lab, Probe::Program("npm"), "npm"),
    need(Purpose::Lab, Probe::Program("python3"), "python3"),
    need(Purpose::Lab, Probe::Module("python3.11/ensurepip/__init__.py"), "python3-venv"),
    // A compiler that comes with the sources of its library builds it for the packs' sandbox too.
    need(Purpose::Lab, Probe::File(SANDBOX_COMPILER), "rustc-web"),
    need(Purpose::Lab, Probe::Module("rustlib/src/rust/library/std/src/lib.rs"), "rust-web-src"),
];

/// Where Debian's package puts it; the usual compiler is elsewhere.
pub(crate) const SANDBOX_COMPILER: &str = "/usr/bin/rustc";

/// Installing a package may remove another one that was there: Debian's QEMU does not go with tools from backports, for
/// example. What is missing then is installed in a second round.
const ROUNDS: usize = 2;

/// Installs what is missing, and says what was done.
pub(crate) fn run(purpose: Purpose) -> Result<String, Error> {
    let mut done = Vec::new();
    for _ in 0..ROUNDS {
        let absent = missing(purpose);
        if absent.is_empty() {
            break;
        }
        let packages: BTreeSet<&str> = absent.iter().map(|need| need.package).collect();
        let packages: Vec<&str> = packages.into_iter().collect();
        let packages = packages.join(" ");
        if !is_this_debian_12() {
            return Err(Error::OtherSystem { what: names(&absent), packages });
        }
        install(&packages)?;
        done.push(packages);
    }
    let still = missing(purpose);
    if !still.is_empty() {
        return Err(Error::StillMissing(names(&still)));
    }
    if find("cargo-deny").is_none() {
        // It is asked once a day: building it with optimisations takes longer than it ever wins back.
        Job::cargo("install --locked --debug cargo-deny --version ^0.20")
            .variable("CARGO_PROFILE_DEV_DEBUG", "false")
            .run()?;
        done.push("cargo-deny".to_owned());
    }
    Ok(if done.is_empty() {
        "nothing is missing".to_owned()
    } else {
        format!("installed {}", done.join(" "))
    })
}

fn install(packages: &str) -> Result<(), Error> {
    let apt = |arguments: &str| {
        Job::new("apt-get", arguments).variable("DEBIAN_FRONTEND", "noninteractive").privileged().run()
    };
    apt("update --quiet")?;
    apt(&format!("install --quiet --yes --no-install-recommends {packages}"))
}

fn missing(purpose: Purpose) -> Vec<&'static Need> {
    let wanted = |need: &&Need| purpose == Purpose::Lab || need.purpose == Purpose::Build;
    NEEDS.iter().filter(wanted).filter(|need| !need.probe.is_met()).collect()
}

impl Probe {
    fn is_met(&self) -> bool {
        match self {
            Self::Program(name) => find(name).is_some(),
            Self::Library(name) => Job::new("pkg-config", "--exists").argument(name).quietly().is_ok(),
            Self::File(path) => Path::new(path).is_file(),
            Self::Module(path) => {
                let folder = PathBuf::from("/usr/lib");
                let below = fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
                below.chain([folder, PathBuf::from("/usr/lib64")]).any(|folder| folder.join(path).is_file())
            }
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Program(name) | Self::Library(name) | Self::File(name) | Self::Module(name) => name,
        }
    }
}

fn names(needs: &[&Need]) -> String {
    needs.iter().map(|need| need.probe.name()).collect::<Vec<_>>().join(", ")
}

/// A program on the search path, among cargo's, or among those of the administrator, which are not on everybody's path.
fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let cargo =
        env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".cargo")));
    env::split_paths(&path)
        .chain(cargo.map(|folder| folder.join("bin")))
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// Whether this system is the one whose packages are known here.
pub(crate) fn is_this_debian_12() -> bool {
    is_debian_12(&fs::read_to_string("/etc/os-release").unwrap_or_default())
}

fn is_debian_12(release: &str) -> bool {
    let says = |line: &str| release.lines().any(|entry| entry.replace('"', "") == line);
    says("ID=debian") && says("VERSION_ID=12")
}

#[cfg(test)]
mod tests {
    use super::{Probe, is_debian_12};

    #[test]
    fn only_debian_12_is_debian_12() {
        assert!(is_debian_12("PRETTY_NAME=\"Debian\"\nVERSION_ID=\"12\"\nID=debian\n"));
        assert!(!is_debian_12("VERSION_ID=\"13\"\nID=debian\n"));
        assert!(!is_debian_12("VERSION_ID=\"12\"\nID=other\nID_LIKE=debian\n"));
        assert!(!is_debian_12(""));
    }

    #[test]
    fn what_is_there_is_found_and_what_is_not_is_missed() {
        assert!(Probe::Program("cargo").is_met());
        assert!(!Probe::Program("no-such-program").is_met());
        assert!(!Probe::Library("no-such-library").is_met());
        assert!(!Probe::Module("no/such/module.so").is_met());
        assert!(Probe::File("/proc/self/exe").is_met() && !Probe::File("/no/such/file").is_met());
    }
}
