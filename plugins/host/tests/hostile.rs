//! Packs that misbehave. Every violation is reported, fails the migration, and affects nothing else.

#![expect(clippy::unwrap_used, reason = "a failing helper fails the test")]

mod made;

use made::{Parts, made};
use whimbrel_facts::{Facts, Verdict};
use whimbrel_plugins::host::{Allocation, Host, HostError, Limits, Refusal, inspect};
use whimbrel_plugins::lock::Lock;
use whimbrel_plugins::policy::Policy;
use whimbrel_plugins::reload::Current;
use whimbrel_plugins::{Judgement, RuleSet, shipped};

const DAY: &str = "2026-06-01";

fn host() -> Host {
    let limits = Limits { fuel: 5_000_000, ..Limits::default() };
    Host::new(limits, Allocation::OnDemand, None).unwrap()
}

fn set_of(bytes: &[u8], policy: &str) -> RuleSet {
    RuleSet::new(vec![host().load(bytes).unwrap()], Policy::parse(policy).unwrap()).unwrap()
}

fn judged(check: &str) -> Judgement {
    set_of(&made(&Parts { check, ..Parts::default() }), "").judge(&Facts::default(), DAY)
}

#[test]
fn a_pack_that_answers_is_heard() {
    let judgement = judged(Parts::default().check);
    assert_eq!(judgement.findings.len(), 1, "{judgement:?}");
    assert_eq!(judgement.findings[0].finding.verdict, Verdict::Warn);
    assert_eq!(judgement.findings[0].finding.code, "made.rule");
    assert!(judgement.allows());
}

#[test]
fn whatever_stops_a_pack_is_a_finding_that_fails_and_names_the_rule() {
    let cases = [
        ("(loop (br 0)) (i32.const 16)", "engine.fuel"),
        ("(loop (drop (memory.grow (i32.const 100))) (br 0)) (i32.const 16)", "engine.memory"),
        ("(call $check (local.get 0))", "engine.stack"),
        ("(unreachable)", "engine.trap"),
        // A list of one finding whose message has a megabyte.
        (
            "(drop (memory.grow (i32.const 40))) (i32.store (i32.const 3020) (i32.const 65536)) \
             (i32.store (i32.const 3024) (i32.const 1048576)) (i32.const 2900)",
            "engine.output",
        ),
        // More findings than there may be: the same one, again and again.
        ("(i32.store (i32.const 2904) (i32.const 100000)) (i32.const 2900)", "engine."),
        // A pointer to nowhere.
        ("(i32.const -8)", "engine.trap"),
        // Nothing at all.
        ("(i32.const 16)", "engine.silent"),
    ];
    for (check, code) in cases {
        let judgement = judged(check);
        assert!(!judgement.allows(), "{check}");
        let found = &judgement.findings[0].finding;
        assert!(found.code.starts_with(code), "{check}: {found:?}");
        assert_eq!(found.verdict, Verdict::Fail);
        assert!(found.message.contains("made.rule"), "{}", found.message);
        assert!(found.evidence.iter().any(|one| one.path == "pack.sha256"));
    }
}

#[test]
fn what_the_sandbox_found_cannot_be_waived() {
    let bytes = made(&Parts { check: "(unreachable)", ..Parts::default() });
    let waiver = "[[waiver]]\nrule = \"made.rule\"\nreason = \"known\"\nuntil = \"2027-01-01\"\n";
    assert!(!set_of(&bytes, waiver).judge(&Facts::default(), DAY).allows());
}

#[test]
fn text_of_a_pack_cannot_command_a_terminal() {
    let message = "\\1b[2J\\0drest";
    let judgement = set_of(&made(&Parts { message, ..Parts::default() }), "").judge(&Facts::default(), DAY);
    let message = &judgement.findings[0].finding.message;
    assert_eq!(message, "\\u{1b}[2J\\u{d}rest");
}

#[test]
fn a_pack_that_wants_something_is_refused_with_what_it_wants() {
    let bytes = wat::parse_str(
        "(component (import \"wasi:clocks/wall-clock\" (instance)) (import \"secrets\" (func)))",
    )
    .unwrap();
    let told = host().load(&bytes).unwrap_err();
    let HostError::Refused(Refusal::Imports(wanted)) = &told else { panic!("{told}") };
    assert_eq!(wanted, &["wasi:clocks/wall-clock", "secrets"]);
    assert!(told.to_string().contains("wasi:clocks/wall-clock, secrets"), "{told}");
}

#[test]
fn a_damaged_pack_is_refused_wherever_it_was_cut() {
    let bytes = made(&Parts::default());
    for part in 0..20 {
        let cut = &bytes[..bytes.len() * part / 20];
        assert!(
            matches!(inspect(cut, usize::MAX), Err(Refusal::Unsound(_) | Refusal::Contract { .. })),
            "{part}"
        );
        assert!(host().load(cut).is_err());
    }
    let mut flipped = bytes.clone();
    for at in (0..flipped.len()).step_by(97) {
        flipped[at] ^= 0xff;
        // Loading may work, when the byte is in a text; it must not panic.
        drop(host().load(&flipped));
        flipped[at] ^= 0xff;
    }
    assert!(matches!(inspect(&bytes, 10), Err(Refusal::TooLarge { .. })));
}

#[test]
fn another_version_of_the_contract_is_named() {
    let bytes = made(&Parts { version: "2.0.0", ..Parts::default() });
    let told = host().load(&bytes).unwrap_err().to_string();
    assert!(told.contains("pack@2.0.0") && told.contains("pack@1.0.0"), "{told}");
}

#[test]
fn a_pack_cannot_speak_for_another() {
    // It has the name of a shipped pack.
    let host = host();
    let mut packs = shipped::load(Limits::default(), Allocation::OnDemand, None).unwrap();
    packs.push(host.load(&made(&Parts { name: "whimbrel.guest", ..Parts::default() })).unwrap());
    let told = RuleSet::new(packs, Policy::default()).unwrap_err().to_string();
    assert!(told.contains("two packs have the name `whimbrel.guest`"), "{told}");
    // It reports a finding of a rule that is not its own.
    let bytes = made(&Parts { answers: "guest.busy", ..Parts::default() });
    let judgement = set_of(&bytes, "").judge(&Facts::default(), DAY);
    let codes: Vec<_> = judgement.findings.iter().map(|one| one.finding.code.as_str()).collect();
    assert_eq!(codes, ["engine.foreign", "engine.silent"]);
    // It takes a name that is the host's, or none at all.
    for rule in ["engine.fuel", "", "A rule", "\\1b[2J"] {
        let told = host.load(&made(&Parts { rule, ..Parts::default() })).unwrap_err();
        assert!(matches!(told, HostError::Describe(_)), "{rule}: {told}");
    }
}

#[test]
fn settings_are_held_against_the_schema_before_the_pack_sees_them() {
    let load = |policy: &str| {
        let packs = shipped::load(Limits::default(), Allocation::OnDemand, None).unwrap();
        RuleSet::new(packs, Policy::parse(policy).unwrap()).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(load("[rule.\"destination.migrations\"]\nsettings = { most = 1000 }\n"), Ok(()));
    for (policy, words) in [
        ("[rule.\"destination.migrations\"]\nsettings = { most = 1001 }\n", "`/most` must be at most 1000"),
        ("[rule.\"destination.migrations\"]\nsettings = { most = \"two\" }\n", "must be of the type integer"),
        ("[rule.\"destination.migrations\"]\nsettings = { least = 1 }\n", "`/least` is not a setting"),
        ("[rule.\"guest.busy\"]\nsettings = { most = 1 }\n", "the rule takes none"),
        ("[rule.\"guest.bsuy\"]\nenabled = false\n", "`guest.bsuy`, which no pack has"),
    ] {
        let told = load(policy).unwrap_err();
        assert!(told.contains(words), "{policy}: {told}");
    }
}

#[test]
fn a_lock_file_that_disagrees_says_in_what() {
    let host = host();
    let pack = host.load(&made(&Parts::default())).unwrap();
    let lock = Lock::parse(&Lock::of([&pack].into_iter()).text()).unwrap();
    assert_eq!(lock.disagreements([&pack].into_iter()), [""; 0]);
    let other = host.load(&made(&Parts { message: "changed", ..Parts::default() })).unwrap();
    let told = lock.disagreements([&other].into_iter());
    assert!(
        told.len() == 1 && told[0].contains(pack.digest()) && told[0].contains(other.digest()),
        "{told:?}"
    );
    assert!(lock.disagreements([].into_iter())[0].contains("not there"));
    assert!(Lock::parse("version = 2").is_err() && Lock::parse("version = 1\nother = 2").is_err());
}

#[test]
fn a_set_that_is_replaced_stays_with_whoever_began_with_it() {
    let first = set_of(&made(&Parts::default()), "");
    let current = Current::new(first);
    let held = current.get();
    let before = held.judge(&Facts::default(), DAY);
    let changed = made(&Parts { message: "changed", ..Parts::default() });
    assert!(current.replace(|| Ok::<_, HostError>(set_of(&changed, ""))).unwrap());
    assert_eq!(held.judge(&Facts::default(), DAY), before);
    assert_ne!(current.get().judge(&Facts::default(), DAY), before);
    // One that does not validate changes nothing.
    let digest = current.get().digest().to_owned();
    assert!(
        current.replace(|| host().load(b"nonsense").map(|_| set_of(&made(&Parts::default()), ""))).is_err()
    );
    assert_eq!(current.get().digest(), digest);
    assert!(!current.replace(|| Ok::<_, HostError>(set_of(&changed, ""))).unwrap(), "the same is no change");
}

#[test]
fn waivers_have_a_reason_and_an_end_and_severities_are_the_operators() {
    let bytes = made(&Parts::default());
    let raised = set_of(&bytes, "[rule.\"made.rule\"]\nseverity = \"fail\"\n").judge(&Facts::default(), DAY);
    assert!(!raised.allows());
    let policy = "[rule.\"made.rule\"]\nseverity = \"fail\"\n[[waiver]]\nrule = \"made.rule\"\nreason = \"known\"\nuntil = \"2026-06-01\"\n";
    let set = set_of(&bytes, policy);
    let waived = set.judge(&Facts::default(), DAY);
    assert!(waived.allows() && waived.findings[0].waived.as_ref().is_some_and(|one| one.reason == "known"));
    assert!(!set.judge(&Facts::default(), "2026-06-02").allows(), "it ended");
    let off = set_of(&bytes, "[rule.\"made.rule\"]\nenabled = false\n").judge(&Facts::default(), DAY);
    assert!(off.findings.is_empty());
    for wrong in
        ["reason = \" \"\nuntil = \"2026-06-01\"", "reason = \"x\"\nuntil = \"soon\"", "reason = \"x\""]
    {
        assert!(Policy::parse(&format!("[[waiver]]\nrule = \"made.rule\"\n{wrong}\n")).is_err(), "{wrong}");
    }
}
