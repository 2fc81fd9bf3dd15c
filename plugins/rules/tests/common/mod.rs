//! Sound facts, and for each rule the smallest change that it finds.

#![allow(
    dead_code,
    unused_imports,
    clippy::allow_attributes,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "each test uses its part"
)]

pub(crate) mod checks;
pub(crate) mod defined;
mod edges;

pub(crate) use defined::DEFINED;
pub(crate) use edges::EDGES;

use whimbrel_facts::{
    Attribute, CpuComparison, CpuFeature, CpuModel, Disk, DiskStorage, Domain, Facts, Finding, GuestCpu,
    Host, HostCpu, HugePages, Identity, Link, Machine, Network, NetworkCard, NumaNode, Pool, Request,
    RunState, Scalar, Sharing, StorageSide,
};

/// What both hosts offer to guests.
const SUPPORTED: [&str; 16] = [
    "disk",
    "disk.bus.scsi",
    "disk.bus.virtio",
    "disk.diskDevice.cdrom",
    "disk.diskDevice.disk",
    "graphics.type.vnc",
    "hostdev.subsysType.pci",
    "hostdev.subsysType.scsi",
    "hostdev.subsysType.usb",
    "loader.value./usr/share/OVMF/OVMF_CODE.fd",
    "os.firmware.bios",
    "tpm",
    "tpm.backendModel.emulator",
    "tpm.model.tpm-crb",
    "video.modelType.vga",
    "video.modelType.virtio",
];

/// One change of sound facts.
pub(crate) type Change = fn(&mut Facts);

pub(crate) fn codes(findings: &[Finding]) -> Vec<(String, String)> {
    let bad = findings.iter().filter(|one| one.verdict != whimbrel_facts::Verdict::Pass);
    bad.map(|one| (one.code.clone(), one.message.clone())).collect()
}

fn host(name: &str) -> Host {
    Host {
        uri: format!("qemu+tcp://{name}/system"),
        name: name.into(),
        uuid: format!("uuid-{name}"),
        hypervisor: "QEMU".into(),
        hypervisor_version: 7_002_022,
        library_version: 9_000_000,
        architecture: "x86_64".into(),
        cpu: HostCpu {
            model: "EPYC-Rome".into(),
            vendor: "AMD".into(),
            features: (0..10).map(|at| format!("feature{at}")).collect(),
            tsc_frequency_hz: Some(2_400_000_000),
            tsc_scaling: Some(false),
        },
        cpus: Some(8),
        memory_kib: Some(16 << 20),
        free_memory_kib: Some(4 << 20),
        maintenance: Some(false),
        live_migration: Some(true),
        transports: vec!["tcp".into(), "rdma".into()],
        accelerators: vec!["kvm".into()],
        machines: Some(vec![Machine {
            name: "pc-q35-7.2".into(),
            cpus_maximum: Some(288),
            ..Machine::default()
        }]),
        cpu_modes: Some(vec!["custom".into(), "host-passthrough".into()]),
        cpu_models: Some(vec![CpuModel { name: "EPYC".into(), usable: Some(true) }]),
        cpu_comparison: Some(CpuComparison::Superset),
        supports: Some(SUPPORTED.iter().map(|one| (*one).into()).collect()),
        networks: Some(vec![Network { name: "default".into(), active: true, bridge: "virbr0".into() }]),
        links: Some(vec![Link { name: "virbr0".into(), active: Some(true), mtu: Some(1500) }]),
        pools: Some(vec![Pool { name: "images".into(), active: true, ..Pool::default() }]),
        devices: Some(Vec::new()),
        secrets: Some(vec!["secret".into()]),
        huge_pages: Some(vec![HugePages { size_kib: 2048, free: 512 }]),
        numa_nodes: Some(vec![NumaNode { id: 0, memory_kib: 16 << 20, cpus: (0..8).collect() }]),
        namesakes: Some(Vec::new()),
        migrations: Some(0),
        ..Host::default()
    }
}

pub(crate) fn disk(target: &str, path: &str) -> Disk {
    Disk {
        target: target.into(),
        bus: "virtio".into(),
        device: "disk".into(),
        kind: "block".into(),
        source: Some(path.into()),
        format: "raw".into(),
        cache: "none".into(),
        busy: Some(String::new()),
        ..Disk::default()
    }
}

pub(crate) fn side(wwid: &str) -> StorageSide {
    StorageSide {
        exists: Some(true),
        identities: vec![Identity { kind: "wwid".into(), value: wwid.into() }],
        size_bytes: Some(1 << 30),
        free_bytes: Some(8 << 30),
        ..StorageSide::default()
    }
}

pub(crate) fn storage(target: &str, path: &str, wwid: &str) -> DiskStorage {
    DiskStorage {
        target: target.into(),
        source_path: path.into(),
        destination_path: path.into(),
        source: side(wwid),
        destination: side(wwid),
        sharing: Sharing::Proven,
        sharing_evidence: "a nonce that the source wrote was read by the destination".into(),
    }
}

/// A migration to which no rule objects.
pub(crate) fn sound() -> Facts {
    let guest = Domain {
        name: "web".into(),
        uuid: "c7a5fdbd-edaf-9455-926a-d65c16db1809".into(),
        state: RunState::Running,
        persistent: Some(true),
        auto_destroy: Some(false),
        autostart: Some(false),
        managed_save: Some(false),
        job: Some(String::new()),
        snapshots: Some(0),
        checkpoints: Some(0),
        accelerator: "kvm".into(),
        architecture: "x86_64".into(),
        machine: "pc-q35-7.2".into(),
        cpu: GuestCpu {
            mode: "custom".into(),
            model: "EPYC".into(),
            vendor: "AMD".into(),
            features: (0..10)
                .map(|at| CpuFeature { name: format!("feature{at}"), policy: "require".into() })
                .collect(),
            ..GuestCpu::default()
        },
        cpus: 2,
        cpus_maximum: 4,
        memory_kib: 1 << 20,
        memory_maximum_kib: 1 << 20,
        disks: vec![disk("vda", "/dev/disk/by-id/wwn-1"), disk("vdb", "/dev/disk/by-id/wwn-2")],
        network_cards: vec![NetworkCard {
            kind: "network".into(),
            source: "default".into(),
            mac: "52:54:00:00:00:01".into(),
            model: "virtio".into(),
            mtu: Some(1500),
            ..NetworkCard::default()
        }],
        free_root_ports: Some(2),
        metadata: vec!["urn:templates".into()],
        ..Domain::default()
    };
    Facts {
        request: Some(Request {
            live: true,
            peer_to_peer: true,
            persist_destination: true,
            ..Request::default()
        }),
        guest: Some(guest),
        source: Some(host("alpha")),
        destination: Some(host("beta")),
        storage: Some(vec![
            storage("vda", "/dev/disk/by-id/wwn-1", "naa.1"),
            storage("vdb", "/dev/disk/by-id/wwn-2", "naa.2"),
        ]),
        attributes: vec![
            Attribute { path: "guest/leases".into(), value: Scalar::Integer(2) },
            Attribute { path: "guest/xml/@type".into(), value: "kvm".into() },
        ],
        ..Facts::default()
    }
}
