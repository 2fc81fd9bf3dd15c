//! Debian's packages for the recorder's Linux guest: downloaded and extracted, never installed.
//!
//! Nothing of the system changes but the package manager's own lists. What was extracted stays for the next time.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::job::Job;
use crate::setup;

/// Its first dependency is the newest kernel.
const KERNEL: &str = "linux-image-cloud-amd64";

/// A shell and its tools, workloads, and the libraries that these are linked with; none of what libraries may
/// load later on.
const PROGRAMS: &str = "busybox-static libapparmor1 libatomic1 libbsd0 libc6 libcap2 libcrypt1 libdrm2 libegl1 \
    libexpat1 libffi8 libgbm1 libgcc-s1 libgcrypt20 libgles2 libglvnd0 libgpg-error0 libipsec-mb1 libjemalloc2 \
    libjpeg62-turbo libjudydebian1 libkmod2 liblz4-1 liblzf1 liblzma5 libmd0 libsctp1 libssl3 libstdc++6 libsystemd0 \
    libwayland-server0 libxxhash0 libzstd1 redis-tools stress-ng tcc zlib1g";

/// Downloads and extracts unless that was done before: the kernel below `kernel`, all others below `root`.
pub(crate) fn extract(folder: &Path) -> Result<PathBuf, Error> {
    let done = folder.join("packages");
    if fs::read_to_string(&done).is_ok_and(|packages| packages == PROGRAMS) {
        return Ok(folder.to_owned());
    }
    if !setup::is_this_debian_12() {
        return Err(Error::OtherSystem {
            what: "a Linux guest's programs".into(),
            packages: PROGRAMS.into(),
        });
    }
    println!("downloading the packages of the Linux guest ...");
    let failed =
        |source: io::Error| Error::Start { job: format!("extract into {}", folder.display()), source };
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    Job::new("apt-get", "update --quiet").privileged().run()?;
    let kernel = first_dependency(&Job::new("apt-cache", "depends").argument(KERNEL).output()?)?;
    for (name, packages) in [("kernel", kernel.as_str()), ("root", PROGRAMS)] {
        let (archives, into) = (folder.join(format!("{name}.archives")), folder.join(name));
        fs::create_dir_all(&archives).map_err(failed)?;
        // The package manager's own user may not write here; as root it would say so at length.
        Job::new("apt-get", "download --quiet -o APT::Sandbox::User=root")
            .arguments(packages)
            .run_in(&archives)?;
        for archive in fs::read_dir(&archives).map_err(failed)? {
            Job::new("dpkg-deb", "-x").argument(archive.map_err(failed)?.path()).argument(&into).run()?;
        }
        fs::remove_dir_all(&archives).map_err(failed)?;
    }
    fs::write(&done, PROGRAMS).map_err(failed)?;
    Ok(folder.to_owned())
}

fn first_dependency(said: &[u8]) -> Result<String, Error> {
    let said = String::from_utf8_lossy(said);
    let name = said.lines().find_map(|line| line.trim().strip_prefix("Depends: "));
    name.map(str::to_owned).ok_or(Error::NoKernel(KERNEL))
}

#[cfg(test)]
mod tests {
    use super::first_dependency;

    #[test]
    fn the_newest_kernel_is_the_first_dependency() {
        let said = b"linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-56-cloud-amd64\n  Suggests: x\n";
        assert_eq!(first_dependency(said).unwrap(), "linux-image-6.1.0-56-cloud-amd64");
        assert!(first_dependency(b"").is_err());
    }
}
