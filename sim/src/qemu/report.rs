//! What a migration reports of itself: QEMU's state and statistics at an instant, as its version reports them.
//!
//! Nothing here may change anything: a query is free.

use std::ops::Deref;

use super::behaviour::{DeviceState, ExpectedDowntime};
use super::machine::{Machine, NS_PER_MS, Plan, whole_ms};
use super::migration_loop::{Interrupt, scaled};
use super::statistics::{MemoryStatistics, Statistics, Status};
use super::step::Step;
use crate::guest::PAGE_BYTES;
use crate::memory::Memory;

impl<P: Deref<Target = Plan>, M: Memory> Machine<P, M> {
    pub(crate) fn status(&self) -> Status {
        match (self.outcome, self.interrupt, self.step) {
            (Some(outcome), _, _) => outcome,
            (None, Some(Interrupt::Cancel), _) => Status::Cancelling,
            (None, _, Step::Setup { .. }) => Status::Setup,
            (None, _, Step::Failing { .. }) => Status::Failing,
            (None, _, Step::PreSwitchover { .. }) => Status::PreSwitchover,
            (None, _, Step::LastSync { .. } | Step::LastPass(_) | Step::DeviceState { .. })
                if self.shows_device() =>
            {
                Status::Device
            }
            (None, _, Step::PostcopyStopping { .. } | Step::PostcopyPackage { .. }) => self.switching(),
            (None, _, Step::PostcopyDevice { .. }) => Status::PostcopyDevice,
            (None, _, Step::PostcopyPaused) => Status::PostcopyPaused,
            (None, _, Step::PostcopyRecovering { .. }) => Status::PostcopyRecover,
            (None, _, _) if self.postcopy.began() => Status::PostcopyActive,
            (None, _, _) => Status::Active,
        }
    }

    fn shows_device(&self) -> bool {
        let is_past_waiting =
            self.plan.config.pause_before_switchover && !matches!(self.step, Step::LastSync { .. });
        self.plan.config.behaviour.device == DeviceState::Always || is_past_waiting
    }

    /// The state during the switch to post-copy, before the package was sent.
    fn switching(&self) -> Status {
        match (self.plan.config.behaviour.device, self.step) {
            (DeviceState::AfterWaiting, _) => Status::PostcopyActive,
            (DeviceState::Always, Step::PostcopyPackage { .. }) => Status::Device,
            (DeviceState::Always, _) => Status::Active,
        }
    }

    /// The downtime that is expected now.
    fn expected_downtime_ms(&self) -> u64 {
        match self.plan.config.behaviour.expected_downtime {
            ExpectedDowntime::AtWindows => self.expected_downtime_ms,
            ExpectedDowntime::OnQuery if self.rates.sync_count <= 1 => self.downtime_limit_ms,
            ExpectedDowntime::OnQuery => self.downtime_of_last_sync_ms(),
        }
    }

    /// How long the bytes that remained at the last sync take in a switchover.
    pub(super) fn downtime_of_last_sync_ms(&self) -> u64 {
        let promised = self.plan.config.switchover_bandwidth_bytes_per_second;
        let bandwidth = promised.map_or(self.bandwidth_bytes_per_second, std::num::NonZeroU64::get);
        scaled(self.rates.remaining_at_sync_bytes, 1000, bandwidth)
    }

    pub(crate) fn statistics(&self) -> Statistics {
        let status = self.status();
        let end_ns = self.ended_ns.unwrap_or(self.present_ns);
        let downtime_end_ns = self.package_sent_ns.unwrap_or(end_ns);
        let downtime_ms = self.downtime_started_ns.map(|started_ns| whole_ms(started_ns, downtime_end_ns));
        let downtime_over = status == Status::Completed || self.package_sent_ns.is_some();
        let active = matches!(status, Status::Active | Status::Device);
        Statistics {
            status,
            elapsed_ms: whole_ms(self.started_ns, end_ns),
            setup_ms: self.setup_ended_ns.map(|ended_ns| whole_ms(self.started_ns, ended_ns)),
            downtime_ms: downtime_ms.filter(|_| downtime_over),
            expected_downtime_ms: active.then(|| self.expected_downtime_ms()),
            remaining_of_all_bytes: (active && self.plan.config.behaviour.remaining_of_all)
                .then(|| self.remaining_bytes()),
            throttle_percent: self.throttle.percent().filter(|_| active),
            memory: MemoryStatistics {
                total_bytes: self.plan.page_classes.total_pages * PAGE_BYTES,
                transferred_bytes: self.sent.transferred_bytes,
                remaining_bytes: self.remaining_bytes(),
                normal_pages: self.sent.content_pages - self.cache.hit_pages,
                zero_pages: self.sent.zero_pages,
                xbzrle_pages: self.cache.hit_pages,
                postcopy_requests: self.postcopy.requests,
                postcopy_waited_ms: self.postcopy.waited_ns / NS_PER_MS,
                page_size_bytes: PAGE_BYTES,
                dirty_rate_pages_per_second: self.rates.pages_per_second,
                dirty_sync_count: self.rates.sync_count,
                sync_kind: self.rates.sync_kind,
                bandwidth_bytes_per_second: self.bandwidth_bytes_per_second,
            },
        }
    }

    #[inline]
    pub(super) fn remaining_bytes(&self) -> u64 {
        self.memory.remaining().saturating_mul(PAGE_BYTES)
    }
}
