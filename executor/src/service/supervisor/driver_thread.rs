//! What is done about a driver's thread, however it ends: by an end, by an error, or by a panic.
//!
//! A migration must never stay in the list of those that run without a driver.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::sync_channel;

use super::Supervisor;
use crate::drive::Driven;
use crate::panics;

impl Supervisor {
    /// Drives a migration on this thread, and says what came of it. It runs until that is in the store: another
    /// migration of its guest must not be let in before.
    pub(super) fn run_driver(&self, id: i64, drive: impl FnOnce() -> Result<Driven, String>) {
        // What was being changed when it panicked is dropped with it: what others see is the account and the inbox.
        let driven = catch_unwind(AssertUnwindSafe(drive))
            .unwrap_or_else(|panic| Err(format!("the driver panicked: {}", panics::text(&*panic))));
        match driven {
            Ok(driven) => {
                if let Some(error) = driven.journal_error {
                    tracing::error!(%error, "the journal has a gap; the migration was driven on without");
                }
                tracing::info!(ending = ?driven.outcome.map(|outcome| outcome.ending), "no longer driven");
            }
            Err(why) => {
                let (ack, noted) = sync_channel(1);
                self.give_up(id, why, Some(ack));
                // A writer that has stopped drops what it was given: the service is ending.
                let _ = noted.recv();
            }
        }
        self.change_running(|all| drop(all.remove(&id)));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use tokio::sync::{mpsc, oneshot};
    use whimbrel_plugins::RuleSet;

    use crate::drive::tests::{assigned, kept_nowhere, quiet};
    use crate::drive::{Course, drive};
    use crate::service::account::Account;
    use crate::service::hub::Hub;
    use crate::service::rules::Rules;
    use crate::service::store::{Begun, Store, Write};
    use crate::service::supervisor::{Kept, Running, Supervisor};
    use crate::service::tunnel::Tunnels;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_driver_that_panics_is_on_record_with_the_text_and_its_guest_is_free() {
        let folder = std::env::temp_dir().join(format!("whimbrel-panics-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let (store, writer) = Store::open(&folder.join("store")).await.unwrap();
        let ((to_store, inbox), hub) = (mpsc::unbounded_channel(), Hub::new());
        let (health, last_migration) = (writer.health(), writer.last_migration);
        tokio::spawn(writer.run(inbox, hub.clone()));
        let (reply, begun) = oneshot::channel();
        let row = Begun {
            id: 1,
            spec: "{}".to_owned(),
            route: "{}".to_owned(),
            began_at_ms: 1,
            asked_by: "anna".to_owned(),
            target_uri: "/x".to_owned(),
            idempotency_key: None,
        };
        to_store.send(Write::Begin(row, reply)).unwrap();
        begun.await.unwrap().unwrap();
        let (hosts, spec, route) = quiet();
        let kept = Kept { store: store.clone(), hub, writes: to_store, health, last_migration };
        let rules = Rules::new(Box::new(|| {
            RuleSet::new(Vec::new(), whimbrel_plugins::policy::Policy::default())
                .map_err(|error| error.to_string())
        }));
        let tunnels = Tunnels::new(&folder, &folder.join("store"), None);
        let supervisor = Supervisor::new(hosts.clone(), kept, tunnels, rules.unwrap());
        let (inbox, messages) = channel();
        let running = Running {
            guest: route.guest.clone(),
            uuid: None,
            inbox: inbox.clone(),
            account: std::sync::Arc::new(std::sync::Mutex::new(Account::default())),
        };
        supervisor.change_running(|all| drop(all.insert(1, running)));
        assert_eq!(supervisor.busy("idle", None), Some(1));
        let this = supervisor.clone();
        let driver = std::thread::spawn(move || {
            this.run_driver(1, || {
                let mut port = hosts.port(assigned(route), inbox).unwrap();
                let course = Course::begin(spec).unwrap();
                let rules = |_: &_| panic!("planted in a rule");
                drive(course, &mut *port, &messages, kept_nowhere(), &rules, None)
                    .map_err(|error| error.to_string())
            });
        });
        driver.join().unwrap();
        let row = store.migration(1).await.unwrap().unwrap();
        assert_eq!(row.trouble.unwrap(), "the driver panicked: planted in a rule");
        assert!(row.ended_at_ms.is_some());
        assert_eq!(supervisor.busy("idle", None), None);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
