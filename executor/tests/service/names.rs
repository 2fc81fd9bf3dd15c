//! Guests of one name on several hosts, and names that are meant to do harm.

use serde_json::{Value, json};

use crate::harness::{Folder, Service};

#[test]
fn a_name_that_two_hosts_have_is_answered_with_both() {
    let folder = Folder::new();
    let service = Service::start(&folder.path("store"), &["--sim-speed", "8"]);
    let (_, list) = service.get("/api/v1/guests");
    let guests: Vec<_> =
        list["guests"].as_array().unwrap().iter().filter(|one| one["name"] == "proxy").collect();
    assert_eq!(guests.len(), 2);
    assert_ne!(guests[0]["uuid"], guests[1]["uuid"]);
    let by_name_alone = json!({"guest": "proxy", "destination": "sim://alpha"});
    for (status, problem) in [
        service.get("/api/v1/guests/proxy"),
        service.post("/api/v1/preflight", &by_name_alone),
        service.post("/api/v1/migrations", &by_name_alone),
        service.post("/api/v1/migrations?dry_run=true", &by_name_alone),
    ] {
        assert_eq!((status, &problem["code"]), (409, &json!("guest.ambiguous")), "{problem}");
        let detail = problem["detail"].as_str().unwrap();
        for guest in &guests {
            assert!(detail.contains(guest["host"].as_str().unwrap()), "{detail}");
            assert!(detail.contains(guest["uuid"].as_str().unwrap()), "{detail}");
        }
        assert!(problem["remedy"].as_str().unwrap().contains("`source`"), "{problem}");
    }
    let (status, one) = service.get("/api/v1/guests/proxy?host=sim%3A%2F%2Fgamma");
    assert_eq!((status, &one["host"]), (200, &json!("sim://gamma")), "{one}");
    assert_eq!(service.get("/api/v1/guests/proxy?host=qemu%3A%2F%2F%2Fsystem").1["code"], "host.unknown");
    assert_eq!(service.get("/api/v1/guests/proxy?hots=x").0, 400);
}

#[test]
fn two_guests_of_one_name_are_migrated_at_once_and_each_is_busy_by_itself() {
    let folder = Folder::new();
    let service = Service::start(&folder.path("store"), &[]);
    let order = |source: &str| json!({"guest": "proxy", "source": source, "destination": "sim://alpha"});
    let (status, first) = service.post("/api/v1/migrations", &order("sim://gamma"));
    assert_eq!(status, 202, "{first}");
    assert_eq!(service.post("/api/v1/migrations", &order("sim://gamma")).1["code"], "guest.busy");
    let (_, list) = service.get("/api/v1/guests");
    let of = |host: &str| {
        let mut guests = list["guests"].as_array().unwrap().iter();
        guests.find(|one| one["name"] == "proxy" && one["host"] == host).unwrap()["migration"].clone()
    };
    assert_eq!((of("sim://beta"), of("sim://gamma")), (Value::Null, first["id"].clone()));
    let away = json!({"guest": "proxy", "source": "sim://beta", "destination": "sim://gamma"});
    let (status, second) = service.post("/api/v1/migrations", &away);
    assert_eq!(status, 202, "another guest of the name is not busy: {second}");
}

#[test]
fn names_with_slashes_zeros_and_script_reach_nothing() {
    let folder = Folder::new();
    let service = Service::start(&folder.path("store"), &[]);
    let body = json!({"destination": "beta"});
    let script = "%3Cscript%3Ealert(1)%3C%2Fscript%3E";
    for name in ["a%2Fb", "%2F..%2Fweb", "%00", "web%00", "a%0D%0Ab", "%FF", script] {
        for path in [format!("/api/v1/guests/{name}"), format!("/plugins/kimchi/vms/{name}")] {
            let (status, answer) = service.text("GET", &path, &[], None);
            assert_eq!(status, 400, "{path}: {answer}");
            assert!(!answer.contains("<script"), "{answer}");
        }
        let (status, answer) = service.post(&format!("/plugins/kimchi/vms/{name}/migrate"), &body);
        assert_eq!(status, 400, "{name}: {answer}");
    }
    for name in ["a/b", "web\u{0}", "<script>alert(1)</script>", "\u{202e}bew", "'; DROP TABLE migration; --"]
    {
        let order = json!({"guest": name, "destination": "sim://beta"});
        let (status, answer) = service.post("/api/v1/migrations", &order);
        assert!([400, 404].contains(&status), "{name}: {answer}");
    }
    for destination in ["sim://beta\u{0}", "<script>", "-oProxyCommand=x", "../../etc"] {
        let (status, answer) =
            service.post("/plugins/kimchi/vms/web/migrate", &json!({"destination": destination}));
        assert_eq!(status, 409, "{destination}: {answer}");
    }
    assert_eq!(service.get("/healthz").0, 200);
    assert_eq!(service.get("/api/v1/guests/web").0, 200);
}
