//! The disks that the migration copies: chosen and checked right before the migrate call, created on the destination, and
//! removed again when the guest stays.
//!
//! A file counts as ours only if this process created it: libvirt's storage driver creates a volume or fails, so a file
//! that somebody else made at the same moment is never taken for ours. It must never remove anything else, nor a file
//! that a definition names.

use std::collections::BTreeSet;

use whimbrel_core::{Failure, Fault, Side};

use super::Hosts;
use super::claims::Claim;
use super::failure::failure;
use crate::collect::{self, users};
use crate::lock;
use crate::xml_text::escaped;
use crate::{Connection, LibvirtError};
use whimbrel_drive::copying::{CopiedDisk, request};

impl Hosts {
    /// The disks that would be copied now. Nothing is changed on either host, except by the probe for shared storage.
    pub(super) fn plan_copies(&self) -> Result<Vec<CopiedDisk>, Failure> {
        if !self.route.transfer.copy_disks {
            return Ok(Vec::new());
        }
        let source = self.source.connection().map_err(|error| failure(Side::Source, &error))?;
        let destination =
            self.destination.connection().map_err(|error| failure(Side::Destination, &error))?;
        let domain = self.domain(Side::Source).map_err(|error| failure(Side::Source, &error))?;
        let target = self.route.destination_xml.as_deref();
        let mut facts =
            collect::storage([&source, &destination], &domain, target, !self.route.no_probe, true)
                .map_err(|error| failure(Side::Source, &error))?;
        facts.request = Some(request(true));
        self.route.disks.plan(&facts).map_err(|message| Failure::new(Fault::UnsafeStorage, message))
    }

    /// Keeps which files the migration may create, from the facts that the rules judge.
    pub(super) fn note_disks_to_make(&self, copied: &[CopiedDisk]) -> Vec<String> {
        let new: Vec<String> =
            copied.iter().filter(|disk| disk.is_new).map(|disk| disk.path.clone()).collect();
        let _ = self.disks_to_make.set(new.iter().cloned().collect());
        new
    }

    /// Chooses the disks again, creates those that are not there, and keeps other migrations of this process from them.
    pub(super) fn prepare_copies(&self) -> Result<(), Failure> {
        let copied = self.plan_copies()?;
        if copied.is_empty() {
            return Ok(());
        }
        let failed = |error: &LibvirtError| failure(Side::Destination, error);
        let destination = self.destination.connection().map_err(|error| failed(&error))?;
        let uuid = destination.host_uuid().map_err(|error| failed(&error))?;
        // Its capabilities name none: then its URI stands for it.
        let host = uuid.unwrap_or_else(|| self.route.destination.clone());
        let paths = copied.iter().map(|disk| users::plain(&disk.path)).collect();
        let claim = Claim::new(&host, paths).map_err(|path| {
            Failure::new(
                Fault::Refused,
                format!("another migration writes to `{path}` on the destination: wait for it to end"),
            )
        })?;
        *lock(&self.claim) = Some(claim);
        let expected = self.disks_to_make.get();
        for disk in copied.iter().filter(|disk| disk.is_new) {
            // What is not removed in the end must not be created: the record of the migration names what may be.
            if expected.is_none_or(|expected| !expected.contains(&disk.path)) {
                let message =
                    format!("`{}` was there when the migration was checked and is gone now", disk.path);
                return Err(Failure::new(Fault::Refused, message));
            }
            create(&destination, disk)?;
            lock(&self.created).insert(disk.path.clone());
        }
        *lock(&self.copied) = copied.into_iter().map(|disk| disk.target).collect();
        Ok(())
    }

    /// Removes the disks that this process created for the migration, as long as the guest is not there and no
    /// definition names them. Everything else of these is left, and named.
    pub(super) fn remove_disks(&self, disks: &[String]) -> Result<(), Failure> {
        let there = self.look(Side::Destination);
        if !there.is_gone() {
            return Err(super::acts::changed(Side::Destination, there));
        }
        let left = self
            .destination
            .connection()
            .and_then(|connection| self.remove_created(&connection, disks))
            .map_err(|error| failure(Side::Destination, &error))?;
        if left.is_empty() {
            return Ok(());
        }
        Err(Failure::new(Fault::Refused, format!("left on the destination: {}", left.join("; "))))
    }

    /// What is left, each with the reason.
    fn remove_created(&self, connection: &Connection, disks: &[String]) -> Result<Vec<String>, LibvirtError> {
        let used = users::users(connection, disks, None)?;
        let mut left = Vec::new();
        for (path, used) in disks.iter().zip(used) {
            let Some((pool, name)) = connection.pool_of(path)? else {
                left.push(format!("`{path}`: no storage pool shows whether it is there"));
                continue;
            };
            let Some(volume) = pool.volume(name)? else { continue };
            if !lock(&self.created).contains(path) {
                left.push(format!("`{path}`: nothing proves that this migration created it"));
            } else if let Some(user) = used.first() {
                left.push(format!("`{path}`: {user} uses it"));
            } else {
                volume.delete()?;
                lock(&self.created).remove(path);
            }
        }
        Ok(left)
    }
}

/// Creates a file in its pool, or fails when it is there.
fn create(destination: &Connection, disk: &CopiedDisk) -> Result<(), Failure> {
    let failed = |error: &LibvirtError| failure(Side::Destination, error);
    let path = &disk.path;
    let found = destination.pool_of(path).map_err(|error| failed(&error))?;
    let (pool, name) = found.ok_or_else(|| {
        let directory = path.rsplit_once('/').map_or(path.as_str(), |(directory, _)| directory);
        let message = format!(
            "no active storage pool of the destination has the directory `{directory}`, so `{path}` cannot be created: \
             start one with `virsh pool-create-as NAME dir --target {directory}`"
        );
        Failure::new(Fault::UnsafeStorage, message)
    })?;
    let size = disk.size_bytes.ok_or_else(|| {
        Failure::new(Fault::UnsafeStorage, format!("the size of disk `{}` is not known", disk.target))
    })?;
    let xml = format!(
        "<volume><name>{}</name><capacity unit='bytes'>{size}</capacity><allocation>0</allocation>\
         <target><format type='{}'/></target></volume>",
        escaped(name),
        escaped(&disk.format),
    );
    pool.create_volume(&xml).map(drop).map_err(|error| failed(&error))
}

/// Paths that a migration may create, once that is known.
pub(super) type DisksToMake = std::sync::OnceLock<BTreeSet<String>>;
