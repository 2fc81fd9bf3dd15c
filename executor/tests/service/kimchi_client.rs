//! Exactly what Kimchi's own client sends when a guest is migrated and its list is drawn, and what it does with the
//! answers: with "delete this VM when the migration is completed" it sends `DELETE` for the name in the address of each
//! task that it gets back. It must never get the task of another guest.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Folder, Service};

/// jQuery's own headers.
const HEADERS: &[(&str, &str)] = &[
    ("accept", "application/json, text/javascript, */*; q=0.01"),
    ("content-type", "application/json"),
    ("x-requested-with", "XMLHttpRequest"),
];

/// JavaScript's `encodeURIComponent`.
fn encoded(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(byte);
    text.bytes()
        .map(|byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

struct Client<'a>(&'a Service);

impl Client<'_> {
    fn migrate(&self, guest: &str, host: &str) -> (u16, Value) {
        let body = json!({"remote_host": host, "enable_rdma": false}).to_string();
        self.0.ask("POST", &format!("/plugins/kimchi/vms/{}/migrate", encoded(guest)), HEADERS, Some(&body))
    }

    fn tasks(&self, status: &str, pattern: &str) -> Vec<Value> {
        let path = format!("/plugins/kimchi/tasks?status={status}&target_uri={}", encoded(pattern));
        let (code, tasks) = self.0.ask("GET", &path, HEADERS, None);
        assert_eq!(code, 200, "{pattern}: {tasks}");
        tasks.as_array().unwrap().clone()
    }

    /// The guests that the client would delete after a migration of this one.
    fn would_delete(&self, guest: &str) -> Vec<String> {
        names(&self.tasks("running", &format!("^/plugins/kimchi/vms/{guest}/migrate")))
    }

    fn creating(&self) -> Vec<String> {
        names(&self.tasks("running", "^/plugins/kimchi/vms/[^/]+$"))
    }

    fn cloning(&self) -> Vec<String> {
        names(&self.tasks("running", "^/plugins/kimchi/vms/.+/clone"))
    }

    fn failed_clones(&self) -> Vec<String> {
        names(&self.tasks("failed", "^/plugins/kimchi/vms/.+/clone"))
    }

    fn migrating(&self) -> Vec<String> {
        names(&self.tasks("running", "^/plugins/kimchi/vms/.+/migrate"))
    }
}

fn names(tasks: &[Value]) -> Vec<String> {
    let name = |task: &Value| task["target_uri"].as_str().unwrap().split('/').nth(4).unwrap().to_owned();
    tasks.iter().map(name).collect()
}

fn slow(service: &Service, guest: &str, source: &str, destination: &str) -> (u16, Value) {
    let order = json!({"guest": guest, "source": source, "destination": destination,
        "bandwidth_limit_bytes_per_second": 8 << 20});
    service.post("/api/v1/migrations", &order)
}

#[test]
fn the_client_deletes_the_guest_that_it_migrated_and_no_other() {
    let folder = Folder::new();
    let service = Service::start(&folder.path("store"), &["--sim-speed", "4"]);
    let client = Client(&service);
    let (status, first) = client.migrate("web", "beta");
    assert_eq!(status, 202, "{first}");
    assert_eq!(
        (&first["target_uri"], &first["status"]),
        (&json!("/plugins/kimchi/vms/web/migrate"), &json!("running"))
    );
    assert_eq!(client.would_delete("web"), ["web"]);
    service.wait("/plugins/kimchi/tasks/1", |task| task["status"] == "finished");
    // Another guest migrates, here begun natively, and the finished one is not returned as its task.
    assert_eq!(slow(&service, "database", "sim://alpha", "sim://beta").0, 202);
    assert_eq!(client.would_delete("web"), [""; 0]);
    assert_eq!(client.would_delete("idle"), [""; 0]);
    assert_eq!(client.would_delete("data"), [""; 0], "a name that is the beginning of another's");
    assert_eq!(client.would_delete("database"), ["database"]);
    assert_eq!(client.migrating(), ["database"]);
    assert_eq!(client.creating(), [""; 0]);
    assert_eq!(client.cloning(), [""; 0]);
    assert_eq!(client.failed_clones(), [""; 0]);
    let whole = service.get("/plugins/kimchi/tasks").1;
    assert_eq!(whole.as_array().unwrap().len(), 2, "without a filter there are all: {whole}");
    assert_eq!(service.ask("DELETE", "/plugins/kimchi/vms/web", HEADERS, None).0, 405);
}

#[test]
fn guests_of_other_hosts_are_not_this_hosts_guests() {
    let folder = Folder::new();
    let service = Service::start(&folder.path("store"), &[]);
    let client = Client(&service);
    let (status, begun) = slow(&service, "proxy", "sim://beta", "sim://gamma");
    assert_eq!(status, 202, "{begun}");
    assert_eq!(client.would_delete("proxy"), [""; 0]);
    assert_eq!(client.migrating(), [""; 0]);
    let target = service.get("/plugins/kimchi/tasks/1").1["target_uri"].as_str().unwrap().to_owned();
    assert!(
        !target.starts_with("/plugins/") && target.ends_with("/plugins/kimchi/vms/proxy/migrate"),
        "{target}"
    );
}

#[test]
fn a_name_that_is_a_pattern_stands_for_itself() {
    let folder = Folder::new();
    let world = folder.path("odd.toml");
    let text = "name = \"odd\"\ndescription = \"one guest\"\n[guest]\nname = \"web.1\"\nmemory_mib = 512\n\
                working_set_mib = 64\nwrites_per_second = 100\n[link]\nbandwidth_mib_per_second = 50\n\
                [expect]\nresult = \"completed\"\nguest_on = \"destination\"\n";
    std::fs::write(&world, text).unwrap();
    let service = Service::start(&folder.path("store"), &["--sim-scenario", world.to_str().unwrap()]);
    let client = Client(&service);
    let (status, task) = client.migrate("web.1", "beta");
    assert_eq!((status, &task["target_uri"]), (202, &json!("/plugins/kimchi/vms/web.1/migrate")), "{task}");
    assert_eq!(client.would_delete("web.1"), ["web.1"]);
    assert_eq!(client.creating(), [""; 0]);
}

#[test]
fn a_filter_that_is_not_supported_is_refused_and_never_ignored() {
    let folder = Folder::new();
    let service = Service::start(&folder.path("store"), &[]);
    for path in [
        "tasks?state=running",
        "tasks?migration=1",
        "tasks?_=1764412800000",
        "tasks?status=(",
        "tasks?target_uri=(%3F!web)",
        "tasks?status=running%7D",
        "tasks?status=running&target_uri=%5B",
        "vms?memory=1024",
        "vms?name=*",
        "vms/?persistent=true",
    ] {
        let (status, error) = service.ask("GET", &format!("/plugins/kimchi/{path}"), HEADERS, None);
        assert_eq!((status, &error["code"]), (400, &json!("400 Bad Request")), "{path}: {error}");
        assert!(error["reason"].as_str().unwrap().contains("filter"), "{path}: {error}");
    }
    let (_, vms) = service.get("/plugins/kimchi/vms?name=(web%7Cidle)&state=running");
    let names: Vec<_> = vms.as_array().unwrap().iter().map(|vm| vm["name"].clone()).collect();
    assert_eq!(names, ["idle", "web"], "{vms}");
    assert_eq!(service.get("/plugins/kimchi/vms/?state=shutoff&name=web").1, json!([]));
}

#[test]
fn a_running_task_is_found_however_many_came_after_it() {
    let folder = Folder::new();
    let service = Service::start(&folder.path("store"), &[]);
    let client = Client(&service);
    assert_eq!(slow(&service, "database", "sim://alpha", "sim://beta").0, 202);
    // More than a list has: each is refused by the rules, and so ends at once.
    for _ in 0..205 {
        let order = json!({"guest": "web", "destination": "sim://alpha"});
        let deadline = Instant::now() + Duration::from_secs(20);
        // The thread of the one before may still be on its way out.
        while service.post("/api/v1/migrations", &order).0 != 202 {
            assert!(Instant::now() < deadline, "the guest stays busy");
        }
    }
    service.wait("/api/v1/migrations?limit=1", |newest| newest["migrations"][0]["state"] == "failed");
    assert_eq!(client.would_delete("database"), ["database"]);
    assert_eq!(client.would_delete("web"), [""; 0]);
}

#[test]
fn every_error_under_kimchis_address_is_in_its_words() {
    let folder = Folder::new();
    let mut service = Service::start(&folder.path("store"), &[]);
    let refused_in_kimchis_form = |(status, error): (u16, Value), wanted: u16| {
        assert_eq!(status, wanted, "{error}");
        assert!(error["code"].as_str().unwrap().starts_with(&wanted.to_string()), "{error}");
        assert!(error["reason"].is_string() && error["title"].is_null(), "{error}");
    };
    refused_in_kimchis_form(service.ask("DELETE", "/plugins/kimchi/vms/web", HEADERS, None), 405);
    refused_in_kimchis_form(service.get("/plugins/kimchi/storagepools"), 404);
    refused_in_kimchis_form(
        service.ask(
            "POST",
            "/plugins/kimchi/vms/web/migrate",
            &[("origin", "https://example.org")],
            Some("{}"),
        ),
        403,
    );
    refused_in_kimchis_form(
        service.post("/plugins/kimchi/vms/web/migrate", &json!({"remote_host": ""})),
        400,
    );
    refused_in_kimchis_form(
        service.post("/plugins/kimchi/vms/web/migrate", &json!({"remote_host": "  "})),
        400,
    );
    for path in ["vms/", "vms/web/", "tasks/"] {
        assert_eq!(service.get(&format!("/plugins/kimchi/{path}")).0, 200, "{path}");
    }
    assert_eq!(service.post("/plugins/kimchi/vms/idle/migrate/", &json!({"remote_host": "beta"})).0, 202);
    assert_eq!(service.get("/plugins/kimchi/tasks/1/").1["id"], "1");
    service.process.kill();
    let tokens = folder.path("tokens");
    std::fs::write(
        &tokens,
        format!("[[token]]\nname = \"one\"\nrole = \"viewer\"\nsha256 = \"{}\"\n", "0".repeat(64)),
    )
    .unwrap();
    service = Service::start(&folder.path("store"), &["--tokens", tokens.to_str().unwrap()]);
    refused_in_kimchis_form(service.get("/plugins/kimchi/vms"), 401);
    std::fs::write(&tokens, format!("token = [[\"one\", \"viewer\", \"{}\"]]\n", "0".repeat(64))).unwrap();
    let serve = std::process::Command::new("timeout")
        .args(["20", env!("CARGO_BIN_EXE_whimbrel"), "serve"])
        .args(["--listen", "127.0.0.1:0", "--tokens", tokens.to_str().unwrap(), "--store"])
        .arg(folder.path("other"))
        .output()
        .unwrap();
    assert_eq!(
        serve.status.code(),
        Some(2),
        "an array is no token: {}",
        String::from_utf8_lossy(&serve.stderr)
    );
}
