//! What simulated hosts tell rules, from the same inventory by which their daemons accept or refuse a guest.
//!
//! It reports what real hosts report and leaves unknown what the simulator does not model, so that a rule never passes
//! here for want of a model.

use whimbrel_core::CopyState;
use whimbrel_facts::{
    Attribute, CpuComparison, Disk, DiskStorage, Domain, Facts, GuestCpu, Host, Identity, Machine, Namesake,
    Network, NetworkCard, Pool, RunState, Scalar, Sharing, StorageSide,
};
use whimbrel_sim::world::{GuestId, HostId, HostInventory, World};

use super::SCHEME;
use super::definition::compared;
use whimbrel_drive::copying;

/// The accelerator of every simulated guest.
const ACCELERATOR: &str = "kvm";
/// What simulated hosts offer to guests, in libvirt's words.
const SUPPORTED: [&str; 4] = ["disk", "disk.bus.virtio", "disk.diskDevice.disk", "graphics.type.vnc"];
/// What QEMU's machine types of the simulated hosts take.
const CPUS_MOST: u32 = 255;

/// How a migration is going to be made, as far as the facts depend on it.
pub(super) struct Asked<'a> {
    /// The sharing of storage may be proved.
    pub(super) probe: bool,
    /// The definition for the destination. One that cannot be read is unknown to the rules.
    pub(super) destination_xml: Option<&'a str>,
}

/// The facts of a guest on a host that is to go to another.
pub(super) fn facts(
    world: &World,
    guest: GuestId,
    [source, destination]: [HostId; 2],
    asked: &Asked<'_>,
) -> Facts {
    let mut there = host(world, destination, guest);
    let (here, over_there) = (world.inventory(source), world.inventory(destination));
    let lacks = |feature: &String| !over_there.cpu_features.contains(feature);
    let is_compatible = here.cpu_model == over_there.cpu_model && !here.cpu_features.iter().any(lacks);
    there.cpu_comparison =
        Some(if is_compatible { CpuComparison::Identical } else { CpuComparison::Incompatible });
    let domain = domain(world, guest, source);
    let compared = asked.destination_xml.and_then(|xml| compared(&domain, xml).ok());
    let (target, differences) = compared.unzip();
    let storage: Vec<_> = domain
        .disks
        .iter()
        .map(|disk| storage([here, over_there], disk, target.as_ref(), asked.probe))
        .collect();
    let in_words = |name: String| format!("the guest `{name}`");
    let users = |disk: &DiskStorage| {
        let names = world.users(destination, &disk.destination_path, guest);
        names.into_iter().map(in_words).collect()
    };
    let used: Vec<Vec<String>> = storage.iter().map(users).collect();
    let mut attributes = copying::users(&storage, &used);
    // No simulated guest has a lease, or a device beyond those of its facts.
    attributes.push(Attribute { path: "guest/leases".to_owned(), value: Scalar::Integer(0) });
    attributes.push(Attribute { path: "guest/xml/@type".to_owned(), value: ACCELERATOR.into() });
    let forwards = |name: &String| Attribute {
        path: format!("destination/networks/{name}/forward-mode"),
        value: "bridge".into(),
    };
    attributes.extend(over_there.networks.iter().map(forwards));
    attributes.extend(differences.unwrap_or_default());
    attributes.sort_by(|one, other| one.path.cmp(&other.path));
    Facts {
        guest: Some(domain),
        target,
        source: Some(host(world, source, guest)),
        destination: Some(there),
        attributes,
        storage: Some(storage),
        ..Facts::default()
    }
}

fn domain(world: &World, guest: GuestId, source: HostId) -> Domain {
    let machine = world.machine(guest);
    let inventory = world.inventory(source);
    let look = world.look(guest, source);
    let is_lun = |path: &str| inventory.luns.iter().any(|lun| lun.path == path);
    let disk = |disk: &whimbrel_sim::world::Disk| Disk {
        target: disk.target.clone(),
        bus: "virtio".to_owned(),
        device: "disk".to_owned(),
        kind: if is_lun(&disk.path) { "block" } else { "file" }.to_owned(),
        source: Some(disk.path.clone()),
        format: "raw".to_owned(),
        cache: "none".to_owned(),
        size_bytes: inventory.backing(&disk.path).map(|backing| backing.bytes),
        busy: Some(String::new()),
        ..Disk::default()
    };
    let card = |network: &String| NetworkCard {
        kind: "network".to_owned(),
        source: network.clone(),
        model: "virtio".to_owned(),
        ..NetworkCard::default()
    };
    let memory_kib = machine.memory.memory_mib << 10;
    Domain {
        name: machine.name.clone(),
        uuid: machine.uuid.clone(),
        state: state(look),
        persistent: Some(machine.is_persistent),
        // A simulated daemon keeps none of these for any guest: that is known.
        autostart: Some(false),
        managed_save: Some(false),
        snapshots: Some(0),
        checkpoints: Some(0),
        job: Some(if is_busy(look) { "migration".to_owned() } else { String::new() }),
        accelerator: ACCELERATOR.to_owned(),
        architecture: inventory.architecture.clone(),
        machine: machine.machine.clone(),
        cpu: GuestCpu {
            mode: "custom".to_owned(),
            model: inventory.cpu_model.clone(),
            ..GuestCpu::default()
        },
        cpus: machine.vcpus,
        cpus_maximum: machine.vcpus,
        memory_kib,
        memory_maximum_kib: memory_kib,
        disks: machine.disks.iter().map(disk).collect(),
        network_cards: machine.networks.iter().map(card).collect(),
        ..Domain::default()
    }
}

fn host(world: &World, host: HostId, guest: GuestId) -> Host {
    let inventory = world.inventory(host);
    let here = |guest: &GuestId| world.process_state(*guest, host).is_some();
    let used_mib: u64 = world.guests().filter(here).map(|guest| world.machine(guest).memory.memory_mib).sum();
    let namesake = match world.look(guest, host) {
        CopyState::Absent | CopyState::Unknown => None,
        found => Some(Namesake {
            name: world.machine(guest).name.clone(),
            uuid: world.machine(guest).uuid.clone(),
            state: state(found),
        }),
    };
    let machine =
        |name: &String| Machine { name: name.clone(), cpus_maximum: Some(CPUS_MOST), ..Machine::default() };
    let incoming = world.guests().filter(|guest| world.look(*guest, host) == CopyState::Incoming).count();
    let mut told = Host {
        uri: format!("{SCHEME}{}", inventory.name),
        name: inventory.name.clone(),
        uuid: inventory.uuid.clone(),
        hypervisor: "QEMU".to_owned(),
        hypervisor_version: inventory.qemu.to_number(),
        library_version: inventory.libvirt.to_number(),
        architecture: inventory.architecture.clone(),
        cpus: Some(inventory.cpus),
        memory_kib: Some(inventory.memory_mib << 10),
        free_memory_kib: Some(inventory.memory_mib.saturating_sub(used_mib) << 10),
        live_migration: Some(true),
        transports: vec!["tcp".to_owned()],
        accelerators: vec![ACCELERATOR.to_owned()],
        machines: Some(inventory.machines.iter().map(machine).collect()),
        cpu_modes: Some(vec!["custom".to_owned()]),
        // A simulated hypervisor has the devices of simulated guests.
        supports: Some(SUPPORTED.map(str::to_owned).to_vec()),
        networks: Some(inventory.networks.iter().map(|name| network(name)).collect()),
        pools: Some(inventory.pools.iter().map(pool).collect()),
        namesakes: Some(namesake.into_iter().collect()),
        migrations: u32::try_from(incoming).ok(),
        ..Host::default()
    };
    told.cpu.model.clone_from(&inventory.cpu_model);
    told.cpu.features.clone_from(&inventory.cpu_features);
    told.cpu_models =
        Some(vec![whimbrel_facts::CpuModel { name: inventory.cpu_model.clone(), usable: Some(true) }]);
    told
}

fn network(name: &str) -> Network {
    Network { name: name.to_owned(), active: true, ..Network::default() }
}

fn pool(pool: &whimbrel_sim::world::Pool) -> Pool {
    Pool {
        name: pool.name.clone(),
        kind: if pool.shared.is_some() { "netfs" } else { "dir" }.to_owned(),
        active: true,
        path: pool.path.clone(),
        available_bytes: Some(pool.free_bytes),
    }
}

fn storage(
    [here, there]: [&HostInventory; 2],
    disk: &Disk,
    target: Option<&Domain>,
    probe: bool,
) -> DiskStorage {
    let path = disk.source.as_deref().unwrap_or_default();
    let expected = target.and_then(|target| target.disks.iter().find(|other| other.target == disk.target));
    let other_path = expected.unwrap_or(disk).source.as_deref().unwrap_or_default();
    let mut described = DiskStorage {
        target: disk.target.clone(),
        source_path: path.to_owned(),
        destination_path: other_path.to_owned(),
        source: side(here, path),
        destination: side(there, other_path),
        ..DiskStorage::default()
    };
    let name = |path: &str| path.rsplit_once('/').map(|(_, name)| name.to_owned());
    // A file that is made in a directory is seen from another host if it is the same file system, and only then.
    if let (Some((one, _)), true) = (here.pool_of(path), probe) {
        let other = there.pool_of(other_path).map(|(pool, _)| pool);
        let is_shared = one.shared.is_some() && other.is_some_and(|other| other.shared == one.shared);
        (described.sharing, described.sharing_evidence) = if is_shared && name(path) != name(other_path) {
            let words = "the directory is shared, and the destination's definition names another file in it";
            (Sharing::Unknown, words.to_owned())
        } else if is_shared {
            (
                Sharing::Proven,
                format!("a file made in `{}` on the source was seen on the destination", one.path),
            )
        } else if other.is_some() {
            let words = format!("a file made in `{}` on the source is not on the destination", one.path);
            (Sharing::Disproven, words)
        } else {
            (Sharing::Disproven, "the destination has no such directory".to_owned())
        };
    }
    described
}

fn side(host: &HostInventory, path: &str) -> StorageSide {
    let lun = host.luns.iter().find(|lun| lun.path == path);
    let pool = host.pool_of(path).map(|(pool, _)| pool);
    let backing = host.backing(path);
    let identity =
        |lun: &whimbrel_sim::world::Lun| Identity { kind: "wwid".to_owned(), value: lun.wwid.clone() };
    StorageSide {
        exists: Some(backing.is_some()),
        identities: lun.into_iter().map(identity).collect(),
        size_bytes: backing.map(|backing| backing.bytes),
        pool: pool.map(|pool| pool.name.clone()).unwrap_or_default(),
        free_bytes: pool.map(|pool| pool.free_bytes),
        ..StorageSide::default()
    }
}

const fn state(look: CopyState) -> RunState {
    match look {
        CopyState::Running | CopyState::Migrating | CopyState::Postcopy => RunState::Running,
        CopyState::Paused | CopyState::Stopped | CopyState::Incoming | CopyState::PostcopyFailed => {
            RunState::Paused
        }
        CopyState::Defined => RunState::Off,
        CopyState::Absent | CopyState::Unknown => RunState::Unknown,
    }
}

const fn is_busy(look: CopyState) -> bool {
    matches!(
        look,
        CopyState::Migrating | CopyState::Incoming | CopyState::Postcopy | CopyState::PostcopyFailed
    )
}

#[cfg(test)]
mod tests {
    use whimbrel_facts::Verdict;
    use whimbrel_rules::native::evaluate;
    use whimbrel_sim::guest::Guest;
    use whimbrel_sim::network::{Capacity, Line, Loss};
    use whimbrel_sim::world::{Lun, Pool, VirtualMachine, Volume};

    use super::*;

    /// A guest with one disk, between two hosts of which the second is changed.
    fn told(disk: &str, change: impl Fn(&mut HostInventory)) -> Vec<(String, Verdict)> {
        let mut world = World::new(1, Line { latency_ns: 0, jitter_ns: 0, loss: Loss::NONE });
        let mut inventory = HostInventory::named("alpha");
        inventory.pools.push(Pool {
            name: "guests".to_owned(),
            path: "/srv".to_owned(),
            shared: Some("filer:/srv".to_owned()),
            free_bytes: 1 << 40,
            volumes: vec![Volume { name: "a.img".to_owned(), bytes: 1 << 30, used_by: None }],
        });
        inventory.luns.push(Lun { path: "/dev/sda".to_owned(), wwid: "1".to_owned(), bytes: 1 << 30 });
        let mut other = HostInventory { name: "beta".to_owned(), ..inventory.clone() };
        other.uuid = HostInventory::named("beta").uuid;
        change(&mut other);
        let card = Capacity::constant(100 << 20);
        let (source, destination) = (world.add_host(inventory, card.clone()), world.add_host(other, card));
        let mut machine = VirtualMachine::named("wren", Guest { memory_mib: 1024, ..Guest::default() });
        machine.disks.push(whimbrel_sim::world::Disk {
            target: "vda".to_owned(),
            path: disk.to_owned(),
            used_bytes: 1 << 20,
            written_bytes_per_second: 0,
            working_set_bytes: 0,
        });
        let guest = world.add_guest(source, machine);
        let asked = Asked { probe: true, destination_xml: None };
        let mut facts = facts(&world, guest, [source, destination], &asked);
        facts.request = Some(whimbrel_facts::Request { live: true, ..Default::default() });
        let findings = evaluate(&facts).into_iter();
        findings.filter(|one| one.verdict == Verdict::Fail).map(|one| (one.code, one.verdict)).collect()
    }

    fn codes(disk: &str, change: impl Fn(&mut HostInventory)) -> Vec<String> {
        told(disk, change).into_iter().map(|(code, _)| code).collect()
    }

    #[test]
    fn shared_storage_is_proved_and_storage_of_the_same_name_is_not() {
        assert_eq!(codes("/srv/a.img", |_| ()), Vec::<String>::new());
        let local = |host: &mut HostInventory| host.pools[0].shared = None;
        assert_eq!(codes("/srv/a.img", local), ["storage.shared"]);
        let gone = |host: &mut HostInventory| host.pools.clear();
        assert_eq!(codes("/srv/a.img", gone), ["storage.shared", "storage.missing"]);
    }

    #[test]
    fn a_disk_of_the_same_name_is_another_disk_by_its_wwid() {
        assert_eq!(codes("/dev/sda", |_| ()), Vec::<String>::new());
        let other = |host: &mut HostInventory| "2".clone_into(&mut host.luns[0].wwid);
        assert_eq!(codes("/dev/sda", other), ["storage.identity"]);
    }

    #[test]
    fn the_definition_for_the_destination_is_judged_as_on_real_hosts() {
        let world = crate::built_in_world(1, 0);
        let [source, destination] = [0, 1].map(|at| world.hosts().nth(at).unwrap());
        let guest = world.guests().find(|guest| world.process_state(*guest, source).is_some()).unwrap();
        let found = |xml: &str| {
            let asked = Asked { probe: true, destination_xml: Some(xml) };
            let mut facts = facts(&world, guest, [source, destination], &asked);
            facts.request =
                Some(whimbrel_facts::Request { live: true, destination_xml: true, ..Default::default() });
            let findings = evaluate(&facts).into_iter().filter(|one| one.code.starts_with("retarget."));
            findings
                .filter(|one| one.verdict != Verdict::Pass)
                .map(|one| (one.code, one.verdict))
                .collect::<Vec<_>>()
        };
        let other =
            found("<domain type='kvm'><name>x</name><uuid>y</uuid><devices><video/></devices></domain>");
        let has = |code: &str| other.contains(&(code.to_owned(), Verdict::Fail));
        assert!(
            has("retarget.identity") && has("retarget.memory") && has("retarget.definition"),
            "{other:?}"
        );
        assert_eq!(found("no XML"), [("retarget.known".to_owned(), Verdict::Unknown)]);
    }

    #[test]
    fn what_the_destinations_daemon_refuses_a_rule_refuses_before() {
        let model = |host: &mut HostInventory| "Opteron_G5".clone_into(&mut host.cpu_model);
        assert!(codes("/srv/a.img", model).contains(&"cpu.comparison".to_owned()));
        let machine = |host: &mut HostInventory| host.machines.clear();
        assert!(codes("/srv/a.img", machine).contains(&"machine.unknown".to_owned()));
        let network = |host: &mut HostInventory| host.networks.clear();
        assert!(codes("/srv/a.img", network).contains(&"network.missing".to_owned()));
        let memory = |host: &mut HostInventory| host.memory_mib = 1;
        assert!(codes("/srv/a.img", memory).contains(&"destination.memory-total".to_owned()));
    }
}
