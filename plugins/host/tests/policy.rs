//! The operator's decisions have the effect that they say, on the guest and disk that they name, and never silently none.

#![expect(clippy::unwrap_used, reason = "a failing helper fails the test")]

mod made;

use made::{Parts, made};
use whimbrel_facts::{DiskStorage, Domain, Facts, Phase, Verdict};
use whimbrel_plugins::host::{Allocation, Host, Limits};
use whimbrel_plugins::policy::Policy;
use whimbrel_plugins::shipped;
use whimbrel_plugins::{Judged, RuleSet};

const DAY: &str = "2026-06-01";
const UNKNOWN: usize = 3;

/// A pack whose only finding is about the second disk.
fn parts() -> Parts<'static> {
    Parts { verdict: UNKNOWN, subject: "/storage/1/sharing", ..Parts::default() }
}

fn facts(name: &str, disks: [&str; 2]) -> Facts {
    let storage = |target: &&str| DiskStorage { target: (*target).to_owned(), ..DiskStorage::default() };
    let guest = Domain { name: name.to_owned(), uuid: "0b6cd9e3".to_owned(), ..Domain::default() };
    Facts { guest: Some(guest), storage: Some(disks.iter().map(storage).collect()), ..Facts::default() }
}

fn judged(parts: &Parts<'_>, policy: &str, facts: &Facts) -> Vec<Judged> {
    let host = Host::new(Limits::default(), Allocation::OnDemand, None).unwrap();
    let policy = Policy::parse(policy).unwrap();
    let set = RuleSet::new(vec![host.load(&made(parts)).unwrap()], policy);
    set.unwrap().judge(facts, DAY).findings
}

#[test]
fn an_unknown_refuses_where_the_operator_says_so() {
    let facts = facts("db1", ["vda", "vdb"]);
    let verdict = |policy: &str| judged(&parts(), policy, &facts)[0].finding.verdict;
    for (policy, expected) in [
        ("", Verdict::Unknown),
        ("[[unknown]]\n", Verdict::Fail),
        ("[[unknown]]\nseverity = \"warn\"\n", Verdict::Warn),
        ("[[unknown]]\nrule = \"made.rule\"\n", Verdict::Fail),
        ("[[unknown]]\nrule = \"made.*\"\nguest = \"db1\"\ndisk = \"vdb\"\n", Verdict::Fail),
        ("[[unknown]]\nguest = \"0B6CD9E3\"\n", Verdict::Fail),
        ("[[unknown]]\nguest = \"db2\"\n", Verdict::Unknown),
        ("[[unknown]]\ndisk = \"vda\"\n", Verdict::Unknown),
        // The gravest of several decides.
        ("[[unknown]]\nseverity = \"warn\"\n[[unknown]]\ndisk = \"vdb\"\n", Verdict::Fail),
        // The severity of findings that warn or fail says nothing of those that are unknown.
        ("[rule.\"made.rule\"]\nseverity = \"fail\"\n", Verdict::Unknown),
    ] {
        assert_eq!(verdict(policy), expected, "{policy}");
    }
}

#[test]
fn a_waiver_covers_the_guest_and_the_disk_that_it_names_wherever_they_stand() {
    let refused =
        "[[unknown]]\n[[waiver]]\nrule = \"made.rule\"\nreason = \"known\"\nuntil = \"2026-06-01\"\n";
    let is_waived = |more: &str, facts: &Facts| {
        let found = judged(&parts(), &format!("{refused}{more}"), facts);
        assert_eq!(found[0].finding.verdict, Verdict::Fail);
        found[0].waived.is_some()
    };
    let facts_of = |name: &str| facts(name, ["vda", "vdb"]);
    let of_vdb = "guest = \"db1\"\nsubject = \"/storage/vdb/sharing\"\n";
    assert!(is_waived("", &facts_of("db1")) && is_waived(of_vdb, &facts_of("db1")));
    assert!(!is_waived(of_vdb, &facts_of("db2")), "another guest");
    assert!(!is_waived(of_vdb, &facts("db1", ["vdb", "vda"])), "the finding is about vda now");
    let found = judged(&parts(), "", &facts_of("db1"));
    assert_eq!(found[0].place, "/storage/vdb/sharing", "the place is shown as a waiver names it");
}

#[test]
fn a_waiver_that_expired_is_shown_and_has_no_effect() {
    let policy =
        |until: &str| format!("[[waiver]]\nrule = \"made.rule\"\nreason = \"known\"\nuntil = \"{until}\"\n");
    let found = judged(&parts(), &policy("2026-05-31"), &facts("db1", ["vda", "vdb"]));
    assert!(
        found[0].waived.is_none() && found[0].expired.as_ref().is_some_and(|one| one.until == "2026-05-31")
    );
    let both = policy("2026-05-31") + &policy("2026-06-02");
    let found = judged(&parts(), &both, &facts("db1", ["vda", "vdb"]));
    assert!(
        found[0].expired.is_none() && found[0].waived.as_ref().is_some_and(|one| one.until == "2026-06-02")
    );
}

#[test]
fn a_decision_that_could_not_have_an_effect_is_refused() {
    let waiver = |rest: &str| format!("[[waiver]]\nrule = \"made.rule\"\nreason = \"known\"\n{rest}\n");
    for (policy, words) in [
        (waiver("until = \"2099-02-30\""), "is not a date"),
        (waiver("until = \"2027-02-29\""), "is not a date"),
        (waiver("until = \"2099-01-01\"\nsubject = \"/guest/disks/0/cache\""), "has a position"),
        (waiver("until = \"2099-01-01\"\nguests = \"db1\""), "guests"),
        ("[[unknown]]\nseverity = \"pass\"".to_owned(), "severity"),
    ] {
        let message = Policy::parse(&policy).unwrap_err().to_string();
        assert!(message.contains(words), "{policy}: {message}");
    }
    let host = Host::new(Limits::default(), Allocation::OnDemand, None).unwrap();
    for rule in ["made.rlue", "mode.*"] {
        let policy = Policy::parse(&format!("[[unknown]]\nrule = \"{rule}\"\n")).unwrap();
        let message =
            RuleSet::new(vec![host.load(&made(&parts())).unwrap()], policy).unwrap_err().to_string();
        assert!(message.contains(rule), "{message}");
    }
    let policy = Policy::parse("[rule.\"made.rlue\"]\nenabled = false\n").unwrap();
    let message = RuleSet::new(vec![host.load(&made(&parts())).unwrap()], policy).unwrap_err().to_string();
    assert!(message.contains("did you mean `made.rule`?"), "{message}");
}

/// A rule for the time after a migration must not refuse one before it.
#[test]
fn a_rule_is_evaluated_in_its_phases_alone() {
    let count = |phases: &str, phase: Phase| {
        let parts = Parts { phases, ..parts() };
        judged(&parts, "", &Facts { phase, ..facts("db1", ["vda", "vdb"]) }).len()
    };
    assert_eq!(count("", Phase::Preflight), 1, "no phase is every phase");
    assert_eq!((count("\\01", Phase::Preflight), count("\\00\\01", Phase::Plan)), (1, 1));
    assert_eq!((count("\\03", Phase::Preflight), count("\\03", Phase::AfterCompletion)), (0, 1));
}

/// Compilers cost most of a start; a pack of which nothing is evaluated needs none.
#[test]
fn a_pack_is_compiled_when_a_rule_of_it_is_evaluated_and_not_before() {
    let load = || shipped::load(Limits::default(), Allocation::OnDemand, None).unwrap();
    let compiled = |set: &RuleSet| -> Vec<String> {
        set.packs().filter(|pack| pack.is_compiled()).map(|pack| pack.about().name.clone()).collect()
    };
    let facts = |phase| Facts { phase, ..Facts::default() };
    let off: Vec<String> = load()
        .iter()
        .filter(|pack| pack.about().name != "whimbrel.storage")
        .flat_map(|pack| pack.about().rules.iter().map(|rule| rule.code.clone()).collect::<Vec<_>>())
        .map(|code| format!("[rule.\"{code}\"]\nenabled = false\n"))
        .collect();
    let off = off.concat();
    let set = RuleSet::new(load(), Policy::parse(&off).unwrap()).unwrap();
    assert_eq!(compiled(&set), [""; 0], "descriptions need no code");
    // No shipped rule is of this phase.
    assert!(set.judge(&facts(Phase::AfterCompletion), DAY).findings.is_empty());
    assert_eq!(compiled(&set), [""; 0]);
    let found = set.judge(&facts(Phase::Preflight), DAY).findings;
    assert_eq!(compiled(&set), ["whimbrel.storage"]);
    assert!(!found.is_empty() && found.iter().all(|one| one.pack == "whimbrel.storage"), "{found:?}");
    // A waiver takes a rule out of nothing: its finding is shown.
    let waived = "[[waiver]]\nrule = \"guest.busy\"\nreason = \"r\"\nuntil = \"2026-06-01\"\n";
    let set = RuleSet::new(
        load(),
        Policy::parse(&format!("{}{waived}", off.replace("[rule.\"guest.busy\"]\nenabled = false\n", "",)))
            .unwrap(),
    )
    .unwrap();
    set.compile(Phase::Preflight).unwrap();
    assert_eq!(compiled(&set), ["whimbrel.guest", "whimbrel.storage"]);
}
