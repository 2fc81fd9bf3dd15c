//! Definitions for the destination: who may give one, what of it is written down, and what a restart does with that.

use serde_json::json;
use sqlx::Connection as _;

use crate::guards::token;
use crate::harness::{Folder, Service, world};

const SECRETS: [&str; 2] = ["VncSecret99", "ArgSecret99"];

fn definition() -> String {
    let [password, argument] = SECRETS;
    format!(
        "<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><name>database</name>\
         <uuid>06b3ad31-49ad-4000-8001-ad3149ad2458</uuid><memory unit='GiB'>4</memory><vcpu>1</vcpu>\
         <os><type arch='x86_64' machine='pc-i440fx-7.2'>hvm</type></os><cpu mode='custom'><model>EPYC-Rome</model></cpu>\
         <devices><interface type='network'><source network='default'/><model type='virtio'/></interface>\
         <graphics type='vnc' passwd='{password}'/></devices>\
         <qemu:commandline><qemu:arg value='secret,data={argument}'/></qemu:commandline></domain>"
    )
}

#[test]
fn a_definition_needs_a_role_of_its_own() {
    let folder = Folder::new();
    let tokens = folder.path("tokens");
    let made = ["operator", "define", "admin"].map(|role| token(role, role));
    std::fs::write(&tokens, made.iter().map(|(_, entry)| entry.as_str()).collect::<String>()).unwrap();
    let mut service = Service::start(&folder.path("store"), &["--tokens", tokens.to_str().unwrap()]);
    let plain = json!({"guest": "web", "destination": "sim://beta"});
    let mut defined = plain.clone();
    defined["destination_xml"] = json!(definition());
    for ((token, _), status) in made.iter().zip([403, 200, 200]) {
        service.with_token(token);
        assert_eq!(service.post("/api/v1/preflight", &plain).0, 200);
        for path in ["/api/v1/preflight", "/api/v1/migrations?dry_run=true"] {
            let (answered, answer) = service.post(path, &defined);
            assert_eq!(answered, status, "{answer}");
            if status == 403 {
                assert_eq!(answer["code"], "role.too-low", "{answer}");
                assert!(answer["detail"].as_str().unwrap().contains("`define` is needed"), "{answer}");
            }
        }
    }
    service.with_token(&made[0].0);
    assert_eq!(service.post("/api/v1/migrations", &defined).0, 403);
    service.with_token(&made[1].0);
    assert_eq!(service.get("/api/v1/audit").0, 403, "it is not an administrator");
    for text in ["no XML", "<network/>", "<domain", "<domain><name>[redacted by whimbrel]</name></domain>"] {
        defined["destination_xml"] = json!(text);
        assert_eq!(service.post("/api/v1/migrations", &defined).0, 422, "{text}");
    }
    defined["destination_xml"] = json!(definition());
    assert_eq!(service.post("/api/v1/migrations", &defined).0, 202);
}

#[test]
fn secrets_are_not_written_down_and_an_adopted_migration_begins_no_copy_without_them() {
    let folder = Folder::new();
    let (socket, store) = (folder.path("world"), folder.path("store"));
    let _world = world(&socket, &[]);
    let start = || Service::start(&store, &["--sim-server", socket.to_str().unwrap(), "--log-commands"]);
    let mut service = start();
    let order = json!({"guest": "database", "destination": "sim://beta", "destination_xml": definition(),
        "bandwidth_limit_bytes_per_second": 30 << 20});
    let key = &[("content-type", "application/json"), ("idempotency-key", "one")][..];
    let send = |service: &Service| service.ask("POST", "/api/v1/migrations", key, Some(&order.to_string()));
    assert_eq!(send(&service).0, 202);
    let again = send(&service);
    assert_eq!((again.0, &again.1["id"]), (202, &json!("1")), "{}", again.1);
    service.wait("/api/v1/migrations/1", |one| one["account"]["phase"] == "precopy");
    // What goes on is driven on from the record as any other.
    service.process.kill();
    let mut service = start();
    assert_eq!(service.post("/api/v1/migrations/1/cancel", &json!({})).1["answer"], "cancelled");
    let shown =
        ["/api/v1/migrations/1", "/api/v1/migrations/1/journal", "/api/v1/audit", "/api/v1/migrations"]
            .map(|path| service.text("GET", path, &[], None).1)
            .join("\n");
    let log = service.log();
    service.process.kill();
    let mut kept = shown.into_bytes();
    kept.extend(log.into_bytes());
    for file in ["store", "store-wal", "store-shm"] {
        kept.extend(std::fs::read(folder.path(file)).unwrap_or_default());
    }
    for secret in SECRETS {
        assert!(!kept.windows(secret.len()).any(|window| window == secret.as_bytes()), "{secret} is kept");
    }
    // As if the service had been killed before the first command.
    forget(&store);
    let service = start();
    let one = service.wait("/api/v1/migrations/1", |one| one["state"] != "running");
    assert_eq!(
        (&one["state"], &one["outcome"]["guest"], &one["outcome"]["cause"]),
        (&json!("failed"), &json!("untouched"), &json!("driver_restarted")),
        "{one}"
    );
    let (_, guest) = service.get("/api/v1/guests/database");
    assert_eq!((&guest["host"], &guest["run"]), (&json!("sim://alpha"), &json!("running")), "{guest}");
}

/// Takes a migration's records and its end away.
fn forget(store: &std::path::Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(store);
        let mut connection = sqlx::sqlite::SqliteConnection::connect_with(&options).await.unwrap();
        let text =
            "DELETE FROM event; DELETE FROM record; UPDATE migration SET ended_at_ms = NULL, outcome = NULL";
        sqlx::raw_sql(text).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    });
}
