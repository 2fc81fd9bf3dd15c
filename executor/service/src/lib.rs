//! The service: migrations over HTTP, kept in a store, driven on threads, watched by many.
//!
//! ```text
//!  HTTP ──▶ desk ──▶ supervisor ──▶ a thread for each migration (drive) ──▶ port
//!   ▲                    │                     │ records
//!   └── events ◀── hub ◀─┴──── writer ◀────────┘
//! ```
//!
//! A record is durable before the commands that it causes are given, and before its events are published. An HTTP
//! request reaches a migration only through its inbox.

pub mod auth;
mod broadcast;
mod clock;
mod destinations;
mod drained;
mod forecasts;
mod guest_lookup;
mod http;
mod lessons;
mod listen;
mod metrics;
mod place;
mod projection;
mod rules;
mod secret;
mod store;
mod store_journal;
mod supervisor;
mod tunnel;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use self::auth::{Accounts, Group, TokenError, Tokens};
use self::broadcast::Hub;
use self::destinations::Destinations;
pub use self::drained::Drained;
use self::guest_lookup::{Resolved, copies, resolve};
use self::http::{Problem, Rates};
use self::place::Listener;
pub use self::place::{Place, UNIX};
pub use self::rules::Load;
use self::rules::Rules;
use self::secret::Password;
use self::store::Store;
pub use self::store::StoreError;
use self::supervisor::{Kept, Supervisor};
use self::tunnel::{Login, NewTunnel, Tunnels};
pub use self::tunnel::{SOCKET_VARIABLE, answer};
use whimbrel_drive::hosts::{Hosts, HostsError};
use whimbrel_drive::inventory::{GuestEntry, Inventory};
use whimbrel_drive::uri::{HostUri, Origin, UriError};

/// The default transport: how an address becomes a URI.
pub const USUAL_TRANSPORT: &str = "qemu+ssh://{host}/system";
/// How long hosts that a migration does not concern may take to say that they do not run its guest as well.
const OTHERS_PATIENCE: Duration = Duration::from_secs(2);
/// How long the end waits for what is on its way into the store.
const LAST_WRITES: Duration = Duration::from_secs(3);

/// The configuration of the service.
#[expect(missing_debug_implementations, reason = "whatever loads the rules has nothing to show")]
pub struct Config {
    /// Where it listens.
    pub listen: Vec<Place>,
    /// The group whose members have access over Unix sockets, besides root and this user.
    pub allow_group: Option<Group>,
    /// Whether every account of this machine may do everything at an address without tokens.
    pub no_auth: bool,
    /// The store's file.
    pub store: PathBuf,
    /// URIs of the hosts; the first is "this host" for Kimchi's routes.
    pub hosts: Vec<String>,
    /// Destinations beside the hosts: URIs in whose host `*` may stand.
    pub allow_destinations: Vec<String>,
    /// How an address becomes a URI: `{host}` stands for it.
    pub transport: String,
    /// The drivers.
    pub drivers: Hosts,
    /// Loads the rules: at the start, and at each reload.
    pub rules: Load,
    /// The tokens file; without it, every account of this machine has access.
    pub tokens: Option<PathBuf>,
    /// Certificate chain and key, in PEM.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Requests a second from one address.
    pub rate: u32,
    /// Where tunnels are, for as long as the machine runs.
    pub run_folder: PathBuf,
    /// The known ssh host keys, instead of the usual ones.
    pub known_hosts: Option<PathBuf>,
    /// Whether nothing is begun, and the service ends with the last migration that it adopted.
    pub drain: bool,
}

/// Why the service cannot be started, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// Reachable from elsewhere, without what keeps others out.
    #[error("`{0}` is reachable from other machines, which needs TLS and tokens")]
    Unprotected(SocketAddr),
    /// Reachable by every account of this machine.
    #[error("every account of this machine could connect to `{0}` and migrate guests of real hosts")]
    Open(SocketAddr),
    /// No host was given.
    #[error("no host was specified")]
    NoHost,
    /// The transport has no place for the address.
    #[error("the transport `{0}` does not contain `{{host}}`")]
    Transport(String),
    /// A host that there is no driver for.
    #[error(transparent)]
    Hosts(#[from] HostsError),
    /// The transport or a pattern is not one.
    #[error(transparent)]
    Uri(#[from] UriError),
    /// The store cannot be used.
    #[error("cannot use the store `{}`", path.display())]
    Store {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: StoreError,
    },
    /// The rules cannot be used.
    #[error("cannot use the rules: {0}")]
    Rules(String),
    /// The tokens cannot be used.
    #[error("cannot use the tokens in `{}`", path.display())]
    Tokens {
        /// Their file.
        path: PathBuf,
        /// Why.
        source: TokenError,
    },
    /// The certificate or its key cannot be used.
    #[error("cannot use the certificate or its key")]
    Tls(#[source] io::Error),
    /// The address or the socket cannot be listened at.
    #[error("cannot listen on `{place}`")]
    Listen {
        /// Where.
        place: String,
        /// Why.
        source: io::Error,
    },
    /// The system refuses something.
    #[error("the operating system refused a request")]
    System(#[from] io::Error),
}

/// The state behind every request. Clones share it.
#[derive(Clone, Debug)]
struct AppState {
    rules: Rules,
    supervisor: Supervisor,
    drivers: Hosts,
    hosts: Arc<[String]>,
    destinations: Destinations,
    tokens: Option<Arc<Tokens>>,
    accounts: Accounts,
    tunnels: Tunnels,
    rates: Rates,
}

/// Serves until a signal ends it, or the last migration where it is drained. `ready` receives where it listens, as clients write it, once every migration that ran is driven again.
///
/// # Errors
/// See [`ServiceError`].
pub fn run(config: Config, ready: impl FnOnce(&[String], usize)) -> Result<Option<Drained>, ServiceError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let served = runtime.block_on(serve(config, ready));
    // A pending query of a host that does not answer must not delay the end.
    runtime.shutdown_background();
    served
}

async fn serve(
    config: Config,
    ready: impl FnOnce(&[String], usize),
) -> Result<Option<Drained>, ServiceError> {
    let (hosts, destinations) = reachable(&config)?;
    check_entry(&config, &destinations)?;
    let Config { store: path, drivers, rules, tokens, tls, .. } = config;
    let tls = tls.map(|(chain, key)| listen::tls(&chain, &key)).transpose().map_err(ServiceError::Tls)?;
    let tokens = tokens
        .map(|path| Tokens::read(&path).map_err(|source| ServiceError::Tokens { path, source }))
        .transpose()?
        .map(Arc::new);
    let rules = Rules::new(rules).map_err(ServiceError::Rules)?;
    // Before anything is driven: a service that cannot listen must not drive.
    let listeners = listen_at(&config.listen, config.allow_group.as_ref()).await?;
    let refused = |source| ServiceError::Store { path: path.clone(), source };
    let (store, writer) = Store::open(&path).await.map_err(refused)?;
    let (to_store, inbox) = mpsc::unbounded_channel();
    let hub = Hub::new();
    let (last_migration, health) = (writer.last_migration, writer.health());
    let kept = Kept { store, hub: hub.clone(), writes: to_store, health, last_migration };
    let writing = tokio::spawn(writer.run(inbox, hub));
    if let Some(file) = &config.known_hosts {
        let mut script = path.clone().into_os_string();
        script.push("-ssh");
        drivers.trust(file, Path::new(&script))?;
    }
    let tunnels = Tunnels::new(&config.run_folder, &path, config.known_hosts.as_deref());
    let supervisor = Supervisor::new(drivers.clone(), kept, tunnels.clone(), rules.clone()).of_store(&path);
    if config.drain {
        supervisor.drain();
    }
    let unfinished: Vec<_> =
        supervisor.store.unfinished().await.map_err(refused)?.iter().map(|row| row.id).collect();
    let adopted = supervisor.adopt().await.map_err(refused)?;
    let desk = AppState {
        rules: rules.clone(),
        supervisor: supervisor.clone(),
        drivers,
        hosts: hosts.iter().map(ToString::to_string).collect(),
        destinations,
        tokens,
        accounts: Accounts::new(config.allow_group.as_ref().map(|group| group.role)),
        tunnels,
        rates: Rates::new(config.rate),
    };
    let shown: Vec<_> =
        listeners.iter().map(|listener| listener.shown(tls.is_some())).collect::<Result<_, _>>()?;
    ready(&shown, adopted);
    tokio::spawn(desk.clone().log_host_status());
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let reloading = tokio::spawn(reload_on_signal(rules, signal(SignalKind::hangup())?));
    let router = http::router(desk);
    let serving = listeners.into_iter().map(|listener| listen::serve(listener, tls.clone(), router.clone()));
    tokio::select! {
        result = futures_util::future::try_join_all(serving) => drop(result?),
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = supervisor.last_has_ended(), if config.drain => {}
    }
    // Nothing is ended: the migrations go on with the hypervisors, and are adopted when the service comes back.
    supervisor.leave();
    if !supervisor.settle(LAST_WRITES).await {
        tracing::error!(
            writes = supervisor.health.pending(),
            "the store did not accept all pending writes: migrations whose records are missing are adopted from what is on \
             record, after both hosts were queried"
        );
    }
    let drained =
        if config.drain { Some(Drained::of(&supervisor, &unfinished).await.map_err(refused)?) } else { None };
    writing.abort();
    reloading.abort();
    Ok(drained)
}

/// The hosts, and where guests may go.
fn reachable(config: &Config) -> Result<(Vec<HostUri>, Destinations), ServiceError> {
    let drivers = &config.drivers;
    let hosts = if config.hosts.is_empty() { drivers.known_uris()? } else { config.hosts.clone() };
    if hosts.is_empty() {
        return Err(ServiceError::NoHost);
    }
    let hosts: Vec<_> =
        hosts.iter().map(|uri| drivers.check(uri, Origin::Operator)).collect::<Result<_, _>>()?;
    let destinations =
        Destinations::new(hosts.clone(), &config.allow_destinations, config.transport.clone())?;
    Ok((hosts, destinations))
}

/// Refuses to listen where more people could come in than may.
fn check_entry(config: &Config, destinations: &Destinations) -> Result<(), ServiceError> {
    let has_tokens = config.tokens.is_some();
    for address in config.listen.iter().filter_map(Place::address) {
        let is_protected = has_tokens && config.tls.is_some();
        if !address.ip().is_loopback() && !is_protected {
            return Err(ServiceError::Unprotected(address));
        }
        if !has_tokens && !config.no_auth && !destinations.are_simulated() {
            return Err(ServiceError::Open(address));
        }
    }
    Ok(())
}

async fn listen_at(places: &[Place], group: Option<&Group>) -> Result<Vec<Listener>, ServiceError> {
    let mut listeners = Vec::new();
    for place in places {
        let refused = |source| ServiceError::Listen { place: place.to_string(), source };
        listeners.push(Listener::bind(place, group.map(|group| group.gid)).await.map_err(refused)?);
    }
    Ok(listeners)
}

/// Reloads the rules on each signal. The log has the result.
async fn reload_on_signal(rules: Rules, mut hangup: Signal) {
    while hangup.recv().await.is_some() {
        let rules = rules.clone();
        let _ = tokio::task::spawn_blocking(move || rules.reload()).await;
    }
}

impl AppState {
    /// "This host", as Kimchi knows it.
    fn home(&self) -> &str {
        self.hosts.first().map_or("", String::as_str)
    }

    async fn inventory(&self, uri: &str) -> Result<Inventory, HostsError> {
        let (drivers, uri) = (self.drivers.clone(), uri.to_owned());
        let asked = uri.clone();
        let task = tokio::task::spawn_blocking(move || drivers.inventory(&asked));
        task.await.unwrap_or_else(|error| Err(HostsError::Refused { uri, reason: error.to_string() }))
    }

    /// Every host with its answer; all are queried concurrently.
    async fn inventories(&self) -> Vec<(String, Result<Inventory, HostsError>)> {
        let asked = self.hosts.iter().map(|uri| async { (uri.clone(), self.inventory(uri).await) });
        futures_util::future::join_all(asked).await
    }

    /// Logs which hosts do not answer, as a warning at the start. Nothing waits for it.
    async fn log_host_status(self) {
        for (uri, found) in self.inventories().await {
            match found {
                Ok(found) => tracing::info!(host = uri, guests = found.guests.len(), "a host answers"),
                Err(error) => tracing::warn!(
                    host = uri,
                    reason = %error,
                    "a host is unreachable: its guests are missing until it answers; it is queried again with each request"
                ),
            }
        }
    }

    /// The guest of this name on this host, or on all of them. Where several hosts have a guest of this name, the answer
    /// names them: none of them is guessed.
    async fn find(&self, name: &str, host: Option<&str>) -> Result<GuestEntry, Problem> {
        let found = match host {
            Some(uri) => vec![(uri.to_owned(), self.inventory(uri).await)],
            None => self.inventories().await,
        };
        let (mut silent, mut guests) = (None, Vec::new());
        for (_, inventory) in found {
            match inventory {
                Ok(found) => guests.extend(found.guests.into_iter().filter(|guest| guest.name == name)),
                Err(error) => silent = Some(error),
            }
        }
        match (resolve(guests), silent) {
            (Resolved::One(guest), _) => Ok(guest),
            (Resolved::Twice(copies), _) => Err(Problem::running_twice(&copies)),
            (Resolved::Several(guests), _) => Err(Problem::ambiguous(&guests)),
            (Resolved::NotFound, Some(error)) => Err(error.into()),
            (Resolved::NotFound, None) => Err(Problem::no_guest(name)),
        }
    }

    /// The guest that is to be migrated: as [`AppState::find`], and refused where another copy of it runs on a host that answers
    /// soon. Which of the two is to be kept must not be guessed, and a migration would touch one of them.
    async fn find_unique(&self, name: &str, host: Option<&str>) -> Result<GuestEntry, Problem> {
        let guest = self.find(name, host).await?;
        let others = self.hosts.iter().filter(|uri| **uri != guest.host);
        let asked = others.map(|uri| tokio::time::timeout(OTHERS_PATIENCE, self.inventory(uri)));
        let told = futures_util::future::join_all(asked).await.into_iter().filter_map(|told| told.ok()?.ok());
        let mut found: Vec<_> = told.flat_map(|inventory| inventory.guests).collect();
        found.push(guest.clone());
        let copies = copies(&found, &guest.uuid);
        if copies.len() > 1 { Err(Problem::running_twice(&copies)) } else { Ok(guest) }
    }

    /// The destination that a request names, if guests may go there.
    fn destination(
        &self,
        written: &str,
        user: Option<&str>,
        with_password: bool,
    ) -> Result<HostUri, Problem> {
        let uri = self.destinations.resolve(written, user, with_password)?;
        Ok(self.drivers.check(uri.as_str(), Origin::Operator)?)
    }

    /// The source that a request names: one of the service's own hosts.
    fn source<'a>(&'a self, written: Option<&str>) -> Result<Option<&'a str>, Problem> {
        let known = |written| {
            self.destinations.host(written).map(HostUri::as_str).ok_or_else(|| Problem::no_host(written))
        };
        written.map(known).transpose()
    }

    /// What a password opens, or a key where the service has known hosts of its own: the source's daemon could not check
    /// them. Simulated hosts require no authentication.
    async fn open_tunnel(
        &self,
        source: &str,
        destination: &HostUri,
        password: Option<Password>,
    ) -> Result<Option<NewTunnel>, Problem> {
        let is_here = self.drivers.check_both(source, destination.as_str())?.source.host().is_none();
        let login = Login::of_uri(destination.as_str());
        let login = match (&password, login) {
            _ if destination.is_simulated() => return Ok(None),
            (Some(_), _) if !is_here => return Err(Problem::password_elsewhere(source)),
            (Some(_), login) => login.ok_or_else(|| Problem::password_without_ssh(destination.as_str()))?,
            // A URI with parameters says itself how its host is reached.
            (None, Some(login))
                if is_here && self.tunnels.has_known_hosts() && destination.as_str().ends_with("/system") =>
            {
                login
            }
            (None, _) => return Ok(None),
        };
        let tunnels = self.tunnels.clone();
        let opened = tokio::task::spawn_blocking(move || tunnels.open(&login, password)).await;
        Ok(Some(opened.map_err(|error| Problem::internal(error.to_string()))??))
    }
}
