//! `[[guest.disk]]`: a disk, on storage that both hosts have or on the source's own.

use std::ops::Range;

use toml::de::DeTable;

use super::bounds::{MAX_BANDWIDTH_MIB_PER_SECOND, MAX_ROOM_MIB};
use super::reader::{MOST_ENTRIES, Reader, Section};

/// What the destination has at a disk's path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AtDestination {
    /// Nothing.
    #[default]
    Nothing,
    /// A file that no guest uses.
    File,
    /// A disk of another guest.
    Used,
}

const AT_DESTINATION: [(&str, AtDestination); 3] =
    [("nothing", AtDestination::Nothing), ("file", AtDestination::File), ("used", AtDestination::Used)];

/// A disk of a scenario's guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioDisk {
    /// How the guest sees it, for example `vda`.
    pub target: String,
    /// MiB in use, which is what a copy has to carry.
    pub used_mib: u64,
    /// MiB that the guest writes to it a second.
    pub write_mib_per_second: u64,
    /// MiB that those writes go to, uniformly.
    pub working_set_mib: u64,
    /// Whether it lies in the pool that both hosts share.
    pub shared: bool,
    /// What the destination has at the path of a disk that is not shared.
    pub at_destination: AtDestination,
}

impl<'t> Reader<'t> {
    pub(super) fn disks(&mut self, guest: &Section<'_, 't>) -> Vec<ScenarioDisk> {
        let mut disks: Vec<ScenarioDisk> = Vec::new();
        for table in self.tables(guest, "disk", MOST_ENTRIES) {
            let read = self.within(table, |reader, table, span| reader.disk(table, span, &disks));
            disks.extend(read.flatten());
        }
        disks
    }

    fn disk(
        &mut self,
        table: &DeTable<'t>,
        span: Range<usize>,
        before: &[ScenarioDisk],
    ) -> Option<ScenarioDisk> {
        const KEYS: [&str; 6] =
            ["target", "used_mib", "write_mib_per_second", "working_set_mib", "shared", "at_destination"];
        let disk = self.section("guest.disk.", table, span, &KEYS);
        let target = self.name_of(&disk, "target");
        if let Some(target) = target.as_ref().filter(|name| before.iter().any(|disk| disk.target == **name)) {
            let message = format!("there is a disk `{target}` already");
            self.report_at(&disk, "target", message, "each disk has a target of its own".to_owned());
        }
        let used_mib = self.required_whole(&disk, "used_mib", 0..=MAX_ROOM_MIB);
        let writes = self.whole(&disk, "write_mib_per_second", 0..=MAX_BANDWIDTH_MIB_PER_SECOND);
        let most_mib = used_mib.unwrap_or(MAX_ROOM_MIB);
        let working_set_mib = self.whole(&disk, "working_set_mib", 0..=most_mib);
        let shared = self.truth(&disk, "shared").unwrap_or(true);
        let at_destination = self.optional_word(&disk, "at_destination", &AT_DESTINATION);
        if shared {
            self.refuse(&disk, &["at_destination"], "a shared disk is the same file there");
        }
        Some(ScenarioDisk {
            target: target?,
            used_mib: used_mib?,
            write_mib_per_second: writes.unwrap_or(0),
            working_set_mib: working_set_mib.unwrap_or(most_mib),
            shared,
            at_destination: at_destination.unwrap_or_default(),
        })
    }
}
