//! Kimchi's routes, as a client written for Kimchi uses them.

use serde_json::{Value, json};

use crate::harness::{Folder, Service};

#[test]
fn a_guest_is_migrated_and_its_task_followed() {
    let folder = Folder::new();
    let service = Service::start(&folder.path("store"), &["--sim-speed", "4"]);
    let (status, vms) = service.get("/plugins/kimchi/vms");
    assert_eq!(status, 200);
    let names: Vec<_> = vms.as_array().unwrap().iter().map(|vm| vm["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["build", "database", "idle", "web"]);
    let (status, vm) = service.get("/plugins/kimchi/vms/web");
    assert_eq!((status, &vm["state"], &vm["memory"]), (200, &json!("running"), &json!(1024)));
    let (status, task) = service
        .post("/plugins/kimchi/vms/web/migrate", &json!({"destination": "beta", "password": "s3cret"}));
    assert_eq!(status, 202, "{task}");
    assert_eq!(
        (&task["status"], &task["target_uri"]),
        (&json!("running"), &json!("/plugins/kimchi/vms/web/migrate"))
    );
    let path = format!("/plugins/kimchi/tasks/{}", task["id"].as_str().unwrap());
    let task = service.wait(&path, |task| task["status"] != "running");
    assert_eq!(task["status"], "finished", "{task}");
    assert!(task["message"].as_str().unwrap().contains("Completed: `web` runs on beta."), "{task}");
    assert_eq!(service.get("/plugins/kimchi/vms/web").0, 404, "it is no longer on this host");
    let (_, tasks) = service.get("/plugins/kimchi/tasks");
    assert_eq!(tasks.as_array().unwrap().len(), 1);
}

#[test]
fn the_later_names_are_taken_and_errors_are_in_kimchis_words() {
    let folder = Folder::new();
    let service = Service::start(&folder.path("store"), &["--sim-speed", "4"]);
    let body = json!({"remote_host": "beta", "user": "root", "password": "s3cret", "enable_rdma": false});
    let (status, task) = service.post("/plugins/kimchi/vms/idle/migrate", &body);
    assert_eq!(status, 202, "{task}");
    for (name, body, status) in [
        ("no-such-guest", json!({"destination": "beta"}), 404),
        ("web", json!({}), 422),
        ("web", json!({"destination": "beta", "enable_rdma": true}), 409),
        ("web", json!({"destination": "no such host!"}), 409),
    ] {
        let (told, error) = service.post(&format!("/plugins/kimchi/vms/{name}/migrate"), &body);
        assert_eq!(told, status, "{name} {body}: {error}");
        assert!(error["code"].as_str().unwrap().starts_with(&status.to_string()), "{error}");
        assert!(error["reason"].is_string(), "{error}");
    }
}

#[test]
fn a_cancel_answers_with_what_happened_and_what_was_put_right() {
    let folder = Folder::new();
    let service = Service::start(&folder.path("store"), &[]);
    let (_, begun) = service.post(
        "/api/v1/migrations",
        &json!({"guest": "database", "destination": "sim://beta", "bandwidth_limit_bytes_per_second": 50 << 20}),
    );
    let id = begun["id"].as_str().unwrap().to_owned();
    service.wait(&format!("/api/v1/migrations/{id}"), |one| one["account"]["phase"] == "precopy");
    let (status, answer) = service.ask("DELETE", &format!("/plugins/kimchi/tasks/{id}"), &[], None);
    assert_eq!((status, &answer["answer"]), (200, &json!("cancelled")), "{answer}");
    assert_eq!(answer["recovery"], json!(["the bandwidth limit was restored"]));
    assert_eq!(answer["status"], "failed");
    let (_, again) = service.ask("DELETE", &format!("/plugins/kimchi/tasks/{id}"), &[], None);
    assert_eq!(again["answer"], "cancelled", "{again}");
    assert_eq!(service.ask("DELETE", "/plugins/kimchi/tasks/77", &[], None).0, 404);
}

#[test]
fn a_password_is_nowhere() {
    let folder = Folder::new();
    let mut service = Service::start(&folder.path("store"), &["--sim-speed", "8"]);
    let secret = "pw-6f1a-never-shown";
    let (_, task) =
        service.post("/plugins/kimchi/vms/idle/migrate", &json!({"destination": "beta", "password": secret}));
    assert!(!task.to_string().contains(secret));
    for body in [json!({"destination": secret, "password": [secret]}), json!({"password": {"a": secret}})] {
        let (_, error) = service.post("/plugins/kimchi/vms/web/migrate", &body);
        assert!(!error["reason"].as_str().unwrap().contains(secret), "{error}");
    }
    service.wait("/plugins/kimchi/tasks/1", |task| task["status"] != "running");
    let journal = service.text("GET", "/api/v1/migrations/1/journal", &[], None).1;
    assert!(!journal.contains(secret));
    assert_ne!(service.get("/api/v1/audit").1, Value::Null);
    service.process.kill();
    for file in ["store", "store-wal"] {
        let bytes = std::fs::read(folder.path(file)).unwrap();
        let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "{file} holds the password");
    }
}
