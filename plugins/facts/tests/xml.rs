//! libvirt's XML: whatever it holds is read, what is not understood is named, and hostile documents are refused.

use proptest::prelude::*;
use whimbrel_facts::xml::{
    XmlError, capabilities, capabilities_attributes, cpu_with_model, domain, domain_attributes,
    domain_capabilities, named_storage, network_attributes, network_disk, node_device, pool, root_attributes,
    storage_device, target_attributes,
};
use whimbrel_facts::{Attribute, Host, Machine, Scalar};

const GUEST: &str = "<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>web</name><uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid>
  <metadata><m:template xmlns:m='urn:templates'>a</m:template></metadata>
  <memory unit='GiB'>2</memory><currentMemory unit='KiB'>1048576</currentMemory>
  <memoryBacking><hugepages><page size='2' unit='M'/></hugepages></memoryBacking>
  <vcpu current='2' cpuset='0-3,^2'>4</vcpu>
  <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os>
  <cpu mode='custom'><model>EPYC</model><feature policy='require' name='aes'/></cpu>
  <clock offset='utc'><timer name='tsc' frequency='2400000000'/></clock>
  <novelty/>
  <devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='block' device='disk'><driver name='qemu' type='raw' cache='none'/><source dev='/dev/sda'/>
      <target dev='vda' bus='virtio'/><wwn>5000c500155a96a4</wwn></disk>
    <disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk>
    <hostdev mode='subsystem' type='pci'><source><address domain='0x0000' bus='0x06' slot='0x02' function='0x0'/></source>
      <teaming type='transient' persistent='ua-1'/></hostdev>
    <interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='br0'/><model type='virtio'/><mtu size='9000'/></interface>
    <controller type='pci' index='0' model='pcie-root'/><controller type='pci' index='1' model='pcie-root-port'/>
    <tpm model='tpm-crb'><backend type='emulator'><encryption secret='s'/></backend></tpm>
    <gadget/>
  </devices>
  <qemu:commandline/>
</domain>";

#[test]
fn a_definition_is_read_for_what_it_says() {
    let guest = domain(GUEST).unwrap();
    assert_eq!(
        (guest.name.as_str(), guest.memory_kib, guest.cpus, guest.cpus_maximum),
        ("web", 2 << 20, 2, 4)
    );
    assert_eq!((guest.pinned_cpus, guest.huge_pages_kib), (vec![0, 1, 3], vec![2048]));
    assert_eq!((guest.machine.as_str(), guest.tsc_frequency_hz), ("pc-q35-7.2", Some(2_400_000_000)));
    assert_eq!(guest.cpu.features[0].name, "aes");
    assert_eq!(guest.metadata, ["urn:templates"]);
    let disk = &guest.disks[0];
    assert_eq!((disk.source.as_deref(), disk.cache.as_str()), (Some("/dev/sda"), "none"));
    assert!(guest.disks[1].read_only && guest.disks[1].source.is_none(), "an empty drive");
    assert_eq!(guest.host_devices[0].address, "0000:06:02.0");
    assert!(guest.host_devices[0].transient);
    assert_eq!((guest.network_cards[0].source.as_str(), guest.network_cards[0].mtu), ("br0", Some(9000)));
    assert_eq!(guest.tpms[0].secret.as_deref(), Some("s"));
    assert_eq!(guest.free_root_ports, Some(1));
}

#[test]
fn what_is_not_understood_is_named() {
    assert_eq!(domain(GUEST).unwrap().not_understood, ["devices/gadget", "novelty", "qemu:commandline"]);
    let within = "<domain type='kvm' x='1'><cpu mode='custom'/><devices><disk><gadget/><source x='1'/></disk>
        <serial type='pty'><gadget a='1'/><gadget/></serial><tpm model='m' novel='1'/></devices></domain>";
    assert_eq!(
        domain(within).unwrap().not_understood,
        ["@x", "devices/disk/gadget", "devices/serial/gadget", "devices/tpm/@novel"],
        "the outermost ones, each once"
    );
    // Least of all definitions.
    assert_eq!(domain("<domain/>").unwrap().not_understood, [""; 0]);
    let lease = "<domain><devices><lease><lockspace>s</lockspace><key>k</key></lease></devices></domain>";
    assert_eq!(domain(lease).unwrap().not_understood, [""; 0]);
    for (definition, leases) in [(lease, 1), (GUEST, 0), ("<domain/>", 0)] {
        let found = domain_attributes(definition).unwrap();
        let found = found.into_iter().find(|one| one.path == "guest/leases");
        assert_eq!(found.unwrap().value, Scalar::Integer(leases));
    }
}

/// Paths and values of attributes.
fn pairs(found: &[Attribute]) -> Vec<(&str, String)> {
    found.iter().map(|one| (one.path.as_str(), one.value.to_string())).collect()
}

#[test]
fn values_without_a_field_are_attributes() {
    let xml = "<domain type='kvm'><os firmware='efi'><kernel> /boot/k </kernel><nvram template='/t'/></os>
        <devices><video><model type='vga' heads='1'/></video><video><model type='virtio'/></video>
        <disk><backingStore type='file'><format type='qcow2'/><backingStore><format type='vdi'/></backingStore>
        </backingStore></disk><graphics type='vnc' passwd='secret'><listen type='address' address='::1'/><listen/></graphics>
        <rng><backend model='egd' type='tcp'><source mode='connect' host='h'/></backend></rng></devices></domain>";
    let below = |whose: &str| {
        [
            ("os/@firmware", "efi"),
            ("os/kernel", "/boot/k"),
            ("os/nvram/@template", "/t"),
            ("@type", "kvm"),
            ("devices/disk/0/backingStore/backingStore/format/@type", "vdi"),
            ("devices/disk/0/backingStore/format/@type", "qcow2"),
            ("devices/graphics/0/listen/0/@address", "::1"),
            ("devices/graphics/0/listen/0/@type", "address"),
            ("devices/rng/0/backend/@model", "egd"),
            ("devices/rng/0/backend/@type", "tcp"),
            ("devices/rng/0/backend/source/@host", "h"),
            ("devices/video/0/model/@type", "vga"),
            ("devices/video/1/model/@type", "virtio"),
        ]
        .map(|(path, value)| (format!("{whose}/xml/{path}"), value.to_owned()))
        .into_iter()
        .collect::<std::collections::BTreeMap<_, _>>()
    };
    let read = |found: Vec<Attribute>| -> std::collections::BTreeMap<String, String> {
        assert!(found.is_sorted_by(|one, other| one.path < other.path), "{found:?}");
        found.into_iter().map(|one| (one.path, one.value.to_string())).collect()
    };
    let mut of_guest = read(domain_attributes(xml).unwrap());
    assert_eq!(of_guest.remove("guest/leases").as_deref(), Some("0"));
    assert_eq!(of_guest, below("guest"));
    let mut of_target = read(target_attributes(xml, xml).unwrap());
    assert_eq!(of_target.remove("target/leases").as_deref(), Some("0"));
    assert_eq!(of_target.remove("definitions/compared").as_deref(), Some("true"));
    assert_eq!(of_target, below("target"));
}

#[test]
fn what_a_guest_wants_of_the_hosts_memory_is_counted() {
    let of = |top: &str, devices: &str| {
        let xml = format!(
            "<domain type='kvm'><memory unit='GiB'>4</memory>{top}<devices>{devices}</devices></domain>"
        );
        let found = domain_attributes(&xml).unwrap();
        let kept = found.into_iter().filter(|one| !one.path.contains("/xml/") && one.path != "guest/leases");
        kept.map(|one| format!("{} {}", one.path.trim_start_matches("guest/"), one.value)).collect::<Vec<_>>()
    };
    let pages = |inner: &str| format!("<memoryBacking><hugepages>{inner}</hugepages></memoryBacking>");
    assert_eq!(of(&pages(""), ""), ["huge-pages/0/memory-kib 4194304", "huge-pages/0/size-kib 0"]);
    assert_eq!(
        of(&pages("<page size='2' unit='m'/>"), ""),
        ["huge-pages/0/memory-kib 4194304", "huge-pages/0/size-kib 2048"]
    );
    // A size that is not understood is not the default, and not none.
    assert_eq!(of(&pages("<page size='2' unit='cm'/>"), ""), ["huge-pages/0/memory-kib 4194304"]);
    let cells = "<cpu><numa><cell id='0' memory='1' unit='GiB'/><cell id='1' memory='3145728'/></numa></cpu>";
    let both = pages("<page size='2048' nodeset='0'/><page size='1' unit='G' nodeset='1'/>");
    let tune = "<numatune><memory mode='strict' nodeset='0-1'/><memnode cellid='1' mode='preferred' nodeset='3'/></numatune>";
    let dimm = "<memory model='dimm'><source><nodemask>5</nodemask></source><target><size unit='MiB'>512</size><node>0</node>\
                </target></memory>";
    assert_eq!(
        of(&format!("{cells}{both}{tune}"), dimm),
        [
            "host-nodes/memory-device-0 5",
            "host-nodes/numatune 0 1 3",
            "huge-pages/0/memory-kib 1572864",
            "huge-pages/0/nodes 0 1",
            "huge-pages/0/size-kib 2048",
            "huge-pages/1/memory-kib 3145728",
            "huge-pages/1/size-kib 1048576",
        ]
    );
    let one = pages("<page size='2048' nodeset='0'/>");
    assert_eq!(
        of(&format!("{cells}{one}"), ""),
        ["huge-pages/0/memory-kib 1048576", "huge-pages/0/size-kib 2048"],
        "the other node has pages of the usual size"
    );
}

/// libvirt takes every unit in either case. Source: libvirt, `virScaleInteger`.
#[test]
fn units_are_read_as_libvirt_reads_them() {
    let kib = |value: &str, unit: &str| {
        domain(&format!("<domain><memory unit='{unit}'>{value}</memory></domain>")).unwrap().memory_kib
    };
    for (unit, expected) in [
        ("b", 1),
        ("byte", 1),
        ("Bytes", 1),
        ("k", 4),
        ("KiB", 4),
        ("kib", 4),
        ("KB", 4),
        ("m", 4 << 10),
        ("mib", 4 << 10),
        ("MB", 3907),
        ("gib", 4 << 20),
        ("GIB", 4 << 20),
        ("t", 4 << 30),
        ("PiB", 4 << 40),
        ("pb", 3_906_250_000_000),
    ] {
        assert_eq!(kib("4", unit), expected, "{unit}");
    }
    assert_eq!((kib("4", "cm"), kib("4", "kibi"), kib("99", "EiB"), kib("-4", "k")), (0, 0, 0, 0));
}

/// However long a list is, its parts cost little: this one took minutes.
#[test]
fn long_lists_of_cpus_are_read() {
    let list = format!("{}^7,20000", "0-16383,".repeat(100_000));
    let guest = domain(&format!("<domain><vcpu cpuset='{list}'>1</vcpu></domain>")).unwrap();
    assert_eq!(guest.pinned_cpus.len(), 16_383);
    assert!(!guest.pinned_cpus.contains(&7) && guest.pinned_cpus.contains(&16_383));
}

#[test]
fn hosts_report_more_than_the_fields_hold() {
    let caps = "<capabilities><host><secmodel><model>selinux</model><doi>0</doi></secmodel><secmodel><model>dac</model>
        </secmodel><cpu><arch>x86_64</arch><maxphysaddr mode='emulate' bits='46'/><pages unit='KiB' size='4'/>
        <pages unit='MiB' size='2'/></cpu></host><guest><arch name='i686'><emulator>/q</emulator></arch></guest>
        <guest><arch name='x86_64'><emulator>/q</emulator><domain type='kvm'><emulator>/k</emulator></domain></arch></guest>
        </capabilities>";
    assert_eq!(
        pairs(&capabilities_attributes(caps, "destination").unwrap()),
        [
            ("destination/emulators/0", "/k".to_owned()),
            ("destination/emulators/1", "/q".to_owned()),
            ("destination/page-sizes-kib/0", "4".to_owned()),
            ("destination/page-sizes-kib/1", "2048".to_owned()),
            ("destination/physical-bits", "46".to_owned()),
            ("destination/security-models", "selinux dac".to_owned()),
        ]
    );
    let network = "<network><name>ovs</name><forward mode='bridge'/><bridge name='br0'/>
        <virtualport type='openvswitch'/><portgroup name='vlan-7'/><portgroup name='all' default='yes'/></network>";
    assert_eq!(
        pairs(&network_attributes(network).unwrap()),
        [
            ("destination/networks/ovs/forward-mode", "bridge".to_owned()),
            ("destination/networks/ovs/portgroups/all", "true".to_owned()),
            ("destination/networks/ovs/portgroups/vlan-7", "true".to_owned()),
            ("destination/networks/ovs/virtualport", "openvswitch".to_owned()),
        ]
    );
    let mode = |forward: &str| {
        let xml = format!("<network><name>n</name>{forward}</network>");
        network_attributes(&xml).unwrap()[0].value.to_string()
    };
    assert_eq!(
        (mode(""), mode("<forward/>"), mode("<forward mode='hostdev'/>")),
        ("none".into(), "nat".into(), "hostdev".into())
    );
    let mut host = Host::default();
    let text = "<domainCapabilities><os supported='yes'><enum name='firmware'><value>efi</value></enum>
        <loader supported='yes'><value> /f/CODE.fd </value><enum name='secure'><value>no</value></enum></loader></os>
        </domainCapabilities>";
    domain_capabilities(text, &mut host).unwrap();
    assert_eq!(
        host.supports.unwrap(),
        ["loader", "loader.secure.no", "loader.value./f/CODE.fd", "os.firmware.efi"]
    );
}

#[test]
fn hosts_are_read_for_what_they_say() {
    let mut host = Host::default();
    let told = "<capabilities><host><uuid>u</uuid><cpu><arch>x86_64</arch><model>EPYC</model><vendor>AMD</vendor>
        <counter name='tsc' frequency='2400000000' scaling='yes'/><feature name='aes'/></cpu>
        <migration_features><live/><uri_transports><uri_transport>tcp</uri_transport></uri_transports></migration_features>
        <topology><cells num='1'><cell id='0'><memory unit='KiB'>4096</memory><cpus num='2'><cpu id='0'/><cpu id='1'/></cpus>
        </cell></cells></topology></host>
        <guest><os_type>hvm</os_type><arch name='i686'><machine maxCpus='1'>pc-q35-7.2</machine><machine>isapc</machine>
        <domain type='qemu'/></arch></guest>
        <guest><os_type>hvm</os_type><arch name='x86_64'><machine maxCpus='255' deprecated='yes'>pc-i440fx-2.0</machine>
        <machine canonical='pc-q35-7.2' maxCpus='1024'>q35</machine><machine maxCpus='1024'>pc-q35-7.2</machine>
        <domain type='qemu'/><domain type='kvm'/></arch></guest></capabilities>";
    capabilities(told, &mut host).unwrap();
    let machine = |name: &str, alias_of: &str, cpus_maximum, deprecated| Machine {
        name: name.into(),
        alias_of: alias_of.into(),
        cpus_maximum,
        deprecated,
    };
    let machines = [
        machine("pc-i440fx-2.0", "", Some(255), true),
        machine("q35", "pc-q35-7.2", Some(1024), false),
        machine("pc-q35-7.2", "", Some(1024), false),
        machine("isapc", "", None, false),
    ];
    assert_eq!(host.machines.as_deref(), Some(&machines[..]));
    assert_eq!(host.accelerators, ["qemu", "kvm"]);
    assert_eq!((host.cpus, host.memory_kib, host.live_migration), (Some(2), Some(4096), Some(true)));
    assert_eq!((host.cpu.tsc_scaling, host.transports.as_slice()), (Some(true), &["tcp".to_owned()][..]));
    let told = "<domainCapabilities><domain>kvm</domain><machine>pc-q35-7.2</machine><arch>x86_64</arch><vcpu max='288'/>
        <cpu><mode name='host-passthrough' supported='yes'/><mode name='host-model' supported='no'/>
        <mode name='custom' supported='yes'><model usable='no'>Milan</model></mode></cpu>
        <devices><tpm supported='yes'><enum name='backendModel'><value>emulator</value></enum></tpm></devices>
        </domainCapabilities>";
    domain_capabilities(told, &mut host).unwrap();
    assert_eq!(host.cpu_modes.unwrap(), ["host-passthrough", "custom"]);
    assert_eq!(host.cpu_models.unwrap()[0].usable, Some(false));
    assert!(host.supports.unwrap().contains(&"tpm.backendModel.emulator".to_owned()));
    assert_eq!(
        host.machines.unwrap()[2].cpus_maximum,
        Some(288),
        "the machine takes 1024, the kernel gives 288"
    );
    let pool = pool(
        "<pool type='dir'><name>p</name><capacity unit='GiB'>2</capacity><available unit='bytes'>7</available></pool>",
    );
    assert_eq!(pool.unwrap().available_bytes, Some(7));
    let device = "<device><name>d</name><devnode type='dev'>/dev/sda</devnode>
        <devnode type='link'>/dev/disk/by-id/wwn-0x5000</devnode><capability type='storage'><serial>s</serial></capability></device>";
    let device = node_device(device).unwrap();
    assert_eq!((device.address.as_str(), device.wwid.as_str()), ("/dev/sda", "0x5000"));
}

#[test]
fn parts_of_documents_are_read_by_themselves() {
    let guest = "<domain><name>x</name><os><nvram> /var/lib/x.fd </nvram></os><cpu mode='custom'><model>a</model></cpu>\
        <devices><disk><source file='/srv//a.raw'/><backingStore><source file='/srv/base.qcow2'/></backingStore></disk>\
        <disk><source pool='p' volume='v'/></disk>\
        <disk type='network'><source protocol='rbd' name='pool/image'><host name='m2' port='6789'/>\
        <host name='m1' port='6789'/></source><target dev='vda'/></disk></devices></domain>";
    let named = named_storage(guest).unwrap();
    assert_eq!(named.paths, ["/var/lib/x.fd", "/srv//a.raw", "/srv/base.qcow2"]);
    assert_eq!(named.volumes, [("p".to_owned(), "v".to_owned())]);
    let cpu = "<cpu mode='custom'><model>a</model></cpu>";
    assert_eq!(cpu_with_model(guest).unwrap().as_deref(), Some(cpu));
    assert_eq!(cpu_with_model("<domain><cpu mode='host-passthrough'/></domain>"), Ok(None));
    let disk = network_disk(guest, "vda").unwrap().unwrap();
    assert_eq!((disk.kind.as_str(), disk.value.as_str()), ("rbd", "m1:6789,m2:6789 pool/image"));
    assert_eq!(network_disk(guest, "vdb"), Ok(None));
    let device = "<device><devnode>/dev/sdb</devnode><capability type='storage'><block>/dev/sdb</block>\
        <serial>S1</serial><size>4096</size></capability></device>";
    let device = storage_device(device).unwrap().unwrap();
    assert_eq!((device.names.len(), device.serial.as_str(), device.bytes), (2, "S1", Some(4096)));
    assert_eq!(storage_device("<device><capability type='net'/></device>"), Ok(None));
    let attributes = root_attributes("<o:x xmlns:o='urn:o' o:id='a' id='b'><y id='c'/></o:x>").unwrap();
    assert_eq!(attributes, [("id".to_owned(), "b".to_owned())]);
}

#[test]
fn hostile_documents_are_refused() {
    let entities =
        "<!DOCTYPE d [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;&a;&a;'>]><domain><name>&b;</name></domain>";
    assert!(matches!(domain(entities), Err(XmlError::Malformed(_))));
    let outside = "<!DOCTYPE d [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><domain><name>&a;</name></domain>";
    assert!(matches!(domain(outside), Err(XmlError::Malformed(_))));
    let deep = format!("<domain>{}{}</domain>", "<a>".repeat(100_000), "</a>".repeat(100_000));
    assert_eq!(domain(&deep), Err(XmlError::TooDeep));
    let hidden = format!("<domain>{}</domain>", "<a b='>'>".repeat(1_000));
    assert!(domain(&hidden).is_err());
    let large = format!("<domain><name>{}</name></domain>", "a".repeat(17 << 20));
    assert!(matches!(domain(&large), Err(XmlError::TooLarge(_))));
    let many = format!("<domain>{}</domain>", "<a/>".repeat((1 << 20) + 1));
    assert!(matches!(domain(&many), Err(XmlError::Malformed(_))));
    assert!(matches!(domain("<network/>"), Err(XmlError::Other { wanted: "domain", .. })));
    for broken in ["", "<", "<domain>", "text", "<domain></network>"] {
        assert!(matches!(domain(broken), Err(XmlError::Malformed(_))), "{broken}");
    }
}

/// Documents of elements that libvirt has and such as it has not, in any nesting, with any attributes.
fn element() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "disk",
        "source",
        "target",
        "interface",
        "hostdev",
        "address",
        "driver",
        "memory",
        "cpu",
        "feature",
        "numatune",
        "vcpu",
        "cputune",
        "vcpupin",
        "tpm",
        "backend",
        "shmem",
        "controller",
        "devices",
        "os",
        "type",
        "clock",
        "timer",
        "novelty",
        "backingStore",
        "metadata",
        "graphics",
        "serial",
        "hugepages",
        "page",
        "memoryBacking",
    ]);
    let attribute = (
        prop::sample::select(vec![
            "type", "dev", "bus", "slot", "size", "unit", "cpuset", "model", "mode", "file",
        ]),
        "[0-9a-zA-Z,^ -]{0,12}",
    );
    let leaf =
        (name.clone(), prop::collection::btree_map(attribute.0, attribute.1, 0..4), "[0-9a-zA-Z ]{0,8}")
            .prop_map(|(name, attributes, text)| {
                let attributes: Vec<String> =
                    attributes.iter().map(|(name, value)| format!(" {name}='{value}'")).collect();
                let attributes = attributes.concat();
                format!("<{name}{attributes}>{text}</{name}>")
            });
    leaf.prop_recursive(6, 64, 8, move |inner| {
        (name.clone(), prop::collection::vec(inner, 0..8))
            .prop_map(|(name, inner)| format!("<{name}>{}</{name}>", inner.concat()))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_definition_is_read_without_an_error(inner in prop::collection::vec(element(), 0..12)) {
        let inner = inner.concat();
        let read = domain(&format!("<domain>{inner}<devices>{inner}</devices></domain>"));
        prop_assert!(read.is_ok(), "{:?}", read);
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}") {
        drop(domain(&text));
    }
}

#[test]
fn the_file_system_of_a_pool_is_that_which_libvirt_mounts() {
    let of = |kind: &str, source: &str| {
        let text = format!("<pool type='{kind}'><name>a</name><source>{source}</source></pool>");
        whimbrel_facts::xml::pool_filesystem(&text).unwrap()
    };
    assert_eq!(of("netfs", "<host name='h'/><dir path='/e'/><format type='nfs'/>"), "nfs");
    assert_eq!(of("fs", "<device path='/dev/sdb1'/><format type='xfs'/>"), "xfs");
    assert_eq!(of("netfs", "<host name='h'/><dir path='/e'/><format type='auto'/>"), "");
    assert_eq!(of("netfs", "<host name='h'/><dir path='/e'/>"), "");
    assert_eq!(of("dir", ""), "");
    assert_eq!(of("disk", "<device path='/dev/sdb'/><format type='gpt'/>"), "", "a partition table");
    assert!(whimbrel_facts::xml::pool_filesystem("<network/>").is_err());
}
