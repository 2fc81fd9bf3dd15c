//! Root's rights: this program again, through `sudo`.
//!
//! Cargo must never run so, because what it builds would belong to root: what a verb needs is built before.

use std::ffi::OsString;
use std::path::Path;

use whimbrel_lab::roots::FOLDER_VARIABLE;

use crate::error::{Error, NOT_CHECKED};
use crate::job::Job;

/// Runs this program as root with the same arguments, and with a variable that names what was built.
pub(crate) fn again(name: &'static str, built: &Path) -> Result<(), Error> {
    run(std::env::args_os().skip(1), |job| job.variable(name, built))
}

/// Runs this program as root with these arguments, prepared further.
pub(crate) fn run(
    arguments: impl IntoIterator<Item = OsString>,
    prepare: impl FnOnce(Job) -> Job,
) -> Result<(), Error> {
    let this = std::env::current_exe()
        .map_err(|source| Error::Start { job: "this program as root".to_owned(), source })?;
    let job = arguments.into_iter().fold(Job::new(this, ""), Job::argument);
    match with_roots(prepare(job)).privileged().run() {
        // The other process has given its reason.
        Err(Error::Failed { status, .. }) if status.code() == Some(NOT_CHECKED.into()) => {
            Err(Error::Reported(NOT_CHECKED))
        }
        other => other,
    }
}

/// The job with the folder of the lab's roots, where the environment names one: `sudo` would not keep it.
pub(crate) fn with_roots(job: Job) -> Job {
    match std::env::var_os(FOLDER_VARIABLE) {
        Some(folder) => job.variable(FOLDER_VARIABLE, folder),
        None => job,
    }
}
