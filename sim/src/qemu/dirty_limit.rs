//! Dirty-limit: each virtual CPU is put to sleep whenever its dirty ring is full, as long as it dirties more than its
//! quota; how long is adjusted every period.
//!
//! The rules are those of QEMU's `dirtylimit_adjust_throttle`, which counts in MB/s and µs. A writer of the guest
//! stands for a virtual CPU. It must never stop a writer altogether: the longest sleep leaves it a hundredth of its
//! time.

use super::config::DirtyLimit;
use crate::guest::PAGE_BYTES;

/// Within this many MB/s of the quota nothing is adjusted.
const TOLERANCE_MB: u64 = 25;
/// Further off than this part, the sleep is adjusted in proportion; nearer, by a tenth of a ring's time.
const LINEAR_ABOVE_PERCENT: u64 = 50;
/// The longest sleep, in times that a ring takes to fill.
const MOST_RINGS: u64 = 99;
const NS_PER_S: u64 = 1_000_000_000;
const BYTES_PER_MB: u64 = 1 << 20;

/// The limit at work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Limiter {
    cpus: Vec<Cpu>,
    adjusts_at_ns: u64,
}

/// One virtual CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cpu {
    /// Writes until the last adjustment, in units of 10^-9.
    written: u128,
    /// Its own time until then.
    own_ns: u64,
    most_mb_per_second: u64,
    sleep_ns: u64,
    /// Time in which it would fill its ring unhindered; zero for one that writes nothing.
    ring_fills_in_ns: u64,
}

impl Limiter {
    /// Begins to limit this many virtual CPUs, given each one's writes so far and its own time.
    pub(super) fn new(rules: &DirtyLimit, now_ns: u64, cpus: impl Iterator<Item = (u128, u64)>) -> Self {
        let cpu = |(written, own_ns)| Cpu { written, own_ns, ..Cpu::default() };
        Self { cpus: cpus.map(cpu).collect(), adjusts_at_ns: now_ns.saturating_add(rules.period_ns) }
    }

    /// Adjusts every sleep once a period is over.
    pub(super) fn adjust(
        &mut self,
        rules: &DirtyLimit,
        now_ns: u64,
        cpus: impl Iterator<Item = (u128, u64)>,
    ) {
        if now_ns < self.adjusts_at_ns {
            return;
        }
        let period_ns = now_ns - (self.adjusts_at_ns - rules.period_ns);
        self.adjusts_at_ns = now_ns.saturating_add(rules.period_ns);
        for (cpu, (written, own_ns)) in self.cpus.iter_mut().zip(cpus) {
            cpu.adjust(rules, period_ns, written, own_ns);
        }
    }

    /// The progress of a virtual CPU in this many nanoseconds.
    pub(super) fn progress_ns(&self, cpu: usize, ns: u64) -> u64 {
        let Some(cpu) = self.cpus.get(cpu).filter(|cpu| cpu.sleep_ns > 0) else { return ns };
        let turn_ns = u128::from(cpu.ring_fills_in_ns) + u128::from(cpu.sleep_ns);
        let progress = u128::from(ns) * u128::from(cpu.ring_fills_in_ns) / turn_ns.max(1);
        u64::try_from(progress).unwrap_or(ns)
    }
}

impl Cpu {
    fn adjust(&mut self, rules: &DirtyLimit, period_ns: u64, written: u128, own_ns: u64) {
        let writes = (written - self.written) / u128::from(NS_PER_S);
        let ran_ns = own_ns - self.own_ns;
        (self.written, self.own_ns) = (written, own_ns);
        let pages_per_second = |ns: u64| {
            u64::try_from(writes * u128::from(NS_PER_S) / u128::from(ns.max(1))).unwrap_or(u64::MAX)
        };
        let current = pages_per_second(period_ns).saturating_mul(PAGE_BYTES) / BYTES_PER_MB;
        self.ring_fills_in_ns = match pages_per_second(ran_ns) {
            0 => 0,
            rate => u64::try_from(u128::from(rules.ring_pages) * u128::from(NS_PER_S) / u128::from(rate))
                .unwrap_or(u64::MAX),
        };
        self.most_mb_per_second = self.most_mb_per_second.max(current);
        if current == 0 {
            self.sleep_ns = 0;
            return;
        }
        let quota = rules.vcpu_bytes_per_second / BYTES_PER_MB;
        let apart = quota.abs_diff(current);
        if apart <= TOLERANCE_MB {
            return;
        }
        // What QEMU reckons with: the ring's megabytes at the highest rate that it ever saw.
        let ring_mb = rules.ring_pages.saturating_mul(PAGE_BYTES) / BYTES_PER_MB;
        let ring_ns = ring_mb.saturating_mul(NS_PER_S) / self.most_mb_per_second.max(1);
        let percent = apart.saturating_mul(100) / quota.max(current);
        let by_ns = if percent > LINEAR_ABOVE_PERCENT {
            ring_ns.saturating_mul(percent) / (100 - percent.min(99))
        } else {
            ring_ns / 10
        };
        let sleep_ns = if current > quota {
            self.sleep_ns.saturating_add(by_ns)
        } else {
            self.sleep_ns.saturating_sub(by_ns)
        };
        self.sleep_ns = sleep_ns.min(ring_ns.saturating_mul(MOST_RINGS));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The MB/s that a virtual CPU reaches, period by period, when it would write this many pages a second.
    fn rates(rules: &DirtyLimit, pages_per_second: u64, periods: u64) -> Vec<u64> {
        let mut limiter = Limiter::new(rules, 0, std::iter::once((0, 0)));
        let (mut own_ns, mut rates) = (0, Vec::new());
        for period in 1..=periods {
            let progress_ns = limiter.progress_ns(0, rules.period_ns);
            own_ns += progress_ns;
            rates.push(progress_ns * pages_per_second / rules.period_ns * PAGE_BYTES / BYTES_PER_MB);
            let written = u128::from(own_ns) * u128::from(pages_per_second);
            limiter.adjust(rules, period * rules.period_ns, std::iter::once((written, own_ns)));
        }
        rates
    }

    #[test]
    fn a_busy_cpu_comes_near_its_quota_within_a_few_periods() {
        let rules = DirtyLimit { vcpu_bytes_per_second: 100 << 20, ..DirtyLimit::default() };
        // 1000 MB/s unhindered.
        let rates = rates(&rules, 256_000, 12);
        assert_eq!(rates[0], 1000);
        assert!(rates[6..].iter().all(|rate| (75..=125).contains(rate)), "{rates:?}");
    }

    #[test]
    fn a_cpu_within_its_quota_is_left_alone() {
        let rules = DirtyLimit { vcpu_bytes_per_second: 100 << 20, ..DirtyLimit::default() };
        assert_eq!(rates(&rules, 20_000, 4), [78; 4]);
        assert_eq!(rates(&rules, 0, 3), [0; 3]);
    }

    #[test]
    fn nobody_is_stopped_altogether() {
        let rates = rates(&DirtyLimit::default(), 1_000_000, 20);
        assert!(rates.iter().all(|rate| *rate > 0), "{rates:?}");
        assert!(rates[19] < 60, "{rates:?}");
    }
}
