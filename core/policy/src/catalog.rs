//! Every policy by its name, with its source and where it can run.

use alloc::boxed::Box;

use crate::policies::{
    CloudHypervisor, CloudStack, Cyberus, KubeVirtDowntime, KubeVirtLegacy, KubeVirtStall, Ladder, NeverAct,
    Nova, NovaTimeout, OVirt, Pacer, Proxmox, Qemu, Random, Schedule, StaticLimit, Virsh, VirshAction, Xen,
};
use crate::policy::Policy;

/// Where a policy can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reach {
    /// libvirt has a call or flag for everything that it does.
    Libvirt,
    /// It needs what libvirt does not offer: it runs in the simulator only.
    SimulatorOnly,
}

/// A policy's entry.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its name on the command line and in reports.
    pub name: &'static str,
    /// What it does, in one sentence.
    pub does: &'static str,
    /// Where it is from.
    pub source: &'static str,
    /// Where it can run.
    pub reach: Reach,
    make: fn() -> Box<dyn Policy>,
}

impl Entry {
    /// A fresh object for one migration.
    #[must_use]
    pub fn create(&self) -> Box<dyn Policy> {
        (self.make)()
    }
}

/// The entry of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Entry> {
    CATALOG.iter().find(|entry| entry.name == name)
}

const QEMU: &str = "QEMU 10.0.13, migration/{options,ram,cpu-throttle}.c";
const VIRSH: &str = "libvirt 11.3.0, tools/virsh-domain.c";
const NOVA: &str = "openstack/nova 00a0304, nova/virt/libvirt/migration.py";
const OVIRT: &str = "oVirt/vdsm fd4b0df, lib/vdsm/virt/migration.py; ovirt-engine 0111fc6";
const KUBEVIRT: &str = "kubevirt/kubevirt d923fdb, live-migration-source.go";
const VEP_248: &str = "kubevirt/enhancements 248; kubevirt/kubevirt d923fdb, stall-detector.go";
const CLOUD_HYPERVISOR: &str = "cloud-hypervisor ae44c29, vmm/src/lib.rs; issue 8899";
const HERE: &str = "this project";

macro_rules! entries {
    ($($name:literal, $reach:ident, $source:expr, $does:literal, $make:expr;)*) => {
        [$(Entry { name: $name, does: $does, source: $source, reach: Reach::$reach, make: || Box::new($make) }),*]
    };
}

/// All policies.
pub static CATALOG: [Entry; 33] = entries![
    "qemu", Libvirt, QEMU, "300 ms of downtime, and nothing else", Qemu::plain();
    "qemu-auto-converge", Libvirt, QEMU, "throttles the guest from 20 % in steps of 10", Qemu::auto_converge();
    "qemu-tail-slow", SimulatorOnly, QEMU, "the same with smaller last steps", Qemu::tail_slow();
    "qemu-dirty-limit", SimulatorOnly, QEMU, "each virtual CPU may dirty 1 MiB/s", Qemu::dirty_limit();
    "virsh-suspend", Libvirt, VIRSH, "suspends the guest after 120 s",
        Virsh::new(VirshAction::SuspendAfter { seconds: 120 });
    "virsh-postcopy", Libvirt, VIRSH, "switches to post-copy after 120 s",
        Virsh::new(VirshAction::PostcopyAfter { seconds: 120 });
    "virsh-postcopy-after-precopy", Libvirt, VIRSH, "switches to post-copy after the first pass",
        Virsh::new(VirshAction::PostcopyAfterPrecopy);
    "nova-abort", Libvirt, NOVA, "ten steps of downtime; cancels after 800 s for each GiB",
        Nova::new(NovaTimeout::Abort);
    "nova-force-postcopy", Libvirt, NOVA, "ten steps of downtime, then post-copy",
        Nova::new(NovaTimeout::ForcePostcopy);
    "nova-force-pause", Libvirt, NOVA, "ten steps of downtime, then a pause", Nova::new(NovaTimeout::ForcePause);
    "ovirt-minimal-downtime", Libvirt, OVIRT, "throttles, 100 to 500 ms by iterations, then cancels",
        OVirt::new(Schedule::MinimalDowntime);
    "ovirt-suspend", Libvirt, OVIRT, "throttles, 100 to 500 ms by iterations, then 5 s, then cancels",
        OVirt::new(Schedule::SuspendWorkload);
    "ovirt-postcopy", Libvirt, OVIRT, "throttles, 100 to 200 ms by iterations, then post-copy",
        OVirt::new(Schedule::Postcopy);
    "ovirt-very-large", Libvirt, OVIRT, "throttles, 300 to 1,500 ms by iterations, then 5 s, then cancels",
        OVirt::new(Schedule::VeryLarge);
    "ovirt-legacy", Libvirt, OVIRT, "101 to 500 ms by iterations, exponentially, then cancels",
        OVirt::new(Schedule::Legacy);
    "kubevirt-legacy", Libvirt, KUBEVIRT, "cancels after 150 s for each GiB, or disrupts if permitted",
        KubeVirtLegacy::new();
    "kubevirt-vep248", Libvirt, VEP_248, "detects stalls, and acts at local minima", KubeVirtStall::new();
    "kubevirt-vep248-intent", Libvirt, VEP_248, "the same with the intent's downtime and deadline",
        KubeVirtStall::following_the_intent();
    "kubevirt-vep291", Libvirt, "kubevirt/enhancements 249 and 291, pull request 17480",
        "150 to 900 ms in seven steps of 10 s", KubeVirtDowntime::new();
    "proxmox", Libvirt, "proxmox/qemu-server e6352be, QemuMigrate.pm",
        "throttles, and doubles the downtime after six regressions", Proxmox::new();
    "xen", Libvirt, "xen c447b73, xg_sr_save.c", "stops the guest after five passes", Xen::libxl();
    "xapi", Libvirt, "xcp-ng/xcp-emu-manager 03da089, emu.c", "stops the guest after four passes", Xen::xapi();
    "suse-abort-if-busy", Libvirt, "SUSE's libxl patch", "cancels for a guest that is busy after five passes",
        Xen::abort_if_busy();
    "cloud-hypervisor", Libvirt, CLOUD_HYPERVISOR, "switches over when a pass fits 300 ms",
        CloudHypervisor::new(0);
    "cloud-hypervisor-fixed", Libvirt, CLOUD_HYPERVISOR, "the same, less 15 ms that are fixed",
        CloudHypervisor::new(15);
    "cyberus-throttle", SimulatorOnly, "cyberus-technology/cloud-hypervisor, pull request 13",
        "the same, with 10 % more throttle every second pass from the fourth on", Cyberus::new();
    "cloudstack", Libvirt, "apache/cloudstack, LibvirtMigrateCommandWrapper.java",
        "500 ms of downtime; suspends after 300 s", CloudStack::new(Some(300_000));
    "pacer", Libvirt, "Zheng et al., IEEE TNSM 2013, 10.1109/tnsm.2013.111013.130522",
        "steers the bandwidth to end at the deadline", Pacer::new();
    "never-act", Libvirt, HERE, "the intent's downtime, and nothing else", NeverAct;
    "random", Libvirt, HERE, "draws a limit at one sync in four", Random::new(1);
    "static-300", Libvirt, HERE, "300 ms, and nothing else", StaticLimit::new(300);
    "ladder", Libvirt, HERE, "one rung more downtime at each pass that did not shrink by 15 %", Ladder::new();
    "ladder-restart", SimulatorOnly, HERE, "the ladder, and one restart with auto-converge", Ladder::with_restart();
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::action::Action;
    use crate::intent::{Allowed, Intent, Otherwise};
    use crate::script::Script;

    #[test]
    fn names_are_unique_and_found() {
        let names: BTreeSet<&str> = CATALOG.iter().map(|entry| entry.name).collect();
        assert_eq!(names.len(), CATALOG.len());
        assert!(names.iter().all(|name| find(name).is_some()) && find("no-such-policy").is_none());
    }

    /// On a guest that never converges, with every permission: what a policy does there must have a call in libvirt, or
    /// its entry must say that it has none. A restart is not in the machine yet.
    #[test]
    fn entries_say_where_a_policy_can_run() {
        let allowed = Allowed { throttle: true, postcopy: true, pause: true, restart: true };
        let intent = Intent { allowed, otherwise: Otherwise::Cancel, ..Intent::default() };
        let script = Script::new(2_048, 100).intent(intent).syncs(21_000, 12_000, &[1_100; 400]);
        for entry in &CATALOG {
            let played = script.play(&mut *entry.create(), 4_000_000);
            let in_libvirt =
                |action: &Action| action.is_in_libvirt() && !matches!(action, Action::Restart(_));
            let all =
                played.start.is_in_libvirt() && played.actions.iter().all(|(_, action)| in_libvirt(action));
            assert_eq!(all, entry.reach == Reach::Libvirt, "{}: {:?}", entry.name, played.actions);
        }
    }

    #[test]
    fn a_policy_is_a_pure_fold() {
        let script =
            Script::new(2_048, 100).syncs(21_000, 7_000, &[600, 650, 500, 700, 610, 605, 600, 300, 310]);
        for entry in &CATALOG {
            let play = || script.play(&mut *entry.create(), 900_000);
            assert_eq!(play(), play(), "{}", entry.name);
        }
    }
}
