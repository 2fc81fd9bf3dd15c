//! Disks that are copied along (`VIR_MIGRATE_NON_SHARED_DISK`): QEMU's mirror jobs as a fluid.
//!
//! libvirt mirrors the disks first and begins with the memory when both sides hold the same. A *background* mirror
//! copies behind the guest's writes, so a guest that writes faster than the link carries keeps it from ever getting
//! there; a *synchronous* one lets each write wait until it has arrived, so it gets there as surely as the link is
//! faster than nothing.
//!
//! Writes go uniformly to a working set; of what is copied already, the expected part becomes dirty again. The model
//! has no single blocks: it is right about times and amounts only.

use whimbrel_core::{Failure, Fault};

use super::event_queue::Scheduled;
use super::inventory::Volume;
use super::memory_copy::engine_limit;
use super::{JobId, World};
use crate::network::FlowId;
use crate::sampling::{EXPOSURE_BITS, chance_of_write};

/// How disks are copied along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DiskCopy {
    /// Behind the guest's writes.
    Background,
    /// The guest's writes wait for the copy (QEMU's `write-blocking` copy mode, libvirt 10.0's
    /// `VIR_MIGRATE_NON_SHARED_SYNCHRONOUS_WRITES`).
    Synchronous,
}

/// The disks of one migration, all together.
#[derive(Clone, Debug)]
pub(super) struct Mirror {
    mode: DiskCopy,
    total_bytes: u64,
    /// Never sent yet.
    untouched_bytes: u64,
    /// Sent, and written again since.
    dirty_bytes: u64,
    sent_bytes: u64,
    /// Room that the copy still has at the destination.
    room_bytes: u64,
    written_bytes_per_second: u64,
    working_set_bytes: u64,
    flow: Option<FlowId>,
    /// The instant that the figures are of.
    at_ns: u64,
}

/// The fluid is moved on in steps of this length.
const STEP_NS: u64 = 100_000_000;
const NS_PER_S: u128 = 1_000_000_000;

impl World {
    /// Makes room at the destination and begins to mirror.
    pub(super) fn start_mirror(&mut self, id: JobId) {
        let job = self.expect_job(id);
        let (guest, source, destination) = (job.guest, job.source, job.destination);
        let Some(mode) = job.options.copy_disks else { return };
        let copied = job.copied;
        let all = self.domain(guest).machine.disks.iter().enumerate();
        let disks: Vec<_> =
            all.filter(|(place, _)| copied.has(*place)).map(|(_, disk)| disk.clone()).collect();
        let mut room_bytes = 0;
        for disk in &disks {
            let bytes =
                self.host(source).inventory.backing(&disk.path).map_or(disk.used_bytes, |found| found.bytes);
            match self.make_volume(guest, destination, &disk.path, bytes) {
                Ok(room) => room_bytes = room,
                Err(failure) => {
                    self.give_up(id, failure);
                    return;
                }
            }
        }
        let total_bytes = disks.iter().map(|disk| disk.used_bytes).sum();
        let limit = self
            .domain(guest)
            .copy(source)
            .map_or(0, |copy| engine_limit(copy.settings.bandwidth_limit_bytes_per_second));
        let demand = if limit == 0 { u64::MAX } else { limit };
        let flow = self.open_flow(source, destination, demand);
        let mirror = Mirror {
            mode,
            total_bytes,
            untouched_bytes: total_bytes,
            dirty_bytes: 0,
            sent_bytes: 0,
            room_bytes,
            written_bytes_per_second: disks.iter().map(|disk| disk.written_bytes_per_second).sum(),
            working_set_bytes: disks.iter().map(|disk| disk.working_set_bytes).sum(),
            flow,
            at_ns: self.now_ns,
        };
        self.expect_job_mut(id).mirror = Some(mirror);
        self.stage(id, super::job::Stage::Mirroring);
        self.settle();
        self.plan_mirror_turn(id);
    }

    /// Moves the mirror on by what the link carried since the last turn.
    pub(super) fn on_mirror_turn(&mut self, id: JobId) {
        let now_ns = self.now_ns;
        let job = self.expect_job(id);
        let flow = job.mirror.as_ref().and_then(|mirror| mirror.flow).filter(|_| job.silent_since.is_none());
        let rate = flow.and_then(|flow| self.network.rate(flow)).unwrap_or(0);
        let Some(mirror) = &mut self.expect_job_mut(id).mirror else { return };
        mirror.flow_on(now_ns, rate);
        if mirror.total_bytes - mirror.untouched_bytes > mirror.room_bytes {
            let words = "operation failed: migration of disks failed: no space left on device";
            self.stop_mirror(id);
            self.give_up(id, Failure::new(Fault::Other, words));
        } else if mirror.remaining_bytes() == 0 {
            // What the guest writes from now on goes to both sides.
            let (flow, written) = (mirror.flow, mirror.written_bytes_per_second);
            if let Some(flow) = flow {
                let _ = self.network.set_demand(flow, written);
            }
            self.start_copying(id);
        } else {
            self.plan_mirror_turn(id);
        }
    }

    /// Lets go of a mirror's share of the network.
    pub(super) fn stop_mirror(&mut self, id: JobId) {
        let flow = self.expect_job_mut(id).mirror.as_mut().and_then(|mirror| mirror.flow.take());
        if let Some(flow) = flow {
            self.close_flow(flow);
        }
    }

    /// Room for a disk: a file of that size, made if it is not there. Gives the bytes that can be written.
    fn make_volume(
        &mut self,
        guest: super::GuestId,
        host: super::HostId,
        path: &str,
        bytes: u64,
    ) -> Result<u64, Failure> {
        let refused = |words: String| Failure::new(Fault::Other, words);
        let inventory = &mut self.host_mut(host).inventory;
        let Some((pool, name)) = inventory.pool_of_mut(path) else {
            return Err(refused(format!("cannot create the volume '{path}': no storage pool there")));
        };
        let there = pool.volumes.iter().find(|volume| volume.name == name).map(|volume| volume.bytes);
        match there {
            Some(size) if size < bytes => {
                let words = format!("the volume '{path}' has {size} bytes, and the source's has {bytes}");
                Err(refused(words))
            }
            Some(_) => Ok(pool.free_bytes),
            None => {
                pool.volumes.push(Volume { name: name.to_owned(), bytes, used_by: None });
                let room = pool.free_bytes;
                self.domain_mut(guest).made.push((host, path.to_owned()));
                Ok(room)
            }
        }
    }

    fn plan_mirror_turn(&mut self, id: JobId) {
        let at_ns = self.now_ns + STEP_NS;
        self.expect_job_mut(id).turn_at = Some(at_ns);
        self.event_queue.put(at_ns, Scheduled::Turn(id));
    }
}

impl Mirror {
    pub(super) const fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    pub(super) const fn remaining_bytes(&self) -> u64 {
        self.untouched_bytes + self.dirty_bytes
    }

    pub(super) const fn sent_bytes(&self) -> u64 {
        self.sent_bytes
    }

    /// What happened since the last turn, at a rate of the link that held meanwhile.
    fn flow_on(&mut self, now_ns: u64, bytes_per_second: u64) {
        let passed_ns = now_ns.saturating_sub(self.at_ns);
        self.at_ns = now_ns;
        let mut budget = amount(bytes_per_second, passed_ns);
        let written = amount(self.written_bytes_per_second, passed_ns);
        match self.mode {
            DiskCopy::Synchronous => {
                // The guest's writes and the copy compete for the link; writes that find no room wait.
                let forwarded = written.min(if self.remaining_bytes() > 0 { budget / 2 } else { budget });
                self.sent_bytes += forwarded;
                budget -= forwarded;
            }
            DiskCopy::Background => self.dirty_bytes += self.newly_dirty(written),
        }
        for left in [&mut self.untouched_bytes, &mut self.dirty_bytes] {
            let sent = budget.min(*left);
            *left -= sent;
            self.sent_bytes += sent;
            budget -= sent;
        }
    }

    /// The part of the working set that is copied and clean and is written by this many bytes, on average.
    fn newly_dirty(&self, written: u64) -> u64 {
        let set = self.working_set_bytes.min(self.total_bytes);
        if set == 0 {
            return 0;
        }
        let copied = self.total_bytes - self.untouched_bytes;
        let copied_of_set = share(set, copied, self.total_bytes);
        let clean = copied_of_set.saturating_sub(self.dirty_bytes);
        let exposure = ((u128::from(written) << (EXPOSURE_BITS - 16)) / u128::from(set)) << 16;
        share(clean, chance_of_write(exposure), u64::MAX)
    }
}

fn amount(bytes_per_second: u64, ns: u64) -> u64 {
    u64::try_from(u128::from(bytes_per_second) * u128::from(ns) / NS_PER_S).unwrap_or(u64::MAX)
}

/// `whole` times `part` / `of`, rounded down.
fn share(whole: u64, part: u64, of: u64) -> u64 {
    u64::try_from(u128::from(whole) * u128::from(part) / u128::from(of.max(1))).unwrap_or(whole)
}
