//! How far each writer has come: its own time, and the writes that no sync has seen yet.
//!
//! A writer's time stops while the guest is stopped, and lags behind while it is throttled. Only sums are kept, never
//! single writes: what a sync sees is the union of all since the sync before.

use super::writer::{PageRun, Writer};
use super::{Guest, Pattern};

/// The writers' clocks during one migration.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_field_names,
    reason = "one clock for each writer, beside the instants that they share"
)]
pub(crate) struct Clocks {
    /// They count from here on.
    since_ns: u64,
    /// The guest has run up to here.
    passed_ns: u64,
    clocks: Vec<Clock>,
}

/// One writer's clock, and its writes since the last sync. Writes are in units of 10^-9.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// The writer's own time.
    own_ns: u64,
    /// The same when the clocks began.
    own_since_ns: u64,
    /// By how much it lags behind what it will make up for.
    owed_ns: u64,
    /// Its writes when the sync before the last looked, and when the last did.
    from: u128,
    to: u128,
    /// Those between the two that went to where it moves to.
    moved: u128,
}

/// Time that passes for a writer, and by how much it lagged behind before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "the unit stands last in a name")]
pub(crate) struct Stretch {
    pub(crate) from_ns: u64,
    pub(crate) length_ns: u64,
    pub(crate) owed_ns: u64,
}

/// How far its own time gets in it, and by how much it lags behind afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) ns: u64,
    pub(crate) owed_ns: u64,
}

impl Progress {
    /// So far, and what was missed is lost.
    pub(crate) fn of(ns: u64) -> Self {
        Self { ns, owed_ns: 0 }
    }
}

/// Everything that was written between two syncs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written<'a> {
    clocks: &'a [Clock],
    writers: &'a [Writer],
}

impl Clocks {
    /// All writers, at the instant from which on writes count.
    pub(crate) fn new(guest: &Guest, now_ns: u64) -> Self {
        let own_ns = now_ns.saturating_sub(guest.started_at_ns);
        let clock = |writer: &Writer| {
            let writes = writer.pace.writes_by(own_ns);
            Clock { own_ns, own_since_ns: own_ns, owed_ns: 0, from: writes, to: writes, moved: 0 }
        };
        Self { since_ns: now_ns, passed_ns: now_ns, clocks: guest.writers.iter().map(clock).collect() }
    }

    /// All writers at the same instant, with everything that they ever wrote still to be collected.
    pub(crate) fn since_beginning(guest: &Guest, now_ns: u64) -> Self {
        let own_ns = now_ns.saturating_sub(guest.started_at_ns);
        let clock = Clock { own_ns, own_since_ns: own_ns, owed_ns: 0, from: 0, to: 0, moved: 0 };
        Self { since_ns: now_ns, passed_ns: now_ns, clocks: guest.writers.iter().map(|_| clock).collect() }
    }

    /// Lets the guest run until an instant; `progress` returns how far each writer gets in a stretch of time.
    #[inline]
    pub(crate) fn run_until(&mut self, to_ns: u64, progress: impl Fn(usize, Stretch) -> Progress) {
        let (from_ns, length_ns) = (self.passed_ns, to_ns.saturating_sub(self.passed_ns));
        self.passed_ns = self.passed_ns.max(to_ns);
        for (index, clock) in self.clocks.iter_mut().enumerate() {
            let made = progress(index, Stretch { from_ns, length_ns, owed_ns: clock.owed_ns });
            clock.own_ns = clock.own_ns.saturating_add(made.ns);
            clock.owed_ns = made.owed_ns;
        }
    }

    /// Lets the guest run until an instant with nothing that slows it.
    #[inline]
    pub(crate) fn run_freely(&mut self, to_ns: u64) {
        self.run_until(to_ns, |_, stretch| Progress::of(stretch.length_ns));
    }

    /// Lets time pass while the guest is stopped.
    pub(crate) fn stand_until(&mut self, to_ns: u64) {
        self.passed_ns = self.passed_ns.max(to_ns);
    }

    /// Time of all writers together since the clocks began, and the part of it that they did not have for their work.
    pub(crate) fn work_ns(&self) -> (u64, u64) {
        let passed_ns = self.passed_ns - self.since_ns;
        let all_ns = passed_ns.saturating_mul(u64::try_from(self.clocks.len()).unwrap_or(u64::MAX));
        let own_ns = self.clocks.iter().map(|clock| clock.own_ns - clock.own_since_ns).sum();
        (all_ns, all_ns.saturating_sub(own_ns))
    }

    /// The own time of all writers, in slices of a length, as one key: the same wherever the guest has come as far.
    pub(crate) fn key(clocks: &[Clock], slice_ns: u64) -> u64 {
        clocks.iter().fold(0, |key: u64, clock| {
            key.rotate_left(17).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(clock.own_ns / slice_ns)
        })
    }

    /// The writes of each writer so far, in units of 10^-9, and its own time.
    pub(crate) fn progress(&self) -> impl Iterator<Item = (u128, u64)> + '_ {
        self.clocks.iter().map(|clock| (clock.to, clock.own_ns))
    }

    /// What was written since this was last asked.
    #[inline]
    pub(crate) fn collect<'a>(&'a mut self, guest: &'a Guest) -> Written<'a> {
        for (clock, writer) in self.clocks.iter_mut().zip(&guest.writers) {
            clock.from = clock.to;
            clock.to = writer.pace.writes_by(clock.own_ns);
            clock.moved = writer.moved_by(clock.to) - writer.moved_by(clock.from);
        }
        Written { clocks: &self.clocks, writers: &guest.writers }
    }
}

impl Written<'_> {
    /// Writes of one writer where it is at home, or where it moves to, in units of 10^-9.
    #[inline]
    pub(crate) fn writes(&self, writer: usize, moved: bool) -> u128 {
        let Some(clock) = self.clocks.get(writer) else { return 0 };
        if moved { clock.moved } else { clock.to - clock.from - clock.moved }
    }

    /// The own time that the writers have reached, as a key; see [`Clocks::key`].
    pub(crate) fn key(&self, slice_ns: u64) -> u64 {
        Clocks::key(self.clocks, slice_ns)
    }

    /// Reports every run of pages, from the start of the region, that a scan passed over.
    pub(crate) fn for_each_run(&self, mut tell: impl FnMut(PageRun)) {
        let scans = self.clocks.iter().zip(self.writers);
        for (clock, writer) in scans.filter(|(_, writer)| writer.pattern == Pattern::Sequential) {
            writer.scan(clock.from, clock.to, &mut tell);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::pace::WRITE;

    fn guest() -> Guest {
        Guest {
            memory_mib: 64,
            started_at_ns: 500,
            writers: vec![
                Writer::steady(Pattern::Uniform, 1_000_000_000, 100),
                Writer::steady(Pattern::Sequential, 1_000_000_000, 100),
            ],
            ..Guest::default()
        }
    }

    #[test]
    fn only_running_time_is_written_in() {
        let guest = guest();
        let mut clocks = Clocks::new(&guest, 1000);
        clocks.run_freely(1030);
        clocks.stand_until(1500);
        clocks.run_until(1520, |writer, stretch| {
            Progress::of(if writer == 0 { stretch.length_ns / 2 } else { stretch.length_ns })
        });
        let written = clocks.collect(&guest);
        assert_eq!((written.writes(0, false), written.writes(0, true)), (40 * WRITE, 0));
        let mut runs = Vec::new();
        written.for_each_run(|run| runs.push((run.first, run.pages)));
        // Its own time was 500 ns when the migration began, and the working set is passed over every 100.
        assert_eq!(runs, [(0, 50)]);
        assert_eq!(clocks.collect(&guest).writes(0, false), 0);
    }
}
