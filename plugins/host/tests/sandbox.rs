//! Packs in the sandbox: the same verdicts as natively, the same every time, and a cache that cannot be poisoned.

#![expect(clippy::unwrap_used, reason = "a failing helper fails the test")]

#[path = "../../rules/tests/common/mod.rs"]
mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use common::{Change, DEFINED, EDGES, sound};
use proptest::prelude::*;
use whimbrel_facts::{Activation, Facts, Verdict};
use whimbrel_plugins::RuleSet;
use whimbrel_plugins::host::{Allocation, Cache, Host, Limits, Pack, digest};
use whimbrel_plugins::lock::Lock;
use whimbrel_plugins::policy::Policy;
use whimbrel_plugins::shipped::{self, SHIPPED};

fn packs(allocation: Allocation) -> Vec<Pack> {
    shipped::load(Limits::default(), allocation, None).unwrap()
}

fn all(pack: &Pack) -> Vec<Activation> {
    let activate =
        |rule: &whimbrel_facts::Rule| Activation { code: rule.code.clone(), settings: String::new() };
    pack.about().rules.iter().map(activate).collect()
}

fn asked(pack: &Pack, facts: &Facts) -> (Vec<whimbrel_facts::Finding>, u64) {
    let answer = pack.check(facts, &all(pack)).unwrap();
    (answer.value, answer.fuel)
}

/// Rule, verdict beyond its edge, and the change that goes there: of facts alone, and of definitions.
fn edges() -> impl Iterator<Item = (&'static str, Verdict, Change)> {
    let defined = DEFINED.iter().map(|(code, verdict, _, change)| (*code, *verdict, *change));
    EDGES.iter().copied().chain(defined)
}

/// A rule that reads facts which its pack does not need would be unknown in the sandbox alone.
#[test]
fn each_rule_is_found_beyond_its_edge_in_the_sandbox() {
    let packs = packs(Allocation::Pooled);
    for (code, verdict, change) in edges() {
        let mut facts = sound();
        change(&mut facts);
        let found = packs.iter().flat_map(|pack| asked(pack, &facts).0);
        let found: Vec<_> = found.filter(|one| one.code == code).map(|one| one.verdict).collect();
        assert!(found.contains(&verdict), "`{code}` does not say {verdict:?} but {found:?}");
    }
    let unsound =
        packs.iter().flat_map(|pack| asked(pack, &sound()).0).filter(|one| one.verdict != Verdict::Pass);
    assert_eq!(unsound.count(), 0);
}

#[test]
fn a_pack_and_its_native_twin_say_the_same() {
    let host = Host::new(Limits::default(), Allocation::Pooled, None).unwrap();
    for (pack, shipped) in packs(Allocation::Pooled).iter().zip(&SHIPPED) {
        // A shipped pack has its native description until it is compiled: the component's own is compared here.
        assert_eq!(*host.load(shipped.bytes).unwrap().about(), shipped.native.about());
        assert_eq!(*pack.about(), shipped.native.about());
        for (code, _, change) in edges() {
            let mut facts = sound();
            change(&mut facts);
            let native = shipped.native.check(&pack.allowed(&facts), &all(pack));
            assert_eq!(asked(pack, &facts).0, native, "{code}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
    /// Any mixture of changes, and groups of facts that are missing.
    #[test]
    fn they_say_the_same_of_any_facts(
        changes in prop::collection::vec(0..EDGES.len(), 0..12),
        missing in prop::collection::vec(0..5_usize, 0..3),
    ) {
        let mut facts = sound();
        for at in changes {
            // A change may not fit after another: what it names may be gone.
            let mut changed = facts.clone();
            let change = EDGES[at].2;
            if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| change(&mut changed))).is_ok() {
                facts = changed;
            }
        }
        for group in missing {
            match group {
                0 => facts.request = None,
                1 => facts.guest = None,
                2 => facts.source = None,
                3 => facts.destination = None,
                _ => facts.storage = None,
            }
        }
        let packs = PACKS.get_or_init(|| packs(Allocation::Pooled));
        for (pack, shipped) in packs.iter().zip(&SHIPPED) {
            let native = shipped.native.check(&pack.allowed(&facts), &all(pack));
            prop_assert_eq!(asked(pack, &facts).0, native);
        }
    }
}

static PACKS: std::sync::OnceLock<Vec<Pack>> = std::sync::OnceLock::new();

#[test]
fn findings_and_fuel_are_equal_over_runs_and_ways_to_allocate() {
    let (pooled, on_demand) = (packs(Allocation::Pooled), packs(Allocation::OnDemand));
    for (one, other) in pooled.iter().zip(&on_demand) {
        for (_, _, change) in EDGES.iter().step_by(7) {
            let mut facts = sound();
            change(&mut facts);
            let first = asked(one, &facts);
            assert_eq!(first, asked(one, &facts));
            assert_eq!(first, asked(other, &facts));
        }
    }
}

#[test]
fn both_compilers_make_the_same_findings() {
    let host = Host::new(Limits::default(), Allocation::Pooled, None).unwrap();
    for (quick, shipped) in packs(Allocation::Pooled).iter().zip(&SHIPPED) {
        let proven = host.load(shipped.bytes).unwrap();
        for (_, _, change) in EDGES.iter().step_by(5) {
            let mut facts = sound();
            change(&mut facts);
            assert_eq!(asked(quick, &facts).0, asked(&proven, &facts).0);
        }
    }
}

/// Fuel of the shipped packs on sound facts. It changes with the packs only; review it with every change of a pack.
const GOLDEN: [(&str, u64); 4] = [
    ("whimbrel.guest", 209_617),
    ("whimbrel.hosts", 200_626),
    ("whimbrel.storage", 104_059),
    ("whimbrel.request", 197_093),
];

#[test]
fn the_fuel_is_what_it_was() {
    let packs = packs(Allocation::Pooled);
    let now: Vec<_> =
        packs.iter().map(|pack| (pack.about().name.as_str(), asked(pack, &sound()).1)).collect();
    assert_eq!(now, GOLDEN);
}

#[test]
fn no_rule_in_a_pack_depends_on_another() {
    for pack in packs(Allocation::Pooled) {
        let together = asked(&pack, &sound()).0;
        let alone = all(&pack).into_iter().flat_map(|one| pack.check(&sound(), &[one]).unwrap().value);
        assert_eq!(together, alone.collect::<Vec<_>>());
    }
}

#[test]
fn a_pack_sees_only_what_it_needs() {
    for pack in packs(Allocation::OnDemand) {
        let facts = pack.allowed(&sound());
        let needs = &pack.about().needs;
        assert_eq!(facts.storage.is_some(), needs.contains(&whimbrel_facts::FactGroup::Storage));
        assert_eq!(facts.source.is_some(), needs.contains(&whimbrel_facts::FactGroup::Source));
    }
}

#[test]
fn the_committed_packs_are_those_that_the_lock_file_pins() {
    let lock = Lock::parse(shipped::LOCK).unwrap();
    assert_eq!(lock.disagreements(packs(Allocation::OnDemand).iter()), [""; 0]);
}

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("whimbrel-cache-{}-{number}", std::process::id())))
    }

    fn load(&self) -> Pack {
        let host =
            Host::new(Limits::default(), Allocation::OnDemand, Some(Cache::new(self.0.clone()))).unwrap();
        host.load(SHIPPED[2].bytes).unwrap()
    }

    fn files(&self) -> Vec<PathBuf> {
        fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_cache_that_was_tampered_with_is_as_good_as_none() {
    let folder = Folder::new();
    let expected = asked(&folder.load(), &sound());
    let [file] = folder.files().try_into().unwrap();
    let good = fs::read(&file).unwrap();
    let made = fs::metadata(&file).unwrap().ino();
    assert_eq!(asked(&folder.load(), &sound()), expected);
    assert_eq!(fs::metadata(&file).unwrap().ino(), made, "it came from the cache");
    let sealed = |code: &[u8]| [code, digest(code).as_bytes()].concat();
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    for bad in [
        Vec::new(),
        b"short".to_vec(),
        good[..good.len() / 2].to_vec(),
        flipped,
        sealed(b"code"),
        sealed(&good[..good.len() - 64]),
    ] {
        fs::remove_file(&file).unwrap();
        fs::write(&file, bad).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(asked(&folder.load(), &sound()), expected);
        assert_eq!(fs::read(&file).unwrap(), good, "it was compiled and written again");
    }
    // Another user may write the file, or the folder: its content is untrusted.
    fs::set_permissions(&file, fs::Permissions::from_mode(0o420)).unwrap();
    assert_eq!(asked(&folder.load(), &sound()), expected);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o400);
    let elsewhere = folder.0.with_extension("elsewhere");
    fs::rename(&file, &elsewhere).unwrap();
    symlink(&elsewhere, &file).unwrap();
    assert_eq!(asked(&folder.load(), &sound()), expected);
    assert!(fs::symlink_metadata(&file).unwrap().is_file(), "the link was replaced");
    fs::remove_file(&elsewhere).unwrap();
    fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o770)).unwrap();
    fs::remove_file(&file).unwrap();
    fs::write(&file, b"left alone").unwrap();
    assert_eq!(asked(&folder.load(), &sound()), expected);
    assert_eq!(fs::read(&file).unwrap(), b"left alone");
}

#[test]
fn a_cache_keeps_what_was_written_last() {
    let folder = Folder::new();
    folder.load();
    let [first] = folder.files().try_into().unwrap();
    let before = |seconds| SystemTime::now() - Duration::from_secs(seconds);
    fs::File::open(&first).unwrap().set_modified(before(1_000)).unwrap();
    for number in 1..=63 {
        let file = fs::File::create(folder.0.join(format!("{number}.code"))).unwrap();
        file.set_modified(before(number)).unwrap();
    }
    let other =
        Host::new(Limits::default(), Allocation::OnDemand, Some(Cache::new(folder.0.clone()))).unwrap();
    other.load(SHIPPED[3].bytes).unwrap();
    let files = folder.files();
    assert_eq!(files.len(), 64);
    assert!(!files.contains(&first), "the oldest went");
}

/// A service can begin many migrations at the same moment. The pool has 64 instances, and each judgement needs four.
#[test]
fn more_judgements_at_once_than_the_pool_has_instances_are_all_the_same() {
    let set = RuleSet::new(packs(Allocation::Pooled), Policy::default()).unwrap();
    let facts = sound();
    let alone = set.judge(&facts, "2026-01-01");
    let begin = Barrier::new(100);
    std::thread::scope(|scope| {
        let judge = || {
            begin.wait();
            set.judge(&facts, "2026-01-01")
        };
        let threads: Vec<_> = (0..100).map(|_| scope.spawn(judge)).collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), alone);
        }
    });
}
