//! The documents of the native API: requests and responses.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use whimbrel_core::{AtTimeout, Spec, TransferOptions};
use whimbrel_drive::route::check_definition;

use super::integer;
use super::problem::Problem;
use super::serialize::{value, word};
use crate::auth::{Caller, Role};
use crate::projection::Account;
use crate::secret::Password;
use crate::store::MigrationRow;
use crate::supervisor::Supervisor;
use whimbrel_drive::copying::DiskChoice;
use whimbrel_drive::hosts::Route;
use whimbrel_drive::uri::{Origin, check_migrate_uri, without_password};

/// A host.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Host {
    /// The connection URI.
    pub(super) uri: String,
    /// Whether it answers.
    pub(super) reachable: bool,
    /// Why it does not answer.
    pub(super) reason: Option<String>,
    /// Its own host name.
    pub(super) name: Option<String>,
    /// Kind of hypervisor.
    pub(super) hypervisor: Option<String>,
    /// CPU architecture.
    pub(super) architecture: Option<String>,
    /// The hypervisor's version.
    pub(super) hypervisor_version: Option<String>,
    /// libvirt's version.
    pub(super) library_version: Option<String>,
    /// Free memory, in bytes.
    pub(super) free_memory_bytes: Option<u64>,
}

/// The hosts of this service.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct HostList {
    /// In the order in which they were given.
    pub(super) hosts: Vec<Host>,
}

/// A guest.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Guest {
    /// Its name.
    pub(super) name: String,
    /// Its UUID.
    pub(super) uuid: String,
    /// The URI of the host that it is on.
    pub(super) host: String,
    /// `running`, `paused` or `not_running`.
    pub(super) run: String,
    /// Other hosts that run it at the same time, in the list of guests: always an emergency, see `docs/in-doubt.md`.
    pub(super) also_runs_on: Vec<String>,
    /// Its memory, in bytes.
    pub(super) memory_bytes: u64,
    /// Virtual CPUs.
    pub(super) vcpus: u32,
    /// The migration that runs for it.
    pub(super) migration: Option<String>,
}

/// The guests of every host that answers.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct GuestList {
    /// By host and name.
    pub(super) guests: Vec<Guest>,
    /// Hosts that do not answer; their guests are missing here.
    pub(super) unreachable: Vec<String>,
}

/// A request for a migration.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a field of the document")]
pub(super) struct Wanted {
    /// The guest's name.
    #[schema(min_length = 1, max_length = 255, pattern = "^[^/\\u0000-\\u001f\\u007f-\\u009f]+$")]
    pub(super) guest: String,
    /// URI of the destination, or an address, which is reached with the configured transport.
    #[schema(min_length = 1, max_length = 1024)]
    pub(super) destination: String,
    /// URI of the source. Required where several hosts have a guest of this name.
    #[serde(default)]
    pub(super) source: Option<String>,
    /// Password for the ssh connection to the destination; used once, and not stored.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 1024, pattern = "^[^\\u0000-\\u001f\\u007f]*$", write_only)]
    pub(super) password: Option<Password>,
    /// Address that receives the guest's memory, for example `tcp://192.0.2.12`.
    #[serde(default)]
    pub(super) migrate_uri: Option<String>,
    /// Maximum downtime, in ms.
    #[serde(default, deserialize_with = "integer::optional")]
    #[schema(minimum = 1, maximum = 2_000_000)]
    pub(super) downtime_limit_ms: Option<u64>,
    /// Maximum bandwidth of the migration, in bytes per second.
    #[serde(default, deserialize_with = "integer::optional")]
    #[schema(minimum = 1_048_576, maximum = 1_125_899_906_842_624_i64)]
    pub(super) bandwidth_limit_bytes_per_second: Option<u64>,
    /// Time limit for pre-copy, in ms; `at_timeout` is the action at the limit.
    #[serde(default, deserialize_with = "integer::optional")]
    #[schema(minimum = 1, maximum = 9_007_199_254_740_991_i64)]
    pub(super) timeout_ms: Option<u64>,
    /// `cancel`, `pause` or `postcopy`.
    #[serde(default)]
    #[schema(value_type = AtTimeoutWord)]
    pub(super) at_timeout: AtTimeout,
    /// Whether a switch to post-copy is allowed.
    #[serde(default)]
    pub(super) postcopy: bool,
    /// Whether the guest's CPUs are throttled when it dirties memory too fast.
    #[serde(default)]
    pub(super) auto_converge: bool,
    /// Whether XBZRLE delta compression is enabled.
    #[serde(default)]
    pub(super) xbzrle: bool,
    /// Number of parallel connections.
    #[serde(default, deserialize_with = "integer::optional")]
    #[schema(minimum = 1, maximum = 255)]
    pub(super) parallel_connections: Option<u64>,
    /// The disks to copy: `true` for every disk that is proven not to be shared, or a list of disks by their targets, such as
    /// `["vda"]`.
    #[serde(default)]
    pub(super) copy_disks: CopyDisks,
    /// Paths on the destination that the copy of disks may overwrite, unless a guest there uses them.
    #[serde(default)]
    #[schema(max_items = 64)]
    pub(super) overwrite_disks: Vec<String>,
    /// Whether only the definition of a guest that is off is migrated. Excludes the other features.
    #[serde(default)]
    pub(super) offline: bool,
    /// Domain XML for the destination, with other paths or networks of the host. The guest must see the same devices.
    #[serde(default)]
    #[schema(min_length = 1)]
    pub(super) destination_xml: Option<String>,
    /// Time limit for determining where the guest is when that is in doubt, in ms; two minutes by default.
    #[serde(default, deserialize_with = "integer::optional")]
    #[schema(minimum = 1_000, maximum = 86_400_000)]
    pub(super) doubt_patience_ms: Option<u64>,
    /// Time limit for resuming a post-copy that lost its connection, in ms; one hour by default.
    #[serde(default, deserialize_with = "integer::optional")]
    #[schema(minimum = 1_000, maximum = 604_800_000)]
    pub(super) recovery_patience_ms: Option<u64>,
    /// Takes over the guest from a driver that no longer runs: the owner named by the refusal. No process may still be driving
    /// that migration.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 1024, pattern = "^[!-~]+$")]
    pub(super) replace_owner: Option<String>,
}

/// The disks to copy.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(untagged, expecting = "`copy_disks` is true, false, or a list of disk targets such as [\"vda\"]")]
pub(super) enum CopyDisks {
    /// None, or all that are proven not to be shared.
    Whether(bool),
    /// These.
    Named(Vec<String>),
}

impl Default for CopyDisks {
    fn default() -> Self {
        Self::Whether(false)
    }
}

impl CopyDisks {
    fn are_copied(&self) -> bool {
        !matches!(self, Self::Whether(false))
    }

    fn named(&self) -> Result<Vec<String>, Problem> {
        match self {
            Self::Whether(_) => Ok(Vec::new()),
            Self::Named(targets) if targets.is_empty() || targets.iter().any(String::is_empty) => {
                Err(Problem::invalid("`copy_disks` is a list without a disk: name targets such as `vda`"))
            }
            Self::Named(targets) => Ok(targets.clone()),
        }
    }
}

/// The action at the time limit.
#[derive(Clone, Copy, Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "stands for the core's own type in the description of the API")]
pub(super) enum AtTimeoutWord {
    Cancel,
    Pause,
    Postcopy,
}

impl Wanted {
    /// The spec and the route, once the guest's host and the URI of the destination are known.
    pub(super) fn parts(&self, source: &str, destination: &str) -> Result<(Spec, Route), Problem> {
        let too_many = |_| Problem::invalid("`parallel_connections` is out of bounds: 1 to 255");
        let options = TransferOptions {
            postcopy: self.postcopy || self.at_timeout == AtTimeout::Postcopy,
            auto_converge: self.auto_converge,
            xbzrle: self.xbzrle,
            parallel_connections: self
                .parallel_connections
                .map(u8::try_from)
                .transpose()
                .map_err(too_many)?,
            copy_disks: self.copy_disks.are_copied(),
            offline: self.offline,
        };
        let mut spec = Spec::new(self.guest.as_str(), source, destination);
        spec.downtime_limit_ms = self.downtime_limit_ms;
        spec.bandwidth_limit_bytes_per_second = self.bandwidth_limit_bytes_per_second;
        spec.timeout_ms = self.timeout_ms;
        spec.at_timeout = self.at_timeout;
        spec.transfer = options;
        spec.resolve_timeout_ms = self.doubt_patience_ms.unwrap_or(spec.resolve_timeout_ms);
        spec.postcopy_recovery_timeout_ms =
            self.recovery_patience_ms.unwrap_or(spec.postcopy_recovery_timeout_ms);
        spec.check().map_err(|error| Problem::invalid(error.to_string()))?;
        if let Some(uri) = &self.migrate_uri {
            check_migrate_uri(uri, Origin::Request)
                .map_err(|why| Problem::invalid(format!("`migrate_uri`: {why}")))?;
        }
        self.check_definition()?;
        if self.replace_owner.as_ref().is_some_and(|owner| !is_owner(owner)) {
            return Err(Problem::invalid("`replace_owner` has 1 to 1024 visible ASCII characters"));
        }
        if !self.overwrite_disks.is_empty() && !options.copy_disks {
            return Err(Problem::invalid(
                "`overwrite_disks` is given without `copy_disks`: no disk is copied",
            ));
        }
        let route = Route {
            migrate_uri: self.migrate_uri.clone(),
            disks: DiskChoice { copied: self.copy_disks.named()?, overwritten: self.overwrite_disks.clone() },
            destination_xml: self.destination_xml.clone(),
            replace_owner: self.replace_owner.clone(),
            ..Route::of(&spec)
        };
        Ok((spec, route))
    }
}

impl Wanted {
    /// Whether the caller may send this: a definition can name any file of the destination as a disk.
    pub(super) fn permit(&self, caller: &Caller) -> Result<(), Problem> {
        if self.destination_xml.is_some() && caller.role < Role::Define {
            return Err(Problem::role_too_low(Role::Define, caller.role));
        }
        Ok(())
    }

    fn check_definition(&self) -> Result<(), Problem> {
        let Some(xml) = &self.destination_xml else { return Ok(()) };
        check_definition(xml).map_err(|why| Problem::invalid(format!("`destination_xml`: {why}")))
    }
}

fn is_owner(text: &str) -> bool {
    (1..=1024).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whether the request is a dry run.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DryRun {
    /// Query the hosts and evaluate the rules, without starting the migration.
    #[serde(default)]
    pub(super) dry_run: bool,
}

/// Selects one of several guests of the same name.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct OnHost {
    /// URI of its host, as in the list of hosts.
    #[param(min_length = 1, max_length = 1024)]
    pub(super) host: Option<String>,
}

/// The page of the list.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Page {
    /// Only migrations with smaller numbers.
    #[param(minimum = 1, maximum = 9_007_199_254_740_991_i64)]
    pub(super) before: Option<i64>,
    /// Maximum number of migrations, 1 to 200; 50 by default.
    #[param(minimum = 1, maximum = 200)]
    pub(super) limit: Option<i64>,
}

/// The result of the rules, before anything is changed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Preflight {
    /// Whether the rules allow the migration.
    pub(super) allowed: bool,
    /// Every finding: `pack`, `code`, `verdict` (`pass`, `warn`, `fail` or `unknown`), `subject` (a JSON pointer into the
    /// facts), `message`, `remediation`, `evidence`, and `waived` where the operator waived it.
    #[schema(value_type = Vec<Object>)]
    pub(super) findings: Value,
    /// Digest of the set of rules that was evaluated.
    pub(super) rules: String,
    /// The facts that were evaluated.
    #[schema(value_type = Object)]
    pub(super) facts: Value,
}

/// A migration.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Migration {
    /// Its number, as a string.
    pub(super) id: String,
    /// `running`, `completed`, `cancelled`, `failed`, `in_doubt` or `arrived_stopped`: the guest was moved to the
    /// destination and is not running there, although it was running before.
    pub(super) state: String,
    /// The guest.
    pub(super) guest: String,
    /// URI of the source.
    pub(super) source: String,
    /// URI of the destination.
    pub(super) destination: String,
    /// The caller that requested it.
    pub(super) asked_by: String,
    /// When, in ms since 1970.
    pub(super) began_at_ms: i64,
    /// When it ended.
    pub(super) ended_at_ms: Option<i64>,
    /// Its state: phase, owner, statistics, syncs, findings, adjustments. Missing in lists of ended ones.
    #[schema(value_type = Option<Object>)]
    pub(super) account: Option<Value>,
    /// The last forecast while memory is copied: `why` and `conclusion` are its verdict in words, `as_is` and `actions` the
    /// chance, the time left and the downtime if nothing is done and under each action; times count from `at`, in ns since
    /// the migration began. Null before the first pass has a bandwidth, and after the copy.
    #[schema(value_type = Option<Object>)]
    pub(super) forecast: Option<Value>,
    /// How it ended. `downtime_ms` is how long the guest was stopped, as it was observed; `hypervisor_downtime_ms` is what
    /// the hypervisor reports. Either is null when it is not known.
    #[schema(value_type = Option<Object>)]
    pub(super) outcome: Option<Value>,
    /// The same in plain English.
    pub(super) description: Option<String>,
    /// The problem, when its journal or the store failed: it is no longer driven, or will not be after a restart.
    pub(super) trouble: Option<String>,
}

/// Migrations, the newest first.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct MigrationList {
    /// The migrations.
    pub(super) migrations: Vec<Migration>,
}

/// A migration's document, with its account where it runs or where `whole` is set.
pub(super) async fn migration(
    supervisor: &Supervisor,
    row: MigrationRow,
    whole: bool,
) -> Result<Migration, Problem> {
    let running = supervisor.running(row.id);
    let is_driven = running.is_some();
    let account = match running {
        Some(running) => Some(running.account()),
        None if whole => Some(account_of(supervisor, row.id).await?),
        None => None,
    };
    let spec: Option<Spec> = serde_json::from_str(&row.spec).ok();
    let route: Option<Route> = serde_json::from_str(&row.route).ok();
    let outcome: Option<whimbrel_core::Outcome> =
        row.outcome.as_deref().and_then(|text| serde_json::from_str(text).ok());
    // A migration may have ended whose end the store has not accepted yet.
    let outcome = outcome.or_else(|| account.as_ref().filter(|_| is_driven)?.outcome.clone());
    let state = match (&outcome, &row.trouble) {
        (Some(outcome), _) => word(&outcome.ending),
        // A migration with a gap in its journal is still driven.
        (None, Some(_)) if !is_driven => "in_doubt".to_owned(),
        (None, _) => "running".to_owned(),
    };
    let described = outcome.as_ref().zip(spec.as_ref());
    let route = route
        .map(|route| (route.guest, without_password(&route.source), without_password(&route.destination)));
    let route = route.unwrap_or_default();
    Ok(Migration {
        id: row.id.to_string(),
        state,
        guest: route.0,
        source: route.1,
        destination: route.2,
        asked_by: row.asked_by,
        began_at_ms: row.began_at_ms,
        ended_at_ms: row.ended_at_ms.filter(|_| outcome.is_some() || !is_driven),
        // A copy that is no longer driven has no forecast.
        forecast: account
            .as_ref()
            .filter(|_| is_driven)
            .and_then(|account| account.forecast.as_ref().map(value)),
        account: account.map(|account| value(&account)),
        description: described.map(|(outcome, spec)| whimbrel_observe::summary::describe(outcome, spec)),
        outcome: outcome.map(|outcome| value(&outcome)),
        trouble: row.trouble,
    })
}

/// The account of a migration that does not run, from its events.
pub(super) async fn account_of(supervisor: &Supervisor, id: i64) -> Result<Account, Problem> {
    const TOGETHER: i64 = 1_000;
    let (mut account, mut place) = (Account::default(), (0, -1));
    loop {
        let events = supervisor.store.events_after(Some(id), place, TOGETHER).await?;
        for event in &events {
            account.take_stored(&event.body);
            place = (event.number, event.place);
        }
        if i64::try_from(events.len()).unwrap_or(TOGETHER) < TOGETHER {
            return Ok(account);
        }
    }
}
