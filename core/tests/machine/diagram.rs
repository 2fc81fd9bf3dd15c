//! `docs/control-machine.md`: the purpose of each phase and its transitions, generated from the code itself.
//!
//! Every control state that any order of signals leads to is visited, plausible or not, so the diagram shows all that
//! the code can do, and is not drawn by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::hash::{Hash as _, Hasher};
use std::path::Path;

use whimbrel_core::control::{
    AbortSignal, ActSignal, AdjustmentKind, AdjustmentSignal, CallSignal, Change, Changes, Control,
    ControlOptions, Found, JobSignal, SettingSignal, SetupSignal, Signal, Timer,
};
use whimbrel_core::port::{CopyState, Hint, Side};
use whimbrel_core::{AtTimeout, GuestRun, PhaseName};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/control-machine.md");

/// To regenerate the page: `WHIMBREL_WRITE=1 cargo test -p whimbrel-core --test machine diagram`.
#[test]
fn the_diagram_in_the_docs_is_of_this_code() {
    let page = page(&met());
    if std::env::var_os("WHIMBREL_WRITE").is_some() {
        fs::write(PAGE, &page).unwrap();
    }
    let kept = fs::read_to_string(PAGE).unwrap_or_default();
    assert!(kept == page, "docs/control-machine.md is out of date; regenerate it with WHIMBREL_WRITE=1");
}

/// Which signals lead from one phase to another.
type Edges = BTreeMap<(PhaseName, PhaseName), BTreeSet<String>>;

/// Everything that the machine can do.
#[derive(Default)]
struct Met {
    edges: Edges,
    states: usize,
    steps: usize,
    /// Of every step, with its orders, and of every refusal, in any order.
    digest: u64,
}

/// FNV-1a: its result is the same on every machine.
struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

fn met() -> Met {
    let mut all = Met::default();
    // Its order does not matter: only membership is tested.
    #[expect(clippy::disallowed_types, reason = "controls have no order, and only membership is tested")]
    let mut met = std::collections::HashSet::new();
    let mut waiting = Vec::new();
    for offline in [false, true] {
        for at_timeout in [AtTimeout::Cancel, AtTimeout::Postcopy] {
            let options = ControlOptions { postcopy: !offline, offline, at_timeout };
            waiting.push(Control::new(Changes::EMPTY.with(Change::DowntimeLimit), options));
        }
    }
    let signals = signals();
    while let Some(control) = waiting.pop() {
        for (number, signal) in signals.iter().enumerate() {
            // A signal enters the digest by its number: a renamed type does not change the machine.
            let mut step = Fnv(0xcbf2_9ce4_8422_2325);
            (control, number).hash(&mut step);
            let Ok((next, orders)) = control.step(*signal) else {
                all.digest = all.digest.wrapping_add(step.finish());
                continue;
            };
            next.hash(&mut step);
            orders.iter().for_each(|order| order.hash(&mut step));
            all.digest = all.digest.wrapping_add(step.finish());
            all.steps += 1;
            let (from, to) = (control.phase().name(), next.phase().name());
            if from != to {
                all.edges.entry((from, to)).or_default().insert(name(*signal));
            }
            if met.insert(next) {
                waiting.push(next);
            }
        }
    }
    all.states = met.len();
    all
}

/// Every signal, each always at the same place: the digest knows it by that.
fn signals() -> Vec<Signal> {
    let mut signals = vec![
        Signal::Begin,
        Signal::Cancel,
        Signal::Restarted,
        Signal::Setup(SetupSignal::FactsMissing),
        Signal::Setup(SetupSignal::Allowed),
        Signal::Setup(SetupSignal::Refused),
        Signal::Setup(SetupSignal::SettingsRead),
        Signal::Setup(SetupSignal::SettingsUnreadable),
        Signal::Setting(SettingSignal::Applied),
        Signal::Setting(SettingSignal::Unknown),
        Signal::Reacted(AdjustmentSignal::Done),
        Signal::Reacted(AdjustmentSignal::Refused),
        Signal::Reacted(AdjustmentSignal::Unknown),
        Signal::Call(CallSignal::Succeeded),
        Signal::Call(CallSignal::Failed),
        Signal::Call(CallSignal::Lost),
        Signal::Job(JobSignal::Active),
        Signal::Job(JobSignal::Gone),
        Signal::Job(JobSignal::Unknown),
        Signal::Abort(AbortSignal::Accepted),
        Signal::Abort(AbortSignal::Refused),
        Signal::Act(ActSignal::Done),
        Signal::Act(ActSignal::Unknown),
    ];
    for run in [GuestRun::Running, GuestRun::Paused, GuestRun::NotRunning] {
        let found = Found { run, is_persistent: true, is_defined_there: false, makes_disks: true };
        signals.push(Signal::Setup(SetupSignal::FactsArrived(found)));
    }
    for reaction in [AdjustmentKind::DowntimeLimit, AdjustmentKind::Pause, AdjustmentKind::Postcopy] {
        signals.push(Signal::React(reaction));
    }
    for side in [Side::Source, Side::Destination] {
        signals.extend(CopyState::ALL.map(|state| Signal::Seen(side, state)));
    }
    signals.extend(Hint::ALL.map(Signal::Hint));
    signals.extend(Timer::ALL.map(Signal::Elapsed));
    signals
}

/// The signal without what it carries, where that makes no other arrow.
fn name(signal: Signal) -> String {
    match signal {
        Signal::Setup(SetupSignal::FactsArrived(_)) => "Setup(FactsArrived)".into(),
        Signal::Seen(..) => "Seen".into(),
        other => format!("{other:?}"),
    }
}

fn page(met: &Met) -> String {
    let Met { edges, states, steps, digest } = met;
    let mut page = String::from(
        "# The control machine\n\n\
         This page is generated by a test from the code of `core/src/control`. The same code migrates real guests, is\n\
         simulated, and is explored exhaustively, so the page cannot be out of date. An arrow stands for every transition that\n\
         some order of signals causes. An order that would break an invariant stops the machine in every build (`guard.rs`).\n\n\
         ```mermaid\nstateDiagram-v2\n    [*] --> Validating\n",
    );
    // Writing into a string does not fail.
    for (from, to) in edges.keys() {
        let _ = writeln!(page, "    {from:?} --> {to:?}");
    }
    page.push_str("    Done --> [*]\n```\n");
    let _ = writeln!(
        page,
        "\nSignals in any order lead to {states} states, in {steps} steps. Their digest, over every step with its orders and\n\
         every refused signal, is `{digest:016x}`: any change of the machine's behaviour changes it."
    );
    for phase in PhaseName::ALL {
        let _ = writeln!(page, "\n## {phase:?}\n\n{}", doc(phase));
        let ways: Vec<_> = edges.iter().filter(|((from, _), _)| *from == phase).collect();
        if !ways.is_empty() {
            page.push_str("| leads to | by |\n|---|---|\n");
        }
        for ((_, to), signals) in ways {
            let signals: Vec<_> = signals.iter().map(|signal| format!("`{signal}`")).collect();
            let _ = writeln!(page, "| {to:?} | {} |", signals.join(", "));
        }
    }
    page
}

/// The module documentation of the phase's file.
fn doc(phase: PhaseName) -> String {
    let mut file = String::new();
    for (place, letter) in format!("{phase:?}").chars().enumerate() {
        if letter.is_uppercase() && place > 0 {
            file.push('_');
        }
        file.extend(letter.to_lowercase());
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/control/{file}.rs"));
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().map_while(|line| line.strip_prefix("//!"));
    let doc: Vec<&str> = lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    doc.join("\n").replace("[`", "`").replace("`]", "`") + "\n"
}
