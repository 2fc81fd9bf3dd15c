//! The binary as its users meet it: what it writes where, and its exit codes.

#![cfg(test)]

#[cfg(feature = "service")]
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use insta::assert_snapshot;

fn whimbrel(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_whimbrel")).args(arguments).output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A path of this test's own that does not exist yet; what is written there goes with the guard.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("whimbrel-cli-{}-{number}-{name}", std::process::id())))
    }

    fn with(name: &str, text: &str) -> Self {
        let scratch = Self::new(name);
        fs::write(&scratch.0, text).unwrap();
        scratch
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn simulate_without_arguments_shows_a_regression_and_completes() {
    let output = whimbrel(&["simulate"]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let text = out(&output);
    assert!(text.contains("above the previous sync"), "{text}");
    assert!(text.contains("Completed: `whimbrel` runs on beta."), "{text}");
    assert_eq!(err(&output), "");
}

#[test]
fn simulate_writes_lines_where_there_is_no_terminal() {
    assert_snapshot!(out(&whimbrel(&["simulate", "converges"])));
}

#[test]
fn simulate_cancels_as_the_scenario_says_and_that_is_a_success() {
    let output = whimbrel(&["simulate", "never-converges"]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(out(&output).contains("Cancelled: `swift` runs on alpha."), "{}", out(&output));
}

#[test]
fn simulate_gives_one_document_for_machines() {
    let output = whimbrel(&["simulate", "converges", "--format", "json", "--seed", "3"]);
    let report: serde_json::Value = serde_json::from_str(&out(&output)).unwrap();
    assert!(out(&output).starts_with("{\"schema\":\"whimbrel.report/1\""), "the schema stands first");
    assert_eq!(report["seed"], 3);
    assert_eq!(report["outcome"]["ending"], "completed");
    assert_eq!(report["outcome"]["guest"], "destination_running");
    let syncs = report["syncs"].as_array().unwrap();
    assert!(syncs.iter().any(|sync| sync["rise_bytes"].as_u64().unwrap() > 0));
}

#[test]
fn simulate_gives_every_event_on_a_line_of_its_own() {
    let output = whimbrel(&["simulate", "converges", "--format", "ndjson"]);
    let lines: Vec<serde_json::Value> =
        out(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().all(|line| line["schema"].is_string()));
    assert!(lines.last().unwrap()["event"]["ended"].is_object());
    let times: Vec<_> = lines.iter().filter_map(|line| line["at_ns"].as_u64()).collect();
    assert!(times.is_sorted());
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let run = |seed| out(&whimbrel(&["simulate", "--format", "ndjson", "--seed", seed]));
    assert_eq!(run("11"), run("11"));
    assert_ne!(run("11"), run("12"));
}

#[test]
fn a_journal_is_replayed_to_the_same_words() {
    let journal = Scratch::new("journal");
    let simulated = whimbrel(&["simulate", "converges", "--journal", journal.path()]);
    let replayed = whimbrel(&["replay", journal.path()]);
    assert_eq!(replayed.status.code(), Some(0), "{}", err(&replayed));
    assert_eq!(out(&simulated), out(&replayed));
    assert!(err(&replayed).contains("every state matches the record"), "{}", err(&replayed));

    let again = whimbrel(&["simulate", "converges", "--journal", journal.path()]);
    assert_eq!(again.status.code(), Some(2), "a journal that exists is not overwritten");
    assert!(err(&again).contains("exists"), "{}", err(&again));
}

#[test]
fn a_journal_that_is_torn_forged_or_foreign_is_named() {
    let journal = Scratch::new("journal");
    let _ = whimbrel(&["simulate", "converges", "--journal", journal.path()]);
    let text = fs::read_to_string(journal.path()).unwrap();

    let torn = Scratch::with("torn", text.get(..text.len() * 2 / 3).unwrap());
    let output = whimbrel(&["replay", torn.path()]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(err(&output).contains("torn") && err(&output).contains("check both hosts"), "{}", err(&output));

    let forged = Scratch::with("forged", &text.replace("\"running\"", "\"paused\""));
    let output = whimbrel(&["replay", forged.path()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("line") && err(&output).contains("differ"), "{}", err(&output));

    for foreign in ["", "hello\n", "{\"schema\":\"other/1\",\"spec\":null}\n"] {
        let file = Scratch::with("foreign", foreign);
        let output = whimbrel(&["replay", file.path()]);
        assert_eq!(output.status.code(), Some(2), "{foreign:?}");
        assert!(err(&output).contains("line 1"), "{}", err(&output));
    }
    assert_eq!(whimbrel(&["replay", "no-such-file"]).status.code(), Some(2));
}

#[test]
fn every_mistake_of_a_scenario_file_is_shown_in_its_line() {
    let text = "name = \"x\"\n\n[guest]\nname = \"web\"\nmemroy_mib = 64\nworking_set_mib = -1\nwrites_per_second = 10\n\
                [link]\nbandwidth_mib_per_second = 100\n[migration]\n[expect]\nresult = \"complete\"\nguest_on = \"destination\"\n";
    let file = Scratch::with("bad.toml", text);
    let output = whimbrel(&["simulate", file.path()]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(out(&output), "");
    assert_snapshot!(err(&output).replace(file.path(), "bad.toml"));
}

#[test]
fn simulate_lists_what_is_built_in() {
    let output = whimbrel(&["simulate", "--list"]);
    assert_eq!((output.status.code(), err(&output)), (Some(0), String::new()));
    assert_snapshot!(out(&output));
    assert_eq!(
        whimbrel(&["simulate", "converges", "--list"]).status.code(),
        Some(2),
        "a list simulates nothing"
    );
}

#[test]
fn every_engine_brings_the_guest_there_and_is_named() {
    for engine in ["page", "lumped", "mean"] {
        let output = whimbrel(&["simulate", "converges", "--engine", engine, "--format", "json"]);
        assert_eq!(output.status.code(), Some(0), "{engine}: {}", err(&output));
        let report: serde_json::Value = serde_json::from_str(&out(&output)).unwrap();
        assert_eq!(report["engine"], engine);
        assert_eq!(report["outcome"]["guest"], "destination_running");
    }
}

#[test]
fn a_scenario_that_ends_otherwise_than_it_expects_is_a_failure() {
    let wrong = include_str!("../../sim/scenarios/never-converges.toml")
        .replace("\"cancelled\"", "\"failed\"")
        + "gains_at_least = 100\ndowntime_ms = [1, 2]\nrecovered = []\n";
    let file = Scratch::with("wrong.toml", &wrong);
    let output = whimbrel(&["simulate", file.path()]);
    assert_eq!(output.status.code(), Some(1));
    assert_snapshot!(err(&output));
}

const RECORDINGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../sim/tests/data/qemu-7.2-tcg.jsonl");

#[test]
fn fidelity_shows_every_recorded_case() {
    let output = whimbrel(&["fidelity", RECORDINGS, "--seeds", "2"]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert_snapshot!(out(&output));
}

#[test]
fn fidelity_gives_one_document_for_machines() {
    let output = whimbrel(&["fidelity", RECORDINGS, "--seeds", "2", "--format", "json"]);
    assert!(out(&output).starts_with("{\"schema\":\"whimbrel.fidelity/1\""), "the schema stands first");
    let report: serde_json::Value = serde_json::from_str(&out(&output)).unwrap();
    assert_eq!((report["seeds"].as_u64(), report["summary"]["wrong_verdicts"].as_u64()), (Some(2), Some(0)));
    assert_eq!(report["cases"].as_array().unwrap().len(), 20);
    assert_eq!(report["not_simulated"].as_array().unwrap().len(), 0);
    assert_eq!(report["edge"][0]["name"], "uni-64Ki-1000");
    assert!(report["targets"][0]["met"] == true && report["host"][0]["idle_runs"] == 6);
    assert!(report["cases"][0]["pages_error"].is_number() && report["cases"][0]["verdict_ok"] == true);
}

#[test]
fn recordings_that_cannot_be_read_are_named_by_line() {
    let recordings = fs::read_to_string(RECORDINGS).unwrap();
    let torn = Scratch::with("torn.jsonl", recordings.get(..recordings.len() / 2).unwrap());
    for (path, words) in [(torn.path(), "line "), ("no-such-file", "cannot read `no-such-file`")] {
        let output = whimbrel(&["fidelity", path]);
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(out(&output), "");
        assert!(err(&output).contains(words), "{}", err(&output));
    }
}

fn assert_bad_input(cases: &[(&[&str], &str)]) {
    for (arguments, words) in cases {
        let output = whimbrel(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(err(&output).contains(words), "{arguments:?}: {}", err(&output));
        assert_eq!(out(&output), "", "{arguments:?}");
    }
}

#[test]
fn arguments_that_cannot_be_used_are_named() {
    assert_bad_input(&[
        (&["simulat"], "similar subcommand"),
        (&["simulate", "--seed", "many"], "--seed"),
        (&["simulate", "no-such-scenario"], "no-such-scenario"),
    ]);
}

#[cfg(feature = "service")]
#[test]
fn arguments_of_a_migration_that_cannot_be_used_are_named() {
    assert_bad_input(&[
        (&["migrate", "web"], "<DEST>"),
        (&["migrate", "web", "qemu+tcp://b/system", "--bandwidth", "0"], "--bandwidth"),
        (&["migrate", "web", "qemu+tcp://b/system", "--downtime", "2000001"], "--downtime"),
        (&["migrate", "web", "beta"], "qemu+ssh://HOST/system"),
        (&["migrate", "web", "sim://beta", "--source", "sim:alpha"], "sim://HOST"),
    ]);
}

#[cfg(feature = "service")]
#[test]
fn help_is_for_people() {
    let texts = [
        &["--help"][..],
        &["simulate", "--help"],
        &["migrate", "--help"],
        &["adopt", "--help"],
        &["replay", "--help"],
        &["fidelity", "--help"],
        &["serve", "--help"],
        &["tune", "--help"],
    ]
    .map(|arguments| out(&whimbrel(arguments)));
    assert_snapshot!(texts.join("\n----\n"));
}

/// The options of a verb's help under each heading.
#[cfg(feature = "service")]
fn groups_of(verb: &str) -> BTreeMap<String, BTreeSet<String>> {
    let help = out(&whimbrel(&[verb, "--help"]));
    let mut groups: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut heading = String::new();
    for line in help.lines() {
        let option = line.trim_start().split([' ', '=', '[']).find(|word| word.starts_with("--"));
        if let Some(title) = line.strip_suffix(':').filter(|title| !title.starts_with(' ')) {
            title.clone_into(&mut heading);
        } else if let Some(option) =
            option.filter(|_| line.starts_with("      --") || line.starts_with("  -"))
        {
            groups.entry(heading.clone()).or_default().insert(option.trim_end_matches(',').to_owned());
        }
    }
    groups
}

#[cfg(feature = "service")]
#[test]
fn options_are_listed_under_the_heading_that_they_belong_to() {
    let set = |names: &str| names.split(' ').map(|name| format!("--{name}")).collect::<BTreeSet<_>>();
    let shared = [
        ("Options", set("help")),
        ("Rules", set("pack no-builtin-packs rule-settings locked max-pack-size no-cache")),
        (
            "Simulated hosts (sim://)",
            set("sim-speed sim-scenario sim-seed sim-guests sim-qemu sim-libvirt sim-server"),
        ),
    ];
    let own = [
        (
            "migrate",
            vec![
                (
                    "Migration",
                    set(
                        "source migrate-uri bandwidth downtime measure-dirty-rate postcopy auto-converge xbzrle parallel \
                         offline xml replace-owner",
                    ),
                ),
                ("Storage", set("copy-disks overwrite-disk unsafe no-probe")),
                ("Timeouts", set("timeout at-timeout resolve-timeout postcopy-recovery-timeout")),
                ("Output", set("format journal")),
            ],
        ),
        (
            "check",
            vec![
                ("Many guests", set("all-guests to")),
                (
                    "Migration",
                    set(
                        "source migrate-uri bandwidth downtime measure-dirty-rate postcopy auto-converge xbzrle \
                         parallel offline xml",
                    ),
                ),
                ("Storage", set("copy-disks overwrite-disk unsafe no-probe")),
                ("Timeouts", set("timeout at-timeout")),
                ("Output", set("format")),
            ],
        ),
        ("adopt", vec![("Output", set("format"))]),
        (
            "serve",
            vec![
                ("Hosts", set("host allow-destination transport ssh-known-hosts")),
                ("Access", set("listen allow-group no-auth tokens certificate key rate")),
                ("Operation", set("store drain log-commands")),
            ],
        ),
    ];
    for (verb, groups) in own {
        let expected: BTreeMap<_, _> = groups
            .into_iter()
            .chain(shared.clone())
            .map(|(title, names)| (title.to_owned(), names))
            .collect();
        assert_eq!(groups_of(verb), expected, "{verb}");
    }
}

#[cfg(feature = "service")]
#[test]
fn former_names_are_errors_that_name_the_replacement() {
    for (arguments, words) in [
        (&["react", "1", "pause"][..], "`react` was renamed: use `whimbrel tune`"),
        (&["world", "socket"], "`world` was renamed: use `whimbrel sim-server`"),
        (&["migrate", "web", "sim://b", "--doubt-patience=8"], "use `--resolve-timeout`"),
        (&["serve", "--sim-world", "socket"], "use `--sim-server`"),
        (&["rule", "test", "--largest", "32"], "use `--max-pack-size`"),
        (&["token", "anna", "look"], "the role `look` was renamed: use `viewer`"),
        (&["serve", "--allow-group", "0:operate"], "the role `operate` was renamed: use `operator`"),
    ] {
        let output = whimbrel(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(err(&output).contains(words), "{arguments:?}: {}", err(&output));
    }
}

#[cfg(not(feature = "libvirt"))]
#[test]
fn a_build_without_the_driver_says_how_to_build_it_in() {
    let output = whimbrel(&["migrate", "web", "qemu+tcp://beta/system"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("--features libvirt"), "{}", err(&output));
}

#[cfg(feature = "libvirt")]
#[test]
fn hosts_that_cannot_be_reached_leave_the_guest_untouched() {
    let journal = Scratch::new("journal");
    let arguments = [
        "migrate",
        "web",
        "qemu+tcp://127.0.0.1:1/system",
        "--source",
        "test:///default",
        "--journal",
        journal.path(),
    ];
    let output = whimbrel(&arguments);
    assert_eq!(output.status.code(), Some(3), "{}", err(&output));
    assert!(out(&output).contains("nothing was done to `web`"), "{}", out(&output));
    assert!(out(&output).contains("refused"), "{}", out(&output));
    assert_eq!(whimbrel(&["replay", journal.path()]).status.code(), Some(0));
}
