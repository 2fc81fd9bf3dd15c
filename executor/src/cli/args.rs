//! The arguments, with the help that people read.

#![expect(
    clippy::doc_markdown,
    reason = "these comments are the help on a terminal, where backticks would only disturb"
)]

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use whimbrel_core::AtTimeout;
use whimbrel_sim::qemu::Engine;

use super::asked::Asked;
use super::check::Check;
use super::facts::FactsVerb;
use super::roles::roles;
use super::rule::args::RuleVerb;
use super::rule::args::Set;
use crate::watch::Format;
use whimbrel_service::Place;
use whimbrel_service::access::{Group, Role};

const EXIT_CODES: &str = "\
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
    /// Migrate a running guest from one libvirt host to another, or between simulated hosts.
    ///
    /// Ctrl-C asks for the end and tells what came of it; a second Ctrl-C leaves the migration running.
    #[command(after_help = EXIT_CODES)]
    Migrate(Migrate),
    /// Go on with a migration that `migrate` left or did not live to see the end of, from its journal.
    ///
    /// Both hosts are looked at before anything is done. A journal that is still being kept is refused.
    #[command(after_help = EXIT_CODES)]
    Adopt(Adopt),
    /// Examine a migration once more that ended in doubt, from its journal.
    ///
    /// Both hosts are observed again. What is known then is settled as it would have been: a guest that the migration paused is
    /// resumed where that is safe, and settings are put back. A journal that did not end in doubt is refused.
    #[command(after_help = EXIT_CODES)]
    Resolve(Adopt),
    /// Serve the HTTP API, Kimchi's routes, the page and metrics. Without hosts, on simulated ones.
    Serve(Serve),
    /// Make a token for `serve`: the token itself goes to standard error, its entry to standard output.
    Token(Token),
    /// List a service's migrations, the newest first.
    List(ServiceAddress),
    /// Show one migration of a service.
    Show(OneMigration),
    /// Follow a migration of a service to its end: a JSON document for each event.
    #[command(after_help = EXIT_CODES)]
    Watch(OneMigration),
    /// Cancel a migration of a service, and tell what really came of it.
    Cancel(OneMigration),
    /// React to the course of a migration of a service.
    Tune(Tune),
    /// Serve a simulated world on a Unix socket, for other processes to migrate guests in.
    SimServer(SimServer),
    /// Go through a migration again from its journal, step by step.
    Replay(Replay),
    /// Compare the simulator with recorded migrations of real QEMU.
    Fidelity(Fidelity),
    /// Ask every rule about a migration, and change nothing.
    #[command(after_help = EXIT_CODES)]
    Check(Check),
    /// Write down the facts that rules judge.
    #[command(subcommand)]
    Facts(FactsVerb),
    /// Write, try, pin and ask rules.
    #[command(subcommand)]
    Rule(RuleVerb),
    /// Explore everything that may happen to a migration, and show that the guest is safe in all of it.
    ///
    /// The control machine is the one that moves real guests. Hosts, daemons and QEMUs die and come back, replies are
    /// lost, delayed and overtaken, requests come at any moment, and whoever drives dies between any two steps.
    #[command(after_help = EXPLORE_EXIT_CODES)]
    Explore(Explore),
    /// Run migrations in the simulator with troubles that chance draws, and look for a broken promise.
    Fuzz(Fuzz),
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

#[derive(Debug, Args)]
pub(super) struct Migrate {
    #[command(flatten)]
    pub(super) asked: Asked,
    /// Seconds for which both hosts are looked at when it is not known where the guest is.
    #[arg(long, value_name = "S", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(super) resolve_timeout: u64,
    /// Seconds for which a post-copy that lost its connection is resumed again and again.
    #[arg(long, value_name = "S", default_value_t = 3_600, value_parser = clap::value_parser!(u64).range(1..=604_800))]
    pub(super) postcopy_recovery_timeout: u64,
    /// Take the guest over from a driver that is gone: the owner that the refusal names. Its migration must not be driven
    /// any more.
    #[arg(long, value_name = "OWNER")]
    pub(super) replace_owner: Option<String>,
    /// How results are written.
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
    /// Write the journal to this new file, instead of one under $XDG_STATE_HOME/whimbrel.
    #[arg(long, value_name = "FILE")]
    pub(super) journal: Option<PathBuf>,
}

/// `whimbrel adopt`.
#[derive(Debug, Args)]
pub(super) struct Adopt {
    /// The journal; it is continued.
    pub(super) journal: PathBuf,
    /// How results are written, from here on.
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
    /// For a migration that was not judged yet: rules beside the shipped ones, and what the operator decided about them.
    #[command(flatten)]
    pub(super) rules: Set,
    #[command(flatten)]
    pub(super) simulated: Simulated,
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

/// `whimbrel serve`.
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// URI of a host, as often as there are hosts; the first is "this host" for Kimchi's routes.
    #[arg(long, value_name = "URI")]
    pub(super) host: Vec<String>,
    /// Where to listen: ADDRESS:PORT, or unix:PATH for a socket of root, this user and --allow-group. May be given several
    /// times. Addresses beyond this machine only with a certificate and tokens.
    #[arg(long, value_name = "PLACE", default_value = "127.0.0.1:8006")]
    pub(super) listen: Vec<Place>,
    /// Let the members of this group in at Unix sockets, for what the role allows: `operate` without it.
    #[arg(long, value_name = "GROUP[:ROLE]")]
    pub(super) allow_group: Option<Group>,
    /// Serve real hosts at an address of this machine without tokens: every account of it may then do everything.
    #[arg(long, conflicts_with = "tokens")]
    pub(super) no_auth: bool,
    /// The store's file, instead of one under $XDG_STATE_HOME/whimbrel.
    #[arg(long, value_name = "FILE")]
    pub(super) store: Option<PathBuf>,
    /// Let guests go to hosts like this one too, beside those of --host: a URI in whose host `*` stands for a part between two
    /// dots. May be given several times.
    #[arg(long, value_name = "PATTERN")]
    pub(super) allow_destination: Vec<String>,
    /// Adopt the migrations of the store, begin none, and end when the last of them has ended: before an upgrade or a
    /// rollback, see docs/deprecation.md.
    #[arg(long)]
    pub(super) drain: bool,
    /// How the address of a destination becomes a URI, which has to be a host or an allowed destination.
    #[arg(long, value_name = "URI", default_value = whimbrel_service::USUAL_TRANSPORT)]
    pub(super) transport: String,
    /// Log each command to a hypervisor as well, with the time to its answer.
    #[arg(long)]
    pub(super) log_commands: bool,
    /// The known ssh host keys for connections with a password, instead of those of this user and this machine.
    #[arg(long, value_name = "FILE")]
    pub(super) ssh_known_hosts: Option<PathBuf>,
    /// Let in only those who have a token of this file: see `whimbrel token`.
    #[arg(long, value_name = "FILE")]
    pub(super) tokens: Option<PathBuf>,
    /// The certificate chain, in PEM: TLS.
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(super) certificate: Option<PathBuf>,
    /// The certificate's key, in PEM.
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub(super) key: Option<PathBuf>,
    /// Requests a second that one address may send.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) rate: u32,
    /// Rules beside the shipped ones, and what the operator decided about them. They are loaded anew on SIGHUP and when
    /// the API is asked to; what cannot be loaded changes nothing.
    #[command(flatten)]
    pub(super) rules: Set,
    #[command(flatten)]
    pub(super) simulated: Simulated,
}

/// Where a service is, and how to be let in.
#[derive(Clone, Debug, Args)]
pub(super) struct ServiceAddress {
    /// The service's address, or unix:PATH for its socket.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8006")]
    pub(super) service: String,
    /// Certificates, in PEM, of those who vouch for a service with https.
    #[arg(long, value_name = "FILE", default_value = "/etc/ssl/certs/ca-certificates.crt")]
    pub(super) ca: PathBuf,
    /// A file that holds the token.
    #[arg(long, value_name = "FILE")]
    pub(super) token_file: Option<PathBuf>,
    /// Write the service's own document.
    #[arg(long)]
    pub(super) json: bool,
}

/// One migration of a service.
#[derive(Clone, Debug, Args)]
pub(super) struct OneMigration {
    /// Its number.
    pub(super) migration: u64,
    #[command(flatten)]
    pub(super) service: ServiceAddress,
}

/// `whimbrel tune`.
#[derive(Clone, Debug, Args)]
pub(super) struct Tune {
    /// The migration's number.
    pub(super) migration: u64,
    /// What is to be done.
    #[arg(value_enum)]
    pub(super) adjustment: AdjustmentName,
    /// The new limit: ms for `downtime`, MiB/s for `bandwidth`.
    pub(super) value: Option<u64>,
    #[command(flatten)]
    pub(super) service: ServiceAddress,
}

/// The reactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum AdjustmentName {
    /// Another downtime limit.
    Downtime,
    /// Another bandwidth limit.
    Bandwidth,
    /// The guest stands still until it has arrived.
    Pause,
    /// The guest is moved first, and its memory after it.
    Postcopy,
}

/// `whimbrel token`.
#[derive(Debug, Args)]
pub(super) struct Token {
    /// Whose it is; stands in the audit record.
    pub(super) name: String,
    /// What it allows.
    #[arg(value_parser = roles())]
    pub(super) role: Role,
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

/// What happens when a copy has lasted too long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum AtTimeoutName {
    /// The migration is cancelled; the guest stays.
    #[default]
    Cancel,
    /// The guest is stopped until it has arrived.
    Pause,
    /// The guest is moved first, and its memory after it.
    Postcopy,
}

impl From<AtTimeoutName> for AtTimeout {
    fn from(name: AtTimeoutName) -> Self {
        match name {
            AtTimeoutName::Cancel => Self::Cancel,
            AtTimeoutName::Pause => Self::Pause,
            AtTimeoutName::Postcopy => Self::Postcopy,
        }
    }
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
