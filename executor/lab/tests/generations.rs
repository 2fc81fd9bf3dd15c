//! Hosts of several generations of libvirt and QEMU: a running guest is migrated from each to each, in every way that the
//! pair allows, and its own witness says that nothing was lost.
//!
//! The roots are those of `cargo xtask lab roots`. Two hosts make a lab, so each pair of generations has one lab, in which
//! the guest goes there and back. The table that is printed has every migration. With `WHIMBREL_GENERATIONS` set, only
//! pairs are tested of which both names contain it.

#![cfg(test)]

use std::fmt;
use std::time::{Duration, Instant};

use serde_json::Value;
use whimbrel_lab::roots::{GENERATIONS, Generation, RootCache};
use whimbrel_lab::testing::{self, LONG};
use whimbrel_lab::{Guest, GuestSpec, Host, Lab, LabOptions};

/// The newest machine type that every generation has.
const MACHINE: &str = "pc-i440fx-5.2";

/// How a guest is migrated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    PreCopy,
    PostCopy,
    AutoConverge,
}

impl Way {
    const ALL: [Self; 3] = [Self::PreCopy, Self::PostCopy, Self::AutoConverge];

    const fn name(self) -> &'static str {
        match self {
            Self::PreCopy => "pre-copy",
            Self::PostCopy => "post-copy",
            Self::AutoConverge => "auto-converge",
        }
    }

    /// A guest that makes this way necessary: with post-copy it dirties more than may be copied, and with auto-converge
    /// all of its region in each pass, unless its processor is throttled.
    fn guest(self) -> GuestSpec {
        let (region_mib, writes_per_second) = match self {
            Self::PreCopy => (48, 2000),
            Self::PostCopy => (72, 20_000),
            Self::AutoConverge => (32, 100_000),
        };
        let name = self.name().to_owned();
        let machine = MACHINE.to_owned();
        GuestSpec { name, machine, memory_mib: 128, region_mib, writes_per_second, ..GuestSpec::default() }
    }

    const fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::PreCopy => &[],
            // Long after the first pass, before which the program does not begin post-copy.
            Self::PostCopy => &["--bandwidth", "20", "--timeout", "8", "--at-timeout", "postcopy"],
            // Less than the region is copied within the downtime limit, or no throttle would be needed.
            Self::AutoConverge => &["--bandwidth", "100", "--downtime", "100", "--auto-converge"],
        }
    }

    /// Whether the program's events say that it was really done this way.
    fn was_taken(self, events: &[Value]) -> bool {
        let post_copied = events.iter().any(|event| event["phase"] == "postcopy");
        let throttled = events.iter().any(|event| event["progress"]["throttle_percent"].as_u64() > Some(0));
        match self {
            Self::PreCopy => !post_copied && !throttled,
            Self::PostCopy => post_copied,
            Self::AutoConverge => throttled,
        }
    }
}

/// A migration, in a line of the table.
struct Row {
    from: &'static str,
    to: &'static str,
    way: Way,
    took: Duration,
    downtime: Duration,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, way, took, downtime } = self;
        let (way, took, downtime) = (way.name(), took.as_secs_f64(), downtime.as_millis());
        write!(f, "| {from} | {to} | {way} | {took:.1} | {downtime} |")
    }
}

/// The events among the lines that the program wrote.
fn events(text: &str) -> Vec<Value> {
    let documents = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    documents.filter_map(|mut document| document.get_mut("event").map(Value::take)).collect()
}

/// Migrates the guest, and holds the result against its witness.
fn migrate(
    lab: &Lab,
    guest: &Guest,
    way: Way,
    (from, to): ((Generation, &Host), (Generation, &Host)),
) -> Result<Row, String> {
    let failed = |reason: String| {
        let failure = format!("{} from {} to {}: {reason}", way.name(), from.0.name, to.0.name);
        println!("{failure}");
        failure
    };
    let earlier = guest.mark();
    let began = Instant::now();
    let arguments = [way.arguments(), ["--format", "ndjson"].as_slice()].concat();
    let (code, text) = testing::run(lab, guest.name(), (from.1, to.1), &["migrate"], &arguments);
    let took = began.elapsed();
    if code != Some(0) || !way.was_taken(&events(&text)) {
        return Err(failed(format!("exit code {code:?}, or it was not done in this way: {text}")));
    }
    let there = to.1.domain_state(guest.name()).map_err(|error| failed(error.to_string()))?;
    let here = from.1.domain_state(guest.name()).map_err(|error| failed(error.to_string()))?;
    if !there.as_ref().is_some_and(|state| state.starts_with("running")) || here.is_some() {
        return Err(failed(format!("it is {there:?} there and {here:?} here")));
    }
    let arrived = guest
        .wait_until(LONG, |now| now.handover.is_some() && now.seq > earlier.seq)
        .map_err(|error| failed(error.to_string()))?;
    let seen =
        guest.wait_for_scan_after(&guest.snapshot(), LONG).map_err(|error| failed(error.to_string()))?;
    if (seen.bad, seen.lost, seen.torn, seen.two_copies_ran()) != (0, 0, 0, false) {
        return Err(failed(format!("its witness: {seen:?}")));
    }
    let downtime = arrived.handover.unwrap_or_default();
    let row = Row { from: from.0.name, to: to.0.name, way, took, downtime };
    println!("{row}");
    Ok(row)
}

/// All ways between two generations, there and back.
fn pair(cache: &RootCache, one: Generation, other: Generation) -> Vec<Result<Row, String>> {
    let root = |generation| Some(cache.open(generation).unwrap());
    let options = LabOptions { alpha_root: root(one), beta_root: root(other), ..LabOptions::default() };
    let lab = Lab::build(&options).unwrap();
    let (alpha, beta) = ((one, lab.alpha()), (other, lab.beta()));
    for (generation, host) in [alpha, beta] {
        let versions = host.versions().unwrap();
        let installed = cache.manifest(generation).unwrap().unwrap();
        let package = &installed.packages["libvirt-daemon"];
        assert!(package.starts_with(&versions.libvirt), "{}: {versions}, but {package}", generation.name);
        println!("{} on {}: {versions}", generation.name, host.name());
    }
    let mut results = Vec::new();
    for way in Way::ALL {
        let guest = lab.start_guest(&way.guest()).unwrap();
        let there = migrate(&lab, &guest, way, (alpha, beta));
        let has_arrived = there.is_ok();
        results.push(there);
        // A pair of one generation has no other direction.
        if has_arrived && one != other {
            results.push(migrate(&lab, &guest, way, (beta, alpha)));
        }
        lab.remove_guest(guest.name()).unwrap();
    }
    lab.remove().unwrap();
    results
}

#[test]
#[ignore = "needs root, libvirt and the roots of all generations; run with cargo xtask test --long"]
fn every_generation_migrates_to_every_other_in_every_way() {
    let cache = RootCache::of_environment();
    let wanted = std::env::var("WHIMBREL_GENERATIONS").unwrap_or_default();
    let chosen: Vec<Generation> =
        GENERATIONS.into_iter().filter(|generation| generation.name.contains(&wanted)).collect();
    let mut results = Vec::new();
    for (number, one) in chosen.iter().enumerate() {
        for other in chosen.iter().skip(number) {
            results.extend(pair(&cache, *one, *other));
        }
    }
    println!("\n| from | to | way | whole command, s | downtime, ms |\n| --- | --- | --- | --- | --- |");
    results.iter().flatten().for_each(|row| println!("{row}"));
    let failures: Vec<&String> = results.iter().filter_map(|result| result.as_ref().err()).collect();
    assert!(failures.is_empty(), "{failures:#?}");
    assert_eq!(results.len(), chosen.len() * chosen.len() * Way::ALL.len());
}
