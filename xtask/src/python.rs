//! Programs of the Python package index, each in a virtual environment below the build's folder. Nothing is installed into the
//! system.

use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::job::Job;

/// The path of a package's program in the virtual environment at `place`; what is missing of both is installed.
pub(crate) fn tool(place: &Path, package: &str, program: &str) -> Result<PathBuf, Error> {
    let path = place.join("bin").join(program);
    if !path.is_file() {
        Job::new("python3", "-m venv").argument(place).run()?;
        Job::new(place.join("bin/pip"), "install --quiet").argument(package).run()?;
    }
    Ok(path)
}
