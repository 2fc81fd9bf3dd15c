//! `[source]` and `[destination]`: what the hosts have, as far as a migration can care.

use std::ops::Range;

use toml::de::DeTable;

use super::bounds::{BYTES_PER_MIB, MAX_MEMORY_MIB, MAX_ROOM_MIB, MIN_MEMORY_MIB};
use super::reader::{Reader, Section};
use crate::versions::Version;
use crate::world::{HostInventory, Pool};

/// The pool of each host's own disks, and the pool that both hosts share.
pub(super) const OWN_POOL: &str = "images";
pub(super) const SHARED_POOL: &str = "shared";
/// 1 TiB.
const USUAL_ROOM_MIB: u64 = 1 << 20;
/// Four times the largest guest.
const MAX_HOST_MEMORY_MIB: u64 = 4 * MAX_MEMORY_MIB;

const POOLS: [(&str, &str); 2] = [(OWN_POOL, OWN_POOL), (SHARED_POOL, SHARED_POOL)];

impl<'t> Reader<'t> {
    /// A host; without a table a common one, with memory enough for the guest.
    pub(super) fn host(
        &mut self,
        top: &Section<'_, 't>,
        key: &'static str,
        name: &str,
        guest_mib: u64,
    ) -> HostInventory {
        let usual = HostInventory::named(name);
        let usual = HostInventory {
            memory_mib: usual.memory_mib.max(guest_mib),
            pools: POOLS.map(|(pool, _)| self::pool(pool, USUAL_ROOM_MIB)).to_vec(),
            ..usual
        };
        let Some(table) = self.table(top, key) else { return usual };
        let path = format!("{key}.");
        self.within(table, |reader, table, span| reader.inventory(table, span, &path, &usual))
            .unwrap_or(usual)
    }

    fn inventory(
        &mut self,
        table: &DeTable<'t>,
        span: Range<usize>,
        path: &str,
        usual: &HostInventory,
    ) -> HostInventory {
        const KEYS: [&str; 7] =
            ["memory_mib", "libvirt", "qemu", "cpu_model", "machines", "pools", "free_disk_mib"];
        let host = self.section(path, table, span, &KEYS);
        let memory_mib = self.whole(&host, "memory_mib", MIN_MEMORY_MIB..=MAX_HOST_MEMORY_MIB);
        let libvirt = self.version(&host, "libvirt");
        let qemu = self.version(&host, "qemu");
        let cpu_model = self.text(&host, "cpu_model", "a string").map(|(text, _)| text);
        let machines = self.texts(&host, "machines");
        let names = self.words(&host, "pools", &POOLS);
        let room_mib = self.whole(&host, "free_disk_mib", 0..=MAX_ROOM_MIB).unwrap_or(USUAL_ROOM_MIB);
        let names = names.unwrap_or_else(|| POOLS.map(|(name, _)| name).to_vec());
        HostInventory {
            memory_mib: memory_mib.unwrap_or(usual.memory_mib),
            libvirt: libvirt.unwrap_or(usual.libvirt),
            qemu: qemu.unwrap_or(usual.qemu),
            cpu_model: cpu_model.unwrap_or_else(|| usual.cpu_model.clone()),
            machines: machines.unwrap_or_else(|| usual.machines.clone()),
            pools: names.into_iter().map(|name| pool(name, room_mib)).collect(),
            ..usual.clone()
        }
    }

    fn version(&mut self, host: &Section<'_, 't>, key: &'static str) -> Option<Version> {
        let allowed = "a version such as \"9.0.0\"";
        let (text, span) = self.text(host, key, allowed)?;
        let version = text.parse();
        if version.is_err() {
            let message = format!("`{}` is not a version", host.label(key));
            self.report(span, message, format!("it must be {allowed}"));
        }
        version.ok()
    }
}

/// An empty pool. The shared one has the same file system behind it on both hosts.
fn pool(name: &str, room_mib: u64) -> Pool {
    Pool {
        name: name.to_owned(),
        path: format!("/{name}"),
        shared: (name == SHARED_POOL).then(|| SHARED_POOL.to_owned()),
        free_bytes: room_mib.saturating_mul(BYTES_PER_MIB),
        volumes: Vec::new(),
    }
}
