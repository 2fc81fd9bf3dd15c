//! The rules' verbs as their users meet them: on files, and on simulated hosts.

#![cfg(test)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

/// A folder of this test's own, which goes with the guard.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("whimbrel-rules-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn whimbrel_in(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_whimbrel"));
    // The compiled packs are this test's own.
    command.current_dir(folder).env("XDG_CACHE_HOME", std::env::temp_dir().join("whimbrel-rules-cache"));
    // No journal of an earlier migration may be found.
    command.env("XDG_STATE_HOME", std::env::temp_dir().join("whimbrel-rules-state"));
    command.args(arguments).output().unwrap()
}

fn whimbrel(arguments: &[&str]) -> Output {
    whimbrel_in(&std::env::temp_dir(), arguments)
}

fn text(output: &Output) -> String {
    let both = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    both.concat()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(output)))
}

#[test]
fn check_of_simulated_hosts_says_everything_and_changes_nothing() {
    let checked = whimbrel(&["check", "web", "sim://beta", "--source", "sim://alpha", "--format", "json"]);
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked));
    let document = json(&checked);
    assert!(document["schema"].as_str().unwrap().starts_with("whimbrel.judgement/"));
    let findings = document["findings"].as_array().unwrap();
    assert!(findings.len() >= 70);
    assert!(findings.iter().all(|one| one["verdict"] != "fail"));
    let reason = document["forecast"]["unknown"].as_str().unwrap();
    assert!(reason.contains("is not measured before the copy"), "{reason}");

    let same = whimbrel(&["check", "web", "sim://alpha", "--source", "sim://alpha"]);
    assert_eq!(same.status.code(), Some(7), "{}", text(&same));
    assert!(text(&same).contains("destination.is-source"), "{}", text(&same));

    let missing = whimbrel(&["check", "no-such-guest", "sim://beta", "--source", "sim://alpha"]);
    assert_eq!(missing.status.code(), Some(1), "{}", text(&missing));
}

#[test]
fn check_measures_the_dirty_rate_and_forecasts_before_the_first_byte() {
    let check = |more: &[&str]| {
        let usual = ["check", "database", "sim://beta", "--source", "sim://alpha", "--sim-speed", "100"];
        whimbrel(&[&usual[..], &["--measure-dirty-rate"], more].concat())
    };
    let document = json(&check(&["--bandwidth", "1000", "--format", "json"]));
    let measured = &document["measured"];
    let rates: Vec<u64> = measured["dirty_rates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rate| rate["bytes_per_second"].as_u64().unwrap())
        .collect();
    assert!(rates.len() == 3 && rates.iter().all(|rate| *rate > 0), "{measured}");
    assert!(rates[0] >= rates[2], "a longer interval has no larger rate: {measured}");
    assert_eq!(measured["unknown"], Value::Null);
    let [forecast] = &measured["forecasts"].as_array().unwrap()[..] else { panic!("{measured}") };
    assert_eq!(forecast["bandwidth_bytes_per_second"], 1000 << 20);
    let chance = forecast["as_is"]["chance_ppm"].as_u64().unwrap();
    assert!(chance > 0 && chance < 1_000_000, "a measured phase proves nothing: {forecast}");

    // Without a limit the bandwidth is not known: usual links are assumed.
    let shown = text(&check(&[]));
    assert!(shown.contains("dirty rate: ") && shown.contains(" MiB/s over 5 s"), "{shown}");
    assert_eq!(shown.matches("forecast: ").count(), 3, "{shown}");

    // A host that cannot measure it leaves it unknown, and the check goes on.
    let old = check(&["--sim-qemu", "4.2", "--format", "json"]);
    let document = json(&old);
    let reason = document["measured"]["unknown"].as_str().unwrap();
    assert!(reason.contains("cannot be measured"), "{reason}");
    assert!(document["measured"]["forecasts"].as_array().unwrap().is_empty());
    assert!(!document["findings"].as_array().unwrap().is_empty());
}

#[test]
fn an_array_is_no_facts() {
    let folder = Folder::new();
    for facts in ["[]", "{\"guest\": []}", "{\"guest\": {}, \"source\": [\"x\"]}"] {
        let file = folder.file("facts.json", facts);
        let judged = whimbrel(&["rule", "check", "--facts", &file, "--format", "json"]);
        assert_eq!(judged.status.code(), Some(2), "{facts}: {}", text(&judged));
        assert!(text(&judged).contains("expected an object with named fields"), "{facts}: {}", text(&judged));
    }
}

#[test]
fn the_facts_of_a_migration_are_in_its_journal_and_judged_again_to_the_same_end() {
    let folder = Folder::new();
    let journal = folder.0.join("run.journal");
    let path = journal.to_str().unwrap();
    let migrate =
        ["migrate", "idle", "sim://beta", "--source", "sim://alpha", "--sim-speed", "100", "--journal", path];
    let moved = whimbrel(&migrate);
    assert_eq!(moved.status.code(), Some(0), "{}", text(&moved));
    let facts = whimbrel(&["facts", "from-journal", path]);
    assert_eq!(facts.status.code(), Some(0), "{}", text(&facts));
    let collected = whimbrel(&["facts", "collect", "idle", "sim://beta", "--source", "sim://alpha"]);
    assert_eq!(json(&facts)["guest"], json(&collected)["guest"]);
    let file = folder.file("facts.json", &String::from_utf8(facts.stdout).unwrap());
    let judged = whimbrel(&["rule", "check", "--facts", &file, "--format", "json"]);
    assert_eq!(judged.status.code(), Some(0), "{}", text(&judged));
    let set = fs::read_to_string(&journal).unwrap();
    assert!(set.contains(json(&judged)["set"].as_str().unwrap()), "the journal names the set of rules");
}

#[test]
fn a_policy_weighs_and_waives_and_a_wrong_one_is_refused_whole() {
    let folder = Folder::new();
    let same = ["check", "web", "sim://alpha", "--source", "sim://alpha", "--rule-settings"];
    let waived =
        "[[waiver]]\nrule = \"destination.is-source\"\nreason = \"a drill\"\nuntil = \"2999-01-01\"\n";
    let policy = folder.file("policy.toml", waived);
    let output = whimbrel(&[same.as_slice(), &[&policy]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(text(&output).contains("waived until 2999-01-01: a drill"), "{}", text(&output));
    let ended = folder.file("ended.toml", &waived.replace("2999", "1999"));
    assert_eq!(whimbrel(&[same.as_slice(), &[&ended]].concat()).status.code(), Some(7));
    let all = ["check", "--all-guests", "sim://alpha", "--to", "sim://alpha", "--rule-settings", &ended];
    let journal = folder.0.join("refused.journal");
    let migrate =
        ["migrate", "web", "sim://alpha", "--source", "sim://alpha", "--journal", journal.to_str().unwrap()];
    let migrate = [&migrate[..], &["--rule-settings", &ended]].concat();
    for (arguments, code) in [(&all[..], 7), (&migrate, 3)] {
        let output = whimbrel(arguments);
        assert_eq!(output.status.code(), Some(code), "{}", text(&output));
        assert!(text(&output).contains("expired on 1999-01-01: a drill"), "{}", text(&output));
    }
    let wrong = folder.file(
        "wrong.toml",
        "[rule.\"no.such\"]\nenabled = true\n[rule.\"destination.migrations\"]\nsettings = { most = \"four\" }\n",
    );
    let refused = whimbrel(&[same.as_slice(), &[&wrong]].concat());
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused).contains("no.such") && text(&refused).contains("most"), "{}", text(&refused));
}

#[test]
fn shipped_packs_are_listed_explained_and_pinned() {
    let folder = Folder::new();
    let rules = json(&whimbrel(&["rule", "list", "--format", "json"]));
    assert!(rules["rules"].as_array().unwrap().len() >= 70);
    let listed = text(&whimbrel(&["rule", "list"]));
    let lines: Vec<&str> = listed.lines().collect();
    let at = lines.iter().position(|line| line.starts_with("storage.identity ")).unwrap();
    assert!(lines[at].contains("fail/unknown"), "{}", lines[at]);
    assert!(lines[at + 1].contains("needs /") && lines[at + 1].contains("from whimbrel.storage (shipped)"));
    let explained = whimbrel(&["rule", "explain", "storage.identity"]);
    for part in [
        "Rationale: ",
        "Fix: ",
        "Can give: fail, unknown.",
        "/storage",
        "Source: whimbrel.storage",
        "(shipped)",
    ] {
        assert!(text(&explained).contains(part), "{part}: {}", text(&explained));
    }
    let document = json(&whimbrel(&["rule", "explain", "storage.identity", "--format", "json"]));
    assert_eq!(document["verdicts"], serde_json::json!(["fail", "unknown"]));
    assert_eq!(document["source"], "shipped");
    let near = whimbrel(&["rule", "explain", "storage.idenitty"]);
    assert!(text(&near).contains("did you mean `storage.identity`?"), "{}", text(&near));
    assert_eq!(whimbrel(&["rule", "explain", "engine.fuel"]).status.code(), Some(0));
    assert!(
        rules["rules"]
            .as_array()
            .unwrap()
            .iter()
            .all(|rule| !rule["verdicts"].as_array().unwrap().is_empty())
    );
    let unknown = whimbrel(&["rule", "explain", "no.such"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text(&unknown).contains("rule list"), "{}", text(&unknown));
    let schema = json(&whimbrel(&["rule", "schema"]));
    assert!(schema["properties"]["destination.migrations"].is_object());

    let lock = folder.0.join("rules.lock");
    let path = lock.to_str().unwrap();
    assert_eq!(whimbrel(&["rule", "lock", "--out", path]).status.code(), Some(0));
    assert_eq!(whimbrel(&["rule", "verify", "--lock", path]).status.code(), Some(0));
    let pinned = fs::read_to_string(&lock).unwrap();
    let digest = pinned.lines().find(|line| line.starts_with("sha256")).unwrap();
    fs::write(&lock, pinned.replacen(digest, "sha256 = \"00\"", 1)).unwrap();
    let other = whimbrel(&["rule", "verify", "--lock", path]);
    assert_ne!(other.status.code(), Some(0));
    assert!(text(&other).contains("is pinned"), "{}", text(&other));
    let refused = whimbrel(&["check", "web", "sim://beta", "--source", "sim://alpha", "--locked", path]);
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused));
}

#[test]
fn a_file_that_is_no_pack_is_inspected_without_being_run() {
    let folder = Folder::new();
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../plugins/shipped/guest.wasm");
    let found = json(&whimbrel(&["rule", "inspect", shipped, "--format", "json"]));
    assert_eq!(found["imports"], serde_json::json!([]));
    let half = fs::read(shipped).unwrap();
    let cut = folder.0.join("cut.wasm");
    fs::write(&cut, &half[..half.len() / 2]).unwrap();
    let refused = whimbrel(&["rule", "inspect", cut.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused));
}

#[test]
fn a_new_rule_is_a_folder_with_everything_and_never_overwrites_one() {
    let folder = Folder::new();
    let made = whimbrel_in(&folder.0, &["rule", "new", "site-limits"]);
    assert_eq!(made.status.code(), Some(0), "{}", text(&made));
    for file in ["Cargo.toml", "src/lib.rs", "wit/rules.wit", "cases/small.facts.json", "README.md"] {
        assert!(folder.0.join("site-limits").join(file).is_file(), "{file}");
    }
    assert_eq!(whimbrel_in(&folder.0, &["rule", "new", "site-limits"]).status.code(), Some(2));
    assert_eq!(whimbrel_in(&folder.0, &["rule", "new", "../escape"]).status.code(), Some(2));
}

#[test]
fn a_machine_that_was_not_asked_about_is_unknown_and_one_that_is_not_listed_is_missing() {
    let folder = Folder::new();
    let guest = folder.file(
        "guest.xml",
        "<domain type='kvm'><name>web</name><os><type arch='x86_64' machine='pc-q35-6.2'>hvm</type></os></domain>",
    );
    let other = folder.file(
        "other.xml",
        "<domainCapabilities><domain>kvm</domain><machine>pc-q35-7.2</machine></domainCapabilities>",
    );
    let all = folder.file(
        "all.xml",
        "<capabilities><host/><guest><arch name='x86_64'><machine>pc-q35-7.2</machine></arch></guest></capabilities>",
    );
    let newer = folder.file(
        "newer.xml",
        "<domain type='kvm'><name>web</name><os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os></domain>",
    );
    for (option, file, expected) in [
        ("--destination-domain-capabilities", &other, "unknown"),
        ("--destination-capabilities", &all, "fail"),
    ] {
        let facts = whimbrel(&["facts", "from-xml", "--domain", &guest, "--target", &newer, option, file]);
        let facts = folder.file("facts.json", &String::from_utf8(facts.stdout).unwrap());
        let judged = json(&whimbrel(&["rule", "check", "--facts", &facts, "--format", "json"]));
        let found = judged["findings"].as_array().unwrap().iter();
        let found: Vec<&Value> = found.filter(|one| one["code"] == "machine.unknown").collect();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0]["verdict"], expected, "{}", found[0]);
    }
}

/// Simulated hosts answer as real ones do: a definition of another guest is refused, and text that is none is an error.
#[test]
fn the_definition_for_a_simulated_destination_is_judged() {
    let folder = Folder::new();
    let check = |xml: &str| {
        let file = folder.file("target.xml", xml);
        whimbrel(&["check", "web", "sim://beta", "--source", "sim://alpha", "--xml", &file])
    };
    let other = check("<domain type='kvm'><name>x</name><uuid>y</uuid><devices><video/></devices></domain>");
    assert_eq!(other.status.code(), Some(7), "{}", text(&other));
    for code in ["retarget.identity", "retarget.memory"] {
        assert!(text(&other).contains(code), "{}", text(&other));
    }
    let garbage = check("garbage");
    assert_eq!(garbage.status.code(), Some(2), "{}", text(&garbage));
    assert!(text(&garbage).contains("target.xml"), "{}", text(&garbage));
}

#[test]
fn all_guests_of_a_host_are_checked_and_placed() {
    let check = |to: &[&str], more: &[&str]| {
        whimbrel(&[&["check", "--all-guests", "sim://alpha", "--to"], to, more].concat())
    };
    let every = check(&["sim://beta"], &["--sim-guests", "3", "--format", "json"]);
    let document = json(&every);
    let pairs = document["pairs"].as_array().unwrap();
    assert!(!pairs.is_empty() && pairs.iter().all(|pair| pair["destination"] == "sim://beta"), "{document}");
    let placed = document["placement"][0]["guests"].as_array().unwrap().len();
    let unplaced = document["unplaced"].as_array().unwrap().len();
    assert_eq!(placed + unplaced, pairs.len(), "each guest has one destination: {document}");
    assert_eq!(document["schema"], "whimbrel.all-guests/2");
    assert_eq!(document["together"] == "fail", unplaced > 0, "{document}");
    // A host that is named twice has its room once.
    let twice = check(&["sim://beta", "sim://beta"], &["--sim-guests", "3", "--format", "json"]);
    assert_eq!(json(&twice), document);
    assert_eq!(every.status.code(), Some(if unplaced == 0 { 0 } else { 7 }));
    let nowhere = check(&["sim://alpha"], &[]);
    assert_eq!(nowhere.status.code(), Some(7), "{}", text(&nowhere));
    assert!(text(&nowhere).contains("destination.is-source"), "{}", text(&nowhere));
    assert!(text(&nowhere).contains("No destination takes"), "{}", text(&nowhere));
    // It is one guest or all, and all need a destination.
    for wrong in [&["check", "--all-guests", "sim://alpha"][..], &["check", "web"], &["check"]] {
        assert_eq!(whimbrel(wrong).status.code(), Some(2), "{wrong:?}");
    }
}

/// What is needed outside of the repository is in the folder.
#[test]
fn a_rule_in_javascript_is_begun_anywhere() {
    let folder = Folder::new();
    let made = whimbrel_in(&folder.0, &["rule", "new", "site-limits", "--language", "javascript"]);
    assert_eq!(made.status.code(), Some(0), "{}", text(&made));
    let read = |name: &str| fs::read_to_string(folder.0.join("site-limits").join(name)).unwrap();
    assert!(read("build.mjs").contains("witPath: 'wit/rules.wit'"), "{}", read("build.mjs"));
    assert!(read("wit/rules.wit").contains("package whimbrel:rules@1.0.0"));
    assert!(read("rule.js").contains("site-limits.stays") && read("rule.js").contains("name: 'site-limits'"));
    for case in ["stays", "goes"] {
        assert!(read(&format!("cases/{case}.expected.json")).contains("site-limits.stays"));
    }
    assert!(text(&made).contains("npm run build"), "{}", text(&made));
}
