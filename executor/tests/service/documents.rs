//! Bodies: an array is never taken for an object, at no route and at no depth; a refusal says what is expected.

use serde_json::{Value, json};

use crate::harness::{Folder, Service};

/// A migration that runs long enough to be reacted to.
fn running(service: &Service) {
    let order = json!({"guest": "database", "destination": "sim://beta", "bandwidth_limit_bytes_per_second": 30 << 20});
    assert_eq!(service.post("/api/v1/migrations", &order).0, 202);
    service.wait("/api/v1/migrations/1", |one| one["account"]["phase"] == "precopy");
}

#[test]
fn an_array_is_no_order() {
    let folder = Folder::new();
    let service = Service::start(&folder.path("store"), &[]);
    // Every field of the order by position, as far as they have to be there.
    let order = json!(["web", "sim://beta"]);
    for path in ["/api/v1/preflight", "/api/v1/migrations", "/api/v1/migrations?dry_run=true"] {
        for body in [&order, &json!([]), &json!([{"guest": "web", "destination": "sim://beta"}])] {
            let (status, problem) = service.post(path, body);
            assert_eq!(
                (status, &problem["code"]),
                (422, &json!("request.invalid")),
                "{path} {body}: {problem}"
            );
            let detail = problem["detail"].as_str().unwrap();
            assert!(
                detail.contains("an array, expected an object with named fields"),
                "{path} {body}: {detail}"
            );
        }
    }
    let (status, error) = service.post("/plugins/kimchi/vms/web/migrate", &json!(["beta"]));
    assert_eq!((status, &error["code"]), (422, &json!("422 Unprocessable Entity")), "{error}");
    assert!(error["reason"].as_str().unwrap().contains("expected an object with named fields"), "{error}");
    assert_eq!(service.get("/api/v1/migrations").1, json!({"migrations": []}), "nothing was begun");
}

#[test]
fn an_array_is_no_reaction_and_no_limit() {
    let folder = Folder::new();
    let service = Service::start(&folder.path("store"), &[]);
    running(&service);
    let react = |wanted: &Value| service.post("/api/v1/migrations/1/reactions", wanted);
    for wanted in [
        json!({"pause": []}),
        json!({"postcopy": []}),
        json!({"downtime_limit": [700]}),
        json!({"bandwidth_limit": [4_194_304]}),
        json!([]),
        json!([{"ms": 700}]),
        json!([null, null, {}]),
    ] {
        let (status, problem) = react(&wanted);
        assert_eq!((status, &problem["code"]), (422, &json!("request.invalid")), "{wanted}: {problem}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("an array, expected an object with named fields"), "{wanted}: {detail}");
    }
    for wanted in [json!({}), json!({"pause": {}, "postcopy": {}}), json!({"pause": null})] {
        let (status, problem) = react(&wanted);
        assert_eq!((status, &problem["code"]), (422, &json!("request.invalid")), "{wanted}: {problem}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            detail.contains("exactly one of `downtime_limit`, `bandwidth_limit`, `pause` and `postcopy`"),
            "{detail}"
        );
    }
    let journal = service.text("GET", "/api/v1/migrations/1/journal", &[], None).1;
    assert!(!journal.contains("\"react\""), "a reaction was carried out: {journal}");
}

#[test]
fn what_is_no_password_is_refused_in_words_that_are_right() {
    let folder = Folder::new();
    let service = Service::start(&folder.path("store"), &[]);
    let order = json!({"guest": "web", "destination": "sim://beta", "password": {"a": "b"}});
    let (status, problem) = service.post("/api/v1/migrations", &order);
    assert_eq!(status, 422, "{problem}");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("expected a password: a string of at most 1024 characters"), "{detail}");
}

#[test]
fn a_reaction_that_was_not_carried_out_is_an_error() {
    let folder = Folder::new();
    let service = Service::start(&folder.path("store"), &[]);
    running(&service);
    let react = |wanted: Value| service.post("/api/v1/migrations/1/reactions", &wanted);
    let refused = |(status, answer): (u16, Value), code: &str| {
        assert_eq!(
            (status, &answer["code"], &answer["result"]),
            (409, &json!(code), &json!(code)),
            "{answer}"
        );
        for field in ["title", "detail", "guest", "remedy", "description"] {
            assert!(answer[field].is_string(), "{field} is missing: {answer}");
        }
    };
    refused(react(json!({"postcopy": {}})), "not_allowed");
    let (status, answer) = react(json!({"downtime_limit": {"ms": 400}}));
    assert_eq!((status, &answer["result"]), (200, &json!("done")), "{answer}");
    assert_eq!(service.post("/api/v1/migrations/1/cancel", &json!({})).0, 200);
    refused(react(json!({"pause": {}})), "too_late");
}

#[test]
fn a_cancel_that_came_too_late_is_an_error_that_says_where_the_guest_is() {
    let folder = Folder::new();
    let service = Service::start(&folder.path("store"), &["--sim-speed", "8"]);
    service.post("/api/v1/migrations", &json!({"guest": "web", "destination": "sim://beta"}));
    service.wait("/api/v1/migrations/1", |one| one["state"] == "completed");
    let (status, answer) = service.post("/api/v1/migrations/1/cancel", &json!({}));
    assert_eq!(
        (status, &answer["answer"], &answer["code"]),
        (409, &json!("too_late"), &json!("too_late")),
        "{answer}"
    );
    assert_eq!(
        (&answer["guest"], &answer["migration"]["state"]),
        (&json!("on the destination"), &json!("completed"))
    );
    assert!(answer["remedy"].is_string() && answer["recovery"].is_array(), "{answer}");
    let (status, task) = service.ask("DELETE", "/plugins/kimchi/tasks/1", &[], None);
    assert_eq!(
        (status, &task["answer"], &task["code"]),
        (409, &json!("too_late"), &json!("409 Conflict")),
        "{task}"
    );
    assert!(task["reason"].as_str().unwrap().starts_with("too_late: "), "{task}");
    let program = env!("CARGO_BIN_EXE_whimbrel");
    let run = |arguments: &[&str]| {
        let output = std::process::Command::new(program)
            .args(arguments)
            .args(["--service", &service.address])
            .output();
        let output = output.unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(run(&["cancel", "1"]), (Some(1), "too late: the migration had completed\n".to_owned()));
    let (code, out) = run(&["cancel", "1", "--json"]);
    assert_eq!((code, out.contains("\"answer\":\"too_late\"")), (Some(1), true), "{out}");
    let (code, out) = run(&["tune", "1", "pause"]);
    assert_eq!((code, out.lines().count()), (Some(1), 1), "{out}");
    assert_eq!(run(&["cancel", "9"]).0, Some(1));
}

/// A report from the field: nothing was cancelled, so a success would be wrong.
#[test]
fn a_cancel_of_a_refused_migration_cancels_nothing() {
    let folder = Folder::new();
    let service = Service::start(&folder.path("store"), &[]);
    let order = json!({"guest": "web", "destination": "sim://alpha"});
    assert_eq!(service.post("/api/v1/migrations", &order).0, 202);
    let one = service.wait("/api/v1/migrations/1", |one| one["state"] == "failed");
    assert_eq!(one["outcome"]["cause"], "rules_refused", "{one}");
    let found = one["account"]["findings"].as_array().unwrap();
    assert!(found.iter().any(|one| one["code"] == "destination.is-source"), "{one}");
    let (status, answer) = service.post("/api/v1/migrations/1/cancel", &json!({}));
    assert_eq!(
        (status, &answer["answer"], &answer["code"], &answer["guest"]),
        (409, &json!("too_late"), &json!("too_late"), &json!("on the source")),
        "{answer}"
    );
    let (status, task) = service.ask("DELETE", "/plugins/kimchi/tasks/1", &[], None);
    assert_eq!((status, &task["answer"]), (409, &json!("too_late")), "{task}");
}
