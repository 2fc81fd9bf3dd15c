//! What the two daemons refuse, each at its own moment: the source's when the call begins, the destination's when it
//! prepares.

use whimbrel_core::{Failure, Fault};

use super::domains::ProcessState;
use super::job::MigrateOptions;
use super::{GuestId, HostId, JobId, World};
use crate::versions::{libvirt, qemu};

impl World {
    /// The checks of the source's daemon, before it sends anything to the destination.
    pub(super) fn may_begin(
        &self,
        guest: GuestId,
        source: HostId,
        destination: HostId,
        options: &MigrateOptions,
    ) -> Result<(), Failure> {
        let domain = self.domain(guest);
        if options.is_offline {
            let is_off = domain.copy(source).is_none() && domain.defined_on.contains(&source);
            return if is_off {
                Ok(())
            } else {
                Err(refusal(Fault::Refused, "only a guest that is off and defined is moved offline"))
            };
        }
        let Some(copy) = domain.copy(source) else {
            return Err(refusal(
                Fault::GuestNotRunning,
                "requested operation is not valid: domain is not running",
            ));
        };
        if copy.job.is_some() {
            return Err(refusal(Fault::Refused, "another migration job is already running for this domain"));
        }
        match copy.process_state {
            ProcessState::Running | ProcessState::Paused => {}
            ProcessState::Stopped => {
                let words = "QEMU cannot migrate a guest that an earlier migration stopped; resume it first";
                return Err(refusal(Fault::Refused, words));
            }
            ProcessState::Incoming
            | ProcessState::PostcopySource { .. }
            | ProcessState::PostcopyDestination { .. } => {
                return Err(refusal(Fault::Refused, "the domain is being migrated"));
            }
        }
        if source == destination {
            return Err(refusal(Fault::SameHost, "attempt to migrate guest to the same host"));
        }
        self.offers_all(source, options)?;
        let copied = self.copied(guest, [source, destination], options)?;
        let local = domain.machine.disks.iter().enumerate().find(|(place, disk)| {
            let backing = self.host(source).inventory.backing(&disk.path);
            !copied.has(*place) && !backing.is_some_and(|backing| backing.is_shared)
        });
        match local {
            Some(_) if !options.is_unsafe => {
                let words = "unsafe migration: migration without shared storage is unsafe";
                Err(refusal(Fault::UnsafeStorage, words))
            }
            _ => Ok(()),
        }
    }

    /// The checks of the destination's daemon, and of the QEMU that it starts.
    pub(super) fn may_prepare(&self, id: JobId) -> Result<(), Failure> {
        let job = self.expect_job(id);
        let domain = self.domain(job.guest);
        let machine = &domain.machine;
        let here = &self.host(job.destination).inventory;
        let there = &self.host(job.source).inventory;
        if domain.copy(job.destination).is_some() {
            let words = format!("operation failed: domain '{}' already exists", machine.name);
            return Err(refusal(Fault::GuestExists, words));
        }
        if job.options.is_offline {
            return Ok(());
        }
        self.offers_all(job.destination, &job.options)?;
        if here.architecture != there.architecture {
            let words =
                format!("unsupported configuration: architecture {} is not offered", there.architecture);
            return Err(refusal(Fault::Incompatible, words));
        }
        if !here.machines.contains(&machine.machine) {
            let words = format!("unsupported configuration: no machine type '{}'", machine.machine);
            return Err(refusal(Fault::Incompatible, words));
        }
        if here.cpu_model != there.cpu_model
            || there.cpu_features.iter().any(|feature| !here.cpu_features.contains(feature))
        {
            return Err(refusal(
                Fault::Incompatible,
                "operation failed: guest CPU doesn't match specification",
            ));
        }
        if let Some(network) = machine.networks.iter().find(|network| !here.networks.contains(network)) {
            return Err(refusal(Fault::Other, format!("network not found: no network '{network}'")));
        }
        for (place, disk) in machine.disks.iter().enumerate() {
            if !job.copied.has(place) && here.backing(&disk.path).is_none() {
                let words =
                    format!("internal error: could not open '{}': no such file or directory", disk.path);
                return Err(refusal(Fault::Other, words));
            }
        }
        if machine.memory.memory_mib > self.host(job.destination).free_memory_mib() {
            let words = "internal error: QEMU could not set up guest memory: cannot allocate memory";
            return Err(refusal(Fault::Other, words));
        }
        Ok(())
    }

    /// Whether a host's versions offer every requested feature.
    fn offers_all(&self, host: HostId, options: &MigrateOptions) -> Result<(), Failure> {
        let inventory = &self.host(host).inventory;
        let asked = [
            (options.auto_converge.is_some(), libvirt::Feature::AutoConverge, qemu::Feature::AutoConverge),
            (options.xbzrle.is_some(), libvirt::Feature::Compressed, qemu::Feature::Xbzrle),
            (options.channels.is_some(), libvirt::Feature::Parallel, qemu::Feature::Multifd),
            (options.postcopy.is_some(), libvirt::Feature::Postcopy, qemu::Feature::PostcopyRam),
        ];
        for (is_asked, flag, capability) in asked {
            let offered = libvirt::offers(inventory.libvirt, flag).is_offered()
                && qemu::offers(inventory.qemu, capability).is_offered();
            if is_asked && !offered {
                let words =
                    format!("unsupported argument: {} is not offered by {}", flag.name(), inventory.name);
                return Err(refusal(Fault::Refused, words));
            }
        }
        let is_both = options.channels.is_some() && options.postcopy.is_some();
        if is_both && !qemu::offers(inventory.qemu, qemu::Feature::MultifdWithPostcopy).is_offered() {
            let words = format!("unsupported argument: {} cannot do post-copy with multifd", inventory.name);
            return Err(refusal(Fault::Refused, words));
        }
        let overtakes = options.postcopy.is_some_and(|postcopy| postcopy.preempt);
        if overtakes && !qemu::offers(inventory.qemu, qemu::Feature::PostcopyPreempt).is_offered() {
            let words =
                format!("unsupported argument: postcopy-preempt is not offered by {}", inventory.name);
            return Err(refusal(Fault::Refused, words));
        }
        let limits = options.dirty_limit.is_some();
        if limits && !qemu::offers(inventory.qemu, qemu::Feature::DirtyLimit).is_offered() {
            let words = format!("unsupported argument: dirty-limit is not offered by {}", inventory.name);
            return Err(refusal(Fault::Refused, words));
        }
        Ok(())
    }
}

fn refusal(fault: Fault, words: impl Into<String>) -> Failure {
    Failure::new(fault, words)
}
