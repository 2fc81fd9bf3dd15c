//! The plan: which set-ups are recorded and how often, as data.
//!
//! A plan that can be read can be carried out: whatever can be known to fail beforehand must be refused here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use whimbrel_core::document::ObjectsOnly;

use super::RecordError;
use super::arguments::WriterArguments;
use super::case::{Case, Change, DriverKind, Guest, Transport};
use super::linux::Workload;

const BUILT_IN: &str = include_str!("../../recordings/plan.toml");
const BUILT_IN_NAME: &str = "executor/lab/recordings/plan.toml";
const MIB: u64 = 1 << 20;
/// QEMU's own bound on the downtime limit, in ms.
const MOST_DOWNTIME_MS: u64 = 2_000_000;
/// Longest and shortest time of one of QEMU's dirty rate measurements, in s.
const MOST_PROFILE_S: u64 = 60;
/// libvirt offers these through `virsh migrate`.
const CAPABILITIES_OF_LIBVIRT: [&str; 4] = ["auto-converge", "multifd", "postcopy-ram", "xbzrle"];
const PARAMETERS_OF_LIBVIRT: [&str; 4] =
    ["cpu-throttle-increment", "cpu-throttle-initial", "multifd-channels", "xbzrle-cache-size"];

/// Cases and how to record them.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(crate) cases: Vec<Case>,
    /// Repeats of a case that does not say it itself.
    pub(crate) repeats: u32,
    /// The names of the cases for a quick look.
    pub(crate) check: Vec<String>,
    /// Share of all processors that others may use while a run begins.
    pub(crate) quiet_busy_at_most: f64,
    /// How long a run waits for that.
    pub(crate) quiet_wait: Duration,
}

impl Plan {
    /// The plan that the project's own recordings are made by.
    ///
    /// # Errors
    /// [`RecordError::Plan`], which a test rules out.
    pub fn built_in() -> Result<Self, RecordError> {
        Self::parse(BUILT_IN, Path::new(BUILT_IN_NAME))
    }

    /// Reads a plan; `path` is for errors only.
    ///
    /// # Errors
    /// [`RecordError::Plan`] with the first mistake and its place.
    pub fn parse(text: &str, path: &Path) -> Result<Self, RecordError> {
        let failed = |reason| RecordError::Plan { path: path.to_owned(), reason };
        let malformed = |error: toml::de::Error| failed(error.to_string().trim().to_owned());
        let file = toml::Deserializer::parse(text).map_err(malformed)?;
        let raw = RawPlan::deserialize(ObjectsOnly(file)).map_err(malformed)?;
        raw.understand().map_err(failed)
    }

    /// Every case: its name, how often it is recorded, and its set-up in words.
    pub fn list(&self) -> impl Iterator<Item = (&str, u32, String)> {
        self.cases
            .iter()
            .map(|case| (case.name.as_str(), case.repeats.unwrap_or(self.repeats), case.summary()))
    }

    /// The names of the cases for a quick look, in their order.
    #[must_use]
    pub fn check_names(&self) -> &[String] {
        &self.check
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPlan {
    #[serde(default = "three")]
    repeats: u32,
    #[serde(default)]
    check: Vec<String>,
    #[serde(default)]
    quiet: RawQuiet,
    case: Vec<RawCase>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawQuiet {
    busy_at_most: f64,
    wait_s: u64,
}

impl Default for RawQuiet {
    fn default() -> Self {
        Self { busy_at_most: 0.05, wait_s: 60 }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCase {
    name: String,
    repeats: Option<u32>,
    #[serde(default)]
    driver: DriverKind,
    guest: Option<String>,
    workload: Option<String>,
    processors: Option<u32>,
    profile_s: Option<Vec<u64>>,
    #[serde(default = "half_a_gib")]
    ram_mib: u64,
    #[serde(default = "hundred")]
    bandwidth_mib_per_second: u64,
    #[serde(default = "hundred")]
    downtime_limit_ms: u64,
    #[serde(default = "half_a_minute")]
    timeout_s: u64,
    #[serde(default)]
    capabilities: Vec<String>,
    #[serde(default)]
    parameters: BTreeMap<String, toml::Value>,
    post_copy_at_s: Option<f64>,
    #[serde(default)]
    changes: Vec<RawChange>,
    transport: Option<Transport>,
    #[serde(default)]
    prealloc: bool,
    #[serde(default)]
    paused: bool,
    disk_mib: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawChange {
    at_s: f64,
    bandwidth_mib_per_second: Option<u64>,
    downtime_limit_ms: Option<u64>,
}

fn three() -> u32 {
    3
}

fn half_a_gib() -> u64 {
    512
}

fn hundred() -> u64 {
    100
}

fn half_a_minute() -> u64 {
    30
}

impl RawPlan {
    fn understand(self) -> Result<Plan, String> {
        let mut names = BTreeSet::new();
        let mut cases = Vec::with_capacity(self.case.len());
        for raw in self.case {
            if !names.insert(raw.name.clone()) {
                return Err(format!("the case `{}` is there twice", raw.name));
            }
            let name = raw.name.clone();
            cases.push(raw.understand().map_err(|reason| format!("the case `{name}`: {reason}"))?);
        }
        if let Some(unknown) = self.check.iter().find(|name| !names.contains(*name)) {
            return Err(format!("`check` names the case `{unknown}`, which is not there"));
        }
        if self.repeats == 0 || !(0.0..=1.0).contains(&self.quiet.busy_at_most) {
            return Err("give at least one repeat, and `busy_at_most` within 0 and 1".to_owned());
        }
        Ok(Plan {
            cases,
            repeats: self.repeats,
            check: self.check,
            quiet_busy_at_most: self.quiet.busy_at_most,
            quiet_wait: Duration::from_secs(self.quiet.wait_s.min(3600)),
        })
    }
}

impl RawCase {
    fn understand(self) -> Result<Case, String> {
        self.check()?;
        let guest = self.guest()?;
        let parameters = self.parameters.iter().map(|(name, value)| Ok((name.clone(), json(name, value)?)));
        let parameters: BTreeMap<_, _> = parameters.collect::<Result<_, String>>()?;
        let transport = match self.driver {
            DriverKind::Qemu => self.transport.unwrap_or(Transport::Unix),
            DriverKind::Libvirt => Transport::Tcp,
        };
        Ok(Case {
            guest,
            repeats: self.repeats,
            driver: self.driver,
            ram_mib: self.ram_mib,
            bandwidth_bytes_per_second: self.bandwidth_mib_per_second.saturating_mul(MIB),
            downtime_limit_ms: self.downtime_limit_ms,
            timeout_s: self.timeout_s,
            capabilities: self.capabilities.into_iter().collect(),
            parameters,
            post_copy_at_s: self.post_copy_at_s,
            changes: self.changes.into_iter().map(RawChange::understand).collect(),
            transport,
            prealloc: self.prealloc,
            paused: self.paused,
            disk_mib: self.disk_mib,
            name: self.name,
        })
    }

    fn guest(&self) -> Result<Guest, String> {
        match (&self.guest, &self.workload) {
            (Some(text), None) => {
                if self.processors.is_some() || self.profile_s.is_some() {
                    return Err(
                        "`processors` and `profile_s` are for a `workload`; a `guest` has `v`".to_owned()
                    );
                }
                Ok(Guest::Writer(WriterArguments::parse(text, self.ram_mib)?))
            }
            (None, Some(name)) => {
                let workload = Workload::named(name)
                    .ok_or_else(|| format!("there is no workload `{name}`, but {}", Workload::names()))?;
                let profile_s = self.profile_s.clone().unwrap_or_else(|| vec![1, 2, 4, 8, 1, 2, 4]);
                if profile_s.iter().any(|s| !(1..=MOST_PROFILE_S).contains(s)) {
                    return Err(format!("each of `profile_s` is within 1 and {MOST_PROFILE_S}"));
                }
                Ok(Guest::Linux { workload, processors: self.processors.unwrap_or(2), profile_s })
            }
            _ => Err("give either a `guest` or a `workload`".to_owned()),
        }
    }

    fn check(&self) -> Result<(), String> {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "-.+".contains(letter);
        if self.name.is_empty() || !self.name.chars().all(plain) {
            return Err("a name has letters, digits and `-.+` only".to_owned());
        }
        if !(64..=65_536).contains(&self.ram_mib) || self.repeats == Some(0) {
            return Err("give 64 to 65536 MiB of memory, and at least one repeat".to_owned());
        }
        if !(1..=MOST_DOWNTIME_MS).contains(&self.downtime_limit_ms) || !(1..=3600).contains(&self.timeout_s)
        {
            return Err(format!("give 1 to {MOST_DOWNTIME_MS} ms of downtime limit, and 1 to 3600 s"));
        }
        if self.bandwidth_mib_per_second > MIB {
            return Err("the bandwidth is above a TiB a second; 0 is for no limit".to_owned());
        }
        let timeout_s = Duration::from_secs(self.timeout_s).as_secs_f64();
        let during = |at: f64| at >= 0.0 && at < timeout_s;
        if !self.post_copy_at_s.is_none_or(during) || !self.changes.iter().all(|change| during(change.at_s)) {
            return Err("`post_copy_at_s` and `at_s` lie between the beginning and the timeout".to_owned());
        }
        if self.post_copy_at_s.is_some() && !self.has("postcopy-ram") {
            return Err("`post_copy_at_s` needs the capability `postcopy-ram`".to_owned());
        }
        if !self.changes.is_sorted_by(|one, next| one.at_s <= next.at_s) {
            return Err("the changes stand in the order of their times".to_owned());
        }
        if self.changes.iter().any(RawChange::is_empty) {
            return Err("each change has a bandwidth, a downtime limit, or both".to_owned());
        }
        match self.driver {
            DriverKind::Qemu if self.disk_mib.is_some() => Err("`disk_mib` is for libvirt only".to_owned()),
            DriverKind::Qemu => Ok(()),
            DriverKind::Libvirt => self.check_libvirt(),
        }
    }

    fn check_libvirt(&self) -> Result<(), String> {
        if self.workload.is_some() || self.prealloc || self.transport.is_some() {
            return Err("`workload`, `prealloc` and `transport` are not for libvirt".to_owned());
        }
        if let Some(other) = self.capabilities.iter().find(|c| !CAPABILITIES_OF_LIBVIRT.contains(&c.as_str()))
        {
            return Err(format!(
                "`virsh` cannot ask for `{other}`, but {}",
                CAPABILITIES_OF_LIBVIRT.join(", ")
            ));
        }
        if let Some(other) = self.parameters.keys().find(|p| !PARAMETERS_OF_LIBVIRT.contains(&p.as_str())) {
            return Err(format!("`virsh` cannot set `{other}`, but {}", PARAMETERS_OF_LIBVIRT.join(", ")));
        }
        match self.disk_mib {
            Some(0 | 4097..) => Err("give a disk of 1 to 4096 MiB".to_owned()),
            _ => Ok(()),
        }
    }

    fn has(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|name| name == capability)
    }
}

impl RawChange {
    fn is_empty(&self) -> bool {
        self.bandwidth_mib_per_second.is_none() && self.downtime_limit_ms.is_none()
    }

    fn understand(self) -> Change {
        Change {
            at_s: self.at_s,
            bw: self.bandwidth_mib_per_second.map(|mib| mib.saturating_mul(MIB)),
            dl: self.downtime_limit_ms,
        }
    }
}

/// A parameter's value for QEMU.
fn json(name: &str, value: &toml::Value) -> Result<serde_json::Value, String> {
    match value {
        toml::Value::Integer(number) => Ok((*number).into()),
        toml::Value::Boolean(on) => Ok((*on).into()),
        toml::Value::String(text) => Ok(text.as_str().into()),
        _ => Err(format!("the parameter `{name}` is neither a whole number nor a word")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CASE: &str = "[[case]]\nname = \"a\"\nguest = \"m=1 w=256 n=2 c=489000\"\n";

    fn parse(text: &str) -> Result<Plan, RecordError> {
        Plan::parse(text, Path::new("plan.toml"))
    }

    #[test]
    fn the_built_in_plan_is_worth_recording() {
        let plan = Plan::built_in().unwrap();
        let runs: u32 = plan.list().map(|(_, repeats, _)| repeats).sum();
        assert!(plan.cases.len() >= 45 && runs >= 135, "{} cases, {runs} runs", plan.cases.len());
        assert!(plan.list().all(|(_, repeats, _)| repeats >= 3));
        assert_eq!(plan.check.len(), 10);
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let plan = parse(CASE).unwrap();
        let [case] = plan.cases.as_slice() else { panic!("{plan:?}") };
        assert_eq!((plan.repeats, case.ram_mib, case.downtime_limit_ms, case.timeout_s), (3, 512, 100, 30));
        assert_eq!((case.bandwidth_bytes_per_second, case.driver), (100 * MIB, DriverKind::Qemu));
        assert_eq!((case.transport, case.prealloc, case.paused), (Transport::Unix, false, false));
    }

    #[test]
    fn mistakes_are_named() {
        for (change, words) in [
            ("name = \"b c\"", "duplicate key"),
            ("turbo = 1", "unknown field `turbo`"),
            ("workload = \"redis\"", "either a `guest` or a `workload`"),
            ("ram_mib = 17", "64 to 65536 MiB"),
            ("ram_mib = 64\nrepeats = 0", "at least one repeat"),
            ("downtime_limit_ms = 0", "ms of downtime limit"),
            ("post_copy_at_s = 1.0", "needs the capability"),
            ("post_copy_at_s = 31.0\ncapabilities = [\"postcopy-ram\"]", "between the beginning"),
            ("changes = [{ at_s = 2.0 }, { at_s = 1.0 }]", "in the order"),
            ("changes = [{ at_s = 2.0 }]", "each change has"),
            ("changes = [{ at_s = 2.0, turbo = 1 }]", "unknown field `turbo`"),
            ("driver = \"xen\"", "unknown variant `xen`"),
            ("driver = \"libvirt\"\nprealloc = true", "not for libvirt"),
            (
                "driver = \"libvirt\"\ncapabilities = [\"zero-blocks\"]",
                "`virsh` cannot ask for `zero-blocks`",
            ),
            ("driver = \"libvirt\"\nparameters = { max-cpu-throttle = 5 }", "`virsh` cannot set"),
            ("disk_mib = 5", "for libvirt only"),
            ("processors = 2", "has `v`"),
            ("parameters = { a = [1] }", "neither a whole number"),
        ] {
            let error = parse(&format!("{CASE}{change}\n")).unwrap_err().to_string();
            assert!(error.contains("plan.toml") && error.contains(words), "{change}: {error}");
        }
        for (text, words) in [
            (format!("{CASE}{CASE}"), "is there twice"),
            (format!("check = [\"b\"]\n{CASE}"), "`check` names the case `b`"),
            (format!("repeats = 0\n{CASE}"), "at least one repeat"),
            (CASE.replace("m=1", "m=7"), "`a`: the guest's argument `m=7` is not within"),
            (CASE.replace("guest = \"m=1 w=256 n=2 c=489000\"", "workload = \"doom\""), "no workload `doom`"),
        ] {
            let error = parse(&text).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
