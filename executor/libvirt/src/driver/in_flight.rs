//! Whether a migrate call may still be on its way to the source's daemon.
//!
//! A call whose connection broke, or whose driver was killed, may be in a socket: the kernel retransmits it after the
//! process has gone. One that the daemon has received may wait there for a worker or for the guest's job. Until it is
//! certain that it came to nothing, "the guest runs, and no migration works on it" is no answer to whether the guest is
//! going to be migrated, and is reported as unknown.

use std::sync::Mutex;
use std::time::Duration;

use crate::lock;

/// How long after its connection was lost a call may arrive: as long as a connection without a sign of life is kept
/// (three times 5 s). In this time TCP retransmits a segment six times (200 ms, doubled each time: after 0.2, 0.6, 1.4, 3,
/// 6.2 and 12.6 s).
pub(super) const ARRIVES_WITHIN: Duration = Duration::from_secs(15);
/// Clocks of two processes, and the way of a call. A job that is older than the call by more than this is not the call's.
const TOLERANCE: Duration = Duration::from_secs(2);

/// The migrate call, as far as it can be followed.
#[derive(Debug, Default)]
pub(super) struct InFlight(Mutex<State>);

#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// When this process made a call that has not returned.
    out_since: Option<Duration>,
    /// When the connection of a call was lost, or the driver that made it.
    lost_at: Option<Duration>,
    /// The migration was seen, by its job or by a destination that receives: the call has arrived.
    has_arrived: bool,
    /// The destination was seen to receive what the source sends.
    is_ours: bool,
}

impl InFlight {
    /// Of a migration whose former driver may have made a call right before it ended.
    pub(super) fn adopted(now: Duration) -> Self {
        Self(Mutex::new(State { lost_at: Some(now), ..State::default() }))
    }

    pub(super) fn made(&self, now: Duration) {
        *lock(&self.0) = State { out_since: Some(now), ..State::default() };
    }

    /// It returned, with its verified result or because its connection was lost.
    pub(super) fn returned(&self, lost_at: Option<Duration>) {
        let mut state = lock(&self.0);
        (state.out_since, state.lost_at) = (None, lost_at);
    }

    pub(super) fn job_seen(&self) {
        lock(&self.0).has_arrived = true;
    }

    pub(super) fn found_ours(&self) {
        lock(&self.0).is_ours = true;
    }

    /// Whether the job was proved to be this migration's.
    pub(super) fn is_ours(&self) -> bool {
        lock(&self.0).is_ours
    }

    /// Whether a migration may begin that was not seen yet.
    pub(super) fn may_begin_late(&self, now: Duration) -> bool {
        let state = *lock(&self.0);
        !state.has_arrived && (state.out_since.is_some() || self.may_arrive(now))
    }

    /// Whether a call may still be on the network. The move of a definition has no job
    /// that would show its arrival, and none that could be aborted: a call that the daemon has is not waited for.
    pub(super) fn may_arrive(&self, now: Duration) -> bool {
        lock(&self.0).lost_at.is_some_and(|lost| now.saturating_sub(lost) < ARRIVES_WITHIN)
    }

    /// Whether a job of this age was there before the call that is out.
    pub(super) fn is_older_than_call(&self, age: Duration, now: Duration) -> bool {
        let made = lock(&self.0).out_since;
        made.is_some_and(|made| age > now.saturating_sub(made) + TOLERANCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_call_may_arrive_until_its_retransmissions_are_over() {
        let call = InFlight::default();
        assert!(!call.may_begin_late(s(0)) && !call.may_arrive(s(0)), "none was made");
        call.made(s(10));
        assert!(call.may_begin_late(s(500)), "it is out, and no job was seen");
        call.returned(Some(s(500)));
        assert!(call.may_begin_late(s(514)) && !call.may_begin_late(s(515)));
        call.made(s(600));
        call.job_seen();
        call.returned(Some(s(700)));
        assert!(!call.may_begin_late(s(701)), "it had arrived");
        call.made(s(800));
        call.returned(None);
        assert!(!call.may_begin_late(s(801)), "it was answered");
        assert!(InFlight::adopted(s(0)).may_begin_late(s(14)));
    }

    #[test]
    fn a_job_that_was_there_before_the_call_is_not_the_calls() {
        let call = InFlight::default();
        assert!(!call.is_older_than_call(s(100), s(0)), "without a call nothing follows from its age");
        call.made(s(10));
        assert!(!call.is_older_than_call(s(6), s(15)));
        assert!(call.is_older_than_call(s(8), s(15)));
    }
}
