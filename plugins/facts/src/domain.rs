//! The guest, as its domain XML and the host that it is on describe it.

use alloc::string::String;
use alloc::vec::Vec;

use crate::device::{
    CharacterDevice, Disk, Filesystem, Graphics, HostDevice, NetworkCard, SharedMemory, Tpm,
};

cases! {
    /// Whether a guest executes, from libvirt's `virDomainGetState`.
    #[derive(Default)]
    RunState {
        /// Its virtual CPUs execute, wait for the host (`VIR_DOMAIN_BLOCKED`), or run the guest's shutdown.
        Running = "running",
        /// Its virtual CPUs are stopped and its memory is kept, for any reason but a crash; includes a suspended guest.
        Paused = "paused",
        /// There is no process: `VIR_DOMAIN_SHUTOFF`.
        Off = "off",
        /// It failed and its process is kept: `VIR_DOMAIN_CRASHED`.
        Crashed = "crashed",
        /// Not reported, or a state that has no name here. Neither running nor off may be concluded from it.
        #[default]
        Unknown = "unknown",
    }
}

record! {
    /// Domain XML, `/domain`, and what libvirt reports of the guest beside it. Where `accelerator` is empty, the
    /// definition was not read: then empty texts, empty lists and zeros are unknown.
    Domain {
        /// `/domain/name`. Empty: absent.
        name: String,
        /// As the definition writes it: `/domain/uuid`. Empty: absent.
        uuid: String,
        /// `virDomainGetState`; `unknown` where only XML was read.
        state: RunState,
        /// Reason by `virDomainGetState`: `io-error`, `migration`, `post-copy`, `post-copy-failed`, `crashed` or
        /// `other`. Empty: unknown, or none that matters, as for a running guest.
        state_reason = "state-reason": String,
        /// A definition outlives the process: `virDomainIsPersistent`. None: unknown.
        persistent: Option<bool>,
        /// It ends with the connection that started it (`VIR_DOMAIN_START_AUTODESTROY`). No collector fills it, as
        /// libvirt does not report it. None: unknown.
        auto_destroy = "auto-destroy": Option<bool>,
        /// It starts with its host: `virDomainGetAutostart`. None: unknown.
        autostart: Option<bool>,
        /// A saved memory image is restored at the next start: `virDomainHasManagedSaveImage`. None: unknown.
        managed_save = "managed-save": Option<bool>,
        /// The job on the guest: `active` where `virDomainGetJobStats` reports one, `migration` from the simulator,
        /// `unknown` from the core's own facts. Empty: no job. None: unknown.
        job: Option<String>,
        /// How many there are: `virDomainSnapshotNum`. None: unknown.
        snapshots: Option<u32>,
        /// How many there are: `virDomainListAllCheckpoints`. None: unknown.
        checkpoints: Option<u32>,
        /// `kvm`, `qemu`, `xen` …: `/domain/@type`. Every definition has one. Empty: the definition was not read.
        accelerator: String,
        /// Of the guest's CPUs, such as `x86_64`: `/domain/os/type/@arch`. Empty: absent.
        architecture: String,
        /// Machine type such as `pc-q35-7.2`: `/domain/os/type/@machine`. Empty: absent.
        machine: String,
        /// Path of the hypervisor's program: `/domain/devices/emulator`. Empty: absent, the host's own choice.
        emulator: String,
        /// `/domain/cpu`. All fields empty: absent.
        cpu: GuestCpu,
        /// Virtual CPUs that are online: `/domain/vcpu/@current`, else `cpus_maximum`. 0: absent.
        cpus: u32,
        /// Virtual CPUs that can be plugged: `/domain/vcpu`, 1 if its text is not a number. 0: absent.
        cpus_maximum = "cpus-maximum": u32,
        /// KiB, rounded up: `/domain/memory`. 0: absent or not a size.
        memory_kib = "memory-kib": u64,
        /// KiB up to which memory can be plugged: `/domain/maxMemory`, else `memory_kib`. 0: both are absent.
        memory_maximum_kib = "memory-maximum-kib": u64,
        /// The host may not swap it: `/domain/memoryBacking/locked`. False: absent.
        memory_locked = "memory-locked": bool,
        /// KiB that its process may use on the host: `/domain/memtune/hard_limit`. None: absent or not a size.
        hard_limit_kib = "hard-limit-kib": Option<u64>,
        /// Page sizes in KiB that it requires: `/domain/memoryBacking/hugepages/page/@size`; 0 alone, without a `page`,
        /// is the host's default size. Empty: no huge pages.
        huge_pages_kib = "huge-pages-kib": Vec<u64>,
        /// Numbers of host CPUs: `@cpuset` of `/domain/vcpu` and of `vcpupin`, `emulatorpin` and `iothreadpin` in
        /// `/domain/cputune`. Empty: not pinned.
        pinned_cpus = "pinned-cpus": Vec<u32>,
        /// Numbers of host NUMA nodes: `@nodeset` of the elements in `/domain/numatune` whose `@mode` is `strict` or
        /// absent. Empty: not bound.
        strict_nodes = "strict-nodes": Vec<u32>,
        /// Hz: `/domain/clock/timer[@name='tsc']/@frequency`. None: absent.
        tsc_frequency_hz = "tsc-frequency-hz": Option<u64>,
        /// Memory encryption such as `sev`: `/domain/launchSecurity/@type`. Empty: absent.
        launch_security = "launch-security": String,
        /// `custom` or `passthrough`: `/domain/features/hyperv/@mode`. Empty: absent.
        hyperv_mode = "hyperv-mode": String,
        /// Path of the firmware's image: `/domain/os/loader`. Empty: the definition names none.
        firmware: String,
        /// `/domain/devices/disk`, in the definition's order. Empty: none.
        disks: Vec<Disk>,
        /// `/domain/devices/interface`, in the definition's order. Empty: none.
        network_cards = "network-cards": Vec<NetworkCard>,
        /// `/domain/devices/hostdev`, in the definition's order. Empty: none.
        host_devices = "host-devices": Vec<HostDevice>,
        /// `/domain/devices/filesystem`, in the definition's order. Empty: none.
        filesystems: Vec<Filesystem>,
        /// `/domain/devices/tpm`, in the definition's order. Empty: none.
        tpms: Vec<Tpm>,
        /// `/domain/devices/shmem`, in the definition's order. Empty: none.
        shared_memories = "shared-memories": Vec<SharedMemory>,
        /// `/domain/devices/graphics`, in the definition's order. Empty: none.
        graphics: Vec<Graphics>,
        /// `/domain/devices/memory`, in the definition's order. Empty: none.
        memory_devices = "memory-devices": Vec<MemoryDevice>,
        /// `/domain/devices/serial`, `parallel`, `console` and `channel`, in the definition's order. Empty: none.
        character_devices = "character-devices": Vec<CharacterDevice>,
        /// PCI Express root ports without a device: `/domain/devices/controller[@model='pcie-root-port']` whose
        /// `@index` is no device's PCI bus. None: no `pcie-root`, or unknown.
        free_root_ports = "free-root-ports": Option<u32>,
        /// Namespaces (names, where there is none) of the elements in `/domain/metadata`, which management programs
        /// keep there. Empty: none.
        metadata: Vec<String>,
        /// Elements and attributes that the reader does not know, by their path below `/domain`, at most 100; one of
        /// another namespace with its prefix. Which it knows is the table of `xml::coverage`. Empty: all are known.
        not_understood = "not-understood": Vec<String>,
    }
}

record! {
    /// Domain XML, `/domain/cpu/feature`.
    CpuFeature {
        /// Such as `aes`: `@name`. Empty: absent.
        name: String,
        /// `force`, `require`, `optional`, `disable` or `forbid`: `@policy`. Empty: absent.
        policy: String,
    }
}

record! {
    /// Domain XML, `/domain/cpu`.
    GuestCpu {
        /// `custom`, `host-model`, `host-passthrough`, `maximum`: `@mode`; a `model` without it is read as `custom`.
        /// Empty: neither is there.
        mode: String,
        /// Such as `EPYC`: text of `model`. Empty: absent.
        model: String,
        /// Required of the host, such as `AMD`: text of `vendor`. Empty: absent.
        vendor: String,
        /// How libvirt compares it with the host at a start, `none`, `partial` or `full`: `@check`. Empty: absent.
        check: String,
        /// `@migratable` is `on`: features that block a migration are left out. None: absent.
        migratable: Option<bool>,
        /// Changes to the model's own: `feature`, in the definition's order. Empty: none.
        features: Vec<CpuFeature>,
    }
}

record! {
    /// Domain XML, `/domain/devices/memory`.
    MemoryDevice {
        /// `dimm`, `nvdimm`, `virtio-mem` …: `@model`. Empty: absent.
        model: String,
        /// Number of the socket: `address/@slot`. None: absent.
        slot: Option<u32>,
        /// Where it begins in the guest's physical memory, in bytes: `address/@base`. None: absent.
        base: Option<u64>,
        /// KiB, rounded up: `target/size`. 0: absent or not a size.
        size_kib = "size-kib": u64,
    }
}
