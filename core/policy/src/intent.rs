//! What the operator wants of a migration.

/// Goal and limits of one migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Intent {
    /// The longest downtime that is acceptable, in ms.
    pub max_downtime_ms: u64,
    /// By when it should have completed, from its start, in ms; none for no deadline.
    pub finish_within_ms: Option<u64>,
    /// What may be done to the guest.
    pub allowed: Allowed,
    /// The exchange rate between the two: how many ms of total time one second of downtime is worth. Without a rate no
    /// end is ever late enough (waiting might always save 10 ms more of downtime).
    pub downtime_second_is_worth_ms: u64,
    /// What to do when the goal cannot be met.
    pub otherwise: Otherwise,
}

/// Means that harm the guest, each of which an operator may refuse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "each is permitted or refused on its own")]
pub struct Allowed {
    /// Slowing its virtual CPUs.
    pub throttle: bool,
    /// Running it on the destination before its memory has arrived.
    pub postcopy: bool,
    /// Stopping it until the migration ends, for longer than `max_downtime_ms`.
    pub pause: bool,
    /// Beginning again with other options.
    pub restart: bool,
}

/// What happens when the goal cannot be met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Otherwise {
    /// The copy goes on.
    #[default]
    Stay,
    /// It is cancelled; the guest stays.
    Cancel,
    /// The guest is stopped until it has moved.
    Pause,
    /// It is switched to post-copy.
    Postcopy,
}

impl Default for Intent {
    /// 1 s of downtime within 10 minutes, by no means that harm the guest; one second of downtime is worth a minute.
    fn default() -> Self {
        Self {
            max_downtime_ms: 1_000,
            finish_within_ms: Some(600_000),
            allowed: Allowed::default(),
            downtime_second_is_worth_ms: 60_000,
            otherwise: Otherwise::Stay,
        }
    }
}
