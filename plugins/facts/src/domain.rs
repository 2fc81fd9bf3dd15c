//! The guest, as a definition and its host describe it.

use alloc::string::String;
use alloc::vec::Vec;

use crate::device::{
    CharacterDevice, Disk, Filesystem, Graphics, HostDevice, NetworkCard, SharedMemory, Tpm,
};

cases! {
    /// Run state.
    #[derive(Default)]
    RunState {
        /// Running.
        Running = "running",
        /// Paused.
        Paused = "paused",
        /// Off.
        Off = "off",
        /// Crashed.
        Crashed = "crashed",
        /// Unknown.
        #[default]
        Unknown = "unknown",
    }
}

record! {
    /// Domain.
    Domain {
        /// Name.
        name: String,
        /// Uuid.
        uuid: String,
        /// State.
        state: RunState,
        /// libvirt's reason for the state, such as `io-error` or `post-copy-failed`; empty where it is not known.
        state_reason = "state-reason": String,
        /// Persistent.
        persistent: Option<bool>,
        /// Auto destroy.
        auto_destroy = "auto-destroy": Option<bool>,
        /// Autostart.
        autostart: Option<bool>,
        /// Managed save.
        managed_save = "managed-save": Option<bool>,
        /// The job that works on it, such as `migration` or `backup`; empty when there is none.
        job: Option<String>,
        /// Snapshots.
        snapshots: Option<u32>,
        /// Checkpoints.
        checkpoints: Option<u32>,
        /// `kvm`, `qemu`, `xen` …
        accelerator: String,
        /// Architecture.
        architecture: String,
        /// Machine.
        machine: String,
        /// Emulator.
        emulator: String,
        /// Cpu.
        cpu: GuestCpu,
        /// Cpus.
        cpus: u32,
        /// Cpus maximum.
        cpus_maximum = "cpus-maximum": u32,
        /// Memory kib.
        memory_kib = "memory-kib": u64,
        /// Memory maximum kib.
        memory_maximum_kib = "memory-maximum-kib": u64,
        /// Memory locked.
        memory_locked = "memory-locked": bool,
        /// Hard limit kib.
        hard_limit_kib = "hard-limit-kib": Option<u64>,
        /// Sizes of the huge pages that it asks for; 0 is the host's usual size.
        huge_pages_kib = "huge-pages-kib": Vec<u64>,
        /// Host CPUs that its CPUs are pinned to.
        pinned_cpus = "pinned-cpus": Vec<u32>,
        /// Host NUMA nodes that its memory is bound to.
        strict_nodes = "strict-nodes": Vec<u32>,
        /// Tsc frequency hz.
        tsc_frequency_hz = "tsc-frequency-hz": Option<u64>,
        /// Launch security.
        launch_security = "launch-security": String,
        /// Hyperv mode.
        hyperv_mode = "hyperv-mode": String,
        /// Firmware.
        firmware: String,
        /// Disks.
        disks: Vec<Disk>,
        /// Network cards.
        network_cards = "network-cards": Vec<NetworkCard>,
        /// Host devices.
        host_devices = "host-devices": Vec<HostDevice>,
        /// Filesystems.
        filesystems: Vec<Filesystem>,
        /// Tpms.
        tpms: Vec<Tpm>,
        /// Shared memories.
        shared_memories = "shared-memories": Vec<SharedMemory>,
        /// Graphics.
        graphics: Vec<Graphics>,
        /// Memory devices.
        memory_devices = "memory-devices": Vec<MemoryDevice>,
        /// Character devices.
        character_devices = "character-devices": Vec<CharacterDevice>,
        /// PCI Express root ports without a device.
        free_root_ports = "free-root-ports": Option<u32>,
        /// Namespaces of the metadata that others keep in the definition.
        metadata: Vec<String>,
        /// Elements of the definition that nobody understood.
        not_understood = "not-understood": Vec<String>,
    }
}

record! {
    /// Cpu feature.
    CpuFeature {
        /// Name.
        name: String,
        /// Policy.
        policy: String,
    }
}

record! {
    /// Guest cpu.
    GuestCpu {
        /// `custom`, `host-model`, `host-passthrough`, `maximum`; empty where the definition has no CPU.
        mode: String,
        /// Model.
        model: String,
        /// Vendor.
        vendor: String,
        /// Check.
        check: String,
        /// Migratable.
        migratable: Option<bool>,
        /// Features.
        features: Vec<CpuFeature>,
    }
}

record! {
    /// Memory device.
    MemoryDevice {
        /// Model.
        model: String,
        /// Slot.
        slot: Option<u32>,
        /// Base.
        base: Option<u64>,
        /// Size kib.
        size_kib = "size-kib": u64,
    }
}
