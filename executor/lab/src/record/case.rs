//! A case: everything that is set before a migration begins, and how it is written down.
//!
//! What `Setup` writes must say it all: two recordings with the same set-up and the same conditions are repeats.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::arguments::WriterArguments;
use super::linux::Workload;

/// What drives the migration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum DriverKind {
    /// The recorder itself, through QEMU's monitor.
    #[default]
    Qemu,
    /// libvirt, between the lab's two hosts.
    Libvirt,
}

/// What the copy goes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Transport {
    /// A Unix socket.
    Unix,
    /// TCP: over the loopback device, or with libvirt over a bridge between two namespaces.
    Tcp,
}

/// What runs in the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Guest {
    /// The freestanding writer.
    Writer(WriterArguments),
    /// Debian's kernel with a real program.
    Linux {
        workload: Workload,
        processors: u32,
        /// How long QEMU samples the guest's dirty rate before the migration, each in s.
        profile_s: Vec<u64>,
    },
}

/// One set-up.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) repeats: Option<u32>,
    pub(crate) driver: DriverKind,
    pub(crate) guest: Guest,
    pub(crate) ram_mib: u64,
    /// 0 for no limit.
    pub(crate) bandwidth_bytes_per_second: u64,
    pub(crate) downtime_limit_ms: u64,
    pub(crate) timeout_s: u64,
    pub(crate) capabilities: BTreeSet<String>,
    pub(crate) parameters: BTreeMap<String, Value>,
    pub(crate) post_copy_at_s: Option<f64>,
    /// In the order of their times.
    pub(crate) changes: Vec<Change>,
    pub(crate) transport: Transport,
    /// Whether the destination's memory is touched before the migration.
    pub(crate) prealloc: bool,
    /// Whether the guest is stopped before the migration.
    pub(crate) paused: bool,
    /// A disk that is copied along.
    pub(crate) disk_mib: Option<u64>,
}

/// Limits that change while the copy runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Change {
    /// Seconds since QEMU began to migrate.
    pub(crate) at_s: f64,
    /// Bandwidth limit in bytes a second, 0 for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bw: Option<u64>,
    /// Downtime limit in ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dl: Option<u64>,
}

/// The set-up as a recording has it, under `cfg`. What has its usual value is left out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Setup {
    ram: u64,
    append: String,
    bw: u64,
    dl: u64,
    timeout: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    caps: BTreeMap<String, bool>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    params: BTreeMap<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pc_at: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<Change>,
    #[serde(skip_serializing_if = "is_false")]
    paused: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    workload: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vcpus: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disk_mib: Option<u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the serializer passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

impl Case {
    pub(crate) fn has(&self, capability: &str) -> bool {
        self.capabilities.contains(capability)
    }

    pub(crate) fn processors(&self) -> u32 {
        match &self.guest {
            Guest::Writer(arguments) => arguments.processors,
            Guest::Linux { processors, .. } => *processors,
        }
    }

    pub(crate) fn setup(&self) -> Setup {
        let (append, workload, vcpus) = match &self.guest {
            Guest::Writer(arguments) => (arguments.to_string(), None, None),
            Guest::Linux { workload, processors, .. } => {
                (String::new(), Some(workload.name()), Some(*processors))
            }
        };
        Setup {
            ram: self.ram_mib,
            append,
            bw: self.bandwidth_bytes_per_second,
            dl: self.downtime_limit_ms,
            timeout: self.timeout_s,
            caps: self.capabilities.iter().map(|name| (name.clone(), true)).collect(),
            params: self.parameters.clone(),
            pc_at: self.post_copy_at_s,
            changes: self.changes.clone(),
            paused: self.paused,
            workload,
            vcpus,
            disk_mib: self.disk_mib,
        }
    }

    /// The set-up in one line for people.
    pub(crate) fn summary(&self) -> String {
        let guest = match &self.guest {
            Guest::Writer(arguments) => arguments.to_string(),
            Guest::Linux { workload, .. } => format!("Linux with {}", workload.name()),
        };
        let bandwidth = match self.bandwidth_bytes_per_second >> 20 {
            0 => "no limit".to_owned(),
            mib => format!("{mib} MiB/s"),
        };
        let mut words = vec![guest, format!("{} MiB", self.ram_mib), bandwidth];
        words.push(format!("{} ms", self.downtime_limit_ms));
        words.extend(self.capabilities.iter().cloned());
        words.extend(self.parameters.iter().map(|(name, value)| format!("{name} {value}")));
        words.extend(self.post_copy_at_s.map(|at| format!("post-copy at {at} s")));
        if !self.changes.is_empty() {
            words.push("limits change".to_owned());
        }
        for (is, word) in [
            (self.paused, "paused"),
            (self.prealloc, "destination preallocated"),
            (self.disk_mib.is_some(), "with its disk"),
            (self.transport == Transport::Tcp && self.driver == DriverKind::Qemu, "over TCP"),
            (self.driver == DriverKind::Libvirt, "through libvirt"),
        ] {
            if is {
                words.push(word.to_owned());
            }
        }
        words.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Plan;

    fn setup(more: &str) -> String {
        let text = format!("[[case]]\nname = \"a\"\n{more}");
        let plan = Plan::parse(&text, Path::new("p")).unwrap();
        serde_json::to_string(&plan.cases[0].setup()).unwrap()
    }

    #[test]
    fn what_is_usual_is_left_out() {
        let usual = r#"{"ram":512,"append":"m=0 f=9","bw":104857600,"dl":100,"timeout":30}"#;
        assert_eq!(setup("guest = \"m=0 f=9\""), usual);
    }

    #[test]
    fn what_is_not_usual_is_written_down() {
        let text = setup(
            "guest = \"m=0\"\nbandwidth_mib_per_second = 0\ncapabilities = [\"postcopy-ram\", \"multifd\"]\n\
             parameters = { multifd-channels = 4, multifd-compression = \"zstd\" }\npost_copy_at_s = 1.5\npaused = true\n\
             changes = [{ at_s = 1.0, bandwidth_mib_per_second = 2 }, { at_s = 2.0, downtime_limit_ms = 50 }]",
        );
        let expected = concat!(
            r#"{"ram":512,"append":"m=0","bw":0,"dl":100,"timeout":30,"caps":{"multifd":true,"postcopy-ram":true},"#,
            r#""params":{"multifd-channels":4,"multifd-compression":"zstd"},"pc_at":1.5,"#,
            r#""changes":[{"at_s":1.0,"bw":2097152},{"at_s":2.0,"dl":50}],"paused":true}"#
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn a_linux_guest_has_a_workload_instead_of_a_pattern() {
        let text = setup("workload = \"redis\"");
        assert!(
            text.contains(r#""append":"""#) && text.contains(r#""workload":"redis","vcpus":2"#),
            "{text}"
        );
    }
}
