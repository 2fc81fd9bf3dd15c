//! Many guests against many destinations in one request.

use serde_json::{Value, json};

use crate::harness::{Folder, Service};

const PATH: &str = "/api/v1/preflight/matrix";

#[test]
fn every_guest_is_checked_with_every_destination_and_placed_once() {
    let folder = Folder::new();
    let service = Service::start(&folder.path("store"), &["--sim-guests", "3"]);
    let request =
        json!({"sources": ["sim://alpha"], "destinations": ["sim://beta", "sim://alpha", "sim://beta"]});
    let (status, answer) = service.post(PATH, &request);
    assert_eq!(status, 200, "{answer}");
    let pairs = answer["pairs"].as_array().unwrap();
    let guests: Vec<Value> = service.get("/api/v1/guests").1["guests"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|guest| guest["host"] == "sim://alpha" && guest["run"] != "not_running")
        .map(|guest| guest["name"].clone())
        .collect();
    assert!(guests.len() > 1 && pairs.len() == 2 * guests.len(), "each destination once: {answer}");
    for pair in pairs {
        assert!(guests.contains(&pair["guest"]), "{pair}");
        let codes: Vec<&Value> = pair["reasons"].as_array().unwrap().iter().map(|one| &one["code"]).collect();
        assert_eq!(pair["allowed"] == true, codes.is_empty(), "{pair}");
        if pair["destination"] == "sim://alpha" {
            assert!(codes.contains(&&json!("destination.is-source")), "{pair}");
            assert!(
                pair["reasons"][0]["message"].is_string() && pair["reasons"][0]["remediation"].is_string()
            );
        }
    }
    let placement = answer["placement"].as_array().unwrap();
    let placed: usize = placement.iter().map(|one| one["guests"].as_array().unwrap().len()).sum();
    let unplaced = answer["unplaced"].as_array().unwrap().len();
    assert_eq!((placement.len(), placed + unplaced), (2, guests.len()), "{answer}");
    assert_eq!(answer["together"] == "fail", unplaced > 0, "{answer}");
    assert_eq!(answer["rules"], service.get("/api/v1/rules").1["set"]);
    assert_eq!(service.get("/api/v1/migrations").1, json!({"migrations": []}), "nothing was begun");
    // The same as the command line, which shares the code and not the process.
    let one = json!({"sources": ["sim://alpha"], "destinations": ["sim://beta"], "guests": [guests[0]]});
    let (status, answer) = service.post(PATH, &one);
    assert_eq!((status, answer["pairs"].as_array().unwrap().len()), (200, 1), "{answer}");
}

#[test]
fn lists_are_bounded_and_refusals_are_problems() {
    let folder = Folder::new();
    let service = Service::start(&folder.path("store"), &[]);
    let many = |count: usize| vec!["sim://alpha"; count];
    let request = |sources: Value, destinations: Value, guests: Value| json!({"sources": sources, "destinations": destinations, "guests": guests});
    let none = json!([]);
    for (body, status, code, detail) in [
        (request(json!([]), json!(["sim://beta"]), none.clone()), 422, "request.invalid", "sources"),
        (request(json!(["sim://alpha"]), json!([]), none.clone()), 422, "request.invalid", "destinations"),
        (request(json!(many(17)), json!(["sim://beta"]), none.clone()), 422, "request.invalid", "16"),
        (request(json!(["sim://alpha"]), json!(many(17)), none.clone()), 422, "request.invalid", "16"),
        (
            request(json!(many(1)), json!(["sim://beta"]), json!(vec!["web"; 201])),
            422,
            "request.invalid",
            "200",
        ),
        (
            request(json!(many(1)), json!(["sim://beta"]), json!(["no\nname"])),
            400,
            "request.malformed",
            "name",
        ),
        (request(json!(many(1)), json!(["sim://beta"]), json!(["nowhere"])), 404, "guest.unknown", "nowhere"),
        (
            request(json!(["sim://nowhere"]), json!(["sim://beta"]), none.clone()),
            404,
            "host.unknown",
            "nowhere",
        ),
        (
            request(json!(["sim://alpha"]), json!(["qemu+ssh://beta/system"]), none.clone()),
            403,
            "destination.not-allowed",
            "beta",
        ),
        (json!({"sources": ["sim://alpha"]}), 422, "request.invalid", "destinations"),
        (json!(["sim://alpha"]), 422, "request.invalid", "an array"),
    ] {
        let (found, problem) = service.post(PATH, &body);
        assert_eq!((found, &problem["code"]), (status, &json!(code)), "{body}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(detail), "{body}: {problem}");
        assert!(problem["remedy"].is_string() && problem["guest"].is_string(), "{problem}");
    }
    // A destination that does not answer takes no guest, and is no error.
    let gone = request(json!(["sim://alpha"]), json!(["sim://nowhere", "sim://beta"]), json!(["web"]));
    let (status, answer) = service.post(PATH, &gone);
    assert_eq!((status, &answer["pairs"][0]["reasons"][0]["code"]), (200, &json!("host")), "{answer}");
    assert_eq!(answer["pairs"][1]["allowed"], true, "{answer}");
}

/// More guests than one request may check are refused before any of them is.
#[test]
fn too_many_guests_are_refused() {
    let folder = Folder::new();
    let service = Service::start(&folder.path("store"), &["--sim-guests", "201"]);
    let (status, problem) =
        service.post(PATH, &json!({"sources": ["sim://alpha"], "destinations": ["sim://beta"]}));
    assert_eq!((status, &problem["code"]), (422, &json!("preflight.too-many-guests")), "{problem}");
}

#[test]
fn the_description_has_the_bounds_and_every_field() {
    let folder = Folder::new();
    let service = Service::start(&folder.path("store"), &[]);
    let (_, api) = service.get("/api/v1/openapi.json");
    let operation = &api["paths"][PATH]["post"];
    assert_eq!(
        operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"],
        "#/components/schemas/Matrix"
    );
    let schemas = &api["components"]["schemas"];
    let wanted = &schemas["MatrixWanted"]["properties"];
    assert_eq!((&wanted["sources"]["maxItems"], &wanted["guests"]["maxItems"]), (&json!(16), &json!(200)));
    let request = json!({"sources": ["sim://alpha"], "destinations": ["sim://beta"]});
    let (_, answer) = service.post(PATH, &request);
    let fields = |document: &Value| document.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(fields(&answer), fields(&schemas["Matrix"]["properties"]));
    assert_eq!(fields(&answer["pairs"][0]), fields(&schemas["MatrixPair"]["properties"]));
    assert_eq!(fields(&answer["placement"][0]), fields(&schemas["Placement"]["properties"]));
}
