//! The facts about the guest and both hosts, as libvirt tells them. Nothing is changed.

use std::sync::{Arc, mpsc};
use std::thread;

use whimbrel_core::{Facts, Failure, Fault, GuestFacts, GuestRun, HostFacts, Side};

use super::failure::failure;
use super::{Hosts, look, unreachable};
use crate::{Connection, ErrorCode, LibvirtError, State, Version, XmlView, host_uuid};

impl Hosts {
    pub(super) fn collect_facts(self: &Arc<Self>) -> Result<Box<Facts>, Failure> {
        let (source, destination) = self.connect_both();
        let (here, there) = (source?, destination?);
        // Pinned before anything else is asked, and by the connections that everything below is asked over.
        let source = self.pinned_facts(Side::Source, &self.route.source, &here)?;
        let mut destination = self.pinned_facts(Side::Destination, &self.route.destination, &there)?;
        let guest = self.guest_facts(&here)?;
        let disks_to_make = self.disks_to_make();
        destination.has_guest =
            find_guest(&there, &guest).map_err(|error| failure(Side::Destination, &error))?;
        Ok(Box::new(Facts { guest, source, destination, disks_to_make }))
    }

    /// The facts of a host, which from now on is the only one that its link accepts.
    fn pinned_facts(&self, side: Side, uri: &str, connection: &Connection) -> Result<HostFacts, Failure> {
        let facts = host_facts(uri, connection).and_then(|facts| {
            self.link(side).pin(&facts.host_uuid)?;
            Ok(facts)
        });
        facts.map_err(|error| failure(side, &error))
    }

    /// The files that the migration would create on the destination. A plan that cannot be made is for the rules to
    /// refuse in their words; the migrate call plans again and refuses it as well.
    fn disks_to_make(&self) -> Vec<String> {
        let copied = self.plan_copies().unwrap_or_default();
        self.note_disks_to_make(&copied)
    }

    /// Connects to both at the same time; a host that does not answer costs its patience once.
    fn connect_both(self: &Arc<Self>) -> (Result<Connection, Failure>, Result<Connection, Failure>) {
        let [source, destination] = [Side::Source, Side::Destination].map(|side| {
            let (done, result) = mpsc::channel();
            let hosts = Arc::clone(self);
            thread::spawn(move || done.send(hosts.link(side).connection()));
            (side, result)
        });
        let wait =
            |(side, result): (Side, mpsc::Receiver<Result<Connection, LibvirtError>>)| match result.recv() {
                Ok(Ok(connection)) => Ok(connection),
                Ok(Err(error)) => {
                    let told = failure(side, &error);
                    let fault = match told.fault {
                        Fault::AuthenticationFailed | Fault::AddressNotResolved => told.fault,
                        _ => unreachable(side),
                    };
                    Err(Failure::new(fault, told.message))
                }
                Err(_) => Err(Failure::new(unreachable(side), "the attempt to connect broke off")),
            };
        (wait(source), wait(destination))
    }

    fn guest_facts(self: &Arc<Self>, source: &Connection) -> Result<GuestFacts, Failure> {
        let found = match self.uuid.get() {
            Some(uuid) => source.lookup_uuid(uuid),
            None => source.lookup(&self.route.guest),
        };
        let domain = found.map_err(|error| match error.code {
            ErrorCode::NoDomain => {
                Failure::new(Fault::GuestNotFound, no_such_guest(&self.route.guest, source))
            }
            _ => failure(Side::Source, &error),
        })?;
        // Before rules are asked and anything is changed.
        self.refuse_if_owned(Side::Source, &domain)?;
        let read = || {
            let uuid = domain.uuid()?;
            let persistent = domain.is_persistent()?;
            let state = domain.state()?;
            let job = look::job(&domain)?;
            let xml = domain.xml(XmlView::Current)?;
            Ok((uuid, persistent, state, job, xml))
        };
        let (uuid, persistent, state, job, xml) =
            read().map_err(|error: LibvirtError| failure(Side::Source, &error))?;
        let _ = self.uuid.set(uuid.clone());
        let _ = self.persistent.set(persistent);
        self.subscribe(source, &domain);
        Ok(GuestFacts {
            name: self.route.guest.clone(),
            uuid,
            run: guest_run(state),
            persistent,
            memory_bytes: memory_bytes(&xml).unwrap_or(0),
            job_active: job.as_ref().is_some_and(look::is_active),
        })
    }
}

/// Without the guest on it.
fn host_facts(uri: &str, connection: &Connection) -> Result<HostFacts, LibvirtError> {
    let capabilities = connection.capabilities_xml()?;
    Ok(HostFacts {
        uri: uri.to_owned(),
        hostname: connection.hostname()?,
        host_uuid: host_uuid(&capabilities).unwrap_or_default(),
        hypervisor: hypervisor(uri),
        architecture: architecture(&capabilities).unwrap_or_default(),
        library_version: number(connection.library_version()?),
        hypervisor_version: number(connection.hypervisor_version()?),
        free_memory_bytes: connection.free_memory_bytes().ok(),
        has_guest: None,
    })
}

/// Whether the destination has a guest of this UUID or name.
fn find_guest(destination: &Connection, guest: &GuestFacts) -> Result<Option<GuestRun>, LibvirtError> {
    for lookup in [destination.lookup_uuid(&guest.uuid), destination.lookup(&guest.name)] {
        match lookup {
            Ok(domain) => return Ok(Some(guest_run(domain.state()?))),
            Err(error) if error.code == ErrorCode::NoDomain => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

pub(super) fn guest_run(state: State) -> GuestRun {
    match state {
        State::Running(_) | State::Blocked | State::ShuttingDown => GuestRun::Running,
        State::Paused(_) | State::Crashed | State::GuestSuspended | State::Unknown { .. } => GuestRun::Paused,
        State::Shutoff(_) => GuestRun::NotRunning,
    }
}

/// Names the guests that there are: the mistake is mostly in a letter.
fn no_such_guest(name: &str, source: &Connection) -> String {
    let there: Vec<_> = source
        .domain_states()
        .unwrap_or_default()
        .into_iter()
        .filter(|(_, state)| state.is_active())
        .map(|(name, _)| format!("`{name}`"))
        .collect();
    if there.is_empty() {
        return format!("no guest `{name}`, and no other guest runs there");
    }
    format!("no guest `{name}`; running there: {}", there.join(", "))
}

/// The driver part of a connection URI names the kind of hypervisor.
pub(crate) fn hypervisor(uri: &str) -> String {
    let scheme = uri.split(':').next().unwrap_or_default();
    scheme.split('+').next().unwrap_or_default().to_ascii_uppercase()
}

pub(super) fn architecture(capabilities_xml: &str) -> Option<String> {
    let document = roxmltree::Document::parse(capabilities_xml).ok()?;
    let host = document.root_element().children().find(|node| node.has_tag_name("host"))?;
    let cpu = host.children().find(|node| node.has_tag_name("cpu"))?;
    let arch = cpu.children().find(|node| node.has_tag_name("arch"))?;
    arch.text().map(str::to_owned)
}

/// libvirt always writes `<memory>` in KiB when it prints a domain.
pub(super) fn memory_bytes(domain_xml: &str) -> Option<u64> {
    let kib: u64 = text_of(domain_xml, "memory")?.parse().ok()?;
    Some(kib.saturating_mul(1024))
}

/// The text of an element right below the root.
pub(super) fn text_of(xml: &str, element: &str) -> Option<String> {
    let document = roxmltree::Document::parse(xml).ok()?;
    let found = document.root_element().children().find(|node| node.has_tag_name(element))?;
    Some(found.text()?.trim().to_owned())
}

fn number(version: Version) -> u64 {
    u64::from(version.major) * 1_000_000 + u64::from(version.minor) * 1_000 + u64::from(version.release)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xml_is_read_for_what_it_says() {
        let xml = "<domain><name>x</name><memory unit='KiB'> 262144 </memory></domain>";
        assert_eq!(memory_bytes(xml), Some(256 << 20));
        let caps = "<capabilities><host><cpu><arch>x86_64</arch></cpu></host></capabilities>";
        assert_eq!(architecture(caps).as_deref(), Some("x86_64"));
        assert_eq!(memory_bytes("<domain/>"), None);
        assert_eq!(hypervisor("qemu+tcp://beta/system"), "QEMU");
        assert_eq!(hypervisor("qemu:///system"), "QEMU");
    }
}
