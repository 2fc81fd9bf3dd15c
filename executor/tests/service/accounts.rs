//! What other accounts of this machine can do: open no file, hold no lock, and connect only where they are let in.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Folder, Service};

const PROGRAM: &str = env!("CARGO_BIN_EXE_whimbrel");
/// An account and a group that own nothing.
const OTHER_UID: &str = "65534";

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout == b"0\n"
}

fn as_nobody(program: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", OTHER_UID, "--regid", OTHER_UID, "--clear-groups", program]);
    command.args(arguments).output().unwrap()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn files_are_for_the_services_user_only_and_nobody_else_holds_its_lock() {
    let folder = Folder::new();
    let state = folder.path("made/for/it");
    let store = state.join("store");
    let service = Service::start(&store, &[]);
    service.post("/api/v1/migrations", &json!({"guest": "web", "destination": "sim://beta"}));
    for name in ["store", "store-wal", "store-shm", "store-lock"] {
        assert_eq!(mode(&state.join(name)), 0o600, "{name}");
    }
    for made in ["made", "made/for", "made/for/it"] {
        assert_eq!(mode(&folder.path(made)), 0o700, "{made}");
    }
    drop(service);
    // An earlier version left them open to others.
    for name in ["made", "made/for", "made/for/it"] {
        std::fs::set_permissions(folder.path(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    for name in ["store", "store-lock"] {
        std::fs::set_permissions(state.join(name), std::fs::Permissions::from_mode(0o644)).unwrap();
    }
    let service = Service::start(&store, &[]);
    for name in ["store", "store-wal", "store-shm", "store-lock"] {
        assert_eq!(mode(&state.join(name)), 0o600, "{name}");
    }
    drop(service);
    if is_root() {
        let lock = state.join("store-lock");
        let held = as_nobody("flock", &["--nonblock", lock.to_str().unwrap(), "true"]);
        assert!(!held.status.success(), "another account can hold the lock");
        let read = as_nobody("cat", &[store.to_str().unwrap()]);
        assert!(!read.status.success(), "another account can read the store");
    }
}

#[test]
fn journals_are_for_their_user_only() {
    let folder = Folder::new();
    let mut command = Command::new(PROGRAM);
    command.args(["migrate", "idle", "sim://beta", "--source", "sim://alpha", "--sim-speed", "100"]);
    let state = folder.path("state");
    assert!(command.env("XDG_STATE_HOME", &state).output().unwrap().status.success());
    let made = state.join("whimbrel");
    let journals: Vec<_> = std::fs::read_dir(&made).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(journals.iter().map(|journal| mode(journal)).collect::<Vec<_>>(), [0o600]);
    assert_eq!(mode(&made), 0o700);
}

#[test]
fn real_hosts_are_not_served_to_every_account() {
    let folder = Folder::new();
    let serve = |more: &[&str]| {
        let mut command = Command::new("timeout");
        command
            .args(["20", PROGRAM, "serve", "--listen", "127.0.0.1:0", "--store"])
            .arg(folder.path("store"));
        let output =
            command.args(["--allow-destination", "qemu+ssh://*/system"]).args(more).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = serve(&[]);
    assert_eq!(code, Some(2), "{said}");
    for word in ["every account of this machine could connect", "--tokens", "--listen unix:", "--no-auth"] {
        assert!(said.contains(word), "{said}");
    }
    assert!(!folder.path("store").exists(), "nothing is made before that");
    let _service =
        Service::start(&folder.path("store"), &["--allow-destination", "qemu+ssh://*/system", "--no-auth"]);
}

fn list(socket: &str) -> (Option<i32>, String) {
    let output = Command::new(PROGRAM).args(["list", "--json", "--service", socket]).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn a_socket_lets_in_its_own_user_and_a_group_by_its_role() {
    let folder = Folder::new();
    let path = folder.path("run/service.sock");
    let place = format!("unix:{}", path.display());
    let service = Service::start(&folder.path("store"), &["--listen", &place]);
    assert_eq!((mode(&path), mode(&folder.path("run"))), (0o600, 0o700));
    assert_eq!(list(&place), (Some(0), "{\"migrations\":[]}\n".to_owned()));
    let run = |arguments: &[&str]| {
        let output = Command::new(PROGRAM).args(arguments).args(["--service", &place]).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    service.post("/api/v1/migrations", &json!({"guest": "web", "destination": "sim://beta"}));
    let (code, events) = run(&["watch", "1"]);
    assert_eq!(code, Some(0), "{events}");
    assert!(run(&["show", "1"]).1.contains("completed"));
    assert_eq!(run(&["cancel", "1"]).0, Some(1));
    let (_, audit) = service.get("/api/v1/audit");
    let who = audit
        .as_array()
        .unwrap()
        .iter()
        .find(|entry| entry["path"] == "/api/v1/migrations/1/cancel")
        .unwrap();
    assert_eq!(who["caller"], who["address"], "{who}");
    assert!(who["caller"].as_str().unwrap().starts_with("uid "), "{who}");
    // A second service does not take the place; the socket of a killed one is no obstacle.
    let other = folder.path("other");
    let second = Command::new("timeout")
        .args(["20", PROGRAM, "serve", "--listen", &place, "--store", other.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&second.stderr).contains("cannot listen on"), "{second:?}");
    drop(service);
    assert!(path.exists());
    let _service = Service::start(&folder.path("store"), &["--listen", &place]);
    assert_eq!(list(&place).0, Some(0));
}

#[test]
fn other_accounts_are_let_in_by_their_group_only() {
    if !is_root() {
        return;
    }
    let folder = Folder::new();
    let path = folder.path("service.sock");
    let place = format!("unix:{}", path.display());
    let ask = |method: &str, target: &str, body: Option<&str>| -> (u16, Value) {
        let mut arguments = vec!["--silent", "--unix-socket", path.to_str().unwrap(), "--request", method];
        if let Some(body) = body {
            arguments.extend(["--header", "content-type: application/json", "--data", body]);
        }
        let url = format!("http://localhost{target}");
        arguments.extend(["--write-out", "\n%{http_code}", &url]);
        let output = String::from_utf8(as_nobody("curl", &arguments).stdout).unwrap();
        let (body, status) = output.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), serde_json::from_str(body).unwrap_or(Value::Null))
    };
    let alone = Service::start(&folder.path("store"), &["--listen", &place]);
    assert_eq!(ask("GET", "/api/v1/guests", None).0, 0, "the kernel keeps them out");
    drop(alone);
    let order = r#"{"guest":"idle","destination":"sim://beta"}"#;
    for (role, begins) in [("viewer", 403), ("operator", 202)] {
        let group = format!("{OTHER_UID}:{role}");
        let service = Service::start(&folder.path(role), &["--listen", &place, "--allow-group", &group]);
        assert_eq!(mode(&path), 0o660);
        assert_eq!(ask("GET", "/api/v1/guests", None).0, 200);
        assert_eq!(ask("GET", "/api/v1/audit", None).0, 403);
        let (status, answer) = ask("POST", "/api/v1/migrations", Some(order));
        assert_eq!(status, begins, "{answer}");
        let deadline = Instant::now() + Duration::from_secs(10);
        let named =
            |audit: Value| audit.as_array().unwrap().iter().any(|entry| entry["caller"] == "uid 65534");
        while !named(service.get("/api/v1/audit").1) {
            assert!(Instant::now() < deadline);
        }
    }
}
