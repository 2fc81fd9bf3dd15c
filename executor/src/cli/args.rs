//! The arguments, with the help that people read.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use whimbrel_sim::qemu::Engine;

#[cfg(not(feature = "service"))]
use super::not_built::NotBuilt;
#[cfg(feature = "service")]
use super::operator::args::OperatorVerb;
use super::policy::Policy;
use crate::watch::Format;

pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0  done: the migration completed, or the simulation ended as its scenario expects
  1  something unexpected, or a simulation that ended otherwise than its scenario expects; no guest was touched
  2  the arguments, or a file that they name, cannot be used
  3  the migration failed; the guest is on the source
  4  the migration was cancelled; the guest is on the source
  5  it is not known where the guest is, or it is in neither host's memory
  6  the operator left; the migration goes on
  7  a rule refuses the migration (`check`, `rule check`); nothing was changed
  8  the guest was moved to the destination and does not run there, though it ran before
101  a guard stopped the engine before an unsafe step, or it is broken: look at both hosts";

/// Moves running virtual machines between libvirt hosts, and simulates it.
#[derive(Debug, Parser)]
#[command(name = "whimbrel", version, after_help = EXIT_CODES)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Simulate a migration in virtual time; needs no hypervisor.
    Simulate(Simulate),
    /// The verbs that move guests, judge migrations, or serve.
    #[cfg(feature = "service")]
    #[command(flatten)]
    Operator(Box<OperatorVerb>),
    #[cfg(not(feature = "service"))]
    #[command(flatten)]
    NotBuilt(NotBuilt),
    /// Serve a simulated world on a Unix socket, for other processes to migrate guests in.
    SimServer(SimServer),
    /// Go through a migration again from its journal, step by step.
    Replay(Replay),
    /// Compare the simulator with recorded migrations of real QEMU.
    Fidelity(Fidelity),
    /// List, explain and compare convergence policies.
    Policy(Policy),
    /// Explore everything that may happen to a migration, and show that the guest is safe in all of it.
    ///
    /// The control machine is the one that moves real guests. Hosts, daemons and QEMUs die and come back, replies are
    /// lost, delayed and overtaken, requests come at any moment, and whoever drives dies between any two steps.
    #[command(after_help = EXPLORE_EXIT_CODES)]
    Explore(Explore),
    /// Run migrations in the simulator with troubles that chance draws, and look for a broken promise.
    Fuzz(Fuzz),
}

impl Verb {
    /// Whether the files that it writes are meant for other users too, as those of a rule's author are.
    pub(super) fn writes_shared_files(&self) -> bool {
        match self {
            #[cfg(feature = "service")]
            Self::Operator(verb) => matches!(**verb, OperatorVerb::Rule(_)),
            _ => false,
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct Fuzz {
    /// Migrations.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000_000))]
    pub(super) cases: u64,
    /// The first seed; each migration has the next one.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) seed: u64,
    /// Write violations as journals for `replay` into this folder.
    #[arg(long, value_name = "FOLDER")]
    pub(super) journals: Option<PathBuf>,
    /// How results are written.
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: FidelityFormat,
}

const EXPLORE_EXIT_CODES: &str = "\
Exit codes:
  0  nothing went wrong, and every phase and end was met
  1  a violation was found, or something was never met";

#[derive(Debug, Args)]
pub(super) struct Explore {
    /// Only this slice; may be given several times. Otherwise all that take a minute or less each.
    #[arg(long, value_name = "NAME")]
    pub(super) slice: Vec<String>,
    /// The long slices too: an hour more, and up to 12 GiB of memory.
    #[arg(long)]
    pub(super) long: bool,
    /// Most states of a slice; about 60 bytes of memory each.
    #[arg(long, value_name = "N", default_value_t = 120_000_000)]
    pub(super) states: usize,
    /// Write violations as journals for `replay` into this folder.
    #[arg(long, value_name = "FOLDER")]
    pub(super) journals: Option<PathBuf>,
    /// How results are written.
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: FidelityFormat,
}

#[derive(Debug, Args)]
pub(super) struct Simulate {
    /// A scenario file, a fleet file, or the name of a built-in scenario: see --list.
    #[arg(default_value = "regression")]
    pub(super) scenario: String,
    /// List the built-in scenarios, and do nothing else.
    #[arg(long, exclusive = true)]
    pub(super) list: bool,
    /// What keeps account of the simulated guest's dirty pages: page without it, lumped for fleets.
    #[arg(long, value_enum)]
    pub(super) engine: Option<EngineName>,
    /// The seed of all chance, instead of the scenario's.
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<u64>,
    /// Write the migration's journal to this new file.
    #[arg(long, value_name = "FILE")]
    pub(super) journal: Option<PathBuf>,
    /// How results are written.
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
    /// Simulated seconds a second; 0 is as fast as possible. On a terminal 8, elsewhere 0.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub(super) speed: Option<u32>,
}

impl Simulate {
    /// An option that was given and that only a single migration has.
    pub(super) fn single_only(&self) -> Option<&'static str> {
        let journal = self.journal.is_some().then_some("--journal");
        journal.or(self.speed.is_some().then_some("--speed"))
    }
}

/// The world behind `sim://` hosts.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Simulated hosts (sim://)")]
#[expect(clippy::struct_field_names, reason = "a field is named as its option")]
pub(super) struct Simulated {
    /// Simulated seconds that pass in each real one: 1, or as the world of --sim-server goes already.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(super) sim_speed: Option<u32>,
    /// Hosts, guest and faults of this scenario file or built-in scenario, instead of the built-in world.
    #[arg(long, value_name = "SCENARIO")]
    pub(super) sim_scenario: Option<String>,
    /// The seed of all chance in the built-in world.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) sim_seed: u64,
    /// So many guests more in the built-in world, called guest-001 and so on.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=999))]
    pub(super) sim_guests: u32,
    /// The world that `whimbrel sim-server` serves on this Unix socket, instead of one in this process.
    #[arg(long, value_name = "SOCKET", conflicts_with_all = ["sim_scenario", "sim_seed", "sim_guests"])]
    pub(super) sim_server: Option<PathBuf>,
}

/// `whimbrel sim-server`.
#[derive(Debug, Args)]
pub(super) struct SimServer {
    /// The Unix socket, which must not exist yet.
    pub(super) socket: PathBuf,
    #[command(flatten)]
    pub(super) simulated: Simulated,
}

#[derive(Debug, Args)]
pub(super) struct Replay {
    /// The journal.
    pub(super) journal: PathBuf,
    /// How results are written.
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

#[derive(Debug, Args)]
pub(super) struct Fidelity {
    /// The recorded migrations, a JSON object a line.
    pub(super) runs: PathBuf,
    /// What keeps account of the simulated guest's dirty pages.
    #[arg(long, value_enum, default_value_t)]
    pub(super) engine: EngineName,
    /// Simulated migrations a case.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(super) seeds: u64,
    /// How results are written.
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: FidelityFormat,
}

/// The simulator's engines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum EngineName {
    /// A bit for each page: exact to the page.
    #[default]
    Page,
    /// Counts of pages that are alike, drawn: costs the same whatever the memory.
    Lumped,
    /// Expectations of the same counts: fastest, without chance.
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

/// In which form a comparison is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum FidelityFormat {
    /// For people: a table.
    #[default]
    Text,
    /// One JSON document.
    Json,
}
