//! QEMU's trace of one recorded migration: its rate windows, its syncs and its times.
//!
//! For an idle guest they give the costs of a host. For any guest they show how disturbed the host was; nothing else of
//! a judged migration may be taken from here.

use super::row::Row;

/// Length of a rate window on a host that is never late.
pub(super) const WINDOW_MS: u64 = 100;
/// A window that ends later than this was not only woken up late: the host was busy elsewhere.
pub(super) const STALL_FROM_MS: u64 = 105;
const WINDOWS_PER_S: u64 = 10;

/// Windows, syncs and times.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Trace {
    /// Those whose budget was spent, so QEMU slept to their end: their lengths in ms.
    pub(super) slept_ms: Vec<u64>,
    /// All of them, in their order.
    pub(super) windows: Vec<Window>,
    /// Each sync's start and length in s.
    pub(super) syncs: Vec<(f64, f64)>,
    /// When the guest was stopped for the switchover, in s.
    pub(super) stopped_s: Option<f64>,
    pub(super) setup_ms: Option<u64>,
}

/// A rate window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Window {
    pub(super) ends_s: f64,
    pub(super) bytes: u64,
    pub(super) length_ms: u64,
}

impl Trace {
    pub(super) fn of(row: &Row) -> Self {
        let windows: Vec<Window> = row
            .windows
            .iter()
            .map(|window| Window { ends_s: window.0, bytes: window.1, length_ms: window.2 })
            .collect();
        let syncs: Vec<(f64, f64)> = row.sync_list.iter().map(|sync| (sync.0, sync.1)).collect();
        let changed = !row.cfg.changes.is_empty();
        let budget_bytes = row.cfg.bw / WINDOWS_PER_S;
        let slept = |window: &&Window| {
            // A sync within a window can wait for a virtual CPU that is kept asleep, which is not the host's doing.
            let begins_s = window.ends_s - float(window.length_ms) / 1000.0;
            let is_synced = syncs.iter().skip(1).any(|(at_s, _)| (begins_s..window.ends_s).contains(at_s));
            budget_bytes > 0 && window.bytes > budget_bytes && window.length_ms >= WINDOW_MS && !is_synced
        };
        let slept_ms = if changed {
            Vec::new()
        } else {
            windows.iter().filter(slept).map(|window| window.length_ms).collect()
        };
        Self { slept_ms, windows, stopped_s: row.vmstop.last().copied(), setup_ms: row.setup_ms, syncs }
    }

    /// Mean length of the windows that QEMU slept in, if there are any.
    pub(super) fn mean_window_ms(&self) -> Option<f64> {
        let lengths = self.slept_ms.iter().map(|ms| float(*ms));
        (!self.slept_ms.is_empty()).then(|| lengths.sum::<f64>() / float(self.slept_ms.len() as u64))
    }
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds and counts of a migration stay far below 2^52")]
fn float(value: u64) -> f64 {
    value as f64
}
