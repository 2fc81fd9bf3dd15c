//! The migrate call, and the call that lets a post-copy go on: peer to peer, on connections of their own, since they
//! block to the end.

use whimbrel_core::{Failure, Fault, Side};

use std::time::Duration;

use super::Hosts;
use super::failure::{call_failure, failure};
use crate::lock;
use crate::workers::{CALLS_MOST, Worker};
use crate::{Connection, Domain, MigrateFlags, MigrateParameters, versions};
use whimbrel_drive::CallPermit;

/// Time between two looks whether the daemon has a worker for one more call.
const WORKER_INTERVAL: Duration = Duration::from_millis(500);

impl Hosts {
    pub(super) fn migrate(&self, permit: &CallPermit) -> Result<(), Failure> {
        let _worker = self.occupy_worker(permit)?;
        // A connection of its own: this call blocks until the end.
        let connection = self.source.separate().map_err(|error| failure(Side::Source, &error))?;
        let uuid = self.uuid.get().map_or("", String::as_str);
        let domain = connection.lookup_uuid(uuid).map_err(|error| failure(Side::Source, &error))?;
        self.check_versions(&connection, &self.migrate_parameters())?;
        // libvirt would wait for another's job to end, and everything that is asked meanwhile would concern that job.
        self.refuse_if_busy()?;
        permit.check()?;
        // A guest that is off has no settings that were read before.
        self.claim_guest(&domain)?;
        self.prepare_copies()?;
        self.check_destination()?;
        if let Err(withdrawn) = permit.check() {
            // The migration may be over already: nothing else removes what was created since.
            let created: Vec<String> = lock(&self.created).iter().cloned().collect();
            let _ = self.remove_disks(&created);
            return Err(withdrawn);
        }
        self.refuse_if_owned(Side::Source, &domain)?;
        self.make_call(permit, &connection, &domain, &self.migrate_parameters())
    }

    /// Waits until this process may occupy one more of the daemon's workers, and reports that it waited.
    fn occupy_worker(&self, permit: &CallPermit) -> Result<Worker, Failure> {
        let began = self.threads.now();
        let mut is_reported = false;
        loop {
            permit.check()?;
            if let Some(worker) = self.workers.take(&self.source.daemon()) {
                if is_reported {
                    let waited = self.threads.now().saturating_sub(began).as_secs();
                    lock(&self.remarks).push(format!(
                        "the migrate call waited {waited} s, because {CALLS_MOST} migrations from the source ran already"
                    ));
                }
                return Ok(worker);
            }
            if !is_reported {
                is_reported = true;
                tracing::info!(
                    guest = self.route.guest,
                    source = self.route.source,
                    "the migrate call waits: {CALLS_MOST} migrations from the source run already"
                );
            }
            self.threads.pause(WORKER_INTERVAL);
        }
    }

    /// Refuses to send the guest to a host that the rules did not judge. A connection that stands may lead to the right host
    /// although the address leads elsewhere by now, so a new one is made. The source's daemon resolves the address by itself,
    /// a moment later: libvirt has no call that names the host.
    fn check_destination(&self) -> Result<(), Failure> {
        self.destination.separate().map(drop).map_err(|error| {
            let Failure { fault, message } = failure(Side::Destination, &error);
            Failure::new(
                fault,
                format!("the migrate call was not made, the guest is on the source: {message}"),
            )
        })
    }

    /// Makes the migrate call once more for a post-copy that lost its connection. Nobody can take that guest back, so
    /// nothing is checked that could keep it from going on.
    pub(super) fn resume_postcopy(&self, permit: &CallPermit) -> Result<(), Failure> {
        let connection = self.source.separate().map_err(|error| failure(Side::Source, &error))?;
        let uuid = self.uuid.get().map_or("", String::as_str);
        let domain = connection.lookup_uuid(uuid).map_err(|error| failure(Side::Source, &error))?;
        let mut parameters = self.migrate_parameters();
        // The destination has its definition already.
        if self.route.is_redacted() {
            (parameters.destination_xml, parameters.persistent_xml) = (None, None);
        }
        parameters.flags |= MigrateFlags::POSTCOPY_RESUME;
        self.make_call(permit, &connection, &domain, &parameters)
    }

    fn make_call(
        &self,
        permit: &CallPermit,
        connection: &Connection,
        domain: &Domain,
        parameters: &MigrateParameters,
    ) -> Result<(), Failure> {
        self.listener.forget_ended();
        permit.check()?;
        // A post-copy that is resumed keeps its job, which is older than this call.
        let begins = !parameters.flags.contains(MigrateFlags::POSTCOPY_RESUME);
        if begins {
            self.in_flight.made(self.threads.now());
        }
        let result = domain.migrate_p2p(self.destination.uri().as_str(), parameters);
        if result.is_ok() {
            let _ = self.call_succeeded.set(());
        }
        let result = result.map_err(|error| call_failure(&error, connection));
        let is_lost = result.as_ref().is_err_and(|failure| failure.fault == Fault::ReplyLost);
        if begins {
            self.in_flight.returned(is_lost.then(|| self.threads.now()));
        }
        result
    }

    pub(super) fn migrate_parameters(&self) -> MigrateParameters {
        let transfer = self.route.transfer;
        // Without a list libvirt copies every disk, shared ones too: the list is always given, and nothing is copied
        // without one.
        let migrate_disks = lock(&self.copied).clone();
        let mut flags = if transfer.offline { MigrateFlags::OFFLINE } else { MigrateFlags::LIVE };
        for (asked, flag) in [
            (transfer.postcopy, MigrateFlags::POSTCOPY),
            (transfer.auto_converge, MigrateFlags::AUTO_CONVERGE),
            (transfer.xbzrle, MigrateFlags::COMPRESSED),
            (transfer.parallel_connections.is_some(), MigrateFlags::PARALLEL),
            (!migrate_disks.is_empty(), MigrateFlags::NON_SHARED_DISK),
            (self.route.allow_unsafe, MigrateFlags::UNSAFE),
        ] {
            if asked {
                flags |= flag;
            }
        }
        let is_persistent = self.persistent.get() == Some(&true);
        if is_persistent {
            // The definition goes with the guest: one that stayed behind could be started there by mistake.
            flags |= MigrateFlags::PERSIST_DEST | MigrateFlags::UNDEFINE_SOURCE;
        }
        MigrateParameters {
            flags,
            migrate_uri: self.route.migrate_uri.clone(),
            destination_xml: self.route.destination_xml.clone(),
            // Without it the destination would keep the source's definition, whose paths and networks are not its own.
            persistent_xml: self.route.destination_xml.clone().filter(|_| is_persistent),
            parallel_connections: transfer.parallel_connections.map(i32::from),
            migrate_disks,
        }
    }

    /// Asks for the switch to post-copy, of our migration and of no other.
    pub(super) fn start_postcopy(&self) -> Result<(), Failure> {
        self.domain(Side::Source)
            .and_then(|domain| domain.start_postcopy())
            .map_err(|error| failure(Side::Source, &error))
    }

    /// Refuses what one of the two daemons is too old for, before it refuses it in its own words.
    pub(super) fn check_versions(
        &self,
        source: &Connection,
        parameters: &MigrateParameters,
    ) -> Result<(), Failure> {
        let here = source.library_version().map_err(|error| failure(Side::Source, &error))?;
        let there = self.destination.connection().and_then(|destination| destination.library_version());
        let there = there.map_err(|error| failure(Side::Destination, &error))?;
        let missing = versions::missing(parameters, here, there);
        if missing.is_empty() {
            return Ok(());
        }
        let message = format!(
            "libvirt {here} on the source and {there} on the destination do not both offer {missing:?}"
        );
        Err(Failure::new(Fault::Incompatible, message))
    }
}
