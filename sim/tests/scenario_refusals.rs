//! Scenarios that contradict themselves, or describe an impossible world, are refused at their place; whatever is
//! accepted ends.

#![cfg(test)]

use proptest::prelude::*;
use whimbrel_core::Verdict;
use whimbrel_sim::qemu::Engine;
use whimbrel_sim::scenario::{Conditions, FaultAction, Scenario, Writing};
use whimbrel_sim::{Simulation, guest::Pattern};

const REFERENCE: &str = include_str!("../../docs/scenarios.md");
/// Longest virtual time of a simulation.
const END_MS: u64 = 48 * 3_600_000;

const GOOD: &str = r#"name = "good"
[guest]
name = "wren"
memory_mib = 256
#guest
[[guest.writer]]
working_set_mib = 64
writes_per_second = 4000
#writer
[link]
bandwidth_mib_per_second = 1000
#link
[migration]
bandwidth_limit_mib_per_second = 100
#migration
[source]
libvirt = "9.0.0"
#source
[[fault]]
at_ms = 100
do = "lose-source-events"
#fault
[expect]
result = "completed"
guest_on = "destination"
#expect
"#;

/// What is wrong with `GOOD` with these lines in place of a mark, without the file's name.
fn refused(mark: &str, lines: &str) -> String {
    let text = GOOD.replace(&format!("#{mark}\n"), &format!("{lines}\n"));
    let error = Scenario::parse(&text, "x").unwrap_err();
    error.to_string().trim_start_matches("x:").to_owned()
}

#[test]
fn the_good_one_is_good() {
    let scenario = Scenario::parse(GOOD, "x").unwrap();
    let Writing::Writers(writers) = &scenario.guest.writing else { panic!("not writers") };
    assert_eq!((writers[0].pattern, writers[0].steps.as_slice()), (Pattern::Uniform, &[(0, 4000)][..]));
    assert_eq!((scenario.guest.vcpus, scenario.guest.filled_mib, scenario.guest.reach_mib()), (1, 64, 64));
    assert!(matches!(scenario.faults[0].action, FaultAction::LoseEvents(_)));
}

/// A mark, lines in its place, and what is said.
type Case = (&'static str, &'static str, &'static str);

fn assert_refused(cases: &[Case]) {
    for (mark, lines, expected) in cases {
        assert_eq!(refused(mark, lines), *expected, "{lines}");
    }
}

#[test]
fn writers_that_contradict_themselves() {
    assert_refused(&[
        (
            "guest",
            "working_set_mib = 3",
            "5:19: `guest.working_set_mib` has no meaning here: a guest with a `[[guest.writer]]` says this of each writer",
        ),
        ("guest", "vcpus = 0", "5:9: `guest.vcpus` is 0: it must be a whole number from 1 to 4096"),
        (
            "guest",
            "balloon_is_hinted = true",
            "5:21: `guest.balloon_is_hinted` has no meaning here: there is no balloon without `ballooned_mib`",
        ),
        (
            "guest",
            "ballooned_mib = 200",
            "5:17: `guest.ballooned_mib` is 200: the balloon can only take what is not filled or written to, 176 MiB",
        ),
        (
            "writer",
            "pattern = \"unifrom\"",
            "9:11: `guest.writer.pattern` is `unifrom`: did you mean `uniform`? allowed are `uniform`, `sequential`, `hot-cold`, `power-law`, `zipf`",
        ),
        (
            "writer",
            "hot_mib = 3",
            "9:11: `guest.writer.hot_mib` has no meaning here: only the pattern `hot-cold` has a hot set",
        ),
        (
            "writer",
            "pattern = \"power-law\"\nexponent = 9",
            "10:12: `guest.writer.exponent` is 9: it must be a whole number from 1 to 8",
        ),
        (
            "writer",
            "trace = [[0, 1]]",
            "8:21: `guest.writer.writes_per_second` has no meaning here: the `trace` says how fast it writes",
        ),
        (
            "writer",
            "active_ms = 5",
            "6:1: missing key `guest.writer.idle_ms`: it must be a whole number from 1 to 604800000",
        ),
        (
            "writer",
            "repeat_after_ms = 5\nphase = [{at_ms = 5, writes_per_second = 1}]",
            "9:19: `guest.writer.repeat_after_ms` is 5: it must be more than 5, or the last step is never taken",
        ),
        (
            "writer",
            "cpu_bound = true\ncatches_up_ms = 1",
            "10:17: `guest.writer.catches_up_ms` has no meaning here: a writer that is bound by its CPU cannot make up for anything",
        ),
        (
            "writer",
            "cpu_bound = false",
            "9:13: a writer without a pace: one that is paced says in `catches_up_ms` how much it makes up for",
        ),
        (
            "writer",
            "offset_mib = 177",
            "7:19: the writer reaches to 241 MiB: the guest's region has 240 MiB; one that moves needs its working set twice",
        ),
        (
            "writer",
            "[[guest.disk]]\ntarget = \"vda\"\nused_mib = 1\n[[guest.disk]]\ntarget = \"vda\"\nused_mib = 1",
            "13:10: there is a disk `vda` already: each disk has a target of its own",
        ),
    ]);
}

#[test]
fn traces_out_of_order() {
    let trace = |trace: &str| {
        let text = GOOD.replace("writes_per_second = 4000", &format!("trace = {trace}"));
        Scenario::parse(&text, "x").unwrap_err().to_string()
    };
    let order = "x:8:9: a trace out of order: it begins at 0 ms, and each step is later than the one before";
    for wrong in ["[]", "[[1, 1]]", "[[0, 1], [0, 2]]", "[[0, 1], [9, 2], [8, 1]]"] {
        assert_eq!(trace(wrong), order, "{wrong}");
    }
    assert_eq!(
        trace("[[0]]"),
        "x:8:10: `guest.writer.trace` is not a pair of numbers: it must be two whole numbers in brackets"
    );
    assert_eq!(
        trace("[[0, -1]]"),
        "x:8:14: `guest.writer.trace` is -1: it must be a whole number from 0 to 1000000000"
    );
    assert_eq!(
        trace("[[0, nan]]"),
        "x:8:14: `guest.writer.trace` is `nan`, a number with a fraction: it must be a whole number from 0 to 1000000000"
    );
}

#[test]
fn ways_that_exclude_each_other() {
    assert_refused(&[
        (
            "migration",
            "throttle_max_percent = 3",
            "15:24: `migration.throttle_max_percent` has no meaning here: the guest is only slowed down with `auto_converge = true`",
        ),
        (
            "migration",
            "auto_converge = true\nthrottle_max_percent = 3",
            "16:24: `migration.throttle_max_percent` is 3: the guest is slowed down by 20 % at once",
        ),
        (
            "migration",
            "auto_converge = true\ndirty_limit_mib_per_second = 3",
            "16:30: `migration.dirty_limit_mib_per_second` has no meaning here: it excludes `auto_converge`: either all of the guest is slowed down or what it dirties",
        ),
        (
            "migration",
            "zero_copy = true",
            "15:13: `migration.zero_copy` has no meaning here: only `parallel_connections` can do it",
        ),
        (
            "migration",
            "parallel_connections = 2\nxbzrle_cache_mib = 64",
            "16:20: `migration.xbzrle_cache_mib` has no meaning here: QEMU cannot do it over `parallel_connections`",
        ),
        (
            "migration",
            "parallel_connections = 256",
            "15:24: `migration.parallel_connections` is 256: it must be a whole number from 1 to 255",
        ),
        (
            "migration",
            "postcopy_preempt = true",
            "15:20: `migration.postcopy_preempt` has no meaning here: there is no post-copy without `postcopy = true`",
        ),
        (
            "migration",
            "timeout_ms = 1\nat_timeout = \"postcopy\"",
            "16:14: post-copy is not allowed: it must be begun with `postcopy = true`",
        ),
        (
            "migration",
            "at_timeout = \"pause\"",
            "15:14: `migration.at_timeout` has no meaning here: there is no timeout without `timeout_ms`",
        ),
        (
            "migration",
            "offline = true\npostcopy = true",
            "16:12: `migration.postcopy` has no meaning here: of a guest that is off nothing but the definition is moved",
        ),
        (
            "migration",
            "copy_disks = \"some\"",
            "15:14: `migration.copy_disks` is `some`: allowed are `background`, `synchronous`",
        ),
    ]);
}

#[test]
fn worlds_that_cannot_be() {
    assert_refused(&[
        ("source", "memory_mib = 128", "4:14: the guest has 256 MiB: it cannot run on a source of 128 MiB"),
        (
            "source",
            "qemu = \"new\"",
            "18:8: `source.qemu` is not a version: it must be a version such as \"9.0.0\"",
        ),
        (
            "source",
            "pools = [\"imges\"]",
            "18:10: `source.pools` is `imges`: did you mean `images`? allowed are `images`, `shared`",
        ),
        (
            "source",
            "machines = [1]",
            "18:13: `source.machines` is a whole number: it must be a list of strings",
        ),
        (
            "link",
            "[[link.change]]\nat_ms = 9\nbandwidth_mib_per_second = 0",
            "12:1: the link carries nothing for ever: let it carry something later, or end the migration by `timeout_ms` or a fault",
        ),
        (
            "link",
            "loss_per_million = 100001",
            "12:20: `link.loss_per_million` is 100001: it must be a whole number from 0 to 100000",
        ),
    ]);
    let text = GOOD
        .replace("#source", "pools = []")
        .replace("#writer", "[[guest.disk]]\ntarget = \"vda\"\nused_mib = 1\nshared = false");
    let error = Scenario::parse(&text, "x").unwrap_err();
    assert_eq!(error.to_string(), "x:21:9: the source has no pool `images`: a disk of the guest lies in it");
    let text = GOOD.replace("#guest", "persistent = false").replace("#migration", "offline = true");
    let error = Scenario::parse(&text, "x").unwrap_err();
    assert_eq!(
        error.to_string(),
        "x:5:14: a guest that is off and has no definition: there is nothing to move `offline` without `persistent`"
    );
}

#[test]
fn faults_and_expectations_that_mean_nothing() {
    assert_refused(&[
        (
            "fault",
            "at = \"copying\"",
            "22:6: a fault with two triggers: it must have exactly one of `at_ms`, `at_iteration` and `at`",
        ),
        ("fault", "mib = 5", "22:7: `fault.mib` has no meaning here: `lose-source-events` does not take it"),
        (
            "fault",
            "[[fault]]\nat_ms = 1\ndo = \"restart-driver\"",
            "22:1: missing key `fault.gone_ms`: it must be a whole number from 0 to 604800000",
        ),
        (
            "fault",
            "[[fault]]\nat = \"begun\"\ndo = \"cancel\"",
            "23:6: `fault.at` is `begun`: allowed are `preparing`, `mirroring`, `copying`, `stopped`, `finishing`, `starting`, `started`, `confirming`, `postcopy`",
        ),
        (
            "expect",
            "total_ms = [5, 4]",
            "26:12: `expect.total_ms` is from 5 to 4: the first number must not be more than the second",
        ),
        (
            "expect",
            "downtime_ms = 5",
            "26:15: `expect.downtime_ms` is not a pair of numbers: it must be two whole numbers in brackets",
        ),
        (
            "expect",
            "incidents = [\"two-run\", 5]",
            "26:25: `expect.incidents` is a whole number: it must be a list of words, each one of `two-run`, `last-copy-gone`, `left-behind-runs`, `wrong-disk`",
        ),
    ]);
}

/// A link that is gone for good is accepted when something ends the migration.
#[test]
fn an_outage_that_is_ended_is_a_scenario() {
    let outage = "[[link.change]]\nat_ms = 9\nbandwidth_mib_per_second = 0";
    for (mark, end) in
        [("migration", "timeout_ms = 5000"), ("fault", "[[fault]]\nat_ms = 5000\ndo = \"cancel\"")]
    {
        let text = GOOD.replace("#link", outage).replace(&format!("#{mark}"), end);
        assert!(Scenario::parse(&text, "x").is_ok(), "{end}");
    }
}

fn examples() -> Vec<&'static str> {
    REFERENCE.split("```toml\n").skip(1).filter_map(|rest| rest.split("\n```").next()).collect()
}

/// One edit of a file: lines go, come twice, change places with others, or have a word or number replaced.
#[derive(Clone, Debug)]
enum Edit {
    Drop(usize),
    Double(usize),
    Swap(usize, usize),
    Value(usize, &'static str),
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let value = prop_oneof![
        Just("0"),
        Just("1"),
        Just("3"),
        Just("40"),
        Just("5000"),
        Just("600000"),
        Just("9223372036854775807"),
        Just("-1"),
        Just("nan"),
        Just("1.5"),
        Just("true"),
        Just("false"),
        Just("[]"),
        Just("[[0, 7], [9, 0]]"),
        Just("\"sequential\""),
        Just("\"power-law\""),
        Just("\"starting\""),
        Just("\"cut-link\""),
        Just("\"kill-source-daemon\""),
        Just("\"lose-destination-host\""),
        Just("\"postcopy\""),
        Just("\"silence-source\""),
        Just("\"restart-driver\""),
        Just("\"8.2.0\""),
    ];
    let edit = prop_oneof![
        1 => (0..40_usize).prop_map(Edit::Drop),
        1 => (0..40_usize).prop_map(Edit::Double),
        1 => (0..40_usize, 0..40_usize).prop_map(|(one, other)| Edit::Swap(one, other)),
        5 => (0..40_usize, value).prop_map(|(line, value)| Edit::Value(line, value)),
    ];
    prop::collection::vec(edit, 1..4)
}

fn mangled(example: &str, edits: &[Edit]) -> String {
    let mut lines: Vec<String> = example.lines().map(str::to_owned).collect();
    for edit in edits {
        let count = lines.len().max(1);
        match *edit {
            Edit::Drop(line) => drop(lines.remove(line % count)),
            Edit::Double(line) => lines.insert(line % count, lines[line % count].clone()),
            Edit::Swap(one, other) => lines.swap(one % count, other % count),
            Edit::Value(line, value) => {
                let line = &mut lines[line % count];
                if let Some((key, _)) = line.split_once('=') {
                    *line = format!("{key}= {value}");
                }
            }
        }
    }
    lines.join("\n")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// A mangled example is refused with a place, or read, without a panic.
    #[test]
    fn mangled_examples_are_read_or_refused(example in 0..100_usize, edits in edits()) {
        let all = examples();
        let text = mangled(all[example % all.len()], &edits);
        if let Err(error) = Scenario::parse(&text, "x") {
            prop_assert!(!error.problems().is_empty());
            for problem in error.problems() {
                prop_assert!(text.get(problem.span.clone()).is_some());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is accepted ends within a bounded number of simulated hours, whatever comes out.
    #[test]
    fn whatever_is_accepted_ends(example in 0..100_usize, edits in edits()) {
        let all = examples();
        let text = mangled(all[example % all.len()], &edits);
        let Ok(scenario) = Scenario::parse(&text, "x") else { return Ok(()) };
        let conditions = Conditions { engine: Engine::Mean, ..scenario.conditions() };
        let Ok(mut simulation) = Simulation::new(&scenario, conditions, |_| Verdict::default()) else { return Ok(()) };
        simulation.run(|| None, |_, _, _| {}).unwrap();
        let ended = simulation.migration().view().outcome.is_some();
        let now_ms = simulation.world().now_ns() / 1_000_000;
        prop_assert!(now_ms <= END_MS && (ended || now_ms == END_MS), "{now_ms} ms: {text}");
    }
}
