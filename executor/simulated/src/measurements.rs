//! Measurements of dirty rates that are under way: each is answered when its interval has passed in the world's time, as a
//! host answers.

use std::num::NonZeroU64;
use std::sync::mpsc::Sender;

use whimbrel_core::{Failure, Fault};
use whimbrel_drive::dirty_rate::DirtyRate;
use whimbrel_sim::world::{GuestId, HostId, ProcessState, World};

const NS_PER_MS: u64 = 1_000_000;

#[derive(Debug, Default)]
pub(super) struct Measurements(Vec<Measurement>);

#[derive(Debug)]
struct Measurement {
    guest: GuestId,
    host: HostId,
    from_ns: u64,
    interval_ms: NonZeroU64,
    reply: Sender<Result<DirtyRate, Failure>>,
}

impl Measurement {
    fn until_ns(&self) -> u64 {
        self.from_ns.saturating_add(self.interval_ms.get().saturating_mul(NS_PER_MS))
    }

    fn rate(&self, world: &World) -> Result<DirtyRate, Failure> {
        let runs = world.process_state(self.guest, self.host).is_some_and(ProcessState::runs);
        let measured =
            || world.dirty_rate_mib_per_second(self.guest, self.host, self.from_ns, self.interval_ms);
        let mib_per_second = runs
            .then(measured)
            .flatten()
            .ok_or_else(|| refused("the guest has too little memory or is gone"))?;
        Ok(DirtyRate { interval_ms: self.interval_ms.get(), bytes_per_second: mib_per_second << 20 })
    }
}

impl Measurements {
    /// Begins one at the world's present, or answers why it cannot be made.
    pub(super) fn begin(
        &mut self,
        world: &World,
        (guest, host): (GuestId, HostId),
        seconds: u16,
        reply: Sender<Result<DirtyRate, Failure>>,
    ) {
        if !world.measures_dirty_rates(host) {
            // The client may be gone.
            let _ = reply.send(Err(refused("it needs libvirt 7.2 and QEMU 5.2")));
            return;
        }
        let runs = world.process_state(guest, host).is_some_and(ProcessState::runs);
        match NonZeroU64::new(u64::from(seconds) * 1_000).filter(|_| runs) {
            Some(interval_ms) => {
                let from_ns = world.now_ns();
                self.0.push(Measurement { guest, host, from_ns, interval_ms, reply });
            }
            // The client may be gone.
            None => drop(reply.send(Err(refused("domain is not running")))),
        }
    }

    /// Answers those whose interval is over.
    pub(super) fn end(&mut self, world: &World, now_ns: u64) {
        for over in self.0.extract_if(.., |one| one.until_ns() <= now_ns) {
            // The client may be gone.
            let _ = over.reply.send(over.rate(world));
        }
    }

    /// When the next one is over.
    pub(super) fn next_ns(&self) -> Option<u64> {
        self.0.iter().map(Measurement::until_ns).min()
    }
}

fn refused(reason: &str) -> Failure {
    Failure::new(Fault::Refused, format!("the dirty rate cannot be measured: {reason}"))
}
