//! The drivers: a thread for each running migration, its inbox, and its account.
//!
//! A migration is in the store before its thread begins. When the service comes back after an end of any kind, those
//! that had not ended are adopted: replayed from their journals, and driven to their end.

mod adopt;
mod beginning;
mod driver_thread;
mod resolving;

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::time::timeout;
use whimbrel_core::convergence::Statistics;
use whimbrel_core::{Adjustment, AdjustmentResult, CancelAnswer, Event, Outcome, Request, Spec};
use whimbrel_facts::Facts;
use whimbrel_plugins::Judgement;
use whimbrel_policy::follow::Follower;

pub(super) use self::beginning::{Order, Refused};
use super::broadcast::Hub;
use super::clock::now_ms;
use super::forecasts::Forecasts;
use super::lessons::Lessons;
use super::metrics::{Metrics, Present};
use super::projection::Account;
use super::rules::Rules;
use super::store::{Health, Store, Trouble, Write};
use super::store_journal::StoreJournal;
use super::tunnel::{Login, Tunnels};
use whimbrel_drive::acks::{Ack, Acks};
use whimbrel_drive::hosts::{Assignment, Hosts, HostsError, Route};
use whimbrel_drive::owner::Owner;
use whimbrel_drive::{DriveSession, Judge, Message};
use whimbrel_preflight::Preflight;

/// How long a cancel waits for its result, before it is answered with `in_doubt`.
const CANCEL_PATIENCE: Duration = Duration::from_secs(20);
/// How long an adjustment waits for its result.
const REACTION_PATIENCE: Duration = Duration::from_secs(20);
/// How long both hosts may take to answer the questions before a migration.
const FACTS_PATIENCE: Duration = Duration::from_secs(25);
/// Shared storage is proved where that is possible.
const PROBE: bool = true;

/// A running migration.
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
    pub(super) health: Arc<Health>,
    tunnels: Tunnels,
    rules: Rules,
    lessons: Lessons,
    running: Arc<Mutex<HashMap<i64, Running>>>,
    /// How many run, for a drain that waits for the last one.
    count: watch::Sender<usize>,
    draining: Arc<AtomicBool>,
    /// The permit of the one check of many guests.
    pub(super) matrices: Arc<Semaphore>,
    /// Held while a migration is begun: otherwise two for one guest could both be accepted.
    beginning: Arc<tokio::sync::Mutex<i64>>,
    /// The store's file, by which drivers in other processes know this service.
    store_file: Arc<Path>,
}

/// The folds of a migration's events so far.
#[derive(Clone, Debug)]
struct Fold {
    account: Account,
    follower: Follower,
}

impl Fold {
    /// Of a migration that begins here.
    fn new(lessons: &Lessons, route: &Route) -> Self {
        let known = lessons.known(&route.source, &route.destination);
        Self { account: Account::default(), follower: Follower::new(known) }
    }
}

/// The store as the drivers use it.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) store: Store,
    pub(super) hub: Hub,
    pub(super) writes: UnboundedSender<Write>,
    pub(super) health: Arc<Health>,
    pub(super) last_migration: i64,
}

impl Supervisor {
    pub(super) fn new(hosts: Hosts, kept: Kept, tunnels: Tunnels, rules: Rules) -> Self {
        let Kept { store, hub, writes, health, last_migration } = kept;
        Self {
            hosts,
            tunnels,
            store,
            hub,
            metrics: Arc::default(),
            writes,
            health,
            rules,
            lessons: Lessons::default(),
            running: Arc::default(),
            count: watch::Sender::new(0),
            draining: Arc::default(),
            matrices: Arc::new(Semaphore::new(1)),
            beginning: Arc::new(tokio::sync::Mutex::new(last_migration)),
            store_file: Path::new("").into(),
        }
    }

    /// The same with its store in this file.
    pub(super) fn of_store(self, file: &Path) -> Self {
        Self { store_file: file.into(), ..self }
    }

    /// The hosts' facts and the result of every rule. Nothing is changed.
    pub(super) async fn preflight(&self, spec: Spec, route: Route) -> Result<(Facts, Judgement), Refused> {
        let (hosts, set) = (self.hosts.clone(), self.rules.get());
        let asked = tokio::task::spawn_blocking(move || {
            let facts = whimbrel_preflight::facts(&hosts, &spec, &route, PROBE)?;
            let judgement = set.judge(&facts, &whimbrel_drive::today());
            Ok::<_, HostsError>((facts, judgement))
        });
        let asked = timeout(FACTS_PATIENCE, asked).await.map_err(|_| Refused::Silent)?;
        Ok(asked.map_err(|_| Refused::Silent)??)
    }

    /// Which migration works on this guest. Where a UUID is not known, the name alone decides.
    pub(super) fn busy(&self, guest: &str, uuid: Option<&str>) -> Option<i64> {
        let is_it = |running: &Running| same_guest((&running.guest, running.uuid.as_deref()), (guest, uuid));
        self.lock().iter().find(|(_, running)| is_it(running)).map(|(id, _)| *id)
    }

    /// Begins nothing from now on.
    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    /// Waits until no migration runs, with the end of each in the store.
    pub(super) async fn last_has_ended(&self) {
        // The sender is this one's own: it cannot be gone.
        let _ = self.count.subscribe().wait_for(|running| *running == 0).await;
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

    /// Requests a cancel, and waits for its result. None when the migration no longer runs.
    pub(super) async fn cancel(&self, id: i64) -> Option<CancelAnswer> {
        let wanted = |event: &Event| match event {
            Event::CancelAnswered(CancelAnswer::InDoubt) => None,
            Event::CancelAnswered(answer) => Some(*answer),
            _ => None,
        };
        let answer = self.ask(id, Request::Cancel, CANCEL_PATIENCE, wanted).await?;
        Some(answer.unwrap_or(CancelAnswer::InDoubt))
    }

    /// Requests an adjustment, and waits for its result. None when the migration no longer runs.
    pub(super) async fn react(&self, id: i64, adjustment: Adjustment) -> Option<AdjustmentResult> {
        let wanted = |event: &Event| match event {
            Event::Reacted(reaction, result) if *reaction == adjustment.kind() => Some(*result),
            Event::Ended(_) => Some(AdjustmentResult::TooLate),
            _ => None,
        };
        let result = self.ask(id, Request::React(adjustment), REACTION_PATIENCE, wanted).await?;
        Some(result.unwrap_or(AdjustmentResult::NotKnown))
    }

    async fn ask<T>(
        &self,
        id: i64,
        request: Request,
        patience: Duration,
        wanted: impl Fn(&Event) -> Option<T>,
    ) -> Option<Option<T>> {
        let mut events = self.hub.listen(Some(id));
        self.running(id)?.inbox.send(Message::Request(request)).ok()?;
        let waiting = async {
            loop {
                let event = events.recv().await.ok()?;
                // A forecast is none of the core's events, and no answer to a request.
                let Ok(event) = serde_json::from_str::<Event>(&event.body) else { continue };
                if let Some(found) = wanted(&event) {
                    return Some(found);
                }
            }
        };
        Some(timeout(patience, waiting).await.ok().flatten())
    }

    /// Waits until everything that was given to the writer is written, but not for longer than this. Whether it is.
    pub(super) async fn settle(&self, bound: Duration) -> bool {
        let (flush, flushed) = oneshot::channel();
        self.writes.send(Write::Flush(flush)).is_ok() && matches!(timeout(bound, flushed).await, Ok(Ok(())))
    }

    /// Leaves every migration as it is: they are adopted when the service comes back.
    pub(super) fn leave(&self) {
        for running in self.lock().values() {
            let _ = running.inbox.send(Message::Leave);
        }
    }

    /// Drives a migration on a thread of its own.
    fn drive(&self, id: i64, session: DriveSession, route: Route, began_at_ms: i64, fold: Fold) {
        let (inbox, messages) = channel();
        let account = Arc::new(Mutex::new(fold.account));
        let running = Running {
            guest: route.guest.clone(),
            uuid: route.uuid.clone(),
            inbox: inbox.clone(),
            account: Arc::clone(&account),
        };
        self.change_running(|all| drop(all.insert(id, running)));
        let (ready, forecasts) = channel();
        let watcher = Forecasts::new(fold.follower, ready, self.lessons.clone());
        let keeper = StoreJournal {
            migration: id,
            writes: self.writes.clone(),
            account,
            metrics: Arc::clone(&self.metrics),
            commands: HashMap::new(),
            acks: Acks::new(),
            forecasts,
        };
        let this = self.clone();
        let tunnel = route.tunnel.clone().map(|near_end| (near_end, Login::of_uri(&route.destination)));
        let began_at_ms = u64::try_from(began_at_ms).unwrap_or(0);
        let owner = Owner::of_store(&self.store_file, id, began_at_ms);
        let (spec, asked, set) = (session.spec().clone(), route.clone(), self.rules.get());
        // A name may hold anything: what would end a line of the log is written otherwise.
        let span = tracing::info_span!("migration", id, guest = %route.guest.escape_debug());
        let drive = move || {
            let _inside = span.enter();
            this.run_driver(id, || {
                let known = session.known_facts();
                let watch = tunnel.map(|(near_end, login)| this.tunnels.watch(near_end.into(), login));
                let preflight = Preflight::new(set, spec, asked);
                let judge = Judge::new(inbox.clone(), move |facts| preflight.judge(facts).verdict);
                let assignment = Assignment { route, known, owner };
                let mut port = this.hosts.port(assignment, inbox).map_err(|error| error.to_string())?;
                let (keeper, watcher) = (Box::new(keeper), Some(Box::new(watcher) as _));
                let driven = whimbrel_drive::drive(session, &mut *port, &messages, keeper, judge, watcher)
                    .map_err(|error| error.to_string())?;
                for remark in &driven.remarks {
                    tracing::warn!("{remark}");
                }
                if let Some(watch) = watch.filter(|_| driven.outcome.is_some()) {
                    watch.close();
                }
                Ok(driven)
            });
        };
        let started = thread::Builder::new().name(format!("migration-{id}")).spawn(drive);
        if let Err(error) = started {
            self.change_running(|all| drop(all.remove(&id)));
            self.give_up(id, error.to_string(), None);
        }
    }

    /// Records that a migration cannot be driven further. The hypervisors control the guest.
    fn give_up(&self, id: i64, reason: String, noted: Option<Ack<String>>) {
        tracing::error!(id, reason, "the migration cannot be driven further: check both hosts");
        self.note_trouble(id, reason, None, noted);
    }

    /// Notes the same of a migration that may have ended, with its outcome.
    fn give_up_ended(&self, id: i64, reason: String, outcome: Option<Box<Outcome>>) {
        tracing::error!(id, reason, "the migration is no longer driven");
        let outcome = outcome.map(|outcome| serde_json::to_string(&outcome).unwrap_or_default());
        self.note_trouble(id, reason, outcome, None);
    }

    fn note_trouble(&self, migration: i64, why: String, outcome: Option<String>, noted: Option<Ack<String>>) {
        let trouble = Trouble { migration, at_ms: now_ms(), why, outcome, goes_on: false };
        // A store that has stopped keeps nothing; the log says it.
        let _ = self.writes.send(Write::Trouble(trouble, noted));
    }

    fn change_running(&self, change: impl FnOnce(&mut HashMap<i64, Running>)) {
        let mut running = self.lock();
        change(&mut running);
        self.count.send_replace(running.len());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<i64, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether two names, with UUIDs where they are known, are of one guest.
fn same_guest(one: (&str, Option<&str>), other: (&str, Option<&str>)) -> bool {
    match (one.1, other.1) {
        (Some(one), Some(other)) => one == other,
        _ => one.0 == other.0,
    }
}
