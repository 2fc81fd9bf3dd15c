//! The facts about the guest and both hosts, as libvirt reports them. Nothing is changed.

use std::sync::Arc;
use std::time::Duration;

use whimbrel_core::{Facts, Failure, Fault, Side};
use whimbrel_drive::copying::request;
use whimbrel_drive::projection::machine_facts;
use whimbrel_drive::running::no_such_guest;
use whimbrel_facts::Facts as Collected;

use super::Hosts;
use super::failure::failure;
use crate::collect;
use crate::threads::Pending;
use crate::{Connection, Domain, ErrorCode, LibvirtError};

/// Longer than a link takes to connect or to give up.
const CONNECTED_WITHIN: Duration = Duration::from_mins(1);

impl Hosts {
    /// Queries both hosts once, for the machine and for the rules.
    pub(super) fn collect_facts(self: &Arc<Self>) -> Result<(Box<Facts>, Box<Collected>), Failure> {
        let (source, destination) = self.connect_both();
        let (here, there) = (source?, destination?);
        // Pinned before anything else is queried, and by the connections that everything below is queried over.
        self.pin(Side::Source, &here)?;
        self.pin(Side::Destination, &there)?;
        let guest = self.find_guest(&here)?;
        // Before rules are evaluated and anything is changed.
        self.refuse_if_owned(Side::Source, &guest)?;
        let mut collected = collect::between(&self.route.inquiry(), [&here, &there], &guest)
            .map_err(|(side, error)| failure(side, &error))?;
        if self.route.transfer.copy_disks {
            collected.request = Some(request(true));
        }
        let known = machine_facts(&collected, &self.route, self.disks_to_make(&collected))?;
        let _ = self.uuid.set(known.guest.uuid.clone());
        let _ = self.persistent.set(known.guest.persistent);
        self.listen();
        Ok((known, Box::new(collected)))
    }

    /// From now on this host is the only one that the link accepts. One without a UUID cannot be told from another.
    fn pin(&self, side: Side, connection: &Connection) -> Result<(), Failure> {
        let uuid = connection.host_uuid().map_err(|error| failure(side, &error))?.unwrap_or_default();
        self.link(side).pin(&uuid).map_err(|error| failure(side, &error))
    }

    /// The files that the migration would create on the destination. A plan that cannot be made is for the rules to
    /// refuse in their words; the migrate call plans again and refuses it as well.
    fn disks_to_make(&self, collected: &Collected) -> Vec<String> {
        let is_copied = self.route.transfer.copy_disks;
        let copied = is_copied.then(|| self.route.disks.plan(collected).unwrap_or_default());
        self.note_disks_to_make(&copied.unwrap_or_default())
    }

    fn find_guest(&self, source: &Connection) -> Result<Domain, Failure> {
        let found = match self.uuid.get() {
            Some(uuid) => source.lookup_uuid(uuid),
            None => source.lookup(&self.route.guest),
        };
        found.map_err(|error| match error.code {
            ErrorCode::NoDomain => {
                Failure::new(Fault::GuestNotFound, no_such_guest(&self.route.guest, &running_guests(source)))
            }
            _ => failure(Side::Source, &error),
        })
    }

    /// Connects to both at the same time; a host that does not answer costs its patience once.
    fn connect_both(self: &Arc<Self>) -> (Result<Connection, Failure>, Result<Connection, Failure>) {
        let [source, destination] = [Side::Source, Side::Destination].map(|side| {
            let hosts = Arc::clone(self);
            (side, self.threads.begin("connect-both", move || hosts.link(side).connection()))
        });
        let wait = |(side, connecting): (Side, Pending<Result<Connection, LibvirtError>>)| match connecting
            .wait(&*self.threads, CONNECTED_WITHIN)
        {
            Some(Ok(connection)) => Ok(connection),
            Some(Err(error)) => {
                let failed = failure(side, &error);
                let fault = match failed.fault {
                    Fault::AuthenticationFailed | Fault::AddressNotResolved => failed.fault,
                    _ => Fault::unreachable(side),
                };
                Err(Failure::new(fault, failed.message))
            }
            None => Err(Failure::new(Fault::unreachable(side), "the attempt to connect broke off")),
        };
        (wait(source), wait(destination))
    }
}

fn running_guests(source: &Connection) -> Vec<String> {
    let states = source.domain_states().unwrap_or_default().into_iter();
    states.filter(|(_, state)| state.is_active()).map(|(name, _)| name).collect()
}
