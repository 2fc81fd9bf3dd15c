//! For each rule, the smallest changes of sound facts that it finds.

use whimbrel_facts::{
    Attribute, CharacterDevice, CpuComparison, CpuFeature, Domain, Facts, Filesystem, Host, HostDevice,
    Identity, Link, MemoryDevice, Namesake, NetworkCard, Request, RunState, Scalar, SharedMemory, Sharing,
    StorageCopy, Tpm,
    Verdict::{self, Fail, Unknown, Warn},
};

use super::{Change, storage};

fn r(facts: &mut Facts) -> &mut Request {
    facts.request.as_mut().unwrap()
}

fn g(facts: &mut Facts) -> &mut Domain {
    facts.guest.as_mut().unwrap()
}

fn d(facts: &mut Facts) -> &mut Host {
    facts.destination.as_mut().unwrap()
}

fn t(facts: &mut Facts) -> &mut Domain {
    let guest = g(facts).clone();
    facts.target.get_or_insert(guest)
}

fn device(facts: &mut Facts, kind: &str, transient: bool) {
    let device =
        HostDevice { kind: kind.into(), address: "0000:01:00.0".into(), transient, ..HostDevice::default() };
    g(facts).host_devices.push(device);
}

fn card(facts: &mut Facts, kind: &str) {
    g(facts).network_cards.push(NetworkCard {
        kind: kind.into(),
        source: "eno9".into(),
        ..NetworkCard::default()
    });
}

fn copy(facts: &mut Facts) {
    r(facts).storage_copy = StorageCopy::Full;
    for storage in facts.storage.as_mut().unwrap() {
        storage.sharing = Sharing::Disproven;
        storage.source.identities.clear();
        storage.destination.size_bytes = None;
        storage.destination.exists = Some(false);
    }
}

fn copy_of_block(facts: &mut Facts) {
    copy(facts);
    facts.storage.as_mut().unwrap()[0].destination.exists = Some(false);
}

/// Makes the first disk one over the network, with the identity that each host reports.
fn network(facts: &mut Facts, protocol: &str, here: &str, there: &str) {
    let disk = &mut g(facts).disks[0];
    (disk.kind, disk.protocol) = ("network".into(), protocol.into());
    let first = &mut facts.storage.as_mut().unwrap()[0];
    for (side, value) in [(&mut first.source, here), (&mut first.destination, there)] {
        side.identities = vec![Identity { kind: protocol.into(), value: value.into() }];
    }
}

/// A definition for the destination that differs at these paths.
fn differ(facts: &mut Facts, paths: &[&str]) {
    drop(t(facts).name.clone());
    attribute(facts, "definitions/compared", Scalar::Boolean(true));
    for path in paths {
        attribute(facts, &format!("definitions/{path}"), Scalar::Text(path.len().to_string()));
    }
}

fn attribute(facts: &mut Facts, path: &str, value: Scalar) {
    facts.attributes.push(Attribute { path: path.into(), value });
    facts.attributes.sort_by(|one, other| one.path.cmp(&other.path));
}

fn allow_overwrite(facts: &mut Facts) {
    let path = facts.storage.as_ref().unwrap()[0].destination_path.clone();
    attribute(facts, "request/overwrite-disks/0", Scalar::Text(path));
}

fn tpm(facts: &mut Facts, backend: &str, secret: Option<&str>) {
    g(facts).tpms.push(Tpm { backend: backend.into(), secret: secret.map(str::to_owned), ..Tpm::default() });
}

fn parallel(facts: &mut Facts) {
    r(facts).parallel_connections = Some(4);
}

/// Rule, verdict beyond its edge, and the change that goes there.
pub(crate) const EDGES: &[(&str, Verdict, Change)] = &[
    ("guest.not-running", Fail, |f| g(f).state = RunState::Off),
    ("guest.not-running", Warn, |f| r(f).offline = true),
    ("guest.busy", Fail, |f| g(f).job = Some("backup".into())),
    ("guest.busy", Unknown, |f| g(f).job = None),
    ("guest.io-error", Warn, |f| (g(f).state, g(f).state_reason) = (RunState::Paused, "io-error".into())),
    ("guest.io-error", Fail, |f| {
        r(f).abort_on_error = true;
        (g(f).state, g(f).state_reason) = (RunState::Paused, "io-error".into());
    }),
    ("guest.crashed", Fail, |f| g(f).state = RunState::Crashed),
    ("guest.left-by-migration", Fail, |f| {
        (g(f).state, g(f).state_reason) = (RunState::Paused, "post-copy-failed".into());
    }),
    ("guest.block-job", Unknown, |f| g(f).disks[0].busy = None),
    ("guest.io-error", Unknown, |f| g(f).state = RunState::Paused),
    ("guest.left-by-migration", Unknown, |f| g(f).state = RunState::Paused),
    ("guest.crashed", Unknown, |f| g(f).state = RunState::Unknown),
    ("cpu.model", Unknown, |f| g(f).cpu.model.clear()),
    ("destination.memory", Unknown, |f| g(f).memory_kib = 0),
    ("destination.cpus", Unknown, |f| g(f).cpus = 0),
    ("guest.block-job", Fail, |f| g(f).disks[0].busy = Some("copy".into())),
    ("guest.auto-destroy", Fail, |f| g(f).auto_destroy = Some(true)),
    ("guest.auto-destroy", Unknown, |f| {
        g(f).auto_destroy = None;
        f.source.as_mut().unwrap().library_version = 0;
    }),
    ("guest.not-understood", Unknown, |f| g(f).not_understood.push("novelty".into())),
    ("guest.snapshots", Fail, |f| g(f).snapshots = Some(1)),
    ("guest.checkpoints", Warn, |f| g(f).checkpoints = Some(1)),
    ("guest.managed-save", Warn, |f| g(f).managed_save = Some(true)),
    ("guest.autostart", Warn, |f| g(f).autostart = Some(true)),
    ("guest.metadata", Warn, |f| t(f).metadata.clear()),
    ("guest.persistence", Warn, |f| r(f).persist_destination = false),
    ("device.pci", Fail, |f| device(f, "pci", false)),
    ("device.usb", Warn, |f| device(f, "usb", false)),
    ("device.scsi", Fail, |f| {
        device(f, "scsi", false);
        f.source.as_mut().unwrap().library_version = 8_005_000;
    }),
    ("device.scsi-host", Fail, |f| device(f, "scsi_host", false)),
    ("device.mediated", Fail, |f| device(f, "mdev", false)),
    ("device.capabilities", Fail, |f| device(f, "capabilities", false)),
    ("device.sriov", Fail, |f| card(f, "hostdev")),
    ("device.sriov-destination", Warn, |f| device(f, "pci", true)),
    ("device.character", Warn, |f| {
        let port =
            CharacterDevice { kind: "serial".into(), backend: "dev".into(), path: "/dev/ttyS0".into() };
        g(f).character_devices.push(port);
    }),
    ("device.shared-memory", Fail, |f| g(f).shared_memories.push(SharedMemory::default())),
    ("device.vdpa", Fail, |f| card(f, "vdpa")),
    ("device.user-network", Warn, |f| card(f, "user")),
    ("device.filesystem", Unknown, |f| {
        f.source.as_mut().unwrap().library_version = 10_000_000;
        g(f).filesystems.push(Filesystem { driver: "virtiofs".into(), ..Filesystem::default() });
    }),
    ("device.transient-disk", Fail, |f| g(f).disks[0].transient = true),
    ("device.memory-module", Fail, |f| {
        g(f).memory_devices.push(MemoryDevice {
            model: "dimm".into(),
            slot: Some(0),
            ..MemoryDevice::default()
        });
    }),
    ("device.persistent-memory", Warn, |f| {
        g(f).memory_devices.push(MemoryDevice { model: "nvdimm".into(), ..MemoryDevice::default() });
    }),
    ("device.launch-security", Fail, |f| g(f).launch_security = "sev".into()),
    ("device.hyperv-passthrough", Fail, |f| g(f).hyperv_mode = "passthrough".into()),
    ("device.reservations", Fail, |f| g(f).disks[0].reservations = true),
    ("device.tpm-passthrough", Fail, |f| tpm(f, "passthrough", None)),
    ("device.tpm-support", Fail, |f| {
        d(f).supports = Some(Vec::new());
        tpm(f, "emulator", None);
    }),
    ("device.tpm-secret", Fail, |f| tpm(f, "emulator", Some("other"))),
    ("device.vhost-user", Unknown, |f| card(f, "vhostuser")),
    ("device.root-ports", Warn, |f| g(f).free_root_ports = Some(0)),
    ("destination.is-source", Fail, |f| d(f).uuid = "uuid-alpha".into()),
    ("destination.has-guest", Fail, |f| {
        d(f).namesakes = Some(vec![Namesake { state: RunState::Running, ..Namesake::default() }]);
    }),
    ("destination.has-guest", Warn, |f| {
        d(f).namesakes = Some(vec![Namesake { state: RunState::Off, ..Namesake::default() }]);
    }),
    ("hypervisor.differs", Fail, |f| d(f).hypervisor = "Xen".into()),
    ("architecture.differs", Fail, |f| d(f).architecture = "aarch64".into()),
    ("hypervisor.older", Warn, |f| d(f).hypervisor_version -= 1),
    ("libvirt.older", Warn, |f| d(f).library_version -= 1),
    ("destination.maintenance", Unknown, |f| {
        d(f).maintenance = None;
        d(f).library_version = 0;
    }),
    ("destination.maintenance", Fail, |f| d(f).maintenance = Some(true)),
    ("destination.live-migration", Fail, |f| d(f).live_migration = Some(false)),
    ("destination.transport", Fail, |f| d(f).transports = vec!["rdma".into()]),
    ("destination.accelerator", Fail, |f| d(f).accelerators = vec!["qemu".into()]),
    ("cpu.comparison", Fail, |f| d(f).cpu_comparison = Some(CpuComparison::Incompatible)),
    ("cpu.features", Fail, |f| {
        d(f).cpu_comparison = Some(CpuComparison::Incompatible);
        drop(d(f).cpu.features.pop());
    }),
    ("cpu.features", Unknown, |f| {
        d(f).cpu_comparison = None;
        drop(d(f).cpu.features.pop());
    }),
    ("cpu.forbidden-features", Fail, |f| {
        g(f).cpu.features.push(CpuFeature { name: "feature0".into(), policy: "forbid".into() });
    }),
    ("cpu.model", Fail, |f| g(f).cpu.model = "Milan".into()),
    ("cpu.model", Fail, |f| {
        d(f).cpu_models.as_mut().unwrap()[0].usable = Some(false);
        d(f).cpu_comparison = None;
    }),
    ("cpu.model", Unknown, |f| {
        d(f).cpu_models.as_mut().unwrap()[0].usable = Some(false);
        d(f).cpu_comparison = None;
        g(f).cpu.features.push(CpuFeature { name: "hle".into(), policy: "disable".into() });
    }),
    ("cpu.mode", Fail, |f| d(f).cpu_modes = Some(Vec::new())),
    ("cpu.vendor", Fail, |f| d(f).cpu.vendor = "Intel".into()),
    ("cpu.passthrough", Warn, |f| g(f).cpu.mode = "host-passthrough".into()),
    ("cpu.passthrough", Fail, |f| {
        g(f).cpu.mode = "host-passthrough".into();
        drop(d(f).cpu.features.pop());
    }),
    ("cpu.invariant-tsc", Fail, |f| {
        g(f).cpu.features.push(CpuFeature { name: "invtsc".into(), policy: "require".into() });
    }),
    ("cpu.tsc-frequency", Fail, |f| g(f).tsc_frequency_hz = Some(2_400_700_000)),
    ("machine.unknown", Fail, |f| g(f).machine = "pc-q35-9.0".into()),
    ("machine.unknown", Warn, |f| d(f).machines.as_mut().unwrap()[0].alias_of = "pc-q35-8.0".into()),
    ("machine.deprecated", Warn, |f| d(f).machines.as_mut().unwrap()[0].deprecated = true),
    ("machine.cpus", Fail, |f| d(f).machines.as_mut().unwrap()[0].cpus_maximum = Some(3)),
    ("destination.memory", Warn, |f| d(f).free_memory_kib = Some((1 << 20) - 1)),
    ("destination.memory-total", Fail, |f| d(f).memory_kib = Some((1 << 20) - 1)),
    ("destination.cpus", Warn, |f| d(f).cpus = Some(1)),
    ("destination.pinning", Fail, |f| g(f).pinned_cpus = vec![8]),
    ("destination.huge-pages", Fail, |f| {
        g(f).huge_pages_kib = vec![2048];
        d(f).huge_pages.as_mut().unwrap()[0].free = 511;
    }),
    ("destination.numa", Fail, |f| g(f).strict_nodes = vec![1]),
    ("destination.migrations", Warn, |f| d(f).migrations = Some(2)),
    ("storage.identity", Fail, |f| {
        f.storage.as_mut().unwrap()[0].destination.identities[0].value = "naa.9".into();
    }),
    ("storage.identity", Unknown, |f| {
        f.storage.as_mut().unwrap()[0].destination.identities.clear();
        f.storage.as_mut().unwrap()[0].sharing = Sharing::Unknown;
    }),
    ("storage.identity", Verdict::Pass, |f| {
        f.storage.as_mut().unwrap()[0].destination_path = "/dev/sdq".into();
    }),
    ("storage.crossed", Fail, |f| {
        let storage = f.storage.as_mut().unwrap();
        let (first, second) = storage.split_at_mut(1);
        std::mem::swap(&mut first[0].destination, &mut second[0].destination);
    }),
    ("storage.shared", Fail, |f| f.storage.as_mut().unwrap()[0].sharing = Sharing::Disproven),
    ("storage.unsafe-flag", Fail, |f| {
        r(f).allow_unsafe = true;
        f.storage.as_mut().unwrap()[0].sharing = Sharing::Unknown;
        f.storage.as_mut().unwrap()[0].destination.identities.clear();
    }),
    // A LUN that both hosts identify is proven as well as a file that the probe saw.
    ("storage.unsafe-flag", Verdict::Pass, |f| {
        r(f).allow_unsafe = true;
        f.storage.as_mut().unwrap()[0].sharing = Sharing::Unknown;
    }),
    // libvirt trusts every disk over the network: the flag overrules nothing there.
    ("storage.unsafe-flag", Verdict::Pass, |f| {
        r(f).allow_unsafe = true;
        f.storage.as_mut().unwrap()[0].sharing = Sharing::Unknown;
        network(f, "nbd", "localhost:10809 x", "localhost:10809 x");
    }),
    ("storage.unsafe-flag", Fail, |f| {
        r(f).allow_unsafe = true;
        f.storage.as_mut().unwrap()[0].sharing = Sharing::Disproven;
        f.storage.as_mut().unwrap()[0].destination.identities.clear();
    }),
    ("storage.copy-of-shared", Fail, |f| r(f).storage_copy = StorageCopy::Full),
    // Any common identity is enough, not a WWID alone, and no probe is needed.
    ("storage.copy-of-shared", Fail, |f| {
        copy(f);
        network(f, "rbd", "m1:6789,m2:6789 pool/image", "m2:6789 pool/image");
    }),
    ("storage.copy-of-shared", Fail, |f| {
        copy(f);
        r(f).copied_disks = vec!["vda".into()];
        network(f, "iscsi", "san:3260 iqn.x/1", "san:3260 iqn.x/1");
    }),
    ("storage.copy-of-shared", Unknown, |f| {
        copy(f);
        f.storage.as_mut().unwrap()[0].sharing = Sharing::Unknown;
    }),
    ("storage.copy-unproven", Fail, |f| {
        copy(f);
        f.storage.as_mut().unwrap()[0].sharing = Sharing::Unknown;
    }),
    ("storage.copy-unproven", Fail, |f| {
        copy(f);
        r(f).copied_disks = vec!["vda".into()];
        f.storage.as_mut().unwrap()[0].sharing = Sharing::Unknown;
        attribute(f, "request/copied-disks/automatic", Scalar::Boolean(true));
    }),
    ("storage.copy-unproven", Verdict::Pass, |f| {
        copy(f);
        r(f).copied_disks = vec!["vda".into()];
        f.storage.as_mut().unwrap()[0].sharing = Sharing::Unknown;
    }),
    ("storage.overwrite", Fail, |f| {
        copy(f);
        f.storage.as_mut().unwrap()[0].destination.exists = Some(true);
    }),
    ("storage.overwrite", Unknown, |f| {
        copy(f);
        f.storage.as_mut().unwrap()[0].destination.exists = None;
    }),
    ("storage.overwrite", Unknown, |f| {
        copy(f);
        f.storage.as_mut().unwrap()[0].destination.exists = Some(true);
        allow_overwrite(f);
    }),
    ("storage.overwrite", Verdict::Pass, |f| {
        copy(f);
        f.storage.as_mut().unwrap()[0].destination.exists = Some(true);
        allow_overwrite(f);
        attribute(f, "storage/vda/destination/users-known", Scalar::Boolean(true));
    }),
    // The operator cannot allow it: another guest owns the path, even where the file does not exist at the moment.
    ("storage.overwrite", Fail, |f| {
        copy(f);
        allow_overwrite(f);
        attribute(f, "storage/vda/destination/used-by/0", Scalar::Text("the guest `other`".into()));
    }),
    ("storage.copy-target", Fail, copy_of_block),
    ("storage.copy-target", Fail, |f| {
        copy(f);
        g(f).disks[0].kind = "file".into();
        f.storage.as_mut().unwrap()[0].destination.free_bytes = None;
    }),
    ("storage.size", Fail, |f| {
        copy(f);
        f.storage.as_mut().unwrap()[0].destination.size_bytes = Some((1 << 30) + 1);
    }),
    ("storage.identity", Unknown, |f| {
        f.storage.as_mut().unwrap()[0].sharing = Sharing::Unknown;
        network(f, "nbd", "localhost:10809 x", "localhost:10809 x");
    }),
    ("storage.shared", Unknown, |f| {
        f.storage.as_mut().unwrap()[0].sharing = Sharing::Unknown;
        network(f, "nbd", "/run/nbd.sock: x", "/run/nbd.sock: x");
    }),
    // Every layer counts: one in another directory was not probed with the disk.
    ("storage.shared", Unknown, |f| g(f).disks[0].backing = vec!["/var/lib/base.qcow2".into()]),
    ("storage.shared", Fail, |f| {
        g(f).disks[0].backing = vec!["/var/lib/base.qcow2".into()];
        let mut layer = storage("vda[1]", "/var/lib/base.qcow2", "naa.1");
        layer.sharing = Sharing::Disproven;
        f.storage.as_mut().unwrap().push(layer);
    }),
    ("storage.size", Fail, |f| f.storage.as_mut().unwrap()[0].destination.size_bytes = Some((1 << 30) - 1)),
    ("storage.size", Warn, |f| f.storage.as_mut().unwrap()[0].destination.size_bytes = Some((1 << 30) + 1)),
    ("storage.missing", Fail, |f| f.storage.as_mut().unwrap()[0].destination.exists = Some(false)),
    ("storage.missing", Unknown, |f| f.storage.as_mut().unwrap()[0].destination.exists = None),
    ("storage.media", Fail, |f| {
        g(f).disks[0].read_only = true;
        f.storage.as_mut().unwrap()[0].destination.exists = Some(false);
    }),
    ("storage.cache", Warn, |f| {
        g(f).disks[0].cache = "writeback".into();
        d(f).hypervisor_version = 3_001_000;
    }),
    ("storage.cache", Warn, |f| g(f).disks[0].cache = "unsafe".into()),
    ("storage.cache", Warn, |f| {
        g(f).disks[0].cache = "writeback".into();
        f.source.as_mut().unwrap().hypervisor_version = 3_001_000;
    }),
    ("storage.cache", Unknown, |f| {
        g(f).disks[0].cache = "writeback".into();
        d(f).hypervisor_version = 0;
    }),
    ("storage.nvme", Fail, |f| g(f).disks[0].kind = "nvme".into()),
    ("storage.copied-disks", Fail, |f| r(f).copied_disks = vec!["vdz".into()]),
    ("storage.copied-disks", Fail, |f| {
        copy(f);
        r(f).copied_disks = vec!["vda".into()];
        g(f).disks[0].shareable = true;
    }),
    ("storage.copied-disks", Fail, |f| {
        copy(f);
        r(f).copied_disks = vec!["vda".into()];
        g(f).disks[0].read_only = true;
    }),
    ("storage.space", Fail, |f| {
        copy(f);
        f.storage.as_mut().unwrap()[0].destination.free_bytes = Some((2 << 30) - 1);
    }),
    ("storage.pool-missing", Fail, |f| g(f).disks[0].pool = "other".into()),
    ("storage.pool-inactive", Fail, |f| {
        g(f).disks[0].pool = "images".into();
        d(f).pools.as_mut().unwrap()[0].active = false;
    }),
    ("storage.backing", Fail, |f| {
        copy(f);
        r(f).storage_copy = StorageCopy::Incremental;
    }),
    ("storage.backing", Unknown, |f| {
        copy(f);
        r(f).storage_copy = StorageCopy::Incremental;
        g(f).disks[0].backing = vec!["/base".into()];
    }),
    ("storage.encrypted", Fail, |f| {
        g(f).disks[0].encrypted = true;
        d(f).secrets = Some(Vec::new());
    }),
    ("storage.duplicate", Fail, |f| g(f).disks[1].source = g(f).disks[0].source.clone()),
    ("storage.duplicate", Fail, |f| {
        g(f).disks[1].source = g(f).disks[0].source.clone();
        g(f).disks[1].kind = "file".into();
    }),
    ("storage.duplicate", Unknown, |f| {
        for disk in g(f).disks.iter_mut().take(2) {
            (disk.kind, disk.protocol, disk.source) = ("network".into(), "nbd".into(), Some("bar".into()));
        }
    }),
    ("storage.filesystem", Warn, |f| f.storage.as_mut().unwrap()[0].source.filesystem = "ext4".into()),
    ("storage.filesystem", Verdict::Pass, |f| {
        f.storage.as_mut().unwrap()[0].source.filesystem = "nfs4".into();
    }),
    ("storage.filesystem", Verdict::Pass, |f| {
        f.storage.as_mut().unwrap()[0].source.filesystem = "ext4".into();
        r(f).allow_unsafe = true;
    }),
    ("storage.lease", Unknown, |f| f.attributes[0].value = Scalar::Integer(0)),
    ("storage.lease", Unknown, |f| f.attributes.clear()),
    ("request.postcopy-live", Fail, |f| (r(f).postcopy, r(f).live) = (true, false)),
    ("request.postcopy-live", Fail, |f| {
        r(f).postcopy = true;
        g(f).state = RunState::Paused;
    }),
    ("request.postcopy-tunnelled", Fail, |f| (r(f).postcopy, r(f).tunnelled) = (true, true)),
    ("request.postcopy-parallel", Fail, |f| {
        parallel(f);
        r(f).postcopy = true;
    }),
    ("request.preempt", Fail, |f| r(f).postcopy_preempt = true),
    ("request.offline-persistent", Fail, |f| (r(f).offline, r(f).persist_destination) = (true, false)),
    ("request.offline-storage", Fail, |f| (r(f).offline, r(f).storage_copy) = (true, StorageCopy::Full)),
    ("request.offline-tunnelled", Fail, |f| (r(f).offline, r(f).tunnelled) = (true, true)),
    ("request.tunnel-needs-peer", Fail, |f| (r(f).tunnelled, r(f).peer_to_peer) = (true, false)),
    ("request.tunnelled-storage", Fail, |f| (r(f).tunnelled, r(f).storage_copy) = (true, StorageCopy::Full)),
    ("request.tunnelled-parallel", Fail, |f| {
        parallel(f);
        r(f).tunnelled = true;
    }),
    ("request.parallel-xbzrle", Fail, |f| {
        parallel(f);
        r(f).compression = vec!["xbzrle".into()];
    }),
    ("request.zero-copy-parallel", Fail, |f| r(f).zero_copy = true),
    ("request.zero-copy-plain", Fail, |f| {
        parallel(f);
        (r(f).zero_copy, r(f).tls) = (true, true);
    }),
    ("request.copied-disks", Fail, |f| r(f).copied_disks = vec!["vda".into()]),
    ("request.two-brakes", Fail, |f| (r(f).dirty_limit, r(f).auto_converge) = (true, true)),
    ("request.undefine", Warn, |f| (r(f).undefine_source, r(f).persist_destination) = (true, false)),
    ("request.persistent-definition", Warn, |f| r(f).destination_xml = true),
    ("request.compression", Fail, |f| r(f).compression = vec!["zstd".into()]),
    ("request.compression", Fail, |f| r(f).compression = vec!["brotli".into()]),
    ("request.zlib-level", Fail, |f| r(f).zlib_level = Some(9)),
    ("request.zlib-level", Fail, |f| {
        parallel(f);
        (r(f).compression, r(f).zlib_level) = (vec!["zlib".into()], Some(10));
    }),
    ("request.zstd-level", Fail, |f| {
        parallel(f);
        (r(f).compression, r(f).zstd_level) = (vec!["zstd".into()], Some(21));
    }),
    ("request.xbzrle-cache", Fail, |f| {
        (r(f).compression, r(f).xbzrle_cache_bytes) = (vec!["xbzrle".into()], Some(4095));
    }),
    ("request.throttle", Fail, |f| (r(f).auto_converge, r(f).throttle_initial_percent) = (true, Some(100))),
    ("request.downtime", Fail, |f| r(f).downtime_limit_ms = Some(2_000_001)),
    ("request.parallel", Fail, |f| r(f).parallel_connections = Some(256)),
    ("request.bandwidth", Fail, |f| r(f).bandwidth_mib_per_second = Some(0)),
    ("request.dirty-limit", Fail, |f| r(f).dirty_limit_period_ms = Some(1001)),
    ("request.rdma", Fail, |f| r(f).rdma = true),
    ("request.rdma", Fail, |f| r(f).migrate_uri = Some("rdma://192.0.2.9".into())),
    ("request.supported", Fail, |f| r(f).dirty_limit = true),
    ("request.postcopy-devices", Fail, |f| {
        r(f).postcopy = true;
        device(f, "pci", false);
    }),
    ("request.postcopy-devices", Unknown, |f| {
        r(f).postcopy = true;
        card(f, "vhostuser");
    }),
    ("request.tls", Unknown, |f| r(f).tls = true),
    ("request.tls", Fail, |f| (r(f).tls, r(f).migrate_uri) = (true, Some("unix:///run/a.sock".into()))),
    ("network.missing", Fail, |f| d(f).networks = Some(Vec::new())),
    ("network.inactive", Fail, |f| d(f).networks.as_mut().unwrap()[0].active = false),
    ("network.bridge", Fail, |f| card(f, "bridge")),
    ("network.bridge", Fail, |f| d(f).links.as_mut().unwrap().clear()),
    ("network.bridge", Unknown, |f| {
        d(f).links = None;
        card(f, "bridge");
    }),
    ("network.bridge", Warn, |f| {
        d(f).links.as_mut().unwrap().push(Link { name: "eno9".into(), active: Some(false), mtu: None });
        card(f, "bridge");
    }),
    ("network.direct", Unknown, |f| {
        d(f).links = None;
        card(f, "direct");
    }),
    ("network.direct", Fail, |f| {
        d(f).links.as_mut().unwrap().push(Link { name: "eno9".into(), active: Some(false), mtu: None });
        card(f, "direct");
    }),
    ("network.mtu", Warn, |f| g(f).network_cards[0].mtu = Some(1501)),
    ("access.address", Fail, |f| r(f).migrate_uri = Some("tcp://[::1]:49152".into())),
    ("access.name", Fail, |f| d(f).name = "localhost".into()),
    ("access.name", Unknown, |f| d(f).name = "gamma".into()),
    ("access.uri", Fail, |f| r(f).migrate_uri = Some("192.0.2.12".into())),
    ("request.rdma-parallel", Fail, |f| {
        parallel(f);
        r(f).migrate_uri = Some("rdma://192.0.2.12".into());
    }),
    ("request.rdma-tunnelled", Fail, |f| (r(f).rdma, r(f).tunnelled) = (true, true)),
    ("retarget.identity", Fail, |f| t(f).uuid = "other".into()),
    ("retarget.machine", Fail, |f| t(f).machine = "pc-q35-8.0".into()),
    ("retarget.memory", Fail, |f| t(f).memory_kib += 1),
    ("retarget.cpus", Fail, |f| t(f).cpus += 1),
    ("retarget.cpu", Fail, |f| t(f).cpu.model = "Milan".into()),
    ("retarget.disks", Fail, |f| t(f).disks[0].bus = "scsi".into()),
    // The same file read in another format is different data, and a guest that writes to it destroys it.
    ("retarget.disks", Fail, |f| t(f).disks[0].format = "qcow2".into()),
    ("retarget.network-cards", Fail, |f| t(f).network_cards.clear()),
    ("retarget.devices", Fail, |f| t(f).tpms.push(Tpm::default())),
    ("retarget.definition", Unknown, |f| drop(t(f).name.clone())),
    ("retarget.definition", Fail, |f| differ(f, &["source/devices/video"])),
    ("retarget.definition", Fail, |f| {
        differ(f, &["source/cpu/topology/@cores", "target/cpu/topology/@cores"]);
    }),
    ("retarget.definition", Unknown, |f| differ(f, &["source/devices/video/model/@vram"])),
    ("retarget.definition", Unknown, |f| differ(f, &["target/novelty"])),
    ("retarget.definition", Unknown, |f| {
        differ(f, &[]);
        attribute(f, "definitions/left-out", Scalar::Integer(3));
    }),
    ("retarget.definition", Verdict::Pass, |f| {
        differ(f, &["source/seclabel", "target/devices/disk[vda]/source/@file"]);
    }),
    ("retarget.known", Unknown, |f| (r(f).destination_xml, r(f).persistent_xml) = (true, true)),
];
