//! libvirt's protocol in the simulated world, line by line of its table of failures: who has the guest after what.

#![cfg(test)]

use whimbrel_core::port::{Answer, JobState, Observation};
use whimbrel_core::{Action, Command, CommandId, CopyState, Fault as Class};
use whimbrel_sim::guest::{Guest, Pattern, Writer};
use whimbrel_sim::network::{Capacity, Line, Loss};
use whimbrel_sim::qemu::Postcopy;
use whimbrel_sim::world::{
    Disk, DiskCopy, DiskSet, Fault, GuestId, HostId, HostInventory, IncidentKind, Lun, MigrateOptions,
    Milestone, Moment, Pool, PortEvent, PortId, ProcessState, VirtualMachine, Volume, World,
};

const MS: u64 = 1_000_000;
const S: u64 = 1_000_000_000;

struct Scene {
    world: World,
    alpha: HostId,
    beta: HostId,
    guest: GuestId,
    port: PortId,
    /// What the migrate call returned, once it has.
    returned: Option<Result<(), Class>>,
    given: u32,
}

fn memory() -> Guest {
    Guest {
        memory_mib: 64,
        region_first_page: 4096,
        filled_pages: 8192,
        writers: vec![Writer::steady(Pattern::Uniform, 2_000, 2048)],
        ..Guest::default()
    }
}

impl Scene {
    fn new(options: MigrateOptions) -> Self {
        Self::with(VirtualMachine::named("wren", memory()), options, |_| {})
    }

    fn with(machine: VirtualMachine, options: MigrateOptions, furnish: impl Fn(&mut HostInventory)) -> Self {
        let line = Line { latency_ns: 100_000, jitter_ns: 0, loss: Loss::NONE };
        let mut world = World::new(7, line);
        let card = Capacity::constant(100 << 20);
        let [alpha, beta] = ["alpha", "beta"].map(|name| {
            let mut inventory = HostInventory::named(name);
            furnish(&mut inventory);
            world.add_host(inventory, card.clone())
        });
        let guest = world.add_guest(alpha, machine);
        let port = world.connect(guest, alpha, beta, options);
        Self { world, alpha, beta, guest, port, returned: None, given: 0 }
    }

    fn postcopy() -> Self {
        Self::new(MigrateOptions { postcopy: Some(Postcopy::default()), ..MigrateOptions::default() })
    }

    fn fault(mut self, at: Milestone, fault: impl Fn(&Self) -> Fault) -> Self {
        let fault = fault(&self);
        self.world.inject_at(Moment::At(self.guest, at), 0, fault);
        self
    }

    fn give(&mut self, action: Action) {
        self.world.carry_out(self.port, Command { id: CommandId(self.given), action });
        self.given += 1;
    }

    fn migrate(mut self, until_ns: u64) -> Self {
        self.give(Action::StartMigration);
        self.run(until_ns);
        self
    }

    fn run(&mut self, until_ns: u64) {
        while let Some((_, told)) = self.world.advance(until_ns) {
            if let PortEvent::Observed(Observation::Answer { answer: Answer::CallReturned(result), .. }) =
                told
            {
                self.returned = Some(result.map_err(|failure| failure.fault));
            }
        }
    }

    fn lives(&self) -> (Option<ProcessState>, Option<ProcessState>) {
        (self.world.process_state(self.guest, self.alpha), self.world.process_state(self.guest, self.beta))
    }

    fn incidents(&self) -> Vec<IncidentKind> {
        self.world.incidents().iter().map(|incident| incident.kind).collect()
    }
}

const ON_SOURCE: (Option<ProcessState>, Option<ProcessState>) = (Some(ProcessState::Running), None);
const ON_DESTINATION: (Option<ProcessState>, Option<ProcessState>) = (None, Some(ProcessState::Running));

#[test]
fn a_migration_that_nothing_disturbs_moves_the_guest() {
    let scene = Scene::new(MigrateOptions::default()).migrate(60 * S);
    assert_eq!((scene.returned, scene.lives()), (Some(Ok(())), ON_DESTINATION));
    assert!(scene.world.incidents().is_empty());
}

#[test]
fn before_the_hand_over_every_loss_leaves_the_guest_at_the_source() {
    for at in [Milestone::Preparing, Milestone::Copying, Milestone::Stopped] {
        let faults: [fn(&Scene) -> Fault; 5] = [
            |scene| Fault::KillDaemon(scene.beta),
            |scene| Fault::KillDaemon(scene.alpha),
            |scene| Fault::CutLink(scene.alpha, scene.beta),
            |scene| Fault::LoseHost(scene.beta),
            |scene| Fault::KillGuest(scene.guest, scene.beta),
        ];
        for (number, fault) in faults.into_iter().enumerate() {
            let scene = Scene::new(MigrateOptions::default()).fault(at, fault).migrate(2_000 * S);
            let label = format!("fault {number} at {at:?}");
            assert!(matches!(scene.returned, Some(Err(_))), "{label}: {:?}", scene.returned);
            assert_eq!(scene.lives().0, Some(ProcessState::Running), "{label}");
            assert!(scene.incidents().is_empty(), "{label}: {:?}", scene.incidents());
        }
    }
}

#[test]
fn a_prepared_copy_without_its_daemon_waits_for_it() {
    let mut scene = Scene::new(MigrateOptions::default())
        .fault(Milestone::Finishing, |scene| Fault::KillDaemon(scene.beta));
    scene = scene.migrate(60 * S);
    assert_eq!(scene.lives(), (Some(ProcessState::Running), Some(ProcessState::Incoming)));
    scene.world.inject(Fault::StartDaemon(scene.beta));
    assert_eq!(scene.lives(), ON_SOURCE, "what has not run is ended when the daemon is back");
}

/// libvirt's own comment on it: lock managers should take care.
#[test]
fn a_lost_answer_to_finish_makes_both_run() {
    let cut = Scene::new(MigrateOptions::default())
        .fault(Milestone::Starting, |scene| Fault::CutLink(scene.alpha, scene.beta))
        .migrate(100 * S);
    assert_eq!(cut.lives(), (Some(ProcessState::Running), Some(ProcessState::Running)));
    assert_eq!(cut.incidents(), [IncidentKind::TwoRun]);
    let killed = Scene::new(MigrateOptions::default())
        .fault(Milestone::Started, |scene| Fault::KillDaemon(scene.beta))
        .migrate(100 * S);
    assert_eq!(killed.lives(), (Some(ProcessState::Running), Some(ProcessState::Running)));
}

#[test]
fn a_request_to_finish_that_a_cut_link_holds_ends_the_destinations_copy() {
    let scene = Scene::new(MigrateOptions::default())
        .fault(Milestone::Finishing, |scene| Fault::CutLink(scene.alpha, scene.beta))
        .migrate(100 * S);
    assert_eq!(scene.lives(), ON_SOURCE);
    assert!(scene.incidents().is_empty());
}

#[test]
fn a_short_cut_only_delays() {
    for at in [Milestone::Copying, Milestone::Finishing, Milestone::Starting, Milestone::Confirming] {
        let mut scene = Scene::new(MigrateOptions::default());
        let (alpha, beta) = (scene.alpha, scene.beta);
        scene.world.inject_at(Moment::At(scene.guest, at), 0, Fault::CutLink(alpha, beta));
        scene.world.inject_at(Moment::At(scene.guest, at), 5 * S, Fault::RestoreLink(alpha, beta));
        let scene = scene.migrate(100 * S);
        assert_eq!((scene.returned, scene.lives()), (Some(Ok(())), ON_DESTINATION), "{at:?}");
    }
}

#[test]
fn a_source_daemon_killed_while_it_waits_for_finish_leaves_the_source_stopped() {
    for at in [Milestone::Finishing, Milestone::Starting, Milestone::Started] {
        let mut scene = Scene::new(MigrateOptions::default())
            .fault(at, |scene| Fault::KillDaemon(scene.alpha))
            .migrate(60 * S);
        assert_eq!(scene.returned, Some(Err(Class::ReplyLost)), "{at:?}");
        assert_eq!(scene.lives(), (Some(ProcessState::Stopped), Some(ProcessState::Running)), "{at:?}");
        scene.world.inject(Fault::StartDaemon(scene.alpha));
        assert_eq!(scene.world.look(scene.guest, scene.alpha), CopyState::Stopped, "{at:?}");
    }
}

#[test]
fn a_source_daemon_killed_while_it_confirms_confirms_when_it_is_back() {
    let mut scene = Scene::new(MigrateOptions::default())
        .fault(Milestone::Confirming, |scene| Fault::KillDaemon(scene.alpha))
        .migrate(60 * S);
    assert_eq!(scene.lives(), (Some(ProcessState::Stopped), Some(ProcessState::Running)));
    scene.world.inject(Fault::StartDaemon(scene.alpha));
    assert_eq!(scene.lives(), ON_DESTINATION);
}

#[test]
fn a_caller_that_goes_away_changes_nothing() {
    for at in [Milestone::Preparing, Milestone::Copying, Milestone::Finishing, Milestone::Confirming] {
        let scene = Scene::new(MigrateOptions::default())
            .fault(at, |scene| Fault::DropClients(scene.alpha))
            .migrate(60 * S);
        assert_eq!(scene.returned, Some(Err(Class::ReplyLost)), "{at:?}");
        assert_eq!(scene.lives(), ON_DESTINATION, "{at:?}");
    }
}

#[test]
fn a_source_host_that_is_lost_takes_the_guest_with_it_until_the_hand_over() {
    for (at, destination) in [
        (Milestone::Copying, None),
        (Milestone::Finishing, None),
        (Milestone::Starting, Some(ProcessState::Running)),
        (Milestone::Started, Some(ProcessState::Running)),
    ] {
        let scene = Scene::new(MigrateOptions::default())
            .fault(at, |scene| Fault::LoseHost(scene.alpha))
            .migrate(2_000 * S);
        assert_eq!(scene.lives(), (None, destination), "{at:?}");
        assert_eq!(scene.returned, Some(Err(Class::ReplyLost)), "the caller's keep-alive finds out: {at:?}");
    }
}

fn in_postcopy() -> Scene {
    let mut scene = Scene::postcopy();
    scene.give(Action::StartMigration);
    scene.run(300 * MS);
    scene.give(Action::StartPostcopy);
    scene.run(450 * MS);
    let halves = (
        Some(ProcessState::PostcopySource { is_cut_off: false }),
        Some(ProcessState::PostcopyDestination { is_cut_off: false }),
    );
    assert_eq!(scene.lives(), halves);
    scene
}

#[test]
fn postcopy_moves_the_guest_first_and_its_memory_after_it() {
    let mut scene = in_postcopy();
    assert!(scene.world.abort(scene.guest, scene.alpha).is_err(), "the guest cannot come back");
    scene.run(60 * S);
    assert_eq!((scene.returned, scene.lives()), (Some(Ok(())), ON_DESTINATION));
    assert!(scene.incidents().is_empty());
}

#[test]
fn postcopy_that_lost_its_stream_is_resumed() {
    let mut scene = in_postcopy();
    scene.world.inject(Fault::BreakStream(scene.guest));
    scene.run(60 * S);
    assert!(matches!(scene.returned, Some(Err(_))));
    let looks = [scene.alpha, scene.beta].map(|host| scene.world.look(scene.guest, host));
    assert_eq!(looks, [CopyState::PostcopyFailed; 2]);
    scene.give(Action::ResumePostcopy);
    scene.run(100 * S);
    assert_eq!((scene.returned, scene.lives()), (Some(Ok(())), ON_DESTINATION));
}

/// The daemons part, and only the source says so; the two QEMUs hold on to each other.
#[test]
fn postcopy_over_a_link_that_is_cut_for_long_goes_on_by_itself() {
    let mut scene = in_postcopy();
    scene.world.inject(Fault::CutLink(scene.alpha, scene.beta));
    scene.run(60 * S);
    assert!(matches!(scene.returned, Some(Err(_))));
    let looks = [scene.alpha, scene.beta].map(|host| scene.world.look(scene.guest, host));
    assert_eq!(looks, [CopyState::PostcopyFailed, CopyState::Postcopy]);
    scene.give(Action::ResumePostcopy);
    scene.returned = None;
    scene.run(61 * S);
    assert_eq!(scene.returned, None, "a daemon that cannot be reached is called for as long as TCP tries");
    scene.world.inject(Fault::RestoreLink(scene.alpha, scene.beta));
    scene.run(100 * S);
    assert_eq!(scene.returned, Some(Err(Class::Refused)), "nothing is paused");
    assert_eq!(scene.lives(), ON_DESTINATION);
}

/// The guest is stopped, and QEMU's monitor is blocked until the kernel gives the connection up.
#[test]
fn a_source_that_hands_over_on_a_dead_link_answers_nobody() {
    let mut scene = Scene::new(MigrateOptions::default())
        .fault(Milestone::Stopped, |scene| Fault::CutLink(scene.alpha, scene.beta));
    scene.give(Action::StartMigration);
    scene.run(600 * S);
    assert_eq!((scene.returned, scene.lives().0), (None, Some(ProcessState::Stopped)));
    scene.run(2_000 * S);
    assert!(matches!(scene.returned, Some(Err(_))));
    assert_eq!(scene.lives(), (Some(ProcessState::Running), None));
}

#[test]
fn postcopy_goes_on_without_daemons() {
    for side in 0..2 {
        let mut scene = in_postcopy();
        let daemon = [scene.alpha, scene.beta][side];
        scene.world.inject(Fault::KillDaemon(daemon));
        scene.run(60 * S);
        assert!(matches!(scene.returned, Some(Err(_))));
        assert_eq!(scene.lives().1, Some(ProcessState::Running), "QEMU does not need its daemon");
        scene.world.inject(Fault::StartDaemon(daemon));
        scene.run(61 * S);
        assert_eq!(scene.lives(), ON_DESTINATION);
    }
}

#[test]
fn postcopy_loses_the_guest_with_either_half() {
    for side in 0..2 {
        let mut scene = in_postcopy();
        let host = [scene.alpha, scene.beta][side];
        scene.world.inject(Fault::KillGuest(scene.guest, host));
        scene.run(60 * S);
        assert_eq!(scene.incidents(), [IncidentKind::LastCopyGone]);
        assert!(scene.lives().0.is_none_or(|process_state| !process_state.is_whole()));
        assert!(scene.lives().1.is_none_or(|process_state| !process_state.is_whole()));
    }
}

fn disk(path: &str) -> Disk {
    Disk {
        target: "vda".to_owned(),
        path: path.to_owned(),
        used_bytes: 512 << 20,
        written_bytes_per_second: 40 << 20,
        working_set_bytes: 64 << 20,
    }
}

fn with_disk(path: &str) -> VirtualMachine {
    VirtualMachine { disks: vec![disk(path)], ..VirtualMachine::named("wren", memory()) }
}

fn pool(shared: Option<&str>) -> Pool {
    Pool {
        name: "images".to_owned(),
        path: "/images".to_owned(),
        shared: shared.map(str::to_owned),
        free_bytes: 10 << 30,
        volumes: Vec::new(),
    }
}

#[test]
fn storage_of_the_hosts_own_needs_a_copy_or_the_unsafe_flag() {
    let local = |inventory: &mut HostInventory| {
        let volumes = vec![Volume { name: "wren.img".to_owned(), bytes: 1 << 30, used_by: None }];
        inventory.pools.push(Pool { volumes, ..pool(None) });
    };
    let machine = || with_disk("/images/wren.img");
    let refused = Scene::with(machine(), MigrateOptions::default(), local).migrate(60 * S);
    assert_eq!((refused.returned, refused.lives()), (Some(Err(Class::UnsafeStorage)), ON_SOURCE));
    // The other host has a file of that name too, and it is another one: only the record of incidents shows it.
    let forced = MigrateOptions { is_unsafe: true, ..MigrateOptions::default() };
    let forced = Scene::with(machine(), forced, local).migrate(60 * S);
    assert_eq!((forced.returned, forced.incidents()), (Some(Ok(())), vec![IncidentKind::WrongDisk]));
}

#[test]
fn a_lun_of_the_same_name_may_be_another_disk() {
    let luns = |inventory: &mut HostInventory| {
        let wwid = format!("naa.{}", inventory.name);
        inventory.luns.push(Lun { path: "/dev/sda".to_owned(), wwid, bytes: 1 << 30 });
    };
    let scene = Scene::with(with_disk("/dev/sda"), MigrateOptions::default(), luns).migrate(60 * S);
    assert_eq!((scene.returned, scene.incidents()), (Some(Ok(())), vec![IncidentKind::WrongDisk]));
}

/// Alpha has the disk's file, beta an empty pool.
fn copied(mode: DiskCopy) -> Scene {
    let options = MigrateOptions { copy_disks: Some(mode), ..MigrateOptions::default() };
    Scene::with(with_disk("/images/wren.img"), options, |inventory| {
        let file = Volume { name: "wren.img".to_owned(), bytes: 1 << 30, used_by: None };
        let volumes = if inventory.name == "alpha" { vec![file] } else { Vec::new() };
        inventory.pools.push(Pool { volumes, ..pool(None) });
    })
}

#[test]
fn disks_are_mirrored_before_memory_is_copied() {
    for mode in [DiskCopy::Background, DiskCopy::Synchronous] {
        let scene = copied(mode).migrate(100 * S);
        assert_eq!((scene.returned, scene.lives()), (Some(Ok(())), ON_DESTINATION), "{mode:?}");
        assert!(scene.incidents().is_empty());
        let file = &scene.world.inventory(scene.beta).pools[0].volumes[0];
        assert_eq!((file.name.as_str(), file.bytes), ("wren.img", 1 << 30));
    }
}

/// A disk of alpha's own, with a file of that name on beta, or one that both share.
fn copied_onto(options: MigrateOptions, shared: Option<&str>, used_by: Option<&str>) -> Scene {
    let options = MigrateOptions { copy_disks: Some(DiskCopy::Background), ..options };
    Scene::with(with_disk("/images/wren.img"), options, |inventory| {
        let used_by = used_by.filter(|_| inventory.name == "beta").map(str::to_owned);
        let volumes = vec![Volume { name: "wren.img".to_owned(), bytes: 1 << 30, used_by }];
        inventory.pools.push(Pool { volumes, ..pool(shared) });
    })
}

#[test]
fn a_copy_never_goes_onto_itself_nor_over_what_somebody_else_has() {
    let named = MigrateOptions { named_disks: DiskSet::of([0]), ..MigrateOptions::default() };
    let allowed = MigrateOptions { overwritten_disks: DiskSet::of([0]), ..MigrateOptions::default() };
    let refused = Some(Err(Class::UnsafeStorage));
    for (options, shared, used_by, returned) in [
        (MigrateOptions::default(), None, None, refused),
        (allowed, None, None, Some(Ok(()))),
        (allowed, None, Some("other"), refused),
        (named, Some("filer:/srv"), None, refused),
        // What is shared is left out by itself.
        (MigrateOptions::default(), Some("filer:/srv"), None, Some(Ok(()))),
    ] {
        let scene = copied_onto(options, shared, used_by).migrate(100 * S);
        assert_eq!(scene.returned, returned, "{options:?} {shared:?} {used_by:?}");
        assert!(scene.incidents().is_empty());
    }
}

#[test]
fn only_what_the_migration_made_is_removed() {
    let path = "/images/wren.img".to_owned();
    let remove = |scene: &mut Scene| {
        scene.give(Action::RemoveDisks(vec![path.clone()]));
        scene.run(200 * S);
        scene.world.inventory(scene.beta).pools[0].volumes.len()
    };
    let mut foreign = copied_onto(MigrateOptions::default(), None, None);
    assert_eq!(remove(&mut foreign), 1);
    let mut own = copied(DiskCopy::Background);
    let full = Fault::LeaveRoom(own.beta, 100 << 20);
    own.world.inject(full);
    let mut own = own.migrate(60 * S);
    assert_eq!(remove(&mut own), 0);
}

#[test]
fn a_guest_that_writes_faster_than_the_link_is_mirrored_by_waiting_writes_only() {
    let faster = |mode| {
        let options = MigrateOptions {
            copy_disks: Some(mode),
            overwritten_disks: DiskSet::of([0]),
            ..MigrateOptions::default()
        };
        let mut machine = with_disk("/images/wren.img");
        machine.disks[0].written_bytes_per_second = 120 << 20;
        machine.disks[0].working_set_bytes = 512 << 20;
        Scene::with(machine, options, |inventory| {
            let volumes = vec![Volume { name: "wren.img".to_owned(), bytes: 1 << 30, used_by: None }];
            inventory.pools.push(Pool { volumes, ..pool(None) });
        })
        .migrate(600 * S)
    };
    assert_eq!(faster(DiskCopy::Synchronous).returned, Some(Ok(())));
    let behind = faster(DiskCopy::Background);
    assert_eq!(behind.returned, None, "it copies what was written meanwhile, again and again");
}

#[test]
fn a_destination_disk_that_fills_up_fails_the_migration_and_keeps_the_file() {
    let mut scene = copied(DiskCopy::Background);
    let full = Fault::LeaveRoom(scene.beta, 100 << 20);
    scene.world.inject(full);
    let scene = scene.migrate(60 * S);
    assert_eq!((scene.returned, scene.lives()), (Some(Err(Class::Other)), ON_SOURCE));
    assert_eq!(scene.world.inventory(scene.beta).pools[0].volumes.len(), 1, "libvirt leaves it behind");
}

#[test]
fn a_destination_without_memory_refuses() {
    let mut scene = Scene::new(MigrateOptions::default());
    scene.world.inject(Fault::TakeMemory(scene.beta, (256 << 10) - 32));
    let scene = scene.migrate(60 * S);
    assert_eq!((scene.returned, scene.lives()), (Some(Err(Class::Other)), ON_SOURCE));
}

#[test]
fn the_job_tells_zeros_before_the_copy_and_after_the_end() {
    let mut scene = Scene::new(MigrateOptions::default());
    let zeros = |scene: &mut Scene| {
        let report = scene.world.job(scene.guest, scene.alpha).unwrap();
        (report.state, report.statistics.memory_total_bytes)
    };
    assert_eq!(zeros(&mut scene), (JobState::None, 0));
    scene.give(Action::StartMigration);
    scene.run(100 * MS);
    assert_eq!(zeros(&mut scene), (JobState::Active, 0), "no copy yet is not nothing left");
    scene.run(60 * S);
    assert_eq!(zeros(&mut scene).0, JobState::Completed);
}

/// As libvirt answers it: a driver that takes this for a failure never gets to the migrate call.
#[test]
fn the_job_of_a_guest_that_is_off_is_an_error() {
    let mut scene = Scene::new(MigrateOptions::default());
    let off = scene.world.add_guest_that_is_off(scene.alpha, VirtualMachine::named("off", memory()));
    assert_eq!(scene.world.job(off, scene.alpha).map_err(|failure| failure.fault), Err(Class::Refused));
}
