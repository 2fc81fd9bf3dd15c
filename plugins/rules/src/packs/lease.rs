//! Whether a lock keeps two hosts from running the guest on the same disks. A lock manager's automatic locks are
//! configured on each host (`lock_manager` in `qemu.conf`), and libvirt does not report them: without a lease in the
//! definition no rule here may pass.

use alloc::format;

use whimbrel_facts::Scalar;

use super::copying::is_copied;
use crate::case::Case;
use crate::pack::{Rule, rule};
use crate::report::Report;

/// Attribute: the number of `<lease>` devices in the guest's definition.
const LEASES: &str = "guest/leases";

pub(super) const RULES: &[Rule] = &[rule(
    "storage.lease",
    "a lock lease protects the disks that both hosts reach",
    "a lease on each disk keeps a second copy of the guest from writing to it, however that copy was started",
    "run a lock manager on both hosts: set `lock_manager = \"lockd\"` (virtlockd) or `\"sanlock\"` in `qemu.conf`, with its \
     lockspace on storage that both hosts reach; waive this rule where that is done",
    lease,
)];

fn lease(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest(report)?;
    if case.request(report)?.offline {
        return Some(());
    }
    let mut shared = 0_usize;
    for disk in guest.disks.iter().filter(|disk| disk.source.is_some() && !disk.read_only) {
        shared += usize::from(!is_copied(case, report, disk)?);
    }
    if shared == 0 {
        return Some(());
    }
    match report.need(case.attribute(LEASES), "/attributes")? {
        Scalar::Integer(leases) if *leases > 0 => {}
        _ => report.unknown(
            "/guest/disks",
            format!(
                "{shared} writable disks are reached from both hosts, and the guest's definition has no `<lease>`: whether a \
                 lock manager of the hosts protects them is not reported by libvirt"
            ),
        ),
    }
    Some(())
}
