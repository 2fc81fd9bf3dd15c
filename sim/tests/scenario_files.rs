//! Scenario files that are wrong are refused with every problem at its place, and never with a panic.

#![cfg(test)]

use proptest::prelude::*;
use whimbrel_sim::scenario::{FaultAction, GuestPhase, Scenario, Trigger, Writing};

const GOOD: &str = r#"name = "good"

[guest]
name = "wren"
memory_mib = 256
working_set_mib = 64
writes_per_second = 4000

[[guest.phase]]
at_ms = 500
writes_per_second = 0x10

[link]
bandwidth_mib_per_second = 1_000

[[fault]]
at_iteration = 3
after_ms = 20
do = "cut-link"

[[fault]]
at_ms = 9000
do = "restore-link"

[expect]
result = "completed"
guest_on = "destination"
"#;

/// The plain form of what is wrong with `GOOD` after a change.
fn refused(from: &str, to: &str) -> Vec<String> {
    assert!(GOOD.contains(from), "{from}");
    problems(&GOOD.replacen(from, to, 1))
}

fn problems(text: &str) -> Vec<String> {
    let error = Scenario::parse(text, "x.toml").unwrap_err();
    for problem in error.problems() {
        assert!(text.get(problem.span.clone()).is_some(), "{problem:?}");
        assert!(problem.line >= 1 && problem.column >= 1);
    }
    error.to_string().lines().map(str::to_owned).collect()
}

fn phases(scenario: &Scenario) -> &[GuestPhase] {
    let Writing::Phases(phases) = &scenario.guest.writing else { panic!("not the short form") };
    phases
}

#[test]
fn a_good_file_is_read_with_its_defaults() {
    let scenario = Scenario::parse(GOOD, "x.toml").unwrap();
    assert_eq!((scenario.seed, scenario.description.as_str()), (1, ""));
    assert_eq!((scenario.guest.filled_mib, scenario.guest.paused), (64, false));
    let second = GuestPhase { at_ms: 500, writes_per_second: 16, working_set_mib: 64 };
    assert_eq!(phases(&scenario)[1], second);
    assert_eq!(scenario.link.latency_us, 0);
    assert_eq!(scenario.migration.downtime_limit_ms, None);
    let [cut, restore] = scenario.faults.as_slice() else { panic!("{:?}", scenario.faults) };
    assert_eq!((cut.trigger, cut.after_ms, cut.action), (Trigger::AtIteration(3), 20, FaultAction::CutLink));
    assert_eq!((restore.trigger, restore.action), (Trigger::AtMs(9000), FaultAction::RestoreLink));
}

#[test]
fn a_misspelt_key_is_named_with_what_was_meant_and_not_missed_too() {
    assert_eq!(
        refused("memory_mib", "memory_mb"),
        ["x.toml:5:1: unknown key `guest.memory_mb`: did you mean `memory_mib`? allowed are `name`, \
             `memory_mib`, `working_set_mib`, `filled_mib`, `writes_per_second`, `paused`, `phase`, `writer`, \
             `vcpus`, `ballooned_mib`, `balloon_is_hinted`, `compressed_page_bytes`, \
             `changed_bytes_per_page`, `persistent`, `disk`"]
    );
    assert_eq!(
        refused("[link]", "[lnik]"),
        ["x.toml:13:2: unknown key `lnik`: did you mean `link`? allowed are `name`, `description`, `seed`, \
             `guest`, `link`, `migration`, `source`, `destination`, `daemons`, `costs`, `fault`, `expect`"]
    );
}

#[test]
fn an_unknown_word_is_named_with_what_was_meant() {
    let [problem] = refused("cut-link", "cutlink").try_into().unwrap();
    assert!(
        problem.starts_with("x.toml:19:6: `fault.do` is `cutlink`: did you mean `cut-link`?"),
        "{problem}"
    );
    let [problem] = refused("\"completed\"", "\"zzz\"").try_into().unwrap();
    assert_eq!(
        problem,
        "x.toml:26:10: `expect.result` is `zzz`: allowed are `completed`, `cancelled`, `failed`, `in-doubt`, `arrived-stopped`"
    );
}

#[test]
fn wrong_types_and_values_say_what_is_allowed() {
    let memory = "it must be a whole number from 32 to 1048576";
    let cases = [
        ("= 256", "= \"256\"", format!("x.toml:5:14: `guest.memory_mib` is a string: {memory}")),
        ("= 256", "= nan", format!("x.toml:5:14: `guest.memory_mib` is `nan`, a number with a fraction: {memory}")),
        ("= 256", "= -1", format!("x.toml:5:14: `guest.memory_mib` is -1: {memory}")),
        ("= 256", "= 0", format!("x.toml:5:14: `guest.memory_mib` is 0: {memory}")),
        ("= 256", "= 9_999_999_999_999_999_999_999", format!("x.toml:5:14: `guest.memory_mib` is 9999999999999999999999: {memory}")),
        ("= 64", "= 241", "x.toml:6:19: `guest.working_set_mib` is 241: it must be a whole number from 1 to 240".to_owned()),
        ("1_000", "0", "x.toml:14:28: `link.bandwidth_mib_per_second` is 0: it must be a whole number from 1 to 100000".to_owned()),
        ("memory_mib = 256\n", "", format!("x.toml:3:1: missing key `guest.memory_mib`: {memory}")),
        ("[expect]\nresult", "[[expect]]\nresult", "x.toml:25:1: `expect` is an array: it must be a table, written as [expect]".to_owned()),
        ("name = \"good\"", "name = \"a b\"", "x.toml:1:8: `name` cannot be used as a name: it must be 1 to 64 letters, digits, `-`, `_` or `.`".to_owned()),
        ("\"destination\"", "\"source\"", "x.toml:27:12: `expect.guest_on` contradicts `expect.result`: with that result it can only be `destination`".to_owned()),
        ("at_iteration = 3\n", "", "x.toml:18:6: a fault without a trigger: it must have exactly one of `at_ms`, `at_iteration` and `at`".to_owned()),
        ("after_ms", "at_ms", "x.toml:17:16: a fault with two triggers: it must have exactly one of `at_ms`, `at_iteration` and `at`".to_owned()),
    ];
    for (from, to, expected) in cases {
        assert_eq!(refused(from, to), [expected]);
    }
}

#[test]
fn phases_must_ascend() {
    let later = "[[guest.phase]]\nat_ms = 500\nwrites_per_second = 1\n\n[link]";
    assert_eq!(
        refused("[link]", later),
        ["x.toml:14:9: `guest.phase.at_ms` is 500: it must be more than 500"]
    );
}

#[test]
fn all_problems_are_told_at_once_in_order() {
    let text =
        GOOD.replace("64", "0").replace("500", "false").replace("cut-link", "burn").replace("wren", "");
    let found = problems(&text);
    let places: Vec<&str> = found.iter().filter_map(|line| line.split(": ").next()).collect();
    assert_eq!(places, ["x.toml:4:8", "x.toml:6:19", "x.toml:10:9", "x.toml:19:6"]);
}

#[test]
fn broken_syntax_has_a_place() {
    let found = refused("[guest]", "[guest");
    assert!(found[0].starts_with("x.toml:3:7: not valid TOML: "), "{found:?}");
    assert_eq!(problems("").len(), 4);
}

/// Neither reading nor dropping what was read may use up the stack.
#[test]
fn endless_nesting_is_refused() {
    for text in [format!("x = {}", "[".repeat(100_000)), format!("{}x = 1", "a.".repeat(100_000))] {
        assert!(!problems(&text).is_empty());
    }
}

#[test]
fn built_in_scenarios_are_valid() {
    for name in Scenario::built_in_names() {
        assert_eq!(Scenario::built_in(name).unwrap().unwrap().name, name);
    }
    assert!(Scenario::built_in("nothing").is_none());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_text_never_panics(text in "(?s).{0,200}") {
        if let Err(error) = Scenario::parse(&text, "x.toml") {
            prop_assert!(!error.problems().is_empty());
            for problem in error.problems() {
                prop_assert!(text.get(problem.span.clone()).is_some());
            }
        }
    }

    /// Files with pieces cut out, doubled or replaced are read or refused, and what is read is within bounds.
    #[test]
    fn mangled_files_never_panic(
        start in 0..GOOD.len(), length in 0_usize..40,
        piece in prop_oneof![
            Just(String::new()), "[a-z_=\\[\\]\"\n0-9. -]{0,12}", "\\PC{0,6}", Just("99999999999999999999".to_owned()),
            Just("[[[[".to_owned()), Just("nan".to_owned()), Just("9223372036854775807".to_owned()),
        ],
    ) {
        let end = (start + length).min(GOOD.len());
        let text = format!("{}{piece}{}", &GOOD[..start], &GOOD[end..]);
        match Scenario::parse(&text, "x.toml") {
            Ok(scenario) => {
                let guest = &scenario.guest;
                if let Writing::Phases(phases) = &guest.writing {
                    prop_assert!(phases.is_sorted_by(|a, b| a.at_ms < b.at_ms));
                }
                prop_assert!(guest.reach_mib() + 16 <= guest.memory_mib);
                prop_assert!(scenario.link.bandwidth_mib_per_second > 0);
            }
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }
}
