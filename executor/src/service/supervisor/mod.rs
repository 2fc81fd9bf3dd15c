//! Whoever drives: a thread for each migration that runs, its inbox, and its account.
//!
//! A migration is in the store before its thread begins. When the service comes back after an end of any kind, those
//! that had not ended are adopted: gone through again from their journals, and driven on.

mod adopt;

use std::collections::HashMap;
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio::time::timeout;
use whimbrel_core::convergence::Statistics;
use whimbrel_core::{CancelAnswer, Event, ReactionResult, Request, Spec, Wish};
use whimbrel_plugins::Judgement;
use whimbrel_plugins::facts::Facts;

use super::account::Account;
use super::clock::now_ms;
use super::hub::Hub;
use super::keeper::Keeper;
use super::metrics::{Metrics, Present};
use super::rules::Rules;
use super::store::{Begun, Store, StoreError, Write};
use super::tunnel::{Fresh, Login, Tunnels};
use crate::drive::{self, Course, Message};
use crate::hosts::{Assignment, Hosts, HostsError, Route};
use crate::owner::Owner;
use crate::preflight::{self, Preflight};

/// How long a cancel waits for what came of it, before it says that this is being found out.
const CANCEL_PATIENCE: Duration = Duration::from_secs(20);
/// How long a reaction waits for what came of it.
const REACTION_PATIENCE: Duration = Duration::from_secs(20);
/// How long both hosts may take to answer the questions before a migration.
const FACTS_PATIENCE: Duration = Duration::from_secs(25);
/// Shared storage is proved where that is possible.
const PROBE: bool = true;

/// What is asked for.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) spec: Spec,
    pub(super) route: Route,
    pub(super) asked_by: String,
    pub(super) target_uri: String,
    pub(super) idempotency_key: Option<String>,
    /// The tunnel that the route goes through. It ends with the order, unless a migration comes of it.
    pub(super) tunnel: Option<Fresh>,
}

/// Why a migration was not begun.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// The guest is being migrated already.
    #[error("the guest is being migrated already, by migration {0}")]
    Busy(i64),
    /// The same key came with another request before.
    #[error("the idempotency key was used for another request, migration {0}")]
    KeyReused(i64),
    /// A limit is out of its bounds.
    #[error(transparent)]
    Spec(#[from] whimbrel_core::SpecError),
    /// A host cannot be asked.
    #[error(transparent)]
    Hosts(#[from] HostsError),
    /// The hosts were asked and did not answer in time.
    #[error("the hosts did not answer in time")]
    Silent,
    /// The store does not keep it.
    #[error("the store does not keep it: {0}")]
    Store(String),
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::Store(error.to_string())
    }
}

/// What is known of a migration that runs.
#[derive(Clone, Debug)]
pub(super) struct Running {
    guest: String,
    uuid: Option<String>,
    inbox: Sender<Message>,
    pub(super) account: Arc<Mutex<Account>>,
}

impl Running {
    pub(super) fn account(&self) -> Account {
        self.account.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Drives every migration of this service. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Supervisor {
    hosts: Hosts,
    pub(super) store: Store,
    pub(super) hub: Hub,
    pub(super) metrics: Arc<Metrics>,
    pub(super) writes: UnboundedSender<Write>,
    tunnels: Tunnels,
    rules: Rules,
    running: Arc<Mutex<HashMap<i64, Running>>>,
    /// Held while a migration is begun: two for one guest would both be let in otherwise.
    beginning: Arc<tokio::sync::Mutex<i64>>,
    /// The store's file, by which drivers in other processes know this service.
    store_file: Arc<Path>,
}

impl Supervisor {
    pub(super) fn new(
        hosts: Hosts,
        store: Store,
        hub: Hub,
        writes: UnboundedSender<Write>,
        tunnels: Tunnels,
        rules: Rules,
        last_migration: i64,
    ) -> Self {
        Self {
            hosts,
            tunnels,
            store,
            hub,
            metrics: Arc::default(),
            writes,
            rules,
            running: Arc::default(),
            beginning: Arc::new(tokio::sync::Mutex::new(last_migration)),
            store_file: Path::new("").into(),
        }
    }

    /// The same with its store in this file.
    pub(super) fn of_store(self, file: &Path) -> Self {
        Self { store_file: file.into(), ..self }
    }

    /// The hosts' facts and what every rule says of them. Nothing is changed.
    pub(super) async fn preflight(&self, spec: Spec, route: Route) -> Result<(Facts, Judgement), Refused> {
        let (hosts, set) = (self.hosts.clone(), self.rules.get());
        let asked = tokio::task::spawn_blocking(move || {
            let facts = preflight::facts(&hosts, &spec, &route, PROBE)?;
            let judgement = set.judge(&facts, &preflight::today());
            Ok::<_, HostsError>((facts, judgement))
        });
        let asked = timeout(FACTS_PATIENCE, asked).await.map_err(|_| Refused::Silent)?;
        Ok(asked.map_err(|_| Refused::Silent)??)
    }

    /// Begins a migration, or gives the one that was begun with the same key. The number, and whether it is new.
    pub(super) async fn begin(&self, order: Order) -> Result<(i64, bool), Refused> {
        // A client that hangs up half-way must not leave a migration that is in the store and that nobody drives.
        let this = self.clone();
        let begun = tokio::spawn(async move { this.begin_whole(order).await });
        begun.await.unwrap_or_else(|error| Err(Refused::Store(error.to_string())))
    }

    async fn begin_whole(&self, order: Order) -> Result<(i64, bool), Refused> {
        let mut last = self.beginning.lock().await;
        let on_record = order.route.for_record();
        let route = serde_json::to_string(&on_record).unwrap_or_default();
        let spec = serde_json::to_string(&order.spec).unwrap_or_default();
        if let Some(key) = &order.idempotency_key
            && let Some(known) = self.store.migration_by_key(key).await?
        {
            let known_route = serde_json::from_str(&known.route).ok().map(Route::as_asked);
            let same = known.spec == spec && known_route == Some(on_record.as_asked());
            return if same { Ok((known.id, false)) } else { Err(Refused::KeyReused(known.id)) };
        }
        let course = Course::begin(order.spec)?;
        if let Some(id) = self.busy(&order.route.guest, order.route.uuid.as_deref()) {
            return Err(Refused::Busy(id));
        }
        self.hosts.check_both(&order.route.source, &order.route.destination)?;
        let (id, began_at_ms) = (*last + 1, now_ms());
        let begun = Begun {
            id,
            spec,
            route,
            began_at_ms,
            asked_by: order.asked_by,
            target_uri: order.target_uri,
            idempotency_key: order.idempotency_key,
        };
        let (reply, written) = oneshot::channel();
        let stopped = || Refused::Store("the writer has stopped".to_owned());
        self.writes.send(Write::Begin(begun, reply)).map_err(|_| stopped())?;
        written.await.map_err(|_| stopped())?.map_err(Refused::Store)?;
        *last = id;
        self.drive(id, course, order.route, began_at_ms, Account::default());
        if let Some(tunnel) = order.tunnel {
            tunnel.keep();
        }
        Ok((id, true))
    }

    /// Which migration works on this guest. Where a UUID is not known, the name alone has to tell.
    pub(super) fn busy(&self, guest: &str, uuid: Option<&str>) -> Option<i64> {
        let is_it = |running: &Running| match (&running.uuid, uuid) {
            (Some(known), Some(uuid)) => known == uuid,
            _ => running.guest == guest,
        };
        self.lock().iter().find(|(_, running)| is_it(running)).map(|(id, _)| *id)
    }

    pub(super) fn running(&self, id: i64) -> Option<Running> {
        self.lock().get(&id).cloned()
    }

    /// The numbers of every migration that runs.
    pub(super) fn present(&self) -> Vec<Present> {
        let running = self.lock();
        let present = |(id, running): (&i64, &Running)| {
            let account = running.account.lock().unwrap_or_else(PoisonError::into_inner);
            let numbers = account.statistics.filter(Statistics::knows_memory);
            Present {
                migration: *id,
                remaining_bytes: numbers.map(|numbers| {
                    numbers.memory_remaining_bytes.saturating_add(numbers.disk_remaining_bytes)
                }),
                dirty_rate_bytes_per_second: numbers
                    .and_then(|numbers| numbers.dirty_rate_bytes_per_second()),
                bandwidth_bytes_per_second: numbers.and_then(|numbers| numbers.bandwidth_bytes_per_second),
                iteration: numbers.map(|numbers| numbers.iteration),
            }
        };
        running.iter().map(present).collect()
    }

    /// Asks for the end, and waits for what comes of it. None when it does not run any more.
    pub(super) async fn cancel(&self, id: i64) -> Option<CancelAnswer> {
        let wanted = |event: &Event| match event {
            Event::CancelAnswered(CancelAnswer::InDoubt) => None,
            Event::CancelAnswered(answer) => Some(*answer),
            _ => None,
        };
        let answer = self.ask(id, Request::Cancel, CANCEL_PATIENCE, wanted).await?;
        Some(answer.unwrap_or(CancelAnswer::InDoubt))
    }

    /// Asks for a reaction, and waits for what comes of it. None when it does not run any more.
    pub(super) async fn react(&self, id: i64, wish: Wish) -> Option<ReactionResult> {
        let wanted = |event: &Event| match event {
            Event::Reacted(reaction, result) if *reaction == wish.reaction() => Some(*result),
            Event::Ended(_) => Some(ReactionResult::TooLate),
            _ => None,
        };
        let result = self.ask(id, Request::React(wish), REACTION_PATIENCE, wanted).await?;
        Some(result.unwrap_or(ReactionResult::NotKnown))
    }

    async fn ask<T>(
        &self,
        id: i64,
        request: Request,
        patience: Duration,
        wanted: impl Fn(&Event) -> Option<T>,
    ) -> Option<Option<T>> {
        let mut events = self.hub.listen(Some(id));
        self.running(id)?.inbox.send(Message::Asked(request)).ok()?;
        let waiting = async {
            loop {
                let event = events.recv().await.ok()?;
                let event = serde_json::from_str::<Event>(&event.body).ok()?;
                if let Some(found) = wanted(&event) {
                    return Some(found);
                }
            }
        };
        Some(timeout(patience, waiting).await.ok().flatten())
    }

    /// Waits until everything that was given to the writer is written.
    pub(super) async fn settle(&self) {
        let (flush, flushed) = oneshot::channel();
        if self.writes.send(Write::Flush(flush)).is_ok() {
            let _ = flushed.await;
        }
    }

    /// Leaves every migration as it is: they are adopted when the service comes back.
    pub(super) fn leave(&self) {
        for running in self.lock().values() {
            let _ = running.inbox.send(Message::Leave);
        }
    }

    /// Drives a migration on a thread of its own.
    fn drive(&self, id: i64, course: Course, route: Route, began_at_ms: i64, account: Account) {
        let (inbox, told) = channel();
        let account = Arc::new(Mutex::new(account));
        let running = Running {
            guest: route.guest.clone(),
            uuid: route.uuid.clone(),
            inbox: inbox.clone(),
            account: Arc::clone(&account),
        };
        self.lock().insert(id, running);
        let keeper = Keeper {
            migration: id,
            writes: self.writes.clone(),
            account,
            metrics: Arc::clone(&self.metrics),
            commands: HashMap::new(),
        };
        let this = self.clone();
        let tunnel = route.tunnel.clone().map(|near_end| (near_end, Login::of_uri(&route.destination)));
        let began_at_ms = u64::try_from(began_at_ms).unwrap_or(0);
        let owner = Owner::of_store(&self.store_file, id, began_at_ms);
        let (spec, asked, set) = (course.spec().clone(), route.clone(), self.rules.get());
        // A name may hold anything: what would end a line of the log is written otherwise.
        let span = tracing::info_span!("migration", id, guest = %route.guest.escape_debug());
        let drive = move || {
            let _inside = span.enter();
            let known = course.known_facts();
            let watch = tunnel.map(|(near_end, login)| this.tunnels.watch(near_end.into(), login));
            // The hosts are asked when the core asks: one that was begun before has been judged already.
            let rules = |known: &_| {
                Preflight::new(Arc::clone(&set), &this.hosts, &spec, &asked, PROBE).judge(known).verdict
            };
            let driven = this
                .hosts
                .port(Assignment { route, known, owner }, inbox)
                .map_err(|error| error.to_string())
                .and_then(|mut port| {
                    drive::drive(course, &mut *port, &told, Box::new(keeper), &rules, None)
                        .map_err(|error| error.to_string())
                });
            match driven {
                Ok(driven) => {
                    if let Some(watch) = watch.filter(|_| driven.outcome.is_some()) {
                        watch.close();
                    }
                    if let Some(error) = driven.journal_error {
                        tracing::error!(%error, "the journal broke off; the migration was driven on without it");
                    }
                    for remark in &driven.remarks {
                        tracing::warn!("{remark}");
                    }
                    tracing::info!(ending = ?driven.outcome.map(|outcome| outcome.ending), "no longer driven");
                }
                Err(reason) => this.give_up(id, reason),
            }
            this.lock().remove(&id);
        };
        let started = thread::Builder::new().name(format!("migration-{id}")).spawn(drive);
        if let Err(error) = started {
            self.lock().remove(&id);
            self.give_up(id, error.to_string());
        }
    }

    /// Notes that a migration cannot be driven on. The guest is in the hands of the hypervisors.
    fn give_up(&self, id: i64, reason: String) {
        tracing::error!(id, reason, "the migration cannot be driven on: look at both hosts");
        // A store that has stopped keeps nothing; the log says it.
        let _ = self.writes.send(Write::Trouble(id, now_ms(), reason));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<i64, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
