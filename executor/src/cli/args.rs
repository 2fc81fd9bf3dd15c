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
  0  success: the migration completed, or the simulation ended as its scenario expects
  1  unexpected error, or a simulation that did not end as its scenario expects; no guest was touched
  2  invalid arguments, or an unusable file named by them
  3  the migration failed; the guest is on the source
  4  the migration was cancelled; the guest is on the source
  5  the guest's location is unknown, or the guest is in neither host's memory
  6  detached; the migration continues
  7  a rule refused the migration (`check`, `rule check`); nothing was changed
  8  the guest was moved to the destination and is not running there, although it was running before
101  a safety check stopped the engine before an unsafe step, or the engine is faulty: check both hosts";

/// Headings of groups of options. Each option names its own: clap's `next_help_heading` on a flattened struct would also
/// apply to the options that follow it.
pub(super) mod heading {
    pub(in crate::cli) const MIGRATION: &str = "Migration";
    pub(in crate::cli) const STORAGE: &str = "Storage";
    pub(in crate::cli) const TIMEOUTS: &str = "Timeouts";
    pub(in crate::cli) const RULES: &str = "Rules";
    pub(in crate::cli) const OUTPUT: &str = "Output";
    pub(in crate::cli) const SIMULATED: &str = "Simulated hosts (sim://)";
    pub(in crate::cli) const HOSTS: &str = "Hosts";
    pub(in crate::cli) const ACCESS: &str = "Access";
    pub(in crate::cli) const OPERATION: &str = "Operation";
}

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
    Simulate(Simulate),
    /// Migrate a guest between two libvirt hosts, or between two simulated hosts.
    ///
    /// Ctrl-C cancels the migration and reports the verified result; a second Ctrl-C detaches, and the migration continues.
    #[command(after_help = EXIT_CODES)]
    Migrate(Migrate),
    /// Resume a migration that `migrate` abandoned, from its journal.
    ///
    /// Both hosts are queried before any command is sent. A journal that another process is still writing is refused.
    #[command(after_help = EXIT_CODES)]
    Adopt(Adopt),
    /// Query both hosts again for a migration that ended in doubt, from its journal.
    ///
    /// The migration then ends as it would have with those observations: a guest that it paused is resumed where that is safe,
    /// and settings are restored. A journal that did not end in doubt is refused.
    #[command(after_help = EXIT_CODES)]
    Resolve(Adopt),
    /// Run the service: HTTP API, Kimchi's routes, web page and metrics. Without --host, on simulated hosts.
    Serve(Serve),
    /// Create a token for `serve`: the token on standard error, its entry for the tokens file on standard output.
    Token(Token),
    /// List the migrations of a service, newest first.
    List(ServiceAddress),
    /// Show one migration of a service.
    Show(OneMigration),
    /// Follow a migration of a service to its end, with one JSON document per event.
    #[command(after_help = EXIT_CODES)]
    Watch(OneMigration),
    /// Cancel a migration of a service, and report the verified result.
    Cancel(OneMigration),
    /// Change the limits of a running migration of a service, pause its guest, or switch to post-copy.
    Tune(Tune),
    /// Run simulated hosts behind a Unix socket, for other processes to migrate guests between.
    SimServer(SimServer),
    /// Replay a migration from its journal.
    Replay(Replay),
    /// Compare the simulator with recorded migrations of real QEMU.
    Fidelity(Fidelity),
    /// Evaluate every rule for a migration, without changing anything.
    #[command(after_help = EXIT_CODES)]
    Check(Check),
    /// Write the facts that rules evaluate, as JSON.
    #[command(subcommand)]
    Facts(FactsVerb),
    /// Create, build, test, pin and evaluate rules.
    #[command(subcommand)]
    Rule(RuleVerb),
    /// Check the safety of the guest in every reachable state of a migration, by exhaustive exploration.
    ///
    /// The control machine is the one that migrates real guests. Hosts, daemons and QEMU processes crash and restart; replies
    /// are lost, delayed and reordered; requests arrive at any moment; the driver crashes between any two steps.
    #[command(after_help = EXPLORE_EXIT_CODES)]
    Explore(Explore),
    /// Run randomized fault injection in the simulator, and check invariants.
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
  1  a violation was found, or a phase or end was never reached";

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
        let journal = self.journal.is_some().then_some("--journal");
        journal.or(self.speed.is_some().then_some("--speed"))
    }
}

#[derive(Debug, Args)]
pub(super) struct Migrate {
    #[command(flatten)]
    pub(super) asked: Asked,
    /// Time limit for determining where the guest is when that is in doubt, in seconds; both hosts are queried until then.
    #[arg(long, value_name = "S", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=86_400),
          help_heading = heading::TIMEOUTS)]
    pub(super) resolve_timeout: u64,
    /// Time limit for resuming a post-copy that lost its connection, in seconds; resuming is retried until then.
    #[arg(long, value_name = "S", default_value_t = 3_600, value_parser = clap::value_parser!(u64).range(1..=604_800),
          help_heading = heading::TIMEOUTS)]
    pub(super) postcopy_recovery_timeout: u64,
    /// Take over the guest from a driver that no longer runs: the owner named by the refusal. No process may still be driving
    /// that migration.
    #[arg(long, value_name = "OWNER", help_heading = heading::MIGRATION)]
    pub(super) replace_owner: Option<String>,
    /// Output format.
    #[arg(long, value_enum, default_value_t, help_heading = heading::OUTPUT)]
    pub(super) format: Format,
    /// New file for the journal; by default one under $XDG_STATE_HOME/whimbrel.
    #[arg(long, value_name = "FILE", help_heading = heading::OUTPUT)]
    pub(super) journal: Option<PathBuf>,
}

/// `whimbrel adopt`.
#[derive(Debug, Args)]
pub(super) struct Adopt {
    /// Journal of the migration; it is continued.
    pub(super) journal: PathBuf,
    /// Output format of the continued part.
    #[arg(long, value_enum, default_value_t, help_heading = heading::OUTPUT)]
    pub(super) format: Format,
    // Needed only for a migration that was not validated yet.
    #[command(flatten)]
    pub(super) rules: Set,
    #[command(flatten)]
    pub(super) simulated: Simulated,
}

/// The world behind `sim://` hosts.
#[derive(Clone, Debug, Args)]
#[expect(clippy::struct_field_names, reason = "a field is named as its option")]
pub(super) struct Simulated {
    /// Simulated seconds per second; 1 by default, or the current speed of --sim-server.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000),
          help_heading = heading::SIMULATED)]
    pub(super) sim_speed: Option<u32>,
    /// Scenario file or built-in scenario with the hosts, guest and faults, instead of the built-in world.
    #[arg(long, value_name = "SCENARIO", help_heading = heading::SIMULATED)]
    pub(super) sim_scenario: Option<String>,
    /// Seed of the random numbers of the built-in world.
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = heading::SIMULATED)]
    pub(super) sim_seed: u64,
    /// Number of extra guests in the built-in world, named guest-001 and so on.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=999),
          help_heading = heading::SIMULATED)]
    pub(super) sim_guests: u32,
    /// Unix socket of a running `whimbrel sim-server`, instead of simulated hosts in this process.
    #[arg(long, value_name = "SOCKET", conflicts_with_all = ["sim_scenario", "sim_seed", "sim_guests"],
          help_heading = heading::SIMULATED)]
    pub(super) sim_server: Option<PathBuf>,
}

/// `whimbrel serve`.
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// URI of a host; may be repeated. The first one is "this host" for Kimchi's routes.
    #[arg(long, value_name = "URI", help_heading = heading::HOSTS)]
    pub(super) host: Vec<String>,
    /// Listening address: ADDRESS:PORT, or unix:PATH for a socket of root, this user and --allow-group; may be repeated.
    /// Addresses other than loopback require a certificate and tokens.
    #[arg(long, value_name = "PLACE", default_value = "127.0.0.1:8006", help_heading = heading::ACCESS)]
    pub(super) listen: Vec<Place>,
    /// Group whose members may connect to Unix sockets, with the permissions of the role; `operator` by default.
    #[arg(long, value_name = "GROUP[:ROLE]", help_heading = heading::ACCESS)]
    pub(super) allow_group: Option<Group>,
    /// Serve real hosts on a loopback address without tokens: every account of this machine then has all permissions.
    #[arg(long, conflicts_with = "tokens", help_heading = heading::ACCESS)]
    pub(super) no_auth: bool,
    /// File of the store; by default one under $XDG_STATE_HOME/whimbrel.
    #[arg(long, value_name = "FILE", help_heading = heading::OPERATION)]
    pub(super) store: Option<PathBuf>,
    /// Further destinations, besides those of --host: a URI in whose host `*` stands for a part between two dots; may be
    /// repeated.
    #[arg(long, value_name = "PATTERN", help_heading = heading::HOSTS)]
    pub(super) allow_destination: Vec<String>,
    /// Adopt the migrations of the store, start none, and exit when the last of them has ended: before an upgrade or a
    /// rollback, see docs/deprecation.md.
    #[arg(long, help_heading = heading::OPERATION)]
    pub(super) drain: bool,
    /// URI template for a destination given by its address; the result must be a host or an allowed destination.
    #[arg(long, value_name = "URI", default_value = whimbrel_service::USUAL_TRANSPORT, help_heading = heading::HOSTS)]
    pub(super) transport: String,
    /// Log each command to a hypervisor too, with the time to its answer.
    #[arg(long, help_heading = heading::OPERATION)]
    pub(super) log_commands: bool,
    /// Known ssh host keys for connections with a password; by default those of this user and this machine.
    #[arg(long, value_name = "FILE", help_heading = heading::HOSTS)]
    pub(super) ssh_known_hosts: Option<PathBuf>,
    /// Tokens file (see `whimbrel token`); requests without one of its tokens are refused.
    #[arg(long, value_name = "FILE", help_heading = heading::ACCESS)]
    pub(super) tokens: Option<PathBuf>,
    /// Certificate chain for TLS, in PEM.
    #[arg(long, value_name = "FILE", requires = "key", help_heading = heading::ACCESS)]
    pub(super) certificate: Option<PathBuf>,
    /// Private key of the certificate, in PEM.
    #[arg(long, value_name = "FILE", requires = "certificate", help_heading = heading::ACCESS)]
    pub(super) key: Option<PathBuf>,
    /// Maximum number of requests per second from one address.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1_000_000),
          help_heading = heading::ACCESS)]
    pub(super) rate: u32,
    // Loaded again on SIGHUP and on request of the API; what cannot be loaded changes nothing.
    #[command(flatten)]
    pub(super) rules: Set,
    #[command(flatten)]
    pub(super) simulated: Simulated,
}

/// The address of a service, and the credentials for it.
#[derive(Clone, Debug, Args)]
pub(super) struct ServiceAddress {
    /// Address of the service, or unix:PATH for its socket.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8006")]
    pub(super) service: String,
    /// CA bundle used to verify an https service, in PEM.
    #[arg(long, value_name = "FILE", default_value = "/etc/ssl/certs/ca-certificates.crt")]
    pub(super) ca: PathBuf,
    /// File that contains the token.
    #[arg(long, value_name = "FILE")]
    pub(super) token_file: Option<PathBuf>,
    /// Print the service's JSON document.
    #[arg(long)]
    pub(super) json: bool,
}

/// One migration of a service.
#[derive(Clone, Debug, Args)]
pub(super) struct OneMigration {
    /// Number of the migration.
    pub(super) migration: u64,
    #[command(flatten)]
    pub(super) service: ServiceAddress,
}

/// `whimbrel tune`.
#[derive(Clone, Debug, Args)]
pub(super) struct Tune {
    /// Number of the migration.
    pub(super) migration: u64,
    /// Adjustment.
    #[arg(value_enum)]
    pub(super) adjustment: AdjustmentName,
    /// New limit, in ms for `downtime`, in MiB/s for `bandwidth`.
    pub(super) value: Option<u64>,
    #[command(flatten)]
    pub(super) service: ServiceAddress,
}

/// What can be adjusted while a migration runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum AdjustmentName {
    /// Set the maximum downtime.
    Downtime,
    /// Set the bandwidth limit.
    Bandwidth,
    /// Pause the guest until it is on the destination.
    Pause,
    /// Switch to post-copy: the guest runs on the destination before all of its memory is there.
    Postcopy,
}

/// `whimbrel token`.
#[derive(Debug, Args)]
pub(super) struct Token {
    /// Name of the token's holder, for the audit record.
    pub(super) name: String,
    /// Permissions of the token.
    #[arg(value_parser = roles())]
    pub(super) role: Role,
}

/// `whimbrel sim-server`.
#[derive(Debug, Args)]
pub(super) struct SimServer {
    /// Path of the Unix socket; it must not exist yet.
    pub(super) socket: PathBuf,
    #[command(flatten)]
    pub(super) simulated: Simulated,
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

/// The action at the time limit of pre-copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum AtTimeoutName {
    /// Cancel the migration; the guest stays on the source.
    #[default]
    Cancel,
    /// Pause the guest until it is on the destination.
    Pause,
    /// Switch to post-copy: the guest runs on the destination before all of its memory is there.
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
