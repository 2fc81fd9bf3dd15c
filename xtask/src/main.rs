//! Developers' verbs: `cargo xtask setup | test | lab | load | pictures | planted | postgres | record | rules | tidy`.
//!
//! Everything that must hold is held by `cargo xtask test`, here and in automation alike: there is no second list.

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a program for people at a terminal")]

mod artifacts;
mod error;
mod job;
mod lab;
mod lanes;
mod long;
mod packages;
mod planted;
mod postgres;
mod privilege;
mod python;
mod recheck;
mod record;
mod rules;
mod service;
mod setup;
mod steps;
mod test;
mod texts;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::{Tree, tidy};

use error::Error;
use setup::Purpose;
use test::Extent;

/// Developers' verbs of Whimbrel.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Install what building and testing needs, if something is missing
    Setup,
    /// Check everything: format, lints, dependencies, tests, documentation, and migrations between real hosts
    Test {
        /// Check the default build only, with nextest: no sandbox, service, libvirt or real hosts
        #[arg(long)]
        fast: bool,
        /// Add what takes hours: every slice of the exploration, ten million migrations of the fuzzer, the targets of
        /// `fuzz/`, the planted bugs, the program without libvirt, migrations between hosts of several generations, and the published
        /// interfaces beside those of the last release
        #[arg(long, conflicts_with = "fast")]
        long: bool,
    },
    /// Migrate a guest between two real libvirt hosts on this machine, as a scenario says
    Lab(lab::Options),
    /// Measure the service under load, beside what it is to reach
    Load,
    /// Retake the pictures in the README, in a browser
    Pictures,
    /// Plant bugs into a copy of the tree, and demand that the check that each names fails
    Planted(planted::Options),
    /// Hold the store's schema and statements against a server of Postgres
    Postgres,
    /// Record migrations of real QEMU, for simulators to be held against
    Record(record::Options),
    /// Build the shipped rules from source, and compare them with the committed packs
    Rules {
        /// Put what was built in their place
        #[arg(long)]
        write: bool,
    },
    /// Check sizes, words, phrases, paths, links, and promises without a test
    Tidy,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().verb {
        Verb::Setup => setup::run(Purpose::Test).map(|note| println!("{note}")),
        Verb::Test { fast, long } => test::run(match (fast, long) {
            (true, _) => Extent::Fast,
            (false, true) => Extent::Long,
            (false, false) => Extent::Usual,
        }),
        Verb::Lab(options) => lab::run(&options),
        Verb::Load => service::load(),
        Verb::Pictures => pictures().map(|note| println!("{note}")),
        Verb::Planted(options) => planted::run(&options).map(|note| println!("{note}")),
        Verb::Postgres => postgres().map(|note| println!("{note}")),
        Verb::Record(options) => record::run(&options),
        Verb::Rules { write } => rules::run(write).map(|note| println!("{note}")),
        Verb::Tidy => tidy().map(|note| println!("{note}")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error.print();
            error.exit_code().into()
        }
    }
}

fn go_to_root() -> Result<(), Error> {
    std::env::set_current_dir(Tree::root()?).map_err(|source| Error::Start { job: "cd".to_owned(), source })
}

fn postgres() -> Result<String, Error> {
    go_to_root()?;
    postgres::run()
}

fn pictures() -> Result<String, Error> {
    go_to_root()?;
    setup::run(Purpose::Test)?;
    service::pictures(&artifacts::program("build --package whimbrel --features service")?)
}

/// Checks every tracked file, and reports how many there were and what was exempt.
fn tidy() -> Result<String, Error> {
    let tree = Tree::read(&Tree::root()?)?;
    for (path, reason) in tidy::EXEMPT {
        println!("phrases in {path} are not counted: {reason}");
    }
    let complaints = tidy::complaints(&tree);
    if complaints.is_empty() {
        return Ok(format!("{} files are tidy", tree.texts().count()));
    }
    for complaint in &complaints {
        println!("{complaint}");
    }
    Err(Error::Untidy(complaints.len()))
}
