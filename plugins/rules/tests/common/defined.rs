//! Definitions as libvirt writes them, each with the finding that it must have: rule, verdict and subject.

use whimbrel_facts::xml;
use whimbrel_facts::{
    Attribute, Domain, Facts, HugePages, Network, Scalar,
    Verdict::{self, Fail, Unknown, Warn},
};

use super::Change;

/// Makes the sound guest one of this definition, which has its disks and card: `top` is below `/domain`, `devices` among
/// the devices.
pub(crate) fn define(facts: &mut Facts, top: &str, devices: &str) {
    define_text(facts, &text(top, devices));
}

/// Makes the sound guest one of this definition.
pub(crate) fn define_text(facts: &mut Facts, text: &str) {
    let read = xml::domain(text).unwrap();
    let sound = facts.guest.take().unwrap();
    let mut guest = Domain {
        state: sound.state,
        persistent: sound.persistent,
        auto_destroy: sound.auto_destroy,
        autostart: sound.autostart,
        managed_save: sound.managed_save,
        job: sound.job,
        snapshots: sound.snapshots,
        checkpoints: sound.checkpoints,
        free_root_ports: sound.free_root_ports,
        ..read
    };
    for disk in &mut guest.disks {
        disk.busy = Some(String::new());
    }
    facts.guest = Some(guest);
    facts.attributes.retain(|one| !one.path.starts_with("guest/"));
    facts.attributes.extend(xml::domain_attributes(text).unwrap());
    let leases = facts.attributes.iter_mut().find(|one| one.path == "guest/leases").unwrap();
    leases.value = Scalar::Integer(2);
    facts.attributes.sort_by(|one, other| one.path.cmp(&other.path));
}

/// The definition of the sound guest with these parts.
pub(crate) fn text(top: &str, devices: &str) -> String {
    let vcpu = if top.contains("<vcpu ") { "" } else { "<vcpu current='2'>4</vcpu>" };
    let memory = if top.contains("<memory unit") { "" } else { "<memory unit='MiB'>1024</memory>" };
    let os =
        if top.contains("<os") { "" } else { "<os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os>" };
    let cpu = if top.contains("<cpu") { "" } else { "<cpu mode='custom'><model>EPYC</model></cpu>" };
    let disk = |target: &str, number: u8| {
        format!(
            "<disk type='block' device='disk'><driver name='qemu' type='raw' cache='none'/>\
             <source dev='/dev/disk/by-id/wwn-{number}'/><target dev='{target}' bus='virtio'/></disk>"
        )
    };
    format!(
        "<domain type='kvm'><name>web</name><uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid>{memory}{vcpu}{os}{cpu}{top}\
         <devices>{}{}<interface type='network'><mac address='52:54:00:00:00:01'/><source network='default'/>\
         <model type='virtio'/></interface>{devices}</devices></domain>",
        disk("vda", 1),
        disk("vdb", 2)
    )
}

fn devices(facts: &mut Facts, devices: &str) {
    define(facts, "", devices);
}

fn know(facts: &mut Facts, path: &str, value: impl Into<Scalar>) {
    facts.attributes.push(Attribute { path: path.into(), value: value.into() });
    facts.attributes.sort_by(|one, other| one.path.cmp(&other.path));
}

fn versions(facts: &mut Facts, hypervisor: u64, library: u64) {
    for host in [&mut facts.source, &mut facts.destination] {
        let host = host.as_mut().unwrap();
        (host.hypervisor_version, host.library_version) = (hypervisor, library);
    }
}

fn pages(facts: &mut Facts, pools: &[(u64, u64)]) {
    let pools = pools.iter().map(|(size_kib, free)| HugePages { size_kib: *size_kib, free: *free });
    facts.destination.as_mut().unwrap().huge_pages = Some(pools.collect());
}

const ACCELERATED: &str = "<video><model type='virtio'><acceleration accel3d='yes'/></model></video>";
const TWO_NODES: &str = "<cpu mode='custom'><model>EPYC</model><numa><cell id='0' cpus='0-1' memory='524288' unit='KiB'/>\
                         <cell id='1' cpus='2-3' memory='524288' unit='KiB'/></numa></cpu>";
const PORTS: &str = "<interface type='bridge'><mac address='52:54:00:00:00:02'/><source bridge='br0'/>\
                     <virtualport type='openvswitch'/><model type='virtio'/></interface>";
const HOST_PCI: &str = "<hostdev mode='subsystem' type='pci' managed='yes'><source>\
                        <address domain='0' bus='1' slot='2' function='0'/></source></hostdev>";
const STATIC_LABEL: &str = "<seclabel type='static' model='selinux'><label>a:b:c:s0</label></seclabel>";
const SECRET_BY_USAGE: &str = "<disk type='network' device='disk'><driver name='qemu' type='raw' cache='none'/>\
                               <auth username='u'><secret type='ceph' usage='pool key'/></auth>\
                               <source protocol='rbd' name='p/i'><host name='m'/></source><target dev='vdc' bus='virtio'/></disk>";

/// Rule, verdict, subject, and the change of sound facts.
pub(crate) const DEFINED: &[(&str, Verdict, &str, Change)] = &[
    ("device.unmigratable", Fail, "/guest/xml/devices/video/0/model/acceleration/@accel3d", |f| {
        devices(f, ACCELERATED);
    }),
    ("device.unmigratable", Fail, "/guest/xml/devices/sound/0/@model", |f| {
        devices(f, "<sound model='virtio'/>");
    }),
    ("device.unmigratable", Fail, "/guest/xml/devices/sound/1/@model", |f| {
        devices(f, "<sound model='ich9'/><sound model='usb'/>");
    }),
    ("device.unmigratable", Fail, "/guest/xml/devices/crypto/0/@model", |f| {
        devices(f, "<crypto model='virtio' type='qemu'><backend model='builtin' queues='1'/></crypto>");
    }),
    ("device.unmigratable", Fail, "/guest/xml/devices/input/0/@type", |f| {
        devices(f, "<input type='passthrough' bus='virtio'><source evdev='/dev/input/event1'/></input>");
    }),
    ("device.unmigratable", Fail, "/guest/network-cards/1/model", |f| {
        devices(
            f,
            "<interface type='user'><mac address='52:54:00:00:00:02'/><model type='usb-net'/></interface>",
        );
    }),
    ("device.unmigratable", Fail, "/guest/disks/2/bus", |f| {
        devices(f, "<disk type='block'><source dev='/dev/x'/><target dev='nvme0' bus='nvme'/></disk>");
    }),
    ("device.unmigratable", Fail, "/guest/xml/devices/iommu/0/@model", |f| {
        devices(f, "<iommu model='amd'/>");
    }),
    ("device.unmigratable", Unknown, "/guest/xml/devices/iommu/0/@model", |f| {
        devices(f, "<iommu model='amd'/>");
        versions(f, 10_001_000, 11_006_000);
    }),
    ("device.unmigratable", Unknown, "/guest/xml/devices/video/0/driver/@name", |f| {
        devices(f, "<video><driver name='vhostuser'/><model type='virtio'/></video>");
    }),
    ("device.enclave-memory", Warn, "/guest/memory-devices/0", |f| {
        devices(f, "<memory model='sgx-epc'><target><size unit='MiB'>64</size></target></memory>");
    }),
    ("device.vdpa", Fail, "/guest/disks/2", |f| {
        devices(
            f,
            "<disk type='vhostvdpa'><source dev='/dev/vhost-vdpa-0'/><target dev='vdc' bus='virtio'/></disk>",
        );
    }),
    ("device.disk-format", Fail, "/guest/disks/2/format", |f| {
        devices(
            f,
            "<disk type='file'><driver type='vmdk'/><source file='/a'/><target dev='vdc' bus='virtio'/></disk>",
        );
    }),
    ("device.disk-format", Fail, "/guest/xml/devices/disk/2/backingStore/backingStore/format/@type", |f| {
        devices(
            f,
            "<disk type='file'><driver type='qcow2'/><source file='/a'/><backingStore type='file'><format type='qcow2'/>\
             <source file='/b'/><backingStore type='file'><format type='vdi'/><source file='/c'/></backingStore>\
             </backingStore><target dev='vdc' bus='virtio'/></disk>",
        );
    }),
    ("device.disk-format", Fail, "/guest/disks/2/kind", |f| {
        devices(
            f,
            "<disk type='dir'><driver type='fat'/><source dir='/d'/><target dev='vdc' bus='virtio'/></disk>",
        );
    }),
    ("device.clipboard", Fail, "/guest/character-devices/0/backend", |f| {
        devices(
            f,
            "<channel type='qemu-vdagent'><target type='virtio' name='com.redhat.spice.0'/></channel>",
        );
    }),
    ("device.clipboard", Unknown, "/guest/character-devices/0/backend", |f| {
        devices(
            f,
            "<channel type='qemu-vdagent'><target type='virtio' name='com.redhat.spice.0'/></channel>",
        );
        versions(f, 0, 11_000_000);
    }),
    ("device.filesystem", Unknown, "/guest/filesystems/0", |f| {
        devices(f, "<filesystem type='mount'><source dir='/srv'/><target dir='s'/></filesystem>");
    }),
    // The source's libvirt decides, whatever the destination's is.
    ("device.filesystem", Fail, "/guest/filesystems/0", |f| {
        devices(
            f,
            "<filesystem type='mount'><driver type='virtiofs'/><source dir='/srv'/><target dir='s'/></filesystem>",
        );
        f.destination.as_mut().unwrap().library_version = 11_003_000;
    }),
    ("device.pci", Fail, "/guest/host-devices/0", |f| devices(f, HOST_PCI)),
    ("device.pci", Unknown, "/guest/host-devices/0", |f| {
        devices(f, HOST_PCI);
        versions(f, 8_001_000, 8_006_000);
    }),
    ("device.pci", Fail, "/guest/host-devices/0", |f| {
        devices(f, HOST_PCI);
        versions(f, 8_001_000, 8_005_000);
    }),
    ("device.pci", Unknown, "/source/library-version", |f| {
        devices(f, HOST_PCI);
        versions(f, 8_001_000, 0);
    }),
    ("device.mediated", Unknown, "/guest/host-devices/0", |f| {
        devices(
            f,
            "<hostdev mode='subsystem' type='mdev' model='vfio-pci'><source>\
             <address uuid='4b20d080-1b54-4048-85b3-a6a62d165c01'/></source></hostdev>",
        );
        versions(f, 10_000_000, 11_003_000);
    }),
    ("device.scsi", Unknown, "/guest/host-devices/0", |f| {
        devices(
            f,
            "<hostdev mode='subsystem' type='scsi'><source><adapter name='scsi_host0'/>\
             <address bus='0' target='0' unit='1'/></source></hostdev>",
        );
    }),
    ("device.sriov", Unknown, "/guest/network-cards/0", |f| {
        f.destination.as_mut().unwrap().networks =
            Some(vec![Network { name: "default".into(), active: true, ..Network::default() }]);
    }),
    ("device.sriov", Fail, "/guest/network-cards/0", |f| {
        know(f, "destination/networks/default/forward-mode", "hostdev");
    }),
    ("cpu.invariant-tsc", Fail, "/guest/cpu/migratable", |f| {
        define(f, "<cpu mode='host-passthrough' migratable='off'/>", "");
        f.source.as_mut().unwrap().cpu.features.push("invtsc".into());
    }),
    ("cpu.invariant-tsc", Unknown, "/guest/cpu/migratable", |f| {
        define(f, "<cpu mode='host-passthrough' migratable='off'/>", "");
    }),
    ("guest.memory-backing", Unknown, "/guest/xml/memoryBacking/source/@type", |f| {
        define(f, "<memoryBacking><source type='file'/></memoryBacking>", "");
        f.request.as_mut().unwrap().postcopy = true;
    }),
    ("guest.dirty-ring", Fail, "/request/dirty-limit", |f| f.request.as_mut().unwrap().dirty_limit = true),
    ("device.tpm-state", Unknown, "/guest/tpms/0/backend", |f| {
        devices(
            f,
            "<tpm model='tpm-crb'><backend type='external'><source type='unix' path='/s'/></backend></tpm>",
        );
    }),
    ("device.tpm-state", Unknown, "/guest/xml/devices/tpm/0/backend/source/@path", |f| {
        devices(
            f,
            "<tpm model='tpm-crb'><backend type='emulator'><source type='dir' path='/n/t'/></backend></tpm>",
        );
    }),
    ("device.tpm-support", Fail, "/guest/tpms/0/model", |f| {
        devices(f, "<tpm model='tpm-spapr'><backend type='emulator'/></tpm>");
    }),
    ("device.support", Fail, "/guest/graphics/0/kind", |f| {
        devices(f, "<graphics type='spice' autoport='yes'/>");
    }),
    ("device.support", Fail, "/guest/xml/devices/video/0/model/@type", |f| {
        devices(f, "<video><model type='qxl'/></video>");
    }),
    ("device.support", Fail, "/guest/xml/devices/channel/0/@type", |f| {
        devices(f, "<channel type='spicevmc'><target type='virtio' name='com.redhat.spice.0'/></channel>");
    }),
    ("device.support", Unknown, "/destination/supports", |f| f.destination.as_mut().unwrap().supports = None),
    ("access.listen", Warn, "/guest/xml/devices/graphics/0/listen/0/@address", |f| {
        devices(
            f,
            "<graphics type='vnc' autoport='yes' listen='192.0.2.1'><listen type='address' address='192.0.2.1'/></graphics>",
        );
    }),
    ("access.listen", Warn, "/guest/graphics/0/listen", |f| {
        devices(f, "<graphics type='vnc' autoport='yes' listen='192.0.2.1'/>");
    }),
    ("access.listen", Unknown, "/guest/xml/devices/graphics/0/@port", |f| {
        devices(f, "<graphics type='vnc' autoport='no' port='5905' listen='0.0.0.0'/>");
    }),
    ("access.bound-address", Warn, "/guest/xml/devices/serial/0/source/0/@host", |f| {
        devices(f, "<serial type='tcp'><source mode='bind' host='192.0.2.1' service='4000'/></serial>");
    }),
    ("device.vsock", Unknown, "/guest/xml/devices/vsock/0/cid/@address", |f| {
        devices(f, "<vsock model='virtio'><cid auto='no' address='3'/></vsock>");
    }),
    ("destination.firmware", Unknown, "/guest/firmware", |f| {
        define(
            f,
            "<os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type><loader>/f/CODE.fd</loader></os>",
            "",
        );
    }),
    ("destination.firmware", Fail, "/guest/firmware", |f| {
        define(
            f,
            "<os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type><loader>/f/CODE.fd</loader></os>",
            "",
        );
        know(f, "destination/files/f/CODE.fd", false);
    }),
    ("destination.firmware", Fail, "/guest/xml/os/@firmware", |f| {
        define(f, "<os firmware='efi'><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os>", "");
    }),
    ("destination.firmware", Unknown, "/guest/xml/os/nvram", |f| {
        define(
            f,
            "<os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type><loader>/usr/share/OVMF/OVMF_CODE.fd</loader>\
             <nvram>/mnt/vars.fd</nvram></os>",
            "",
        );
    }),
    ("destination.paths", Unknown, "/guest/xml/os/kernel", |f| {
        define(f, "<os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type><kernel>/boot/k</kernel></os>", "");
    }),
    ("destination.paths", Fail, "/guest/xml/os/initrd", |f| {
        define(f, "<os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type><initrd>/boot/i</initrd></os>", "");
        know(f, "destination/files/boot/i", false);
    }),
    ("destination.paths", Unknown, "/guest/xml/devices/rng/0/backend", |f| {
        devices(f, "<rng model='virtio'><backend model='random'>/dev/hwrng</backend></rng>");
    }),
    ("destination.paths", Unknown, "/guest/xml/devices/serial/0/log/@file", |f| {
        devices(f, "<serial type='pty'><log file='/var/log/console.log' append='on'/></serial>");
    }),
    ("destination.paths", Unknown, "/guest/xml/devices/channel/0/source/0/@path", |f| {
        devices(f, "<channel type='unix'><source mode='connect' path='/run/agent.sock'/></channel>");
    }),
    ("destination.emulator", Unknown, "/guest/emulator", |f| {
        devices(f, "<emulator>/opt/qemu/bin/qemu</emulator>");
        know(f, "destination/emulators/0", "/usr/bin/qemu-system-x86_64");
    }),
    ("destination.resources", Unknown, "/guest/xml/resource/partition", |f| {
        define(f, "<resource><partition>/machine/prod</partition></resource>", "");
    }),
    ("destination.resources", Unknown, "/guest/xml/devices/interface/1/target/@managed", |f| {
        devices(
            f,
            "<interface type='ethernet'><target dev='tap7' managed='no'/><model type='virtio'/></interface>",
        );
    }),
    ("destination.security-label", Unknown, "/guest/xml/seclabel/0/@type", |f| define(f, STATIC_LABEL, "")),
    ("destination.security-label", Fail, "/guest/xml/seclabel/0/@type", |f| {
        define(f, STATIC_LABEL, "");
        know(f, "destination/security-models", "apparmor dac");
    }),
    ("destination.secrets", Fail, "/guest/xml/devices/disk/2/source/encryption/secret/0/@uuid", |f| {
        devices(
            f,
            "<disk type='file'><source file='/a'><encryption format='luks'><secret type='passphrase' uuid='other'/>\
             </encryption></source><target dev='vdc' bus='virtio'/></disk>",
        );
    }),
    ("destination.secrets", Unknown, "/guest/xml/devices/disk/2/auth/secret/@usage", |f| {
        devices(f, SECRET_BY_USAGE);
    }),
    ("destination.secrets", Fail, "/guest/xml/devices/disk/2/auth/secret/@usage", |f| {
        devices(f, SECRET_BY_USAGE);
        know(f, "destination/secrets/secret/usage", "another key");
    }),
    ("destination.huge-pages", Fail, "/destination/huge-pages", |f| {
        define(f, "<memoryBacking><hugepages/></memoryBacking>", "");
        pages(f, &[(2048, 0), (1 << 20, 0)]);
    }),
    // One GiB is in one page of that size, and not in 512 of 2 MiB.
    ("destination.huge-pages", Unknown, "/destination/huge-pages", |f| {
        define(f, "<memoryBacking><hugepages/></memoryBacking>", "");
        pages(f, &[(2048, 511), (1 << 20, 1)]);
    }),
    ("destination.huge-pages", Fail, "/destination/huge-pages", |f| {
        define(f, "<memoryBacking><hugepages><page size='1' unit='g'/></hugepages></memoryBacking>", "");
        pages(f, &[(1, 1 << 30), (1 << 20, 0)]);
    }),
    ("destination.huge-pages", Fail, "/destination/huge-pages", |f| {
        let backing = "<memoryBacking><hugepages><page size='2048' nodeset='0'/></hugepages></memoryBacking>";
        define(f, &format!("{TWO_NODES}{backing}"), "");
        pages(f, &[(2048, 255)]);
    }),
    ("destination.huge-pages", Fail, "/destination/huge-pages", |f| {
        let backing = "<memoryBacking><hugepages><page size='2' unit='M'/></hugepages></memoryBacking>\
                       <numatune><memory mode='strict' nodeset='0'/></numatune>";
        define(f, backing, "");
        pages(f, &[(2048, 1024)]);
        know(f, "destination/huge-pages/0/2048", 511_u64);
    }),
    ("destination.huge-pages", Unknown, "/destination/huge-pages", |f| {
        let backing = "<memoryBacking><hugepages><page size='2' unit='M'/></hugepages></memoryBacking>\
                       <numatune><memory mode='strict' nodeset='0'/></numatune>";
        define(f, backing, "");
        pages(f, &[(2048, 1024)]);
    }),
    ("destination.memory-total", Fail, "/destination/memory-kib", |f| {
        define(f, "<memory unit='gib'>17</memory>", "");
    }),
    ("destination.numa", Fail, "/guest/host-nodes/numatune", |f| {
        define(f, "<numatune><memory nodeset='1' mode='interleave'/></numatune>", "");
    }),
    ("destination.numa", Fail, "/guest/host-nodes/numatune", |f| {
        define(f, "<numatune><memnode cellid='0' mode='preferred' nodeset='0,3'/></numatune>", "");
    }),
    ("destination.numa", Fail, "/guest/host-nodes/memory-device-0", |f| {
        devices(
            f,
            "<memory model='dimm'><source><nodemask>3</nodemask></source><target><size>1024</size></target></memory>",
        );
    }),
    // The numbers count, and not how many there are.
    ("destination.pinning", Fail, "/guest/pinned-cpus", |f| {
        define(f, "<vcpu cpuset='1'>2</vcpu>", "");
        f.destination.as_mut().unwrap().numa_nodes.as_mut().unwrap()[0].cpus = vec![0, 2, 4, 6];
    }),
    ("network.portgroup", Unknown, "/guest/xml/devices/interface/1/source/@portgroup", |f| {
        devices(f, "<interface type='network'><source network='default' portgroup='vlan5'/></interface>");
    }),
    ("network.portgroup", Fail, "/guest/xml/devices/interface/1/source/@portgroup", |f| {
        devices(f, "<interface type='network'><source network='default' portgroup='vlan5'/></interface>");
        know(f, "destination/networks/default/forward-mode", "bridge");
        know(f, "destination/networks/default/portgroups/vlan6", true);
    }),
    ("network.bridge-kind", Unknown, "/guest/xml/devices/interface/1/virtualport/@type", |f| {
        devices(f, PORTS);
    }),
    ("network.bridge-kind", Fail, "/guest/xml/devices/interface/1/virtualport/@type", |f| {
        devices(f, PORTS);
        know(f, "destination/bridges/br0", "kernel");
    }),
    ("network.filter", Unknown, "/guest/xml/devices/interface/1/filterref/@filter", |f| {
        devices(f, "<interface type='bridge'><source bridge='br0'/><filterref filter='clean'/></interface>");
    }),
    ("network.filter", Fail, "/guest/xml/devices/interface/1/filterref/@filter", |f| {
        devices(f, "<interface type='bridge'><source bridge='br0'/><filterref filter='clean'/></interface>");
        know(f, "destination/nwfilters", 1_u64);
        know(f, "destination/nwfilters/other", true);
    }),
    ("cpu.physical-bits", Unknown, "/guest/xml/cpu/maxphysaddr/@bits", |f| {
        define(f, "<cpu mode='custom'><model>EPYC</model><maxphysaddr mode='emulate' bits='48'/></cpu>", "");
    }),
    ("cpu.physical-bits", Fail, "/guest/xml/cpu/maxphysaddr/@bits", |f| {
        define(f, "<cpu mode='custom'><model>EPYC</model><maxphysaddr mode='emulate' bits='48'/></cpu>", "");
        know(f, "destination/physical-bits", 46_u64);
    }),
    ("versions.threads", Warn, "/destination/library-version", |f| {
        define(
            f,
            "<cpu mode='custom'><model>EPYC</model><topology sockets='1' cores='2' threads='2'/></cpu>",
            "",
        );
        let there = f.destination.as_mut().unwrap();
        (there.hypervisor_version, there.library_version) = (10_000_000, 11_009_000);
    }),
    ("versions.postcopy-recovery", Warn, "/destination/library-version", |f| {
        f.request.as_mut().unwrap().postcopy = true;
        f.destination.as_mut().unwrap().library_version = 11_003_000;
    }),
    ("versions.long-tls", Warn, "/source/library-version", |f| f.request.as_mut().unwrap().tls = true),
    ("guest.not-understood", Unknown, "/guest/not-understood", |f| {
        devices(f, "<serial type='pty'><gadget/></serial>");
    }),
];
