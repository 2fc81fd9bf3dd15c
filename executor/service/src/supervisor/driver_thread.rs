//! Handling of a driver thread's end: by the end of its migration, by an error, or by a panic.
//!
//! A migration must never stay in the list of those that run without a driver.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::sync_channel;

use super::Supervisor;
use whimbrel_drive::Driven;
use whimbrel_drive::panics;

impl Supervisor {
    /// Drives a migration on this thread, and records the result. It runs until that is in the store: another migration of
    /// its guest must not be accepted before.
    pub(super) fn run_driver(&self, id: i64, drive: impl FnOnce() -> Result<Driven, String>) {
        // What was being changed when it panicked is dropped with it: what others see is the account and the inbox.
        let driven = catch_unwind(AssertUnwindSafe(drive))
            .unwrap_or_else(|panic| Err(format!("the driver panicked: {}", panics::text(&*panic))));
        match driven {
            Ok(driven) => {
                if let Some(error) = driven.journal_error {
                    tracing::error!(%error, "the journal has a gap; the migration was driven on without");
                }
                let ending = driven.outcome.as_ref().map(|outcome| outcome.ending);
                tracing::info!(?ending, "no longer driven");
                // One that was left before its end goes on, and is not closed by a trouble.
                if let Some(outcome) = driven.outcome.filter(|_| !driven.panics.is_empty()) {
                    self.give_up_ended(id, driven.panics.join("; "), Some(Box::new(outcome)));
                }
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
    use whimbrel_core::{Command, CommandId, Verdict};
    use whimbrel_plugins::RuleSet;

    use crate::broadcast::Hub;
    use crate::projection::Account;
    use crate::rules::Rules;
    use crate::store::{Begun, MigrationRow, Store, Write};
    use crate::supervisor::{Kept, Running, Supervisor};
    use crate::tunnel::Tunnels;
    use whimbrel_drive::{DriveSession, Judge, Port, drive};
    use whimbrel_simulated::fixtures::{NoJournal, assigned, quiet};

    /// A supervisor whose migration 1 is on record, and what `drive` makes of that migration.
    async fn recorded(
        name: &str,
        rules: fn() -> Verdict,
        port_of: fn(Box<dyn Port + Send>) -> Box<dyn Port + Send>,
    ) -> MigrationRow {
        let folder = std::env::temp_dir().join(format!("whimbrel-{name}-{}", std::process::id()));
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
        let (hosts, spec, route) = quiet().unwrap();
        let kept = Kept { store: store.clone(), hub, writes: to_store, health, last_migration };
        let no_rules = Rules::new(Box::new(|| {
            RuleSet::new(Vec::new(), whimbrel_plugins::policy::Policy::default())
                .map_err(|error| error.to_string())
        }));
        let tunnels = Tunnels::new(&folder, &folder.join("store"), None);
        let supervisor = Supervisor::new(hosts.clone(), kept, tunnels, no_rules.unwrap());
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
                let judge = Judge::new(inbox.clone(), move |_| rules());
                let mut port = port_of(hosts.port(assigned(route), inbox).unwrap());
                let session = DriveSession::begin(spec).unwrap();
                drive(session, &mut *port, &messages, Box::new(NoJournal), judge, None)
                    .map_err(|error| error.to_string())
            });
        });
        driver.join().unwrap();
        assert_eq!(supervisor.busy("idle", None), None);
        let (written, flushed) = oneshot::channel();
        supervisor.writes.send(Write::Flush(written)).unwrap();
        flushed.await.unwrap();
        let row = store.migration(1).await.unwrap().unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        row
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_driver_that_panics_is_on_record_with_the_text_and_its_guest_is_free() {
        let row = recorded("driver-panics", Verdict::default, |_| Box::new(Panicking)).await;
        assert_eq!(row.trouble.unwrap(), "the driver panicked: planted in a port");
        assert!(row.ended_at_ms.is_some());
    }

    /// A port that breaks when it is given anything to do.
    struct Panicking;

    impl Port for Panicking {
        fn execute(&mut self, _: Command) {
            panic!("planted in a port");
        }

        fn abandon_call(&mut self, _: CommandId) {}
    }

    /// A port one of whose calls panicked.
    struct Panicked(Box<dyn Port + Send>);

    impl Port for Panicked {
        fn execute(&mut self, command: Command) {
            self.0.execute(command);
        }

        fn abandon_call(&mut self, call: CommandId) {
            self.0.abandon_call(call);
        }

        fn panics(&self) -> Vec<String> {
            vec!["planted in a call".to_owned()]
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_call_that_panicked_is_on_record_beside_the_outcome() {
        let row = recorded("call-panics", Verdict::default, |port| Box::new(Panicked(port))).await;
        assert_eq!(row.trouble.unwrap(), "planted in a call");
        assert!(row.outcome.unwrap().contains("destination_running"));
    }
}
