//! A simulated world on its own thread, with its time tied to the real one.
//!
//! The thread is the only owner of the world: it runs it up to the present, reports events to the clients that they
//! concern, handles requests, and sleeps until the next event. It decides nothing.

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant as Clock};

use whimbrel_core::{Answer, Command, CopyState, Failure, Fault, GuestRun, Observation};
use whimbrel_facts::Facts;
use whimbrel_sim::world::{
    Disk, DiskSet, GuestId, HostId, MigrateOptions, PortEvent, PortId, ProcessState, World,
};

use super::SCHEME;
use super::facts::{Asked, facts};
use super::measurements::Measurements;
use whimbrel_drive::dirty_rate::DirtyRate;
use whimbrel_drive::hosts::{Inquiry, Route};
use whimbrel_drive::inventory::{GuestEntry, HostEntry, Inventory};
use whimbrel_drive::running::no_such_guest;
use whimbrel_drive::{CallPermit, Message};

/// The thread looks at the time at least this often.
const LONGEST_SLEEP: Duration = Duration::from_mins(1);
/// Nothing shorter is slept: events of that time are reported a little later.
const SHORTEST_SLEEP: Duration = Duration::from_micros(500);

/// What is asked of the world's thread.
#[derive(Debug)]
pub(super) enum Ask {
    Inventory(Sender<Vec<Inventory>>),
    Facts(Inquiry, Sender<Result<Box<Facts>, Failure>>),
    /// Answered when the interval, in seconds, has passed.
    DirtyRate(Inquiry, u16, Sender<Result<DirtyRate, Failure>>),
    Open(Route, Sender<Message>, Sender<Result<PortId, Failure>>),
    /// A call whose permit was withdrawn before the world came to it is not made, and not answered.
    CarryOut(PortId, Command, CallPermit),
    Close(PortId),
    SetSpeed(u32),
}

/// A handle to the thread, which ends with the last of them.
#[derive(Clone, Debug)]
pub(super) struct WorldHandle {
    asks: Sender<Ask>,
}

impl WorldHandle {
    pub(super) fn start(world: World, speed: u32) -> io::Result<Self> {
        let (asks, inbox) = channel();
        let (speed, began) = (u64::from(speed.max(1)), Clock::now());
        let world_thread = WorldThread {
            world,
            speed,
            began,
            began_ns: 0,
            clients: BTreeMap::new(),
            measurements: Measurements::default(),
        };
        thread::Builder::new().name("simulated-world".to_owned()).spawn(move || world_thread.run(&inbox))?;
        Ok(Self { asks })
    }

    pub(super) fn ask(&self, ask: Ask) {
        // A world that is gone answers nothing, like a host that is.
        let _ = self.asks.send(ask);
    }

    pub(super) fn inventory(&self) -> io::Result<Vec<Inventory>> {
        let (reply, answer) = channel();
        self.ask(Ask::Inventory(reply));
        answer.recv().map_err(|_| gone())
    }

    pub(super) fn facts(&self, inquiry: &Inquiry) -> io::Result<Result<Box<Facts>, Failure>> {
        let (reply, answer) = channel();
        self.ask(Ask::Facts(inquiry.clone(), reply));
        answer.recv().map_err(|_| gone())
    }

    pub(super) fn dirty_rate(
        &self,
        inquiry: &Inquiry,
        seconds: u16,
    ) -> io::Result<Result<DirtyRate, Failure>> {
        let (reply, answer) = channel();
        self.ask(Ask::DirtyRate(inquiry.clone(), seconds, reply));
        answer.recv().map_err(|_| gone())
    }

    /// The world's own port, or why the route leads nowhere.
    pub(super) fn open(&self, route: Route, inbox: Sender<Message>) -> io::Result<Result<PortId, Failure>> {
        let (reply, answer) = channel();
        self.ask(Ask::Open(route, inbox, reply));
        answer.recv().map_err(|_| gone())
    }
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the simulated world has stopped")
}

/// Who drives a migration through a port.
struct Client {
    inbox: Sender<Message>,
    guest: GuestId,
    ends: [HostId; 2],
    probe: bool,
    destination_xml: Option<String>,
}

struct WorldThread {
    world: World,
    speed: u64,
    /// When this speed was set, in real time and in simulated.
    began: Clock,
    began_ns: u64,
    clients: BTreeMap<PortId, Client>,
    measurements: Measurements,
}

impl WorldThread {
    fn run(mut self, asks: &Receiver<Ask>) {
        loop {
            self.catch_up();
            match asks.recv_timeout(self.sleep()) {
                Ok(ask) => {
                    self.catch_up();
                    self.answer(ask);
                    while let Ok(ask) = asks.try_recv() {
                        self.answer(ask);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Runs the world up to the present.
    fn catch_up(&mut self) {
        let now_ns = self.now_ns();
        self.measurements.end(&self.world, now_ns);
        while let Some((port, told)) = self.world.advance(now_ns) {
            // The driver of this migration may have detached: it continues.
            let Some(client) = self.clients.get(&port) else { continue };
            let message = match told {
                PortEvent::Observed(observation) => self.observed(client, observation),
                PortEvent::Requested(request) => Message::Request(request),
                // Here drivers are other processes, which start and end independently.
                PortEvent::Interrupted { .. } => continue,
            };
            let _ = client.inbox.send(message);
        }
    }

    /// With the facts of the machine come those that rules judge, of the same moment.
    fn observed(&self, client: &Client, observation: Observation) -> Message {
        match observation {
            Observation::Answer { to, answer: Answer::Facts(Ok(known)) } => {
                let asked = Asked { probe: client.probe, destination_xml: client.destination_xml.as_deref() };
                let collected = facts(&self.world, client.guest, client.ends, &asked);
                Message::Collected { to, known, collected: Box::new(collected) }
            }
            observation => Message::Observed { observation, since: Clock::now() },
        }
    }

    fn now_ns(&self) -> u64 {
        let real_ns = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.began_ns.saturating_add(real_ns.saturating_mul(self.speed))
    }

    fn sleep(&self) -> Duration {
        let next = [self.world.next_at(), self.measurements.next_ns()].into_iter().flatten().min();
        let Some(at_ns) = next else { return LONGEST_SLEEP };
        let real_ns = at_ns.saturating_sub(self.now_ns()) / self.speed;
        Duration::from_nanos(real_ns).clamp(SHORTEST_SLEEP, LONGEST_SLEEP)
    }

    fn answer(&mut self, ask: Ask) {
        match ask {
            Ask::Inventory(reply) => {
                let _ = reply.send(self.inventory());
            }
            Ask::Facts(inquiry, reply) => {
                let _ = reply.send(self.facts(&inquiry));
            }
            Ask::DirtyRate(inquiry, seconds, reply) => match self.placed(&inquiry) {
                Ok((guest, [source, _])) => {
                    let measured = (guest, source);
                    self.measurements.begin(&self.world, measured, seconds, reply);
                }
                Err(failure) => drop(reply.send(Err(failure))),
            },
            Ask::Open(route, inbox, reply) => {
                let opened = self.open(&route, inbox);
                let _ = reply.send(opened);
            }
            Ask::SetSpeed(speed) => {
                self.began_ns = self.now_ns();
                (self.began, self.speed) = (Clock::now(), u64::from(speed.max(1)));
            }
            Ask::CarryOut(port, command, permit) => {
                if permit.check().is_ok() {
                    self.world.carry_out(port, command);
                }
            }
            Ask::Close(port) => {
                self.clients.remove(&port);
                self.world.disconnect(port);
            }
        }
    }

    fn facts(&self, inquiry: &Inquiry) -> Result<Box<Facts>, Failure> {
        let (guest, ends) = self.placed(inquiry)?;
        let destination_xml = inquiry.destination_xml.as_deref();
        readable(destination_xml)?;
        let asked = Asked { probe: inquiry.probe, destination_xml };
        Ok(Box::new(facts(&self.world, guest, ends, &asked)))
    }

    /// The guest of an inquiry, with its hosts.
    fn placed(&self, inquiry: &Inquiry) -> Result<(GuestId, [HostId; 2]), Failure> {
        let [source, destination] = self.ends(&inquiry.source, &inquiry.destination)?;
        Ok((self.guest(&inquiry.guest, None, source, destination)?, [source, destination]))
    }

    fn ends(&self, source: &str, destination: &str) -> Result<[HostId; 2], Failure> {
        Ok([
            self.host(source).ok_or_else(|| no_host(Fault::SourceUnreachable, source))?,
            self.host(destination).ok_or_else(|| no_host(Fault::DestinationUnreachable, destination))?,
        ])
    }

    fn open(&mut self, route: &Route, inbox: Sender<Message>) -> Result<PortId, Failure> {
        let [source, destination] = self.ends(&route.source, &route.destination)?;
        let guest = self.guest(&route.guest, route.uuid.as_deref(), source, destination)?;
        let options = options(route, &self.world.machine(guest).disks)?;
        readable(route.destination_xml.as_deref())?;
        let port = self.world.connect(guest, source, destination, options);
        let destination_xml = route.destination_xml.clone();
        let client =
            Client { inbox, guest, ends: [source, destination], probe: !route.no_probe, destination_xml };
        self.clients.insert(port, client);
        Ok(port)
    }

    fn host(&self, uri: &str) -> Option<HostId> {
        let name = uri.strip_prefix(SCHEME)?.trim_end_matches('/');
        self.world.hosts().find(|host| self.world.inventory(*host).name == name)
    }

    /// The guest of this name on the source, or where else it is: one that is driven on may have arrived meanwhile.
    fn guest(
        &self,
        name: &str,
        uuid: Option<&str>,
        source: HostId,
        destination: HostId,
    ) -> Result<GuestId, Failure> {
        let named = |guest: &GuestId| {
            let machine = self.world.machine(*guest);
            machine.name == name && uuid.is_none_or(|uuid| uuid == machine.uuid)
        };
        let on = |host| move |guest: &GuestId| self.world.process_state(*guest, host).is_some();
        let all = || self.world.guests().filter(named);
        all().find(on(source)).or_else(|| all().find(on(destination))).or_else(|| all().next()).ok_or_else(
            || Failure::new(Fault::GuestNotFound, no_such_guest(name, &self.running_guests(source))),
        )
    }

    fn running_guests(&self, host: HostId) -> Vec<String> {
        let here = self.world.guests().filter(|guest| self.world.process_state(*guest, host).is_some());
        here.map(|guest| self.world.machine(guest).name.clone()).collect()
    }

    fn inventory(&self) -> Vec<Inventory> {
        self.world.hosts().map(|host| self.inventory_of(host)).collect()
    }

    fn inventory_of(&self, host: HostId) -> Inventory {
        let inventory = self.world.inventory(host);
        let uri = format!("{SCHEME}{}", inventory.name);
        let mut guests: Vec<_> =
            self.world.guests().filter_map(|guest| self.entry(guest, host, &uri)).collect();
        guests.sort_by(|one, other| one.name.cmp(&other.name));
        let used_mib: u64 = guests.iter().map(|guest| guest.memory_bytes >> 20).sum();
        let host = HostEntry {
            name: inventory.name.clone(),
            hypervisor: "QEMU".to_owned(),
            architecture: inventory.architecture.clone(),
            hypervisor_version: inventory.qemu.to_string(),
            library_version: inventory.libvirt.to_string(),
            free_memory_bytes: Some(inventory.memory_mib.saturating_sub(used_mib) << 20),
            uri,
        };
        Inventory { host, guests }
    }

    fn entry(&self, guest: GuestId, host: HostId, uri: &str) -> Option<GuestEntry> {
        let run = match self.world.look(guest, host) {
            // A copy that receives is no guest yet.
            CopyState::Absent | CopyState::Unknown | CopyState::Incoming => return None,
            CopyState::Defined => GuestRun::NotRunning,
            CopyState::Running => GuestRun::Running,
            // A migration says nothing of the CPUs: the guest may be stopped for it, and one half of it may run.
            CopyState::Migrating | CopyState::Postcopy
                if self.world.process_state(guest, host).is_some_and(ProcessState::runs) =>
            {
                GuestRun::Running
            }
            CopyState::Migrating
            | CopyState::Postcopy
            | CopyState::Stopped
            | CopyState::Paused
            | CopyState::PostcopyFailed => GuestRun::Paused,
        };
        let machine = self.world.machine(guest);
        Some(GuestEntry {
            name: machine.name.clone(),
            uuid: machine.uuid.clone(),
            host: uri.to_owned(),
            run,
            memory_bytes: machine.memory.memory_mib << 20,
            vcpus: machine.vcpus,
        })
    }
}

/// Refuses a definition for the destination that is not one of a guest.
fn readable(definition: Option<&str>) -> Result<(), Failure> {
    let wrong = |error| Failure::new(Fault::Refused, format!("the definition for the destination: {error}"));
    definition.map_or(Ok(()), |xml| whimbrel_facts::xml::domain(xml).map(drop).map_err(wrong))
}

fn no_host(fault: Fault, uri: &str) -> Failure {
    Failure::new(fault, format!("no simulated host has the address `{uri}`"))
}

/// The hypervisor's options for a guest with these disks.
///
/// # Errors
/// When a disk is named that the guest does not have.
fn options(route: &Route, disks: &[Disk]) -> Result<MigrateOptions, Failure> {
    let place = |target: &String| {
        disks
            .iter()
            .position(|disk| disk.target == *target)
            .ok_or_else(|| Failure::new(Fault::Refused, format!("the guest has no disk `{target}`")))
    };
    let named: Vec<usize> = route.disks.copied.iter().map(place).collect::<Result<_, _>>()?;
    let is_overwritten =
        |(place, disk): (usize, &Disk)| route.disks.overwritten.contains(&disk.path).then_some(place);
    Ok(MigrateOptions {
        named_disks: DiskSet::of(named),
        overwritten_disks: DiskSet::of(disks.iter().enumerate().filter_map(is_overwritten)),
        is_unsafe: route.allow_unsafe,
        ..MigrateOptions::from(route.transfer)
    })
}

#[cfg(test)]
mod tests {
    use whimbrel_core::{Action, CommandId};

    use super::*;
    use crate::built_in_world;
    use whimbrel_drive::Withdrawn;

    #[test]
    fn a_call_whose_permit_was_withdrawn_does_not_reach_the_world() {
        let mut world_thread = WorldThread {
            world: built_in_world(1, 0),
            speed: 1,
            began: Clock::now(),
            began_ns: 0,
            clients: BTreeMap::new(),
            measurements: Measurements::default(),
        };
        let route = Route::of(&whimbrel_core::Spec::new("web", "sim://alpha", "sim://beta"));
        let port = world_thread.open(&route, channel().0).unwrap();
        let idle = world_thread.world.next_at();
        let call = |id| Command { id: CommandId(id), action: Action::StartMigration };
        let withdrawn = CallPermit::default();
        withdrawn.withdraw(Withdrawn::GivenUp);
        world_thread.answer(Ask::CarryOut(port, call(0), withdrawn));
        assert_eq!(world_thread.world.next_at(), idle, "nothing is going to happen");
        world_thread.answer(Ask::CarryOut(port, call(1), CallPermit::default()));
        assert_ne!(world_thread.world.next_at(), idle, "this one was made");
    }
}
