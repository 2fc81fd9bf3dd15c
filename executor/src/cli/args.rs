//! The arguments, with the help that people read.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use whimbrel_sim::qemu::Engine;
use whimbrel_sim::versions::Version;

#[cfg(not(feature = "service"))]
use super::not_built::NotBuilt;
#[cfg(feature = "service")]
use super::operator::args::OperatorVerb;
use super::policy::Policy;
use crate::output::Format;

pub(super) const EXIT_CODES: &str = "\
Exit codes:
   0  success: the migration completed, or the simulation ended as its scenario expects
   1  unexpected error, or a simulation that did not end as its scenario expects; no guest was touched
   2  invalid arguments, or an unusable file named by them
   3  the migration failed; the guest is on the source
   4  the migration was cancelled; the guest is on the source
   5  the guest's location is unknown, or the guest is in neither host's memory
   6  detached; the migration continues
   7  a rule refused the migration (`check`, `rule check`); nothing was changed
   8  the guest was moved to the destination and is not running there, although it was running before
 101  a safety check stopped the engine before an unsafe step, or the engine is faulty: check both hosts
 130  Ctrl-C stopped a verb that moves no guest; a result that it wrote is marked as partial";

pub(super) const SEE_EXIT_CODES: &str = "Exit codes: `whimbrel --help` lists them";

/// Live migration of virtual machines between libvirt hosts, and a simulator of it.
#[derive(Debug, Parser)]
#[command(name = "whimbrel", version, after_help = EXIT_CODES)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Simulate a migration or a fleet in virtual time, without a hypervisor.
    #[command(after_help = SEE_EXIT_CODES)]
    Simulate(Simulate),
    /// The verbs that migrate guests, evaluate rules, or serve.
    #[cfg(feature = "service")]
    #[command(flatten)]
    Operator(Box<OperatorVerb>),
    #[cfg(not(feature = "service"))]
    #[command(flatten)]
    NotBuilt(NotBuilt),
    /// Replay a migration from its journal.
    #[command(after_help = SEE_EXIT_CODES)]
    Replay(Replay),
    /// Compare the simulator with recorded migrations of real QEMU.
    #[command(after_help = SEE_EXIT_CODES)]
    Fidelity(Fidelity),
    /// List, explain and compare convergence policies.
    #[command(after_help = SEE_EXIT_CODES)]
    Policy(Policy),
    /// Check the safety of the guest in every reachable state of a migration, by exhaustive exploration.
    ///
    /// The control machine is the one that migrates real guests. Hosts, daemons and QEMU processes crash and restart; replies
    /// are lost, delayed and reordered; requests arrive at any moment; the driver crashes between any two steps.
    #[command(after_help = EXPLORE_EXIT_CODES)]
    Explore(Explore),
    /// Run randomized fault injection in the simulator, and check invariants.
    #[command(after_help = SEE_EXIT_CODES)]
    Fuzz(Fuzz),
}

#[derive(Debug, Args)]
pub(super) struct Fuzz {
    /// Number of migrations.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000_000))]
    pub(super) cases: u64,
    /// First seed; each migration uses the next one.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) seed: u64,
    /// Folder for the journals of violations, which `replay` reads.
    #[arg(long, value_name = "FOLDER")]
    pub(super) journals: Option<PathBuf>,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: FidelityFormat,
}

const EXPLORE_EXIT_CODES: &str = "\
Exit codes:
   0  no violation, and every phase and end was reached
   1  a violation was found, or a phase or end was never reached
 130  Ctrl-C stopped it without a violation; the result is marked as partial";

#[derive(Debug, Args)]
pub(super) struct Explore {
    /// Slice to explore; may be repeated. Without it, all that take a minute or less each.
    #[arg(long, value_name = "NAME")]
    pub(super) slice: Vec<String>,
    /// Include the long slices: one more hour, and up to 12 GiB of memory.
    #[arg(long)]
    pub(super) long: bool,
    /// Maximum number of states per slice, about 60 bytes of memory each.
    #[arg(long, value_name = "N", default_value_t = 120_000_000)]
    pub(super) states: usize,
    /// Folder for the journals of violations, which `replay` reads.
    #[arg(long, value_name = "FOLDER")]
    pub(super) journals: Option<PathBuf>,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: FidelityFormat,
}

#[derive(Debug, Args)]
pub(super) struct Simulate {
    /// Scenario file, fleet file, or name of a built-in scenario (see --list).
    #[arg(default_value = "regression")]
    pub(super) scenario: String,
    /// List the built-in scenarios and exit.
    #[arg(long, exclusive = true)]
    pub(super) list: bool,
    /// Dirty-page model of the simulator; page by default, lumped for fleets.
    #[arg(long, value_enum)]
    pub(super) engine: Option<EngineName>,
    /// Seed of the random numbers; the scenario's by default.
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<u64>,
    /// Version of QEMU on both hosts, such as 9.2; the scenario's by default.
    #[arg(long, value_name = "VERSION")]
    pub(super) qemu_version: Option<Version>,
    /// Version of libvirt on both hosts, such as 11.3; the scenario's by default.
    #[arg(long, value_name = "VERSION")]
    pub(super) libvirt_version: Option<Version>,
    /// New file for the migration's journal.
    #[arg(long, value_name = "FILE")]
    pub(super) journal: Option<PathBuf>,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
    /// Simulated seconds per second, 0 for as fast as possible; 8 by default on a terminal, otherwise 0.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub(super) speed: Option<u32>,
}

impl Simulate {
    /// An option that was given, but applies to a single migration only.
    pub(super) fn single_only(&self) -> Option<&'static str> {
        let options = [
            (self.journal.is_some(), "--journal"),
            (self.speed.is_some(), "--speed"),
            (self.qemu_version.is_some(), "--qemu-version"),
            (self.libvirt_version.is_some(), "--libvirt-version"),
        ];
        options.into_iter().find_map(|(is_given, option)| is_given.then_some(option))
    }
}

#[derive(Debug, Args)]
pub(super) struct Replay {
    /// Journal to replay.
    pub(super) journal: PathBuf,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

#[derive(Debug, Args)]
pub(super) struct Fidelity {
    /// File with the recorded migrations, one JSON object per line.
    pub(super) runs: PathBuf,
    /// Dirty-page model of the simulator.
    #[arg(long, value_enum, default_value_t)]
    pub(super) engine: EngineName,
    /// Number of simulated migrations per case.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(super) seeds: u64,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: FidelityFormat,
}

/// Dirty-page models of the simulator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum EngineName {
    /// One bit per page: exact.
    #[default]
    Page,
    /// Random draws of counts of similar pages: cost independent of the memory size.
    Lumped,
    /// Expected values of the same counts: fastest, deterministic.
    Mean,
}

impl From<EngineName> for Engine {
    fn from(name: EngineName) -> Self {
        match name {
            EngineName::Page => Self::Page,
            EngineName::Lumped => Self::Lumped,
            EngineName::Mean => Self::Mean,
        }
    }
}

/// Output formats of a comparison.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum FidelityFormat {
    /// Table for people.
    #[default]
    Text,
    /// One JSON document.
    Json,
}
