//! Access control, and requests that are refused from every client.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::harness::{Folder, Service};

pub(crate) fn token(name: &str, role: &str) -> (String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_whimbrel")).args(["token", name, role]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    (said.trim().rsplit(' ').next().unwrap().to_owned(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn tokens_let_in_by_their_roles() {
    let folder = Folder::new();
    let tokens = folder.path("tokens");
    let made = ["viewer", "operator", "admin"].map(|role| token(role, role));
    std::fs::write(&tokens, made.iter().map(|(_, entry)| entry.as_str()).collect::<String>()).unwrap();
    assert!(!std::fs::read_to_string(&tokens).unwrap().contains(&made[0].0), "the file holds digests only");
    let mut service = Service::start(&folder.path("store"), &["--tokens", tokens.to_str().unwrap()]);
    assert_eq!(service.get("/api/v1/guests").0, 401);
    assert_eq!(service.get("/").0, 200, "the page requests the token");
    service.with_token("whimbrel_0000");
    assert_eq!(service.get("/api/v1/guests").1["code"], "token.missing");
    let order = json!({"guest": "idle", "destination": "sim://beta"});
    for ((token, _), (looks, begins, audits)) in
        made.iter().zip([(200, 403, 403), (200, 202, 403), (200, 409, 200)])
    {
        service.with_token(token);
        assert_eq!(service.get("/api/v1/guests").0, looks);
        assert_eq!(service.post("/api/v1/migrations", &order).0, begins);
        assert_eq!(service.get("/api/v1/audit").0, audits);
        assert_eq!(service.post("/api/v1/rules/reload", &json!({})).0, audits);
    }
    let (_, audit) = service.get("/api/v1/audit");
    let entries = audit.as_array().unwrap();
    let has = |caller: &str, status: u16| {
        entries.iter().any(|entry| entry["caller"] == caller && entry["status"] == status)
    };
    assert!(has("nobody", 401) && has("viewer", 403) && has("operator", 202), "{audit}");
}

#[test]
fn other_machines_get_in_with_tls_and_tokens_only() {
    let folder = Folder::new();
    let output = Command::new(env!("CARGO_BIN_EXE_whimbrel"))
        .args(["serve", "--listen", "0.0.0.0:0", "--store", folder.path("store").to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("needs TLS and tokens"));
}

#[test]
fn over_tls_the_command_line_is_let_in_with_its_token() {
    let folder = Folder::new();
    let tls = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls");
    let (certificate, key) = (tls.join("certificate.pem"), tls.join("key.pem"));
    let (secret, entry) = token("anna", "viewer");
    let (tokens, held) = (folder.path("tokens"), folder.path("token"));
    std::fs::write(&tokens, entry).unwrap();
    std::fs::write(&held, &secret).unwrap();
    let paths = [&certificate, &key, &tokens].map(|path| path.to_str().unwrap().to_owned());
    let [certificate, key, tokens] = &paths;
    let service = Service::start(
        &folder.path("store"),
        &["--certificate", certificate, "--key", key, "--tokens", tokens],
    );
    assert!(service.address.starts_with("https://"));
    let list = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_whimbrel"));
        command.args(["list", "--json", "--service", &service.address]).args(more);
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let held = held.to_str().unwrap();
    let (code, out) = list(&["--ca", certificate, "--token-file", held]);
    assert_eq!((code, out.trim()), (Some(0), "{\"migrations\":[]}"));
    assert_eq!(list(&["--ca", certificate]).0, Some(1), "without a token");
    assert_eq!(list(&["--ca", held, "--token-file", held]).0, Some(1), "no CA verifies the service");
}

#[test]
fn the_command_line_shows_cancels_and_follows() {
    let folder = Folder::new();
    let service = Service::start(&folder.path("store"), &[]);
    service.post(
        "/api/v1/migrations",
        &json!({"guest": "database", "destination": "sim://beta", "bandwidth_limit_bytes_per_second": 40 << 20}),
    );
    service.wait("/api/v1/migrations/1", |one| one["account"]["phase"] == "precopy");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_whimbrel"));
        let output = command.args(arguments).args(["--service", &service.address]).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    assert!(run(&["list"]).1.contains("database from sim://alpha to sim://beta"));
    assert!(run(&["show", "1"]).1.contains("phase precopy, guest owned by source"));
    assert_eq!(run(&["tune", "1", "bandwidth", "50"]), (Some(0), "done\n".to_owned()));
    assert_eq!(run(&["tune", "1", "postcopy"]).0, Some(1));
    let (code, out) = run(&["cancel", "1"]);
    assert_eq!(code, Some(0), "{out}");
    assert!(
        out.contains("cancelled: the guest is on the source\nrestored: the bandwidth limit was restored"),
        "{out}"
    );
    let (code, out) = run(&["watch", "1"]);
    assert_eq!(code, Some(4), "{out}");
    assert!(out.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
    assert_eq!(run(&["show", "7"]).0, Some(1));
}

#[test]
fn foreign_pages_and_names_are_refused() {
    let folder = Folder::new();
    let service = Service::start(&folder.path("store"), &[]);
    let order = json!({"guest": "idle", "destination": "sim://beta"}).to_string();
    let json = ("content-type", "application/json");
    for foreign in [("origin", "https://example.org"), ("sec-fetch-site", "cross-site"), ("origin", "null")] {
        let (status, problem) = service.ask("POST", "/api/v1/migrations", &[json, foreign], Some(&order));
        assert_eq!((status, &problem["code"]), (403, &json!("origin.foreign")), "{foreign:?}");
    }
    let rebound = service.ask("GET", "/api/v1/guests", &[("host", "example.org")], None);
    assert_eq!((rebound.0, &rebound.1["code"]), (403, &json!("host.foreign")));
    let own = ("origin", service.address.as_str());
    assert_eq!(service.ask("POST", "/api/v1/migrations", &[json, own], Some(&order)).0, 202);
}

#[test]
fn what_cannot_be_is_refused_with_a_problem() {
    let folder = Folder::new();
    let service = Service::start(&folder.path("store"), &[]);
    let json = &[("content-type", "application/json")][..];
    let send = |headers, body: &str| service.ask("POST", "/api/v1/migrations", headers, Some(body));
    let oversized = format!("{{\"guest\":\"{}\"}}", "x".repeat(70_000));
    for (headers, body, status) in [
        (json, "{", 400),
        (json, oversized.as_str(), 413),
        (json, "{\"guest\":\"web\"}", 422),
        (json, "{\"guest\":\"web\",\"destination\":\"sim://beta\",\"surprise\":1}", 422),
        (json, "{\"guest\":\"no-such-guest\",\"destination\":\"sim://beta\"}", 404),
        (json, "{\"guest\":\"a\\u0000b\",\"destination\":\"sim://beta\"}", 400),
        (&[][..], "{}", 415),
    ] {
        let (told, problem) = send(headers, body);
        assert_eq!(told, status, "{problem}");
        assert_eq!(problem["status"], status);
    }
    for name in ["a%2Fb", "%00", "a%0Ab", "%FF"] {
        let (status, problem) = service.get(&format!("/api/v1/guests/{name}"));
        assert_eq!(status, 400, "{name}: {problem}");
    }
    for name in ["%D0%B2%D0%B5%D0%B1", "..", "%27%3B--", "%3Cb%3E"] {
        let (status, _) = service.get(&format!("/api/v1/guests/{name}"));
        assert!([404, 405].contains(&status), "{name}: {status}");
    }
    assert_eq!(service.get("/api/v1/nothing").1["code"], "route.unknown");
    assert_eq!(service.ask("DELETE", "/api/v1/guests", &[], None).1["code"], "method.not-allowed");
}

#[test]
fn who_is_slow_is_hung_up_on() {
    let folder = Folder::new();
    let service = Service::start(&folder.path("store"), &[]);
    let begin = |request: &[u8]| {
        let mut stream = TcpStream::connect(service.address.strip_prefix("http://").unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(request).unwrap();
        stream
    };
    let body = b"POST /api/v1/migrations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                 Content-Length: 60\r\nConnection: close\r\n\r\n{\"guest\":";
    let mut slow = [begin(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: "), begin(body)];
    let answers = slow.each_mut().map(|stream| {
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        assert!(read.is_ok(), "the service waits for ever: {read:?}");
        String::from_utf8(answer).unwrap()
    });
    assert!(answers[1].starts_with("HTTP/1.1 408"), "{answers:?}");
}

#[test]
fn who_asks_too_often_has_to_wait() {
    let folder = Folder::new();
    let service = Service::start_with_rate(&folder.path("store"), 5);
    let statuses: Vec<_> = (0..40).map(|_| service.get("/healthz").0).collect();
    assert!(statuses[..5].iter().all(|status| *status == 200), "{statuses:?}");
    assert!(statuses.contains(&429), "{statuses:?}");
}
