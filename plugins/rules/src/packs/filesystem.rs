//! Whether libvirt itself takes a file's storage for shared: it goes by the kind of file system, not by a proof.

use alloc::format;

use whimbrel_facts::sameness::{Sameness, of_storage};

use super::copying::is_copied;
use crate::case::Case;
use crate::pack::{Rule, rule};
use crate::report::Report;

/// File systems that libvirt takes for shared. Source: libvirt, `virFileIsSharedFS` in `virfile.c`.
const SHARED: [&str; 14] = [
    "nfs",
    "nfs4",
    "gfs2",
    "ocfs2",
    "afs",
    "smb",
    "cifs",
    "smb3",
    "ceph",
    "gpfs",
    "quobyte",
    "acfs",
    "glusterfs",
    "beegfs",
];

pub(super) const RULES: &[Rule] = &[rule(
    "storage.filesystem",
    "libvirt recognizes the file system of each shared disk as shared",
    "libvirt refuses a migration as unsafe if it does not recognize the file system as a shared one, even where \
         the storage is shared",
    "where the sharing is proven, allow it with `--unsafe`, or name the directory in `shared_filesystems` of \
         `qemu.conf` on both hosts (libvirt 10.10 or later)",
    filesystem,
)];

fn filesystem(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest(report)?;
    let storage = case.storage(report)?;
    if case.request(report)?.allow_unsafe {
        return Some(());
    }
    for (at, one) in storage.iter().enumerate() {
        let Some(disk) = guest.disks.iter().find(|disk| disk.target == one.target) else { continue };
        if disk.read_only || disk.shareable || disk.kind == "network" || is_copied(case, report, disk)? {
            continue;
        }
        // Without the kind of file system libvirt's own check decides, before anything is changed.
        let kind = one.source.filesystem.to_ascii_lowercase();
        let kind = kind.strip_prefix("fuse.").unwrap_or(&kind);
        if !kind.is_empty() && of_storage(one) == Sameness::Same && !SHARED.contains(&kind) {
            report.warn(
                format!("/storage/{at}/source/filesystem"),
                format!("disk `{}` is on `{kind}`: libvirt may refuse the migration as unsafe, although the disk is shared", disk.target),
            );
        }
    }
    Some(())
}
