//! Which disks a migration copies, and what that may overwrite on the destination.
//!
//! The rules check the same before the start (`storage.copy-of-shared`, `storage.copy-unproven`, `storage.overwrite`). This
//! is checked again by the driver that makes the migrate call, on facts collected right before it, because a rule can be waived
//! and a file can appear meanwhile. It must never allow a copy because something is unknown.

use serde::{Deserialize, Serialize};
use whimbrel_facts::sameness::{Sameness, of_storage};
use whimbrel_facts::{Attribute, Disk, DiskStorage, Domain, Facts, Request, Scalar, StorageCopy};

/// The operator's choice for a migration that copies disks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DiskChoice {
    /// Targets of the disks to copy; empty: every disk that is proven not to be shared.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub copied: Vec<String>,
    /// Paths on the destination that the copy may overwrite.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub overwritten: Vec<String>,
}

/// A disk that is copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopiedDisk {
    /// Its target, for example `vda`.
    pub target: String,
    /// The path on the destination.
    pub path: String,
    /// Whether the path has to be created there.
    pub is_new: bool,
    /// Its size as the guest sees it, in bytes, where it is known.
    pub size_bytes: Option<u64>,
    /// The image format there.
    pub format: String,
}

impl DiskChoice {
    /// Whether no choice was made.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds the copied disks to the facts, for rules.
    pub fn tell(&self, facts: &mut Facts) {
        let Facts { request: Some(request), guest: Some(guest), storage: Some(storage), attributes, .. } =
            facts
        else {
            return;
        };
        if request.storage_copy == StorageCopy::None {
            return;
        }
        if self.copied.is_empty() {
            request.copied_disks = automatic(guest, storage);
            attributes.push(Attribute {
                path: "request/copied-disks/automatic".to_owned(),
                value: Scalar::Boolean(true),
            });
            if request.copied_disks.is_empty() {
                // libvirt takes an empty list for all disks, and none must be copied.
                request.storage_copy = StorageCopy::None;
            }
        } else {
            request.copied_disks.clone_from(&self.copied);
        }
        attributes.extend(self.overwritten.iter().enumerate().map(|(at, path)| Attribute {
            path: format!("request/overwrite-disks/{at}"),
            value: Scalar::Text(path.clone()),
        }));
        attributes.sort_by(|one, other| one.path.cmp(&other.path));
    }

    /// The disks to copy. `facts` are those of [`Hosts::facts`](crate::hosts::Hosts::facts) for a copy of disks.
    ///
    /// # Errors
    /// The reason why the copy must not start, for an operator.
    pub fn plan(&self, facts: &Facts) -> Result<Vec<CopiedDisk>, String> {
        let (Some(guest), Some(storage)) = (&facts.guest, &facts.storage) else {
            return Err("the guest's disks are unknown, so none is copied".to_owned());
        };
        let targets = if self.copied.is_empty() { automatic(guest, storage) } else { self.copied.clone() };
        targets.iter().map(|target| self.planned(facts, guest, storage, target)).collect()
    }

    fn planned(
        &self,
        facts: &Facts,
        guest: &Domain,
        storage: &[DiskStorage],
        target: &str,
    ) -> Result<CopiedDisk, String> {
        let disk = guest.disks.iter().find(|disk| disk.target == target);
        let disk = disk.ok_or_else(|| format!("the guest has no disk `{target}`"))?;
        if !can_be_copied(disk) {
            return Err(format!("disk `{target}` is read-only, shareable or empty and is not copied"));
        }
        let found = storage.iter().find(|one| one.target == target);
        let found = found.ok_or_else(|| format!("the storage of disk `{target}` is unknown"))?;
        match of_storage(found) {
            Sameness::Same => {
                return Err(format!(
                    "disk `{target}` is shared by both hosts: it would be copied onto itself"
                ));
            }
            Sameness::Unknown if self.copied.is_empty() => {
                return Err(format!(
                    "it is not known whether the hosts share disk `{target}`: name the disks to copy (`--copy-disks={target}`)"
                ));
            }
            Sameness::Unknown | Sameness::Different => {}
        }
        let path = &found.destination_path;
        let prefix = format!("storage/{target}/destination/used-by/");
        let mut users = facts.attributes.iter().filter(|one| one.path.starts_with(&prefix));
        if let Some(Attribute { value: Scalar::Text(user), .. }) = users.next() {
            return Err(format!("`{path}` on the destination belongs to {user}: it is never overwritten"));
        }
        let known = format!("storage/{target}/destination/users-known");
        if !facts.attributes.iter().any(|one| one.path == known) {
            return Err(format!("it is not known which guests of the destination use `{path}`"));
        }
        let is_new = found.destination.exists == Some(false);
        if !is_new && !self.overwritten.iter().any(|allowed| allowed == path) {
            let why = if found.destination.exists == Some(true) {
                "exists on the destination, and the copy would overwrite it"
            } else {
                "may exist on the destination: no storage pool there shows it"
            };
            return Err(format!("`{path}` {why}: remove it, or allow it with `--overwrite-disk {path}`"));
        }
        let there = facts.target.as_ref().unwrap_or(guest);
        let expected = there.disks.iter().find(|one| one.target == target).unwrap_or(disk);
        Ok(CopiedDisk {
            target: target.to_owned(),
            path: path.clone(),
            is_new,
            size_bytes: found.source.size_bytes.or(disk.size_bytes),
            format: if expected.format.is_empty() { "raw".to_owned() } else { expected.format.clone() },
        })
    }
}

/// Every disk that may be copied unless it is shared. Disks whose sharing is unknown are included: they are refused later by
/// name, instead of being omitted silently.
fn automatic(guest: &Domain, storage: &[DiskStorage]) -> Vec<String> {
    let is_shared = |disk: &Disk| {
        storage.iter().find(|one| one.target == disk.target).map(of_storage) == Some(Sameness::Same)
    };
    let copied = guest.disks.iter().filter(|disk| can_be_copied(disk) && !is_shared(disk));
    copied.map(|disk| disk.target.clone()).collect()
}

fn can_be_copied(disk: &Disk) -> bool {
    disk.source.is_some() && !disk.read_only && !disk.shareable
}

/// Attributes with the users of the destination's path of each disk, for [`DiskChoice::plan`] and for rules.
#[must_use]
pub fn users(storage: &[DiskStorage], of_each: &[Vec<String>]) -> Vec<Attribute> {
    let mut attributes = Vec::new();
    for (disk, users) in storage.iter().zip(of_each) {
        let below = format!("storage/{}/destination", disk.target);
        attributes.push(Attribute { path: format!("{below}/users-known"), value: Scalar::Boolean(true) });
        attributes.extend(users.iter().enumerate().map(|(at, user)| Attribute {
            path: format!("{below}/used-by/{at}"),
            value: Scalar::Text(user.clone()),
        }));
    }
    attributes
}

/// A request with or without a copy of disks, and defaults otherwise.
#[must_use]
pub fn request(copy: bool) -> Request {
    let storage_copy = if copy { StorageCopy::Full } else { StorageCopy::None };
    Request { storage_copy, ..Request::default() }
}

#[cfg(test)]
mod tests {
    use whimbrel_facts::{Identity, Sharing};

    use super::*;

    fn facts(change: impl Fn(&mut Disk, &mut DiskStorage)) -> Facts {
        let mut disk = Disk {
            target: "vda".to_owned(),
            kind: "file".to_owned(),
            source: Some("/srv/a.raw".to_owned()),
            ..Disk::default()
        };
        let mut storage = DiskStorage {
            target: "vda".to_owned(),
            source_path: "/srv/a.raw".to_owned(),
            destination_path: "/srv/a.raw".to_owned(),
            sharing: Sharing::Disproven,
            ..DiskStorage::default()
        };
        storage.destination.exists = Some(false);
        change(&mut disk, &mut storage);
        let attributes = users(std::slice::from_ref(&storage), &[Vec::new()]);
        Facts {
            request: Some(request(true)),
            guest: Some(Domain { disks: vec![disk], ..Domain::default() }),
            storage: Some(vec![storage]),
            attributes,
            ..Facts::default()
        }
    }

    fn named() -> DiskChoice {
        DiskChoice { copied: vec!["vda".to_owned()], overwritten: vec!["/srv/a.raw".to_owned()] }
    }

    #[test]
    fn a_disk_is_copied_if_it_is_proven_not_to_be_shared() {
        let plan = DiskChoice::default().plan(&facts(|_, _| ())).unwrap();
        assert_eq!((plan[0].target.as_str(), plan[0].is_new, plan[0].format.as_str()), ("vda", true, "raw"));
        let unknown = facts(|_, storage| storage.sharing = Sharing::Unknown);
        assert!(DiskChoice::default().plan(&unknown).unwrap_err().contains("not known"));
        // Naming the disk asserts that it is known.
        assert!(named().plan(&unknown).is_ok());
    }

    #[test]
    fn a_shared_disk_is_left_out_and_refused_when_it_is_named() {
        let proven = facts(|_, storage| storage.sharing = Sharing::Proven);
        assert_eq!(DiskChoice::default().plan(&proven), Ok(Vec::new()));
        assert!(named().plan(&proven).unwrap_err().contains("onto itself"));
        let one = Identity { kind: "rbd".to_owned(), value: "mon:6789 pool/image".to_owned() };
        let same = facts(|_, storage| {
            storage.sharing = Sharing::Unknown;
            storage.source.identities.push(one.clone());
            storage.destination.identities.push(one.clone());
        });
        assert!(named().plan(&same).unwrap_err().contains("onto itself"));
    }

    #[test]
    fn what_is_shareable_read_only_or_not_there_is_never_copied() {
        let changes: [fn(&mut Disk); 3] = [
            |disk| disk.shareable = true,
            |disk| disk.read_only = true,
            |disk| "vdb".clone_into(&mut disk.target),
        ];
        for change in changes {
            assert!(named().plan(&facts(|disk, _| change(disk))).is_err());
        }
    }

    #[test]
    fn a_file_there_is_overwritten_only_when_that_is_allowed_and_nobody_uses_it() {
        let there = facts(|_, storage| storage.destination.exists = Some(true));
        assert!(DiskChoice::default().plan(&there).unwrap_err().contains("would overwrite"));
        assert!(!named().plan(&there).unwrap()[0].is_new);
        let perhaps = facts(|_, storage| storage.destination.exists = None);
        assert!(DiskChoice::default().plan(&perhaps).is_err());
        let mut used = there;
        used.attributes = users(used.storage.as_deref().unwrap(), &[vec!["the guest `other`".to_owned()]]);
        assert!(named().plan(&used).unwrap_err().contains("never overwritten"));
        used.attributes.clear();
        assert!(named().plan(&used).unwrap_err().contains("not known"));
    }

    #[test]
    fn when_every_disk_is_shared_nothing_is_copied() {
        let mut facts = facts(|_, storage| storage.sharing = Sharing::Proven);
        DiskChoice::default().tell(&mut facts);
        assert_eq!(facts.request.unwrap().storage_copy, StorageCopy::None);
    }
}
