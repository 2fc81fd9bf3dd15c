//! What a host has, as far as a migration can care: the same inventory answers the destination's daemon when it
//! prepares, and the facts that rules judge.

use crate::versions::Version;

/// A host's inventory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostInventory {
    /// Its name, which is also what clients address it by: `sim://NAME`.
    pub name: String,
    /// The identity by which libvirt distinguishes hosts.
    pub uuid: String,
    /// For example `x86_64`.
    pub architecture: String,
    /// libvirt's version there.
    pub libvirt: Version,
    /// QEMU's version there.
    pub qemu: Version,
    /// CPUs that guests can use.
    pub cpus: u32,
    /// libvirt's name of the CPU model.
    pub cpu_model: String,
    /// CPU features beyond the model, by libvirt's names.
    pub cpu_features: Vec<String>,
    /// Machine types that its QEMU has.
    pub machines: Vec<String>,
    /// Memory that guests can use, in MiB.
    pub memory_mib: u64,
    /// Networks and bridges, by name.
    pub networks: Vec<String>,
    /// Where files of disks lie.
    pub pools: Vec<Pool>,
    /// Block devices that disks can be.
    pub luns: Vec<Lun>,
    /// Devices that can be given to a guest, by PCI or USB address or mediated device's type.
    pub devices: Vec<String>,
}

/// A directory of disk files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// Where it is mounted, without a slash at the end.
    pub path: String,
    /// The name of the shared file system behind it; none if it is the host's own.
    pub shared: Option<String>,
    /// Bytes that can still be written there.
    pub free_bytes: u64,
    /// The files in it.
    pub volumes: Vec<Volume>,
}

/// A file in a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Its name, without the pool's path.
    pub name: String,
    /// Its size as a disk.
    pub bytes: u64,
    /// A guest of this host that has it among its disks and is not simulated.
    pub used_by: Option<String>,
}

/// A block device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lun {
    /// The path under which this host has it.
    pub path: String,
    /// Its true identity, independent of its name (World Wide Identifier).
    pub wwid: String,
    /// Its size.
    pub bytes: u64,
}

/// What stands behind a disk's path on one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backing {
    /// Equal on two hosts if, and only if, it is the same storage.
    pub identity: String,
    /// Its size.
    pub bytes: u64,
    /// Whether other hosts can have it too.
    pub is_shared: bool,
}

impl HostInventory {
    /// A common host: 64 CPUs, 256 GiB, QEMU 7.2 and libvirt 9.0, a network and no storage.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            uuid: made_up_uuid(0xa1, name),
            architecture: "x86_64".to_owned(),
            libvirt: Version::new(9, 0, 0),
            qemu: Version::new(7, 2, 22),
            cpus: 64,
            cpu_model: "EPYC-Rome".to_owned(),
            cpu_features: Vec::new(),
            machines: vec!["pc-i440fx-7.2".to_owned(), "pc-q35-7.2".to_owned()],
            memory_mib: 256 << 10,
            networks: vec!["default".to_owned()],
            pools: Vec::new(),
            luns: Vec::new(),
            devices: Vec::new(),
        }
    }

    /// Sets the versions that are given.
    pub fn set_versions(&mut self, libvirt: Option<Version>, qemu: Option<Version>) {
        self.libvirt = libvirt.unwrap_or(self.libvirt);
        self.qemu = qemu.unwrap_or(self.qemu);
    }

    /// What a path leads to.
    #[must_use]
    pub fn backing(&self, path: &str) -> Option<Backing> {
        if let Some(lun) = self.luns.iter().find(|lun| lun.path == path) {
            return Some(Backing { identity: lun.wwid.clone(), bytes: lun.bytes, is_shared: true });
        }
        let (pool, name) = self.pool_of(path)?;
        let volume = pool.volumes.iter().find(|volume| volume.name == name)?;
        let file_system = pool.shared.as_deref().unwrap_or(&self.uuid);
        Some(Backing {
            identity: format!("{file_system}/{name}"),
            bytes: volume.bytes,
            is_shared: pool.shared.is_some(),
        })
    }

    /// The pool in which a path lies, and the file's name there.
    #[must_use]
    pub fn pool_of<'p>(&self, path: &'p str) -> Option<(&Pool, &'p str)> {
        self.pools.iter().find_map(|pool| Some((pool, name_in(&pool.path, path)?)))
    }

    pub(super) fn pool_of_mut<'p>(&mut self, path: &'p str) -> Option<(&mut Pool, &'p str)> {
        self.pools.iter_mut().find_map(|pool| {
            let name = name_in(&pool.path, path)?;
            Some((pool, name))
        })
    }
}

/// A UUID in the usual form that belongs to a name: the name's FNV-1a hash, so the same in every run.
pub(super) fn made_up_uuid(kind: u8, name: &str) -> String {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!(
        "{:08x}-{:04x}-4000-80{kind:02x}-{:012x}",
        hash >> 32,
        hash >> 16 & 0xffff,
        hash & 0xffff_ffff_ffff
    )
}

fn name_in<'p>(directory: &str, path: &'p str) -> Option<&'p str> {
    path.strip_prefix(directory)?.strip_prefix('/').filter(|name| !name.is_empty() && !name.contains('/'))
}
