//! The arguments of the verbs that need the feature `service`, with the help that people read.

#![expect(
    clippy::doc_markdown,
    reason = "these comments are the help on a terminal, where backticks would only disturb"
)]

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use whimbrel_core::AtTimeout;
use whimbrel_service::Place;
use whimbrel_service::access::{Group, Role};

use super::asked::Asked;
use super::check::Check;
use super::facts::FactsVerb;
use super::roles::roles;
use super::rule::args::{RuleVerb, Set};
use crate::cli::args::{EXIT_CODES, Simulated};
use crate::watch::Format;

/// Verbs that move guests, judge migrations, or serve.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum OperatorVerb {
    /// Migrate a running guest from one libvirt host to another, or between simulated hosts.
    ///
    /// Ctrl-C cancels the migration and reports the result; a second Ctrl-C detaches, and the migration continues.
    #[command(after_help = EXIT_CODES)]
    Migrate(Migrate),
    /// Go on with a migration that `migrate` left or did not live to see the end of, from its journal.
    ///
    /// Both hosts are queried before anything is changed. A journal that is still in use is refused.
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
    /// Adjust a migration of a service while it runs.
    Tune(Tune),
    /// Ask every rule about a migration, and change nothing.
    #[command(after_help = EXIT_CODES)]
    Check(Check),
    /// Write down the facts that rules judge.
    #[command(subcommand)]
    Facts(FactsVerb),
    /// Write, try, pin and ask rules.
    #[command(subcommand)]
    Rule(RuleVerb),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Migrate {
    #[command(flatten)]
    pub(in crate::cli) asked: Asked,
    /// Time limit for queries of both hosts while the guest's location is unknown, in seconds.
    #[arg(long, value_name = "S", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(in crate::cli) resolve_timeout: u64,
    /// Seconds for which a post-copy that lost its connection is resumed again and again.
    #[arg(long, value_name = "S", default_value_t = 3_600, value_parser = clap::value_parser!(u64).range(1..=604_800))]
    pub(in crate::cli) postcopy_recovery_timeout: u64,
    /// Take the guest over from a driver that is gone: the owner that the refusal names. Its migration must not be driven
    /// any more.
    #[arg(long, value_name = "OWNER")]
    pub(in crate::cli) replace_owner: Option<String>,
    /// How results are written.
    #[arg(long, value_enum, default_value_t)]
    pub(in crate::cli) format: Format,
    /// Write the journal to this new file, instead of one under $XDG_STATE_HOME/whimbrel.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) journal: Option<PathBuf>,
}

/// `whimbrel adopt`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Adopt {
    /// The journal; it is continued.
    pub(in crate::cli) journal: PathBuf,
    /// How results are written, from here on.
    #[arg(long, value_enum, default_value_t)]
    pub(in crate::cli) format: Format,
    /// For a migration that was not judged yet: rules beside the shipped ones, and what the operator decided about them.
    #[command(flatten)]
    pub(in crate::cli) rules: Set,
    #[command(flatten)]
    pub(in crate::cli) simulated: Simulated,
}

/// `whimbrel serve`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Serve {
    /// URI of a host, as often as there are hosts; the first is "this host" for Kimchi's routes.
    #[arg(long, value_name = "URI")]
    pub(in crate::cli) host: Vec<String>,
    /// Where to listen: ADDRESS:PORT, or unix:PATH for a socket of root, this user and --allow-group. May be given several
    /// times. Addresses beyond this machine only with a certificate and tokens.
    #[arg(long, value_name = "PLACE", default_value = "127.0.0.1:8006")]
    pub(in crate::cli) listen: Vec<Place>,
    /// Let the members of this group in at Unix sockets, for what the role allows: `operate` without it.
    #[arg(long, value_name = "GROUP[:ROLE]")]
    pub(in crate::cli) allow_group: Option<Group>,
    /// Serve real hosts at an address of this machine without tokens: every account of it may then do everything.
    #[arg(long, conflicts_with = "tokens")]
    pub(in crate::cli) no_auth: bool,
    /// The store's file, instead of one under $XDG_STATE_HOME/whimbrel.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) store: Option<PathBuf>,
    /// Let guests go to hosts like this one too, beside those of --host: a URI in whose host `*` stands for a part between two
    /// dots. May be given several times.
    #[arg(long, value_name = "PATTERN")]
    pub(in crate::cli) allow_destination: Vec<String>,
    /// Adopt the migrations of the store, begin none, and end when the last of them has ended: before an upgrade or a
    /// rollback, see docs/deprecation.md.
    #[arg(long)]
    pub(in crate::cli) drain: bool,
    /// How the address of a destination becomes a URI, which has to be a host or an allowed destination.
    #[arg(long, value_name = "URI", default_value = whimbrel_service::USUAL_TRANSPORT)]
    pub(in crate::cli) transport: String,
    /// Log each command to a hypervisor as well, with the time to its answer.
    #[arg(long)]
    pub(in crate::cli) log_commands: bool,
    /// The known ssh host keys for connections with a password, instead of those of this user and this machine.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) ssh_known_hosts: Option<PathBuf>,
    /// Let in only those who have a token of this file: see `whimbrel token`.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) tokens: Option<PathBuf>,
    /// The certificate chain, in PEM: TLS.
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(in crate::cli) certificate: Option<PathBuf>,
    /// The certificate's key, in PEM.
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub(in crate::cli) key: Option<PathBuf>,
    /// Requests a second that one address may send.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(in crate::cli) rate: u32,
    /// Rules beside the shipped ones, and what the operator decided about them. They are reloaded on SIGHUP and when
    /// the API is asked to; what cannot be loaded changes nothing.
    #[command(flatten)]
    pub(in crate::cli) rules: Set,
    #[command(flatten)]
    pub(in crate::cli) simulated: Simulated,
}

/// Where a service is, and how to be let in.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct ServiceAddress {
    /// The service's address, or unix:PATH for its socket.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8006")]
    pub(in crate::cli) service: String,
    /// Certificates, in PEM, of those who vouch for a service with https.
    #[arg(long, value_name = "FILE", default_value = "/etc/ssl/certs/ca-certificates.crt")]
    pub(in crate::cli) ca: PathBuf,
    /// A file that holds the token.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) token_file: Option<PathBuf>,
    /// Write the service's own document.
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

/// One migration of a service.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct OneMigration {
    /// Its number.
    pub(in crate::cli) migration: u64,
    #[command(flatten)]
    pub(in crate::cli) service: ServiceAddress,
}

/// `whimbrel tune`.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Tune {
    /// The migration's number.
    pub(in crate::cli) migration: u64,
    /// What is to be done.
    #[arg(value_enum)]
    pub(in crate::cli) adjustment: AdjustmentName,
    /// The new limit: ms for `downtime`, MiB/s for `bandwidth`.
    pub(in crate::cli) value: Option<u64>,
    #[command(flatten)]
    pub(in crate::cli) service: ServiceAddress,
}

/// The reactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum AdjustmentName {
    /// Another downtime limit.
    Downtime,
    /// Another bandwidth limit.
    Bandwidth,
    /// Pause the guest until it has arrived.
    Pause,
    /// The guest is moved first, and its memory after it.
    Postcopy,
}

/// `whimbrel token`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Token {
    /// Whose it is; stands in the audit record.
    pub(in crate::cli) name: String,
    /// What it allows.
    #[arg(value_parser = roles())]
    pub(in crate::cli) role: Role,
}

/// What happens when a copy has lasted too long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum AtTimeoutName {
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
