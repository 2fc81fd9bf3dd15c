//! A store that is full, or that another program keeps locked, while real hosts migrate: what runs reaches its end, nothing
//! is begun twice, and no report is false.

use std::io::{BufRead, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use whimbrel_core::{Action, Output, journal};
use whimbrel_lab::{Guest, GuestSpec, Lab, LabOptions};

use crate::harness::Service;
use crate::ssh::assert_moved;

const LONG: Duration = Duration::from_mins(2);
const PATH: &str = "/api/v1/migrations/1";

/// Another program that holds the store's lock, as a backup does. It is given the store and locks it at the first line that
/// it reads; at the end of its input it lets go.
const LOCKER: &str = "import sqlite3, sys\n\
    store = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)\n\
    store.execute('SELECT count(*) FROM migration').fetchone()\n\
    print('ready', flush=True)\n\
    sys.stdin.readline()\n\
    store.execute('BEGIN EXCLUSIVE')\n\
    print('locked', flush=True)\n\
    sys.stdin.readline()\n\
    store.execute('ROLLBACK')\n";

/// A lab with a guest, and a service on the source whose store is on a small file system of its own, which is gone with the
/// host's mounts.
struct Stage {
    lab: Lab,
    guest: Guest,
    place: PathBuf,
    services: u32,
}

impl Stage {
    fn new() -> Self {
        let lab = Lab::build(&LabOptions::default()).unwrap();
        lab.alpha().enter().unwrap();
        let place = lab.folder().join("store");
        std::fs::create_dir(&place).unwrap();
        let target = place.to_str().unwrap();
        lab.alpha().run("mount", &["-t", "tmpfs", "-o", "size=8m", "tmpfs", target]).unwrap();
        // What it writes during the copy takes longer to send than a moment: the hand-over can be observed.
        let spec =
            GuestSpec { memory_mib: 128, region_mib: 64, writes_per_second: 4_000, ..GuestSpec::default() };
        let guest = lab.start_guest(&spec).unwrap();
        Self { lab, guest, place, services: 0 }
    }

    fn store(&self) -> PathBuf {
        self.place.join("whimbrel.sqlite")
    }

    fn service(&mut self) -> Service {
        self.services += 1;
        let (from, to) = (self.lab.alpha().uri(), self.lab.beta().uri());
        let command = self.lab.alpha().command("setpriv");
        let hosts = ["--host", from.as_str(), "--host", to.as_str()];
        Service::start_with_store(&self.lab, command, &self.store(), self.services, &hosts)
    }

    /// SIGKILL, and the service is gone.
    fn kill(&self, mut service: Service) {
        service.kill();
        wait_for("the service is gone", || self.lab.alpha().pids_of("whimbrel").is_empty());
    }

    fn order(&self) -> Value {
        json!({"guest": "guest", "destination": self.lab.beta().uri(), "downtime_limit_ms": 3_000,
            "bandwidth_limit_bytes_per_second": 20 << 20})
    }

    fn begin(&self, service: &Service) {
        let (status, answer) = service.post("/api/v1/migrations", &self.order());
        assert_eq!(status, 202, "{answer}");
    }

    fn fill(&self) {
        let file = self.place.join("fill");
        let words = ["-c", "cat /dev/zero > \"$0\" || true", file.to_str().unwrap()];
        self.lab.alpha().run("sh", &words).unwrap();
    }

    fn make_room(&self) {
        let file = self.place.join("fill");
        self.lab.alpha().run("rm", &[file.to_str().unwrap()]).unwrap();
    }

    fn locker(&self) -> Locker {
        let mut command = self.lab.alpha().command("python3");
        command.args(["-c", LOCKER]).arg(self.store());
        Locker::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap())
    }

    fn copy_runs(&self) -> bool {
        self.lab.beta().qemu_pid("guest").is_ok()
    }

    fn assert_stays(&self) {
        let state = self.lab.alpha().domain_state("guest").unwrap();
        assert!(state.as_ref().is_some_and(|state| state.starts_with("running")), "{state:?}");
        assert!(!self.copy_runs() && self.lab.beta().domain_state("guest").unwrap().is_none());
        let now = self.guest.snapshot();
        self.guest.wait_until(LONG, |later| later.owner == Some(0) && later.seq > now.seq).unwrap();
    }

    fn end(self) {
        self.lab.remove().unwrap();
    }
}

struct Locker {
    child: Child,
    said: BufReader<std::process::ChildStdout>,
}

impl Locker {
    fn start(mut child: Child) -> Self {
        let said = BufReader::new(child.stdout.take().unwrap());
        let mut locker = Self { child, said };
        locker.wait_for("ready");
        locker
    }

    fn wait_for(&mut self, word: &str) {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), word);
    }

    fn lock(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"lock\n").unwrap();
        self.wait_for("locked");
    }

    fn release(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }
}

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < LONG, "it never happened: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn wait_for_phase(service: &Service, phase: &str) {
    service.wait(PATH, |one| one["account"]["phase"] == phase);
}

/// One migration is on record, it was begun so often, and it ended as its outcome says.
fn assert_recorded(service: &Service, state: &str, calls: usize) {
    let (_, list) = service.get("/api/v1/migrations");
    assert_eq!(list["migrations"].as_array().unwrap().len(), 1, "{list}");
    let (_, one) = service.get(PATH);
    assert_eq!(one["state"], state, "{one}");
    let (_, text) = service.text(&format!("{PATH}/journal"));
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

#[test]
#[ignore = "needs root and libvirt; run with cargo xtask test"]
fn a_service_that_is_killed_while_its_store_is_full_does_not_migrate_again() {
    for phase in ["precopy", "switching_over"] {
        let mut stage = Stage::new();
        let service = stage.service();
        stage.begin(&service);
        wait_for_phase(&service, phase);
        stage.fill();
        let (_, one) = service.get(PATH);
        assert_eq!(one["account"]["phase"], phase, "the phase was too short: {one}");
        if phase == "precopy" {
            // Its end is known to this service only.
            service.wait(PATH, |one| one["state"] == "completed");
        }
        stage.kill(service);
        stage.make_room();
        let service = stage.service();
        let one = service.wait(PATH, |one| one["state"] != "running");
        assert_eq!(one["outcome"]["guest"], "destination_running", "{one}");
        assert_recorded(&service, "completed", 1);
        assert_moved(&stage.lab, &stage.guest);
        drop(service);
        stage.end();
    }
}

#[test]
#[ignore = "needs root and libvirt; run with cargo xtask test"]
fn a_migration_whose_store_hangs_before_the_copy_is_not_begun_until_it_is_on_record() {
    let mut left = vec![true, false];
    while let Some(killed) = left.last().copied() {
        let mut stage = Stage::new();
        let service = stage.service();
        let mut locker = stage.locker();
        stage.begin(&service);
        locker.lock();
        let (_, one) = service.get(PATH);
        let phase = &one["account"]["phase"];
        if phase != "validating" && phase != "preparing" {
            // The lock came too late, which says nothing: once more.
            locker.release();
            service.wait(PATH, |one| one["state"] != "running");
            drop(service);
            stage.end();
            continue;
        }
        left.pop();
        thread::sleep(Duration::from_secs(4));
        stage.assert_stays();
        if !killed {
            locker.release();
            let one = service.wait(PATH, |one| one["state"] != "running");
            assert_eq!(one["outcome"]["guest"], "destination_running", "{one}");
            assert_recorded(&service, "completed", 1);
            assert_moved(&stage.lab, &stage.guest);
            stage.end();
            continue;
        }
        stage.kill(service);
        locker.release();
        let service = stage.service();
        let one = service.wait(PATH, |one| one["state"] != "running");
        let guest = one["outcome"]["guest"].as_str();
        assert!(matches!(guest, Some("untouched" | "source_running")), "{one}");
        thread::sleep(Duration::from_secs(2));
        stage.assert_stays();
        assert_eq!(service.get("/api/v1/migrations").1["migrations"].as_array().unwrap().len(), 1);
        drop(service);
        stage.end();
    }
}

#[test]
#[ignore = "needs root and libvirt; run with cargo xtask test"]
fn a_store_that_hangs_in_the_hand_over_keeps_no_guest_from_running() {
    for killed in [false, true] {
        let mut stage = Stage::new();
        let service = stage.service();
        let mut locker = stage.locker();
        stage.begin(&service);
        wait_for_phase(&service, "switching_over");
        locker.lock();
        let (_, one) = service.get(PATH);
        assert_eq!(one["account"]["phase"], "switching_over", "the phase was too short: {one}");
        if killed {
            stage.kill(service);
            locker.release();
        } else {
            let one = service.wait(PATH, |one| one["state"] != "running");
            assert_eq!(one["outcome"]["guest"], "destination_running", "{one}");
            assert_moved(&stage.lab, &stage.guest);
            locker.release();
            wait_for("the outcome is in the store", || {
                let (_, metrics) = service.text("/metrics");
                metrics.contains("whimbrel_store_accepts_writes 1\n")
                    && metrics.contains("whimbrel_store_pending_writes 0\n")
            });
            assert_recorded(&service, "completed", 1);
            stage.kill(service);
        }
        // Another service finds it in the store as it was, or where the guest is by itself.
        let service = stage.service();
        let one = service.wait(PATH, |one| one["state"] != "running");
        assert_eq!(one["outcome"]["guest"], "destination_running", "{one}");
        assert_recorded(&service, "completed", 1);
        assert_moved(&stage.lab, &stage.guest);
        drop(service);
        stage.end();
    }
}
