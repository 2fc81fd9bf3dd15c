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

/// What is going to be done. Each installs what it needs and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Testing the light feature set: no libvirt, no hosts.
    Light,
    /// Building the driver, and migrating between real hosts.
    Lab,
    /// Making roots of other generations for the lab's hosts.
    Roots,
    /// Every check: a browser, and a compiler for packs of rules as well.
    Test,
    /// What takes hours too: coverage-guided fuzzing.
    Long,
}

/// What a thing is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// The compiler's linker, and git.
    Build,
    /// Headers of libvirt.
    Driver,
    /// Real hosts.
    Hosts,
    /// Other releases of Debian, as roots of hosts.
    Roots,
    /// Tools of the Python package index.
    Python,
    /// The page in a browser, and packs from their source.
    Checks,
    /// libFuzzer.
    Fuzzers,
}

impl Purpose {
    const fn parts(self) -> &'static [Part] {
        match self {
            Self::Light => &[Part::Build, Part::Python],
            Self::Lab => &[Part::Build, Part::Driver, Part::Hosts],
            Self::Roots => &[Part::Build, Part::Hosts, Part::Roots],
            Self::Test => &[Part::Build, Part::Driver, Part::Hosts, Part::Python, Part::Checks],
            Self::Long => &[
                Part::Build,
                Part::Driver,
                Part::Hosts,
                Part::Roots,
                Part::Python,
                Part::Checks,
                Part::Fuzzers,
            ],
        }
    }
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
    part: Part,
    probe: Probe,
    /// Debian's package.
    package: &'static str,
}

const fn need(part: Part, probe: Probe, package: &'static str) -> Need {
    Need { part, probe, package }
}

const NEEDS: [Need; 26] = [
    need(Part::Build, Probe::Program("git"), "git"),
    need(Part::Build, Probe::Program("gcc"), "gcc"),
    need(Part::Driver, Probe::Program("pkg-config"), "pkg-config"),
    need(Part::Driver, Probe::Library("libvirt"), "libvirt-dev"),
    need(Part::Hosts, Probe::Program("libvirtd"), "libvirt-daemon"),
    need(
        Part::Hosts,
        Probe::Module("libvirt/connection-driver/libvirt_driver_qemu.so"),
        "libvirt-daemon-driver-qemu",
    ),
    // Bridges, bonds and VLANs are listed by a driver of its own.
    need(
        Part::Hosts,
        Probe::Module("libvirt/connection-driver/libvirt_driver_interface.so"),
        "libvirt-daemon",
    ),
    need(Part::Hosts, Probe::Program("virsh"), "libvirt-clients"),
    need(Part::Hosts, Probe::Program("qemu-system-x86_64"), "qemu-system-x86"),
    need(Part::Hosts, Probe::Program("qemu-img"), "qemu-utils"),
    need(Part::Hosts, Probe::Program("ip"), "iproute2"),
    need(Part::Hosts, Probe::Program("tc"), "iproute2"),
    need(Part::Hosts, Probe::Program("nft"), "nftables"),
    need(Part::Hosts, Probe::Program("ssh"), "openssh-client"),
    need(Part::Hosts, Probe::Program("sshd"), "openssh-server"),
    need(Part::Roots, Probe::Program("debootstrap"), "debootstrap"),
    need(Part::Roots, Probe::File(DEBIAN_KEYS), "debian-archive-keyring"),
    need(Part::Roots, Probe::Program("zstd"), "zstd"),
    need(Part::Checks, Probe::Program("chromium"), "chromium"),
    need(Part::Checks, Probe::Program("node"), "nodejs"),
    need(Part::Checks, Probe::Program("npm"), "npm"),
    need(Part::Python, Probe::Program("python3"), "python3"),
    need(Part::Python, Probe::Module("python3.11/ensurepip/__init__.py"), "python3-venv"),
    // A compiler that comes with the sources of its library builds it for the packs' sandbox too.
    need(Part::Checks, Probe::File(SANDBOX_COMPILER), "rustc-web"),
    need(Part::Checks, Probe::Module("rustlib/src/rust/library/std/src/lib.rs"), "rust-web-src"),
    need(Part::Fuzzers, Probe::Program("g++"), "g++"),
];

/// Where Debian's package puts it; the usual compiler is elsewhere.
pub(crate) const SANDBOX_COMPILER: &str = "/usr/bin/rustc";

/// What Debian signs its releases with.
const DEBIAN_KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

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
    let wanted = |need: &&Need| purpose.parts().contains(&need.part);
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
pub(crate) fn find(program: &str) -> Option<PathBuf> {
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
    use super::{NEEDS, Part, Probe, Purpose, is_debian_12};

    #[test]
    fn only_debian_12_is_debian_12() {
        assert!(is_debian_12("PRETTY_NAME=\"Debian\"\nVERSION_ID=\"12\"\nID=debian\n"));
        assert!(!is_debian_12("VERSION_ID=\"13\"\nID=debian\n"));
        assert!(!is_debian_12("VERSION_ID=\"12\"\nID=other\nID_LIKE=debian\n"));
        assert!(!is_debian_12(""));
    }

    #[test]
    fn a_purpose_needs_what_it_is_for_and_no_more() {
        let packages = |purpose: Purpose| -> Vec<&str> {
            let needs = NEEDS.iter().filter(|need| purpose.parts().contains(&need.part));
            needs.map(|need| need.package).collect()
        };
        let (light, lab) = (packages(Purpose::Light), packages(Purpose::Lab));
        assert!(
            light.contains(&"gcc") && !light.iter().any(|package| package.contains("libvirt")),
            "{light:?}"
        );
        assert!(lab.contains(&"libvirt-daemon") && lab.contains(&"qemu-system-x86"), "{lab:?}");
        for not_shown in ["chromium", "nodejs", "npm", "rustc-web", "python3-venv"] {
            assert!(!lab.contains(&not_shown), "{lab:?}");
        }
        assert!(
            !lab.contains(&"debootstrap") && packages(Purpose::Roots).contains(&"debootstrap"),
            "{lab:?}"
        );
        assert_eq!(packages(Purpose::Long).len(), NEEDS.len());
        assert!(Purpose::Test.parts().contains(&Part::Checks));
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
