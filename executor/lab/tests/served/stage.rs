//! A service whose store can be full, or locked by another program: a lab, a small file system for the store, and a
//! migration at a phase that is wanted.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use whimbrel_core::{Action, Output, journal};
use whimbrel_lab::testing::LONG;
pub(crate) use whimbrel_lab::testing::wait_for;
use whimbrel_lab::{Guest, GuestSpec, Lab, LabOptions};

use crate::harness::Service;
use crate::ssh::assert_moved;

const POLL: Duration = Duration::from_millis(1);

/// What another program does to the store. It is given the store's file, does it at the first line that it reads, and takes
/// it back at the end of its input.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// No byte is left on the file system. Most of it is taken before, so that the rest is taken at once.
    Full,
    /// The store is locked, as by a backup.
    Locked,
}

impl Fault {
    const fn program(self) -> &'static str {
        match self {
            Self::Full => {
                "import os, sys\n\
                 fill = os.open(sys.argv[1] + '.fill', os.O_CREAT | os.O_WRONLY)\n\
                 os.posix_fallocate(fill, 0, 6 << 20)\n\
                 os.lseek(fill, 0, os.SEEK_END)\n\
                 print('ready', flush=True)\n\
                 sys.stdin.readline()\n\
                 try:\n\
                 \x20while True: os.write(fill, bytes(1 << 16))\n\
                 except OSError: print('there', flush=True)\n\
                 sys.stdin.readline()\n\
                 os.truncate(fill, 0)\n"
            }
            Self::Locked => {
                "import sqlite3, sys\n\
                 store = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)\n\
                 store.execute('SELECT count(*) FROM migration').fetchone()\n\
                 print('ready', flush=True)\n\
                 sys.stdin.readline()\n\
                 store.execute('BEGIN EXCLUSIVE')\n\
                 print('there', flush=True)\n\
                 sys.stdin.readline()\n\
                 store.execute('ROLLBACK')\n"
            }
        }
    }
}

/// A lab, and a place for a store that has 8 MiB and is gone with the host's mounts.
pub(crate) struct Stage {
    pub(crate) lab: Lab,
    folder: PathBuf,
    stores: u32,
    services: u32,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let lab = Lab::build(&LabOptions::default()).unwrap();
        lab.alpha().enter().unwrap();
        let folder = lab.folder().join("store");
        std::fs::create_dir(&folder).unwrap();
        let target = folder.to_str().unwrap();
        lab.alpha().run("mount", &["-t", "tmpfs", "-o", "size=8m", "tmpfs", target]).unwrap();
        Self { lab, folder, stores: 0, services: 0 }
    }

    /// What it writes during the copy takes longer to send than a moment: the switchover can be observed.
    pub(crate) fn guest(&self) -> Guest {
        let spec =
            GuestSpec { memory_mib: 128, region_mib: 64, writes_per_second: 4_000, ..GuestSpec::default() };
        self.lab.start_guest(&spec).unwrap()
    }

    /// Later services have a new store: the log of one that was used has room for writes on a file system that has none.
    pub(crate) fn new_store(&mut self) {
        self.lab.alpha().run("sh", &["-c", "rm -f \"$0\"/*", self.folder.to_str().unwrap()]).unwrap();
        self.stores += 1;
    }

    fn store(&self) -> PathBuf {
        self.folder.join(format!("{}.sqlite", self.stores))
    }

    pub(crate) fn service(&mut self) -> Service {
        self.services += 1;
        let (from, to) = (self.lab.alpha().uri(), self.lab.beta().uri());
        let command = self.lab.alpha().command("setpriv");
        let hosts = ["--host", from.as_str(), "--host", to.as_str(), "--rate", "100000"];
        Service::start_with_store(&self.lab, command, &self.store(), self.services, &hosts)
    }

    /// SIGKILL, and the service is gone.
    pub(crate) fn kill(&self, mut service: Service) {
        service.kill();
        wait_for("the service is gone", || self.lab.alpha().pids_of("whimbrel").is_empty());
    }

    pub(crate) fn order(&self) -> Value {
        json!({"guest": "guest", "destination": self.lab.beta().uri(), "downtime_limit_ms": 3_000,
            "bandwidth_limit_bytes_per_second": 20 << 20})
    }

    /// Begins the migration, and gives its path.
    pub(crate) fn begin(&self, service: &Service) -> String {
        let (status, answer) = service.post("/api/v1/migrations", &self.order());
        assert_eq!(status, 202, "{answer}");
        format!("/api/v1/migrations/{}", answer["id"].as_str().unwrap())
    }

    /// Ready to be injected at once.
    pub(crate) fn prepare(&self, fault: Fault) -> Prepared {
        let mut command = self.lab.alpha().command("python3");
        command.args(["-c", fault.program()]).arg(self.store());
        Prepared::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap())
    }

    /// The guest has arrived with all of its memory, and its only migration, whose call was made once, is completed.
    pub(crate) fn assert_completed(&self, service: &Service, path: &str, guest: &Guest) {
        let (_, one) = service.get(path);
        assert_eq!(
            (&one["state"], &one["outcome"]["guest"]),
            (&json!("completed"), &json!("destination_running"))
        );
        assert_recorded(service, path, 1);
        assert_moved(&self.lab, guest);
    }

    /// The guest runs on the source, and no copy of it is anywhere.
    pub(crate) fn assert_stays(&self, guest: &Guest) {
        let state = self.lab.alpha().domain_state("guest").unwrap();
        assert!(state.as_ref().is_some_and(|state| state.starts_with("running")), "{state:?}");
        let beta = self.lab.beta();
        assert!(beta.qemu_pid("guest").is_err() && beta.domain_state("guest").unwrap().is_none());
        let now = guest.snapshot();
        guest.wait_until(LONG, |later| later.owner == Some(0) && later.seq > now.seq).unwrap();
    }
}

/// A fault that another program can inject and undo.
pub(crate) struct Prepared {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Prepared {
    fn start(mut child: Child) -> Self {
        let said = BufReader::new(child.stdout.take().unwrap());
        let mut prepared = Self { child, said };
        prepared.wait_for("ready");
        prepared
    }

    fn wait_for(&mut self, word: &str) {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), word);
    }

    pub(crate) fn inject(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"now\n").unwrap();
        self.wait_for("there");
    }

    pub(crate) fn undo(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }
}

/// Whether the migration was seen in one of these phases before its end.
pub(crate) fn reaches(service: &Service, path: &str, phases: &[&str]) -> bool {
    let begun = Instant::now();
    loop {
        let (_, one) = service.get(path);
        if is_in(&one, phases) {
            return true;
        }
        if one["state"] != "running" {
            return false;
        }
        assert!(begun.elapsed() < LONG, "{one}");
        thread::sleep(POLL);
    }
}

pub(crate) fn is_in(migration: &Value, phases: &[&str]) -> bool {
    migration["account"]["phase"].as_str().is_some_and(|phase| phases.contains(&phase))
}

/// As the service's metrics have it, with no writes that wait where it accepts them.
pub(crate) fn wait_until_store_accepts(service: &Service, accepts: bool) {
    wait_for(if accepts { "the store accepts writes" } else { "the store accepts no writes" }, || {
        let (_, metrics) = service.text("/metrics");
        let is = |name: &str, value: u8| metrics.contains(&format!("whimbrel_store_{name} {value}\n"));
        is("accepts_writes", accepts.into()) && (!accepts || is("pending_writes", 0))
    });
}

/// It is the only migration on record, and the migrate call was made so often.
pub(crate) fn assert_recorded(service: &Service, path: &str, calls: usize) {
    let (_, list) = service.get("/api/v1/migrations");
    assert_eq!(list["migrations"].as_array().unwrap().len(), 1, "{list}");
    let (_, text) = service.text(&format!("{path}/journal"));
    let mut begun = 0;
    let replayed = journal::replay(&text, |_, _, outputs| {
        let is_call = |output: &&Output| {
            matches!(output, Output::Command(command) if matches!(command.action, Action::StartMigration))
        };
        begun += outputs.iter().filter(is_call).count();
    })
    .unwrap();
    assert!(replayed.migration.view().outcome.is_some(), "{text}");
    assert_eq!(begun, calls, "{text}");
}
