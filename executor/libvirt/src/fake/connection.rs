//! The library and its connections, as libvirt's remote driver has them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use whimbrel_core::CopyState;
use whimbrel_sim::world::{GuestId, HostId, MigrateOptions, Reach, World};

use super::domain::FakeDomain;
use super::events::FakeSubscription;
use super::{Due, Fake, Inner, KEEP_ALIVE_NS, MS, Sent, WORKERS};
use crate::calls::{ConnectionCalls, EventSink};
use crate::{Connection, Domain, ErrorCode, Library, LibvirtError, MigrateFlags, Subscription, Version};

/// A call and its answer on a local network.
const CALL_NS: u64 = MS / 3;
/// Linux's first retransmission. Each further one waits twice as long, and after the sixth the segment is dropped here.
const RETRANSMISSION_NS: u64 = 200 * MS;
const RETRANSMISSIONS_LAST_NS: u64 = 6_400 * MS;

/// The library in one process.
#[derive(Clone, Debug)]
pub(super) struct FakeLibrary {
    pub(super) fake: Arc<Fake>,
    /// The process was killed: what it had sent goes on, and it makes no more calls.
    pub(super) is_killed: Arc<AtomicBool>,
}

#[derive(Clone, Debug)]
pub(super) struct FakeConnection {
    pub(super) library: FakeLibrary,
    pub(super) host: HostId,
    pub(super) epoch: u64,
    /// It has failed once: libvirt never opens it again.
    is_dead: Arc<Mutex<bool>>,
}

fn error(call: &'static str, code: ErrorCode, domain: i32, message: &str) -> LibvirtError {
    LibvirtError { call, code, domain, message: message.to_owned() }
}

pub(super) fn qemu(call: &'static str, code: ErrorCode, message: &str) -> LibvirtError {
    error(call, code, 10, message)
}

impl Library for FakeLibrary {
    fn open(&self, uri: &str) -> Result<Connection, LibvirtError> {
        let call = "virConnectOpen";
        let (_, rest) = uri.split_once("://").unwrap();
        let name = rest.split('/').next().unwrap();
        let refused = |text: &str| Err(error(call, ErrorCode::SystemError, 7, text));
        {
            let mut inner = self.fake.inner();
            let count = inner.log.connecting.entry(name.to_owned()).or_default();
            *count += 1;
            let count = *count;
            inner.log.connecting_most = inner.log.connecting_most.max(count);
        }
        let opened = loop {
            self.fake.sleep(CALL_NS);
            if self.is_killed.load(Ordering::SeqCst) || self.fake.is_over() {
                break refused("unable to connect to server: the process ends");
            }
            let inner = self.fake.inner();
            let host = inner.addresses[name];
            match inner.world.reach(host) {
                // It has no time limit of its own.
                Reach::Silent => {
                    drop(inner);
                    self.fake.sleep(100 * MS);
                }
                Reach::Refuses => {
                    break refused(&format!(
                        "unable to connect to server at '{name}:16509': Connection refused"
                    ));
                }
                Reach::Answers { delay_ns } => {
                    let epoch = inner.daemons[&host].epoch;
                    drop(inner);
                    self.fake.sleep(delay_ns);
                    let library = self.clone();
                    break Ok(FakeConnection { library, host, epoch, is_dead: Arc::default() });
                }
            }
        };
        *self.fake.inner().log.connecting.get_mut(name).unwrap() -= 1;
        Ok(Arc::new(opened?))
    }
}

impl FakeConnection {
    fn closed(&self, call: &'static str) -> LibvirtError {
        *self.is_dead.lock().unwrap() = true;
        error(call, ErrorCode::InternalError, 7, "internal error: client socket is closed")
    }

    pub(super) fn fake(&self) -> &Fake {
        &self.library.fake
    }

    /// A call to the daemon and its answer. Either may be lost with the connection; the call is carried out nevertheless
    /// when only its answer is.
    pub(super) fn rpc<T>(
        &self,
        call: &'static str,
        work: impl FnOnce(&mut Inner) -> Result<T, LibvirtError>,
    ) -> Result<T, LibvirtError> {
        let fake = self.fake();
        self.alive_until_answered(call, fake.now_ns() + CALL_NS / 2)?;
        while fake.inner().daemons[&self.host].busy >= WORKERS {
            self.alive_until_answered(call, fake.now_ns() + 10 * MS)?;
        }
        let (done, answered_ns) = {
            let mut inner = fake.inner();
            let delay_ns = match inner.world.reach(self.host) {
                Reach::Answers { delay_ns } => delay_ns,
                Reach::Refuses | Reach::Silent => 0,
            };
            (work(&mut inner), inner.world.now_ns() + CALL_NS / 2 + delay_ns)
        };
        self.alive_until_answered(call, answered_ns)?;
        done
    }

    /// Waits until then, and on while the host is silent; the error of a connection that breaks meanwhile.
    fn alive_until_answered(&self, call: &'static str, until_ns: u64) -> Result<(), LibvirtError> {
        let fake = self.fake();
        let mut until_ns = until_ns;
        loop {
            if self.library.is_killed.load(Ordering::SeqCst)
                || fake.is_over()
                || *self.is_dead.lock().unwrap()
                || fake.inner().is_broken(self.host, self.epoch)
            {
                return Err(self.closed(call));
            }
            let (now_ns, silent_since_ns) = {
                let inner = fake.inner();
                (inner.world.now_ns(), inner.daemons[&self.host].silent_since_ns)
            };
            match silent_since_ns {
                Some(since_ns) => until_ns = (now_ns + 100 * MS).min(since_ns + KEEP_ALIVE_NS),
                None if now_ns >= until_ns => return Ok(()),
                None => {}
            }
            fake.wait_until(until_ns, None);
        }
    }

    pub(super) fn guest(
        &self,
        call: &'static str,
        inner: &Inner,
        is_it: impl Fn(&whimbrel_sim::world::VirtualMachine) -> bool,
    ) -> Result<GuestId, LibvirtError> {
        let found =
            inner.guest(is_it).filter(|guest| inner.world.look(*guest, self.host) != CopyState::Absent);
        found.ok_or_else(|| qemu(call, ErrorCode::NoDomain, "Domain not found"))
    }

    fn found(&self, guest: GuestId) -> Domain {
        Box::new(FakeDomain { connection: self.clone(), guest })
    }

    /// Makes the migrate call, and returns when it does.
    pub(super) fn migrate(
        &self,
        guest: GuestId,
        destination_uri: &str,
        parameters: &crate::MigrateParameters,
    ) -> Result<(), LibvirtError> {
        let call = "virDomainMigrateToURI3";
        let fake = self.fake();
        self.alive_until_answered(call, 0)?;
        let slot = Arc::default();
        let (_, rest) = destination_uri.split_once("://").unwrap();
        let sent = Sent {
            guest,
            from: self.host,
            epoch: self.epoch,
            address: rest.split('/').next().unwrap().to_owned(),
            parameters: parameters.clone(),
            slot: Arc::clone(&slot),
        };
        let arrives_ns = fake.now_ns() + CALL_NS / 2;
        fake.inner().due.push((arrives_ns, Due::Call(sent, RETRANSMISSION_NS)));
        loop {
            let until_ns = fake.now_ns() + 1_000 * MS;
            fake.wait_until(until_ns, Some(&slot.returned));
            let is_killed = self.library.is_killed.load(Ordering::SeqCst) || fake.is_over();
            if is_killed || fake.inner().is_broken(self.host, self.epoch) {
                return Err(self.closed(call));
            }
            if let Some(result) = slot.result.lock().unwrap().take() {
                return result.map_err(|failure| self.returned(call, &failure));
            }
        }
    }

    fn returned(&self, call: &'static str, failure: &whimbrel_core::Failure) -> LibvirtError {
        use whimbrel_core::Fault;
        let code = match failure.fault {
            Fault::ReplyLost => return self.closed(call),
            Fault::Aborted => ErrorCode::OperationAborted,
            Fault::DestinationUnreachable => ErrorCode::SystemError,
            Fault::UnsafeStorage => ErrorCode::MigrateUnsafe,
            Fault::Incompatible => ErrorCode::ConfigUnsupported,
            Fault::Refused => ErrorCode::OperationInvalid,
            _ => ErrorCode::OperationFailed,
        };
        qemu(call, code, &failure.message)
    }
}

impl Inner {
    /// A migrate call has come to its daemon, or is retransmitted later, or waits for a worker.
    pub(super) fn call_arrives(&mut self, sent: Sent, wait_ns: u64) {
        use whimbrel_core::{Action, Command, CommandId};
        let now_ns = self.world.now_ns();
        match self.world.reach(sent.from) {
            Reach::Silent if wait_ns <= RETRANSMISSIONS_LAST_NS => {
                return self.due.push((now_ns + wait_ns, Due::Call(sent, wait_ns * 2)));
            }
            Reach::Silent | Reach::Refuses => return,
            // The daemon that answers now is another one than it was sent to.
            Reach::Answers { .. } if self.daemons[&sent.from].epoch != sent.epoch => return,
            Reach::Answers { .. } => {}
        }
        if self.daemons[&sent.from].busy >= WORKERS {
            return self.due.push((now_ns + 10 * MS, Due::Call(sent, wait_ns)));
        }
        let Sent { guest, from, address, parameters, slot, .. } = sent;
        let to = self.addresses[&address];
        let flags = parameters.flags;
        let options = MigrateOptions {
            postcopy: flags.contains(MigrateFlags::POSTCOPY).then(whimbrel_sim::qemu::Postcopy::default),
            persist_destination: flags.contains(MigrateFlags::PERSIST_DEST),
            undefine_source: flags.contains(MigrateFlags::UNDEFINE_SOURCE),
            is_unsafe: flags.contains(MigrateFlags::UNSAFE),
            is_offline: flags.contains(MigrateFlags::OFFLINE),
            ..MigrateOptions::default()
        };
        self.log.migrate_calls.push(parameters);
        let port = self.world.connect(guest, from, to, options);
        self.calls.insert(port, slot);
        self.daemon(from).busy += 1;
        let busy = self.daemons[&from].busy;
        self.log.calls_most = self.log.calls_most.max(busy);
        let resumes = flags.contains(MigrateFlags::POSTCOPY_RESUME);
        let action = if resumes { Action::ResumePostcopy } else { Action::StartMigration };
        self.world.carry_out(port, Command { id: CommandId(1), action });
        self.call_hosts.insert(port, from);
    }
}

impl ConnectionCalls for FakeConnection {
    fn set_keep_alive(&self, _: u16, _: u16) -> Result<bool, LibvirtError> {
        Ok(true)
    }

    fn is_alive(&self) -> Result<bool, LibvirtError> {
        let is_broken = self.fake().inner().is_broken(self.host, self.epoch);
        let mut is_dead = self.is_dead.lock().unwrap();
        *is_dead |= is_broken;
        Ok(!*is_dead)
    }

    fn library_version(&self) -> Result<Version, LibvirtError> {
        self.rpc("virConnectGetLibVersion", |inner| {
            Ok(Version::from_number(inner.world.inventory(self.host).libvirt.to_number()))
        })
    }

    fn hypervisor_version(&self) -> Result<Version, LibvirtError> {
        self.rpc("virConnectGetVersion", |inner| {
            Ok(Version::from_number(inner.world.inventory(self.host).qemu.to_number()))
        })
    }

    fn hostname(&self) -> Result<String, LibvirtError> {
        self.rpc("virConnectGetHostname", |inner| Ok(inner.world.inventory(self.host).name.clone()))
    }

    fn capabilities_xml(&self) -> Result<String, LibvirtError> {
        self.rpc("virConnectGetCapabilities", |inner| {
            let host = inner.world.inventory(self.host);
            let (uuid, architecture) = (&host.uuid, &host.architecture);
            Ok(format!(
                "<capabilities><host><uuid>{uuid}</uuid><cpu><arch>{architecture}</arch></cpu></host></capabilities>"
            ))
        })
    }

    fn lookup(&self, name: &str) -> Result<Domain, LibvirtError> {
        let call = "virDomainLookupByName";
        let guest = self.rpc(call, |inner| self.guest(call, inner, |machine| machine.name == name))?;
        Ok(self.found(guest))
    }

    fn lookup_uuid(&self, uuid: &str) -> Result<Domain, LibvirtError> {
        let call = "virDomainLookupByUUIDString";
        let guest = self.rpc(call, |inner| self.guest(call, inner, |machine| machine.uuid == uuid))?;
        Ok(self.found(guest))
    }

    fn domains(&self) -> Result<Vec<Domain>, LibvirtError> {
        let world_guests = |world: &World| {
            let is_there = |guest: &GuestId| world.look(*guest, self.host) != CopyState::Absent;
            world.guests().filter(is_there).collect::<Vec<_>>()
        };
        let guests = self.rpc("virConnectListAllDomains", |inner| Ok(world_guests(&inner.world)))?;
        Ok(guests.into_iter().map(|guest| self.found(guest)).collect())
    }

    fn subscribe(&self, uuid: &str, sink: EventSink) -> Result<Subscription, LibvirtError> {
        let call = "virConnectDomainEventRegisterAny";
        let port = self.rpc(call, |inner| {
            let guest = self.guest(call, inner, |machine| machine.uuid == uuid)?;
            Ok(inner.subscribe(guest, self, sink))
        })?;
        Ok(Box::new(FakeSubscription::new(self.clone(), port)))
    }
}
