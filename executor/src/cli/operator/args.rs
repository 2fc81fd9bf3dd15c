//! The arguments of the verbs that need the feature `service`, with the help that people read.

#![expect(
    clippy::doc_markdown,
    reason = "these comments are the help on a terminal, where backticks would only disturb"
)]

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use whimbrel_core::AtTimeout;
use whimbrel_service::Place;
use whimbrel_service::auth::{Group, Role};

use super::asked::Asked;
use super::beforehand::Measuring;
use super::check::Check;
use super::facts::FactsVerb;
use super::roles::roles;
use super::rule::args::{RuleVerb, Set};
use super::simulated::{SimServer, Simulated};
use crate::cli::args::{EXIT_CODES, SEE_EXIT_CODES};
use crate::output::Format;

/// Headings of groups of options. Each option names its own: clap's `next_help_heading` on a flattened struct would also
/// apply to the options that follow it.
pub(super) mod heading {
    pub(in crate::cli) const MIGRATION: &str = "Migration";
    pub(in crate::cli) const MANY: &str = "Many guests";
    pub(in crate::cli) const STORAGE: &str = "Storage";
    pub(in crate::cli) const TIMEOUTS: &str = "Timeouts";
    pub(in crate::cli) const RULES: &str = "Rules";
    pub(in crate::cli) const OUTPUT: &str = "Output";
    pub(in crate::cli) const HOSTS: &str = "Hosts";
    pub(in crate::cli) const ACCESS: &str = "Access";
    pub(in crate::cli) const OPERATION: &str = "Operation";
}

/// Verbs that move guests, judge migrations, or serve.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum OperatorVerb {
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
    #[command(after_help = SEE_EXIT_CODES)]
    Serve(Serve),
    /// Create a token for `serve`: the token on standard error, its entry for the tokens file on standard output.
    #[command(after_help = SEE_EXIT_CODES)]
    Token(Token),
    /// List the migrations of a service, newest first.
    #[command(after_help = SEE_EXIT_CODES)]
    List(ServiceAddress),
    /// Show one migration of a service.
    #[command(after_help = SEE_EXIT_CODES)]
    Show(OneMigration),
    /// Follow a migration of a service to its end, with one JSON document per event.
    #[command(after_help = EXIT_CODES)]
    Watch(OneMigration),
    /// Cancel a migration of a service, and report the verified result.
    #[command(after_help = SEE_EXIT_CODES)]
    Cancel(OneMigration),
    /// Change the limits of a running migration of a service, pause its guest, or switch to post-copy.
    #[command(after_help = SEE_EXIT_CODES)]
    Tune(Tune),
    /// Evaluate every rule for a migration, without changing anything.
    #[command(after_help = EXIT_CODES)]
    Check(Check),
    /// Write the facts that rules evaluate, as JSON.
    #[command(subcommand, after_help = SEE_EXIT_CODES)]
    Facts(FactsVerb),
    /// Create, build, test, pin and evaluate rules.
    #[command(subcommand, after_help = SEE_EXIT_CODES)]
    Rule(RuleVerb),
    /// Run simulated hosts behind a Unix socket, for other processes to migrate guests between.
    #[command(after_help = SEE_EXIT_CODES)]
    SimServer(SimServer),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Migrate {
    #[command(flatten)]
    pub(in crate::cli) asked: Asked,
    #[command(flatten)]
    pub(super) measuring: Measuring,
    /// Time limit for determining where the guest is when that is in doubt, in seconds; both hosts are queried until then.
    #[arg(long, value_name = "S", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=86_400),
          help_heading = heading::TIMEOUTS)]
    pub(in crate::cli) resolve_timeout: u64,
    /// Time limit for resuming a post-copy that lost its connection, in seconds; resuming is retried until then.
    #[arg(long, value_name = "S", default_value_t = 3_600, value_parser = clap::value_parser!(u64).range(1..=604_800),
          help_heading = heading::TIMEOUTS)]
    pub(in crate::cli) postcopy_recovery_timeout: u64,
    /// Take over the guest from a driver that no longer runs: the owner named by the refusal. No process may still be driving
    /// that migration.
    #[arg(long, value_name = "OWNER", help_heading = heading::MIGRATION)]
    pub(in crate::cli) replace_owner: Option<String>,
    /// Output format.
    #[arg(long, value_enum, default_value_t, help_heading = heading::OUTPUT)]
    pub(in crate::cli) format: Format,
    /// New file for the journal; by default one under $XDG_STATE_HOME/whimbrel.
    #[arg(long, value_name = "FILE", help_heading = heading::OUTPUT)]
    pub(in crate::cli) journal: Option<PathBuf>,
}

/// `whimbrel adopt`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Adopt {
    /// Journal of the migration; it is continued.
    pub(in crate::cli) journal: PathBuf,
    /// Output format of the continued part.
    #[arg(long, value_enum, default_value_t, help_heading = heading::OUTPUT)]
    pub(in crate::cli) format: Format,
    // Needed only for a migration that was not validated yet.
    #[command(flatten)]
    pub(in crate::cli) rules: Set,
    #[command(flatten)]
    pub(in crate::cli) simulated: Simulated,
}

/// `whimbrel serve`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Serve {
    /// URI of a host; may be repeated. The first one is "this host" for Kimchi's routes.
    #[arg(long, value_name = "URI", help_heading = heading::HOSTS)]
    pub(in crate::cli) host: Vec<String>,
    /// Listening address: ADDRESS:PORT, or unix:PATH for a socket of root, this user and --allow-group; may be repeated.
    /// Addresses other than loopback require a certificate and tokens.
    #[arg(long, value_name = "PLACE", default_value = "127.0.0.1:8006", help_heading = heading::ACCESS)]
    pub(in crate::cli) listen: Vec<Place>,
    /// Group whose members may connect to Unix sockets, with the permissions of the role; `operator` by default.
    #[arg(long, value_name = "GROUP[:ROLE]", help_heading = heading::ACCESS)]
    pub(in crate::cli) allow_group: Option<Group>,
    /// Serve real hosts on a loopback address without tokens: every account of this machine then has all permissions.
    #[arg(long, conflicts_with = "tokens", help_heading = heading::ACCESS)]
    pub(in crate::cli) no_auth: bool,
    /// File of the store; by default one under $XDG_STATE_HOME/whimbrel.
    #[arg(long, value_name = "FILE", help_heading = heading::OPERATION)]
    pub(in crate::cli) store: Option<PathBuf>,
    /// Further destinations, besides those of --host: a URI in whose host `*` stands for a part between two dots; may be
    /// repeated.
    #[arg(long, value_name = "PATTERN", help_heading = heading::HOSTS)]
    pub(in crate::cli) allow_destination: Vec<String>,
    /// Adopt the migrations of the store, start none, and exit when the last of them has ended: before an upgrade or a
    /// rollback, see docs/deprecation.md.
    #[arg(long, help_heading = heading::OPERATION)]
    pub(in crate::cli) drain: bool,
    /// URI template for a destination given by its address; the result must be a host or an allowed destination.
    #[arg(long, value_name = "URI", default_value = whimbrel_service::USUAL_TRANSPORT, help_heading = heading::HOSTS)]
    pub(in crate::cli) transport: String,
    /// Log each command to a hypervisor too, with the time to its answer.
    #[arg(long, help_heading = heading::OPERATION)]
    pub(in crate::cli) log_commands: bool,
    /// Known ssh host keys for connections with a password; by default those of this user and this machine.
    #[arg(long, value_name = "FILE", help_heading = heading::HOSTS)]
    pub(in crate::cli) ssh_known_hosts: Option<PathBuf>,
    /// Tokens file (see `whimbrel token`); requests without one of its tokens are refused.
    #[arg(long, value_name = "FILE", help_heading = heading::ACCESS)]
    pub(in crate::cli) tokens: Option<PathBuf>,
    /// Certificate chain for TLS, in PEM.
    #[arg(long, value_name = "FILE", requires = "key", help_heading = heading::ACCESS)]
    pub(in crate::cli) certificate: Option<PathBuf>,
    /// Private key of the certificate, in PEM.
    #[arg(long, value_name = "FILE", requires = "certificate", help_heading = heading::ACCESS)]
    pub(in crate::cli) key: Option<PathBuf>,
    /// Maximum number of requests per second from one address.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1_000_000),
          help_heading = heading::ACCESS)]
    pub(in crate::cli) rate: u32,
    // Loaded again on SIGHUP and on request of the API; what cannot be loaded changes nothing.
    #[command(flatten)]
    pub(in crate::cli) rules: Set,
    #[command(flatten)]
    pub(in crate::cli) simulated: Simulated,
}

/// The address of a service, and the credentials for it.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct ServiceAddress {
    /// Address of the service, or unix:PATH for its socket.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8006")]
    pub(in crate::cli) service: String,
    /// CA bundle used to verify an https service, in PEM.
    #[arg(long, value_name = "FILE", default_value = "/etc/ssl/certs/ca-certificates.crt")]
    pub(in crate::cli) ca: PathBuf,
    /// File that contains the token.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) token_file: Option<PathBuf>,
    /// Print the service's JSON document.
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

/// One migration of a service.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct OneMigration {
    /// Number of the migration.
    pub(in crate::cli) migration: u64,
    #[command(flatten)]
    pub(in crate::cli) service: ServiceAddress,
}

/// `whimbrel tune`.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Tune {
    /// Number of the migration.
    pub(in crate::cli) migration: u64,
    /// Adjustment.
    #[arg(value_enum)]
    pub(in crate::cli) adjustment: AdjustmentName,
    /// New limit, in ms for `downtime`, in MiB/s for `bandwidth`.
    pub(in crate::cli) value: Option<u64>,
    #[command(flatten)]
    pub(in crate::cli) service: ServiceAddress,
}

/// What can be adjusted while a migration runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum AdjustmentName {
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
pub(in crate::cli) struct Token {
    /// Name of the token's holder, for the audit record.
    pub(in crate::cli) name: String,
    /// Permissions of the token.
    #[arg(value_parser = roles())]
    pub(in crate::cli) role: Role,
}

/// The action at the time limit of pre-copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum AtTimeoutName {
    /// End the copy as failed (exit code 3); the guest stays on the source.
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
