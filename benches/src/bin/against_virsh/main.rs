//! Migrates the same running guest with `virsh` and with Whimbrel, in pairs, and compares what each cost.
//!
//! Both are run as an operator runs them, over the same daemons, with the same limit and the same flags for libvirt. It
//! builds two real hosts of its own, needs root, and removes everything. It must never report a run in which the
//! guest lost memory or ran twice: a measurement of a broken migration is none.

#![forbid(unsafe_code)]

mod client;
mod course;
mod report;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use whimbrel_lab::LabError;

/// What is compared, and how often.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "against-virsh",
    about = "Migrates one guest with virsh and with Whimbrel, in pairs, and compares them"
)]
struct Options {
    /// Pairs of migrations that are measured
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=200))]
    pairs: u32,
    /// Most MiB a second on the migration link
    #[arg(long, value_name = "MIB_PER_S", default_value_t = 64, value_parser = clap::value_parser!(u32).range(8..=100_000))]
    bandwidth: u32,
    /// Page writes a second of the guest
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(0..=60_000))]
    writes: u32,
    /// The whimbrel program, built with the feature `libvirt`
    #[arg(long, value_name = "FILE", env = "WHIMBREL_BIN")]
    program: PathBuf,
    /// How results are written
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// The form of the results on standard output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Tables
    #[default]
    Text,
    /// One document with every run
    Json,
}

/// Why nothing could be measured.
#[derive(Debug, thiserror::Error)]
enum BenchError {
    /// The hosts or the guest did not do what was asked.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// A client could not be run.
    #[error("cannot {what}: {source}")]
    Io {
        /// A verb and its object.
        what: String,
        /// The operating system's answer.
        source: io::Error,
    },
    /// A client did not migrate the guest.
    #[error("`{client}` did not migrate the guest ({status}); it said:\n{said}")]
    Client {
        /// Which one.
        client: client::Client,
        /// Its exit status, or that it took too long.
        status: String,
        /// Its standard error.
        said: String,
    },
    /// The guest was harmed.
    #[error("the guest's witness shows that memory was lost or that two copies ran: {0}")]
    Harmed(String),
    /// A run gave no numbers.
    #[error("there is nothing to compare")]
    Nothing,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match measure(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> Result<(), BenchError> {
    let measured = course::run(options)?;
    let report = report::Report::of(options, &measured).ok_or(BenchError::Nothing)?;
    let text = match options.format {
        Format::Text => report.text(),
        Format::Json => report.json() + "\n",
    };
    let written = io::stdout().write_all(text.as_bytes());
    written.map_err(|source| BenchError::Io { what: "write the results".into(), source })
}

/// Reports progress at the terminal.
fn say(text: &str) {
    // A closed standard error leaves no place for a report.
    let _ = writeln!(io::stderr(), "{text}");
}
