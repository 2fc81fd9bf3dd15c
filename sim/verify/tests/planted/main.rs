//! Nets that catch nothing prove nothing: mistakes are planted into the control machine, and each must be found.

#![cfg(test)]

mod bugs;

use std::fmt::Write as _;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::{env, fs};

use whimbrel_core::GuestRun;
use whimbrel_verify::explore::{Bounds, Machine, Scope, explore};

use bugs::{BUGS, Bug};

/// The scopes in which each mistake is searched for, the small ones first.
const NETS: [(&str, Scope); 5] = {
    const PLAIN: Scope = Scope {
        hints: false,
        limits: false,
        disks: false,
        persistent: false,
        timeout: false,
        ..Scope::everything(1, 0)
    };
    [
        ("faults", PLAIN),
        ("undo", Scope { hints: false, restarts: false, ..Scope::everything(1, 0) }),
        ("requests", Scope { requests: 1, persistent: true, restarts: false, ..PLAIN }),
        ("paused", Scope { guest: GuestRun::Paused, postcopy: false, ..PLAIN }),
        ("hints", Scope { requests: 1, hints: true, restarts: false, ..PLAIN }),
    ]
};
const BOUNDS: Bounds = Bounds { states: 500_000, depth: 1_000, violations: 1 };

/// To regenerate the page: `WHIMBREL_WRITE=1 cargo test -p whimbrel-verify --test planted`.
#[test]
fn every_planted_mistake_is_found() {
    // A guard that stops the machine is a find, not a failure of this test.
    panic::set_hook(Box::new(|_| ()));
    let finds: Vec<_> = BUGS.iter().map(|bug| (bug.name, explored(bug))).collect();
    let _ = panic::take_hook();
    let missed: Vec<_> = finds.iter().filter(|(_, found)| found.is_none()).map(|(name, _)| name).collect();
    assert!(missed.is_empty(), "not found: {missed:?}");
    assert!(BUGS.len() >= 50, "{} mistakes are planted", BUGS.len());

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/planted-bugs.md");
    let page = page(&finds);
    if env::var_os("WHIMBREL_WRITE").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == page, "docs/planted-bugs.md is out of date; regenerate it with WHIMBREL_WRITE=1");
}

#[test]
fn the_nets_find_nothing_in_the_shipped_machine() {
    for (net, scope) in NETS {
        let coverage = explore(&scope, Bounds { states: 300_000, ..BOUNDS }, |_| ());
        assert_eq!(coverage.violations, [], "{net}");
    }
}

struct Find {
    net: &'static str,
    what: String,
    states: u64,
    steps: Option<usize>,
}

fn explored(bug: &Bug) -> Option<Find> {
    let mut states = 0;
    for (net, scope) in NETS {
        let scope = Scope { machine: Machine(bug.machine), ..scope };
        let mut met = 0;
        let coverage = panic::catch_unwind(AssertUnwindSafe(|| {
            explore(&scope, BOUNDS, |coverage| met = coverage.unique_states)
        }));
        match coverage {
            Ok(coverage) => {
                states += coverage.unique_states;
                if let Some(found) = coverage.violations.first() {
                    let what = found.violation.to_string();
                    return Some(Find { net, what, states, steps: Some(found.way.len()) });
                }
            }
            Err(words) => {
                let words = words.downcast_ref::<String>().cloned().unwrap_or_default();
                let what = format!("guard: {}", words.lines().next().unwrap_or("stopped"));
                return Some(Find { net, what, states: states + met, steps: None });
            }
        }
    }
    None
}

fn page(finds: &[(&str, Option<Find>)]) -> String {
    let mut page = String::from(
        "# Planted mistakes\n\n\
         Each row is a plausible mistake, planted into the control machine from outside: the machine that ships\n\
         has no switch for it. The same exploration that finds nothing in the shipped machine is run on each. This page is written by the test `every_planted_mistake_is_found`, which fails when one is not\n\
         found. *States* were met before the find, at about two million a second; *steps* is the length of the shortest way to\n\
         it, which `whimbrel explore` would print (none where a guard of the machine itself stopped it at once).\n\n\
         | mistake | found by exploring | violation | states | steps |\n|---|---|---|---:|---:|\n",
    );
    for (name, find) in finds {
        let Some(find) = find else { continue };
        let steps = find.steps.map_or("-".to_owned(), |steps| steps.to_string());
        // Writing into a string does not fail.
        let _ = writeln!(
            page,
            "| {name} | {} | {} | {} | {steps} |",
            find.net,
            find.what.replace('|', "or"),
            find.states
        );
    }
    page
}
