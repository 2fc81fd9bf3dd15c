//! The policies of managers, and controls to compare them with: one file for each manager.
//!
//! Each is faithful to its source, its weaknesses included; what rests on secondary reading is marked in its
//! documentation. A policy must never be improved here: a better one is another policy.

mod cloud_hypervisor;
mod cloudstack;
mod controls;
mod kubevirt_downtime;
mod kubevirt_legacy;
mod kubevirt_stall;
mod ladder;
mod nova;
mod ovirt;
mod pacer;
mod proxmox;
mod qemu;
mod static_limit;
mod virsh;
mod xen;

pub use cloud_hypervisor::{CloudHypervisor, Cyberus};
pub use cloudstack::CloudStack;
pub use controls::{NeverAct, Random};
pub use kubevirt_downtime::KubeVirtDowntime;
pub use kubevirt_legacy::KubeVirtLegacy;
pub use kubevirt_stall::KubeVirtStall;
pub use ladder::Ladder;
pub use nova::{Nova, NovaTimeout};
pub use ovirt::{OVirt, Schedule};
pub use pacer::Pacer;
pub use proxmox::Proxmox;
pub use qemu::Qemu;
pub use static_limit::StaticLimit;
pub use virsh::{Virsh, VirshAction};
pub use xen::{Xen, XenRules};

/// Whole GiB of memory, begun ones included.
pub(crate) const fn gib(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 30)
}
