//! Where cargo put what it built. The folder is the caller's to choose, so only cargo knows.

use std::io;
use std::path::PathBuf;

use cargo_metadata::{Artifact, Message, MetadataCommand};

use crate::error::Error;
use crate::job::Job;

/// Builds the program as the tests do, so that their dependencies are not rebuilt: a build without them would have
/// its dependencies with fewer features.
pub(crate) const TESTED: &str = "test --workspace --lib --bins --tests --no-run --features whimbrel/libvirt";

/// The folder of tools that are fetched for the checks: below the build's own, so that it stays for the next time.
pub(crate) fn tools() -> Result<PathBuf, Error> {
    let metadata =
        MetadataCommand::new().no_deps().exec().map_err(|error| Error::Cargo(io::Error::other(error)))?;
    Ok(metadata.target_directory.join("tools").into())
}

/// Builds Whimbrel's program and says where it is.
pub(crate) fn program(arguments: &str) -> Result<PathBuf, Error> {
    let is_program = |artifact: &Artifact| {
        artifact.target.is_bin() && artifact.target.name == "whimbrel" && !artifact.profile.test
    };
    let programs = built(arguments, is_program)?;
    programs.into_iter().next().map(|found| found.0).ok_or(Error::NotBuilt("the program"))
}

/// What cargo builds of this kind that can be run, each with the folder of its package.
pub(crate) fn built(
    arguments: &str,
    wanted: impl Fn(&Artifact) -> bool,
) -> Result<Vec<(PathBuf, PathBuf)>, Error> {
    let output = Job::cargo(&format!("{arguments} --message-format=json-render-diagnostics")).output()?;
    let mut found = Vec::new();
    for message in Message::parse_stream(output.as_slice()) {
        let Message::CompilerArtifact(artifact) = message.map_err(Error::Cargo)? else { continue };
        if wanted(&artifact)
            && let (Some(program), Some(folder)) = (&artifact.executable, artifact.manifest_path.parent())
        {
            found.push((program.into(), folder.into()));
        }
    }
    Ok(found)
}
