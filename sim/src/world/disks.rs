//! Which of a guest's disks a migration copies, and what it may overwrite: what a driver decides before the migrate
//! call.
//!
//! A disk that both hosts reach is never copied onto itself, and a file of the destination that another guest has is
//! never overwritten. A file is removed again only by the migration that made it.

use whimbrel_core::{Failure, Fault};

use super::job::MigrateOptions;
use super::{GuestId, HostId, World};

/// Some of a guest's disks, by their places among them. Disks from the 65th on are in no set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskSet(u64);

impl DiskSet {
    /// The disks at these places.
    pub fn of(places: impl IntoIterator<Item = usize>) -> Self {
        Self(places.into_iter().fold(0, |set, place| set | bit(place)))
    }

    /// Whether the disk at this place is one of them.
    #[must_use]
    pub fn has(self, place: usize) -> bool {
        self.0 & bit(place) != 0
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

fn bit(place: usize) -> u64 {
    u32::try_from(place).ok().and_then(|place| 1_u64.checked_shl(place)).unwrap_or(0)
}

impl World {
    /// The disks that a migration copies.
    ///
    /// # Errors
    /// When one of them is shared, or would overwrite what it must not.
    pub(super) fn copied(
        &self,
        guest: GuestId,
        [source, destination]: [HostId; 2],
        options: &MigrateOptions,
    ) -> Result<DiskSet, Failure> {
        if options.copy_disks.is_none() {
            return Ok(DiskSet::default());
        }
        let refused = |words: String| Err(Failure::new(Fault::UnsafeStorage, words));
        let mut copied = Vec::new();
        for (place, disk) in self.domain(guest).machine.disks.iter().enumerate() {
            let there = self.host(destination).inventory.backing(&disk.path);
            let here = self.host(source).inventory.backing(&disk.path);
            let is_shared = there
                .as_ref()
                .zip(here.as_ref())
                .is_some_and(|(there, here)| there.identity == here.identity);
            let is_named = options.named_disks.has(place);
            if !is_named && (is_shared || !options.named_disks.is_empty()) {
                continue;
            }
            let (target, path) = (&disk.target, &disk.path);
            if is_shared {
                return refused(format!(
                    "disk `{target}` is shared by both hosts: it would be copied onto itself"
                ));
            }
            if let Some(user) = self.users(destination, path, guest).first() {
                return refused(format!("`{path}` on the destination belongs to the guest `{user}`"));
            }
            if there.is_some() && !options.overwritten_disks.has(place) {
                return refused(format!(
                    "`{path}` exists on the destination, and the copy would overwrite it"
                ));
            }
            copied.push(place);
        }
        Ok(DiskSet::of(copied))
    }

    /// Names of the guests of a host that use a path there, running or only defined, another guest left out.
    #[must_use]
    pub fn users(&self, host: HostId, path: &str, except: GuestId) -> Vec<String> {
        let uses = |other: &GuestId| {
            let domain = self.domain(*other);
            let is_there = domain.copy(host).is_some() || domain.defined_on.contains(&host);
            *other != except && is_there && domain.machine.disks.iter().any(|disk| disk.path == path)
        };
        let mut names: Vec<String> =
            self.guests().filter(uses).map(|other| self.machine(other).name.clone()).collect();
        let volume = self
            .host(host)
            .inventory
            .pool_of(path)
            .and_then(|(pool, name)| pool.volumes.iter().find(|volume| volume.name == name));
        names.extend(volume.and_then(|volume| volume.used_by.clone()));
        names
    }

    /// Removes files that the guest's migration made on a host where the guest is not in memory.
    ///
    /// # Errors
    /// When the daemon does not answer, the guest is there, or one of the files is not the migration's own to remove.
    pub(super) fn remove_disks(
        &mut self,
        guest: GuestId,
        host: HostId,
        disks: &[String],
    ) -> Result<(), Failure> {
        self.reached(host)?;
        if self.domain(guest).copy(host).is_some() {
            return Err(Failure::new(Fault::Refused, "the disks are in use"));
        }
        let mut left = Vec::new();
        for path in disks {
            if self.host(host).inventory.backing(path).is_none() {
                continue;
            }
            let is_made = self.domain(guest).made.iter().any(|made| *made == (host, path.clone()));
            if !is_made || !self.users(host, path, guest).is_empty() {
                left.push(format!("`{path}`"));
                continue;
            }
            if let Some((pool, name)) = self.host_mut(host).inventory.pool_of_mut(path) {
                pool.volumes.retain(|volume| volume.name != name);
            }
            self.domain_mut(guest).made.retain(|made| *made != (host, path.clone()));
        }
        if left.is_empty() {
            return Ok(());
        }
        Err(Failure::new(Fault::Refused, format!("left on the destination: {}", left.join(", "))))
    }
}
