//! A guest that runs on two hosts: reported by its own code in every request for it, and never migrated.

use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Folder, Service};

/// Somebody lets the guest run on the source again when the destination has just begun to run it.
const TWICE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/page/twice.toml");

fn show(service: &Service) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_whimbrel"));
    let output = command.args(["show", "1", "--service", &service.address]).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_guest_that_runs_twice_is_told_and_is_not_migrated() {
    let folder = Folder::new();
    let service = Service::start(&folder.path("store"), &["--sim-scenario", TWICE, "--sim-speed", "4"]);
    let order = json!({"guest": "wren", "destination": "sim://beta", "doubt_patience_ms": 5_000});
    let (status, begun) = service.post("/api/v1/migrations", &order);
    assert_eq!(status, 202, "{begun}");
    service.wait("/api/v1/migrations/1", |one| {
        let account = &one["account"];
        account["phase"] == "resolving"
            && account["seen_on_source"] == "running"
            && account["seen_on_destination"] == "running"
    });
    let said = show(&service);
    assert!(said.contains("phase resolving, guest owned by being found out"), "{said}");
    assert!(said.contains("seen on the source: running; on the destination: running\n"), "{said}");
    assert!(said.contains("two copies run: destroy neither before reading docs/in-doubt.md\n"), "{said}");
    service.wait("/api/v1/migrations/1", |one| one["state"] == "in_doubt");
    let said = show(&service);
    assert!(
        said.contains("was seen running on BOTH alpha and beta.\nTotal time "),
        "each matter has its line: {said}"
    );
    assert!(!said.contains("\\n"), "{said}");

    let named =
        |source: Option<&str>| json!({"guest": "wren", "source": source, "destination": "sim://beta"});
    let kimchi = service.post("/plugins/kimchi/vms/wren/migrate", &json!({"destination": "beta"}));
    assert!(
        kimchi.0 == 409 && kimchi.1["reason"].as_str().unwrap().starts_with("guest.running_twice: `wren`")
    );
    for (status, problem) in [
        service.get("/api/v1/guests/wren"),
        service.post("/api/v1/preflight", &named(None)),
        service.post("/api/v1/migrations", &named(None)),
        service.post("/api/v1/migrations", &named(Some("sim://alpha"))),
        service.post("/api/v1/migrations?dry_run=true", &named(Some("sim://beta"))),
    ] {
        assert_eq!((status, &problem["code"]), (409, &json!("guest.running_twice")), "{problem}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("`sim://alpha`") && detail.contains("`sim://beta`"), "{detail}");
        assert_eq!(detail.matches("UUID").count(), 1, "{detail}");
        assert!(problem["remedy"].as_str().unwrap().contains("docs/in-doubt.md"), "{problem}");
    }
    let (_, list) = service.get("/api/v1/guests");
    let also: Vec<_> =
        list["guests"].as_array().unwrap().iter().map(|one| one["also_runs_on"].clone()).collect();
    assert_eq!(also, [json!(["sim://beta"]), json!(["sim://alpha"])]);
    let (status, help) = service.text("GET", "/page/in-doubt.md", &[], None);
    assert!(status == 200 && help.contains("## Two running copies"), "{help}");
    assert_ne!(service.get("/api/v1/migrations").1["migrations"][0]["id"], Value::Null);
    assert_eq!(service.get("/api/v1/migrations/2").0, 404, "none of these began anything");
}
