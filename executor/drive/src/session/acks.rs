//! Acknowledgements of records that another thread makes durable, and how long a driver waits for them.
//!
//! A record is durable before the commands that it causes are sent, as long as the disk works. A disk that hangs
//! must never keep a stopped guest from being resumed, so the wait has a bound, and once a record is late, the ones behind
//! it are not waited for: a migration is delayed by that bound once, and not once per record.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

/// How long commands wait for the record that causes them. A working disk takes milliseconds, a busy one tenths of a
/// second; a guest that is stopped for the switchover must not be delayed for much longer.
pub const COMMIT_WAIT: Duration = Duration::from_secs(1);

/// The acknowledgement of a record, sent once: durable, or why it never will be.
pub type Ack<E> = SyncSender<Result<(), E>>;

/// The records of one migration that are not acknowledged yet, the oldest first.
#[derive(Debug)]
pub struct Acks<E> {
    waiting: VecDeque<Receiver<Result<(), E>>>,
}

/// The other side ended without an acknowledgement.
#[derive(Debug)]
pub struct Stopped;

impl<E> Default for Acks<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E> Acks<E> {
    /// No record is pending.
    #[must_use]
    pub const fn new() -> Self {
        Self { waiting: VecDeque::new() }
    }

    /// Hands a record over with what acknowledges it, and waits until it is durable: at most for `bound`, and not at all
    /// while an earlier one is late.
    ///
    /// # Errors
    /// [`Stopped`] when the other side has ended.
    pub fn hand_over(
        &mut self,
        bound: Duration,
        send: impl FnOnce(Ack<E>),
    ) -> Result<Result<(), E>, Stopped> {
        let mut result = self.collect()?;
        let is_late = !self.waiting.is_empty();
        let (ack, acknowledged) = sync_channel(1);
        self.waiting.push_back(acknowledged);
        send(ack);
        let later = if is_late { self.collect()? } else { self.wait(Some(bound))? };
        result = result.and(later);
        Ok(result)
    }

    /// Waits until all are durable: at most for `bound`, if given. Returns whether they are.
    ///
    /// # Errors
    /// As for [`hand_over`](Self::hand_over).
    pub fn finish(&mut self, bound: Option<Duration>) -> Result<(bool, Result<(), E>), Stopped> {
        let result = self.wait(bound)?;
        Ok((self.waiting.is_empty(), result))
    }

    fn wait(&mut self, bound: Option<Duration>) -> Result<Result<(), E>, Stopped> {
        let deadline = bound.map(|bound| Instant::now() + bound);
        let mut result = Ok(());
        while let Some(oldest) = self.waiting.front() {
            let said = match deadline {
                None => oldest.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(deadline) => oldest.recv_timeout(deadline.saturating_duration_since(Instant::now())),
            };
            match said {
                Ok(said) => result = result.and(said),
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => {
                    self.waiting.pop_front();
                    return Err(Stopped);
                }
            }
            self.waiting.pop_front();
        }
        Ok(result)
    }

    /// Takes the acknowledgements that have arrived, from both ends: an immediate refusal must not wait behind a late record.
    fn collect(&mut self) -> Result<Result<(), E>, Stopped> {
        let mut result = Ok(());
        loop {
            let oldest = self.waiting.front().map(Receiver::try_recv);
            let is_oldest = !matches!(oldest, None | Some(Err(TryRecvError::Empty)));
            let said = if is_oldest { oldest } else { self.waiting.back().map(Receiver::try_recv) };
            match said {
                None | Some(Err(TryRecvError::Empty)) => return Ok(result),
                Some(said) => {
                    if is_oldest {
                        self.waiting.pop_front()
                    } else {
                        self.waiting.pop_back()
                    };
                    result = result.and(said.map_err(|_| Stopped)?);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Acks;

    /// Longer than any test may take: a test that waits for it has failed.
    const FOREVER: Duration = Duration::from_mins(10);

    #[test]
    fn a_late_record_is_waited_for_once_and_those_behind_it_not_at_all() {
        let mut acks: Acks<&str> = Acks::new();
        let mut hung = Vec::new();
        acks.hand_over(Duration::from_millis(1), |ack| hung.push(ack)).unwrap().unwrap();
        let began = Instant::now();
        for _ in 0..100 {
            acks.hand_over(FOREVER, |ack| hung.push(ack)).unwrap().unwrap();
        }
        assert!(began.elapsed() < FOREVER);
        assert!(!acks.finish(Some(Duration::ZERO)).unwrap().0);
        for ack in hung {
            ack.send(Ok(())).unwrap();
        }
        assert!(acks.finish(None).unwrap().0);
        acks.hand_over(FOREVER, |ack| ack.send(Ok(())).unwrap()).unwrap().unwrap();
    }

    #[test]
    fn a_refusal_behind_a_late_record_is_reported_immediately_and_does_not_pile_up() {
        let mut acks = Acks::new();
        let mut hung = None;
        acks.hand_over(Duration::ZERO, |ack| hung = Some(ack)).unwrap().unwrap();
        for _ in 0..100 {
            let said = acks.hand_over(FOREVER, |ack| ack.send(Err("full")).unwrap()).unwrap();
            assert_eq!(said, Err("full"));
            assert_eq!(acks.waiting.len(), 1);
        }
        drop(hung);
        assert!(acks.finish(None).is_err(), "a keeper that stops without an answer is noticed");
    }
}
