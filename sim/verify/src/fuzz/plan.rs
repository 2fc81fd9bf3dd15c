//! The plan of one migration: its guest, its options, and its troubles.
//!
//! Faults are drawn as a swarm: first which kinds there are at all, then when and how often. A few kinds at a time go
//! deeper than all of them at once.

use whimbrel_core::{Adjustment, Request};

use whimbrel_sim::random::Random;
use whimbrel_sim::world::Milestone;

/// One migration and its troubles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The seed of the world's own chance.
    pub seed: u64,
    /// Writes a second of the guest, up to 20,000.
    pub writes_per_second: u64,
    /// Whether the guest's definition goes with it.
    pub is_persistent: bool,
    /// Whether post-copy is allowed.
    pub postcopy: bool,
    /// Whether its limits are changed.
    pub limits: bool,
    /// When pre-copy is given up, in ms.
    pub timeout_ms: Option<u64>,
    /// The interval of queries of the progress, in ms.
    pub poll_interval_ms: u64,
    /// What happens, in no order.
    pub troubles: Vec<Trouble>,
}

/// Something that happens at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// When.
    pub when: When,
    /// So long after that, in ms.
    pub after_ms: u64,
    /// What.
    pub what: What,
}

/// A moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// The beginning.
    Begin,
    /// A step of the hypervisors.
    At(Milestone),
}

/// A kind of trouble. Everything broken is repaired after a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A daemon is gone for this many ms; the source's if true.
    Daemon(bool, u64),
    /// A host is without power for this many ms.
    Host(bool, u64),
    /// The guest's process on a host dies.
    Guest(bool),
    /// A disk of the guest on a host fails, and stops it.
    Disk(bool),
    /// The link is cut for this many ms.
    Link(u64),
    /// The connections to a host's daemon break.
    Clients(bool),
    /// A host is silent for this many ms.
    Silence(bool, u64),
    /// A host's answers take this many ms longer, for a minute.
    Delay(bool, u64),
    /// A host's answers come twice, for a minute.
    Doubles(bool),
    /// A host's events are lost, for a minute.
    NoEvents(bool),
    /// The driver is gone for this many ms.
    Driver(u64),
    /// A request of an operator.
    Request(Request),
    /// The guest powers itself off, wherever it runs.
    PowerOff,
    /// The guest boots again.
    Reboot,
    /// The guest sleeps and wakes up.
    WakeUp,
    /// Another client stops the guest's CPUs on a host.
    Pause(bool),
    /// Another client resumes them.
    Unpause(bool),
    /// Another client aborts the migration on its source.
    Abort,
    /// Another client starts the guest from its disks on a host.
    ColdStart(bool),
    /// Another client migrates the guest to the other host; from the source if true.
    Migrate(bool),
}

const KINDS: u64 = 12;
const MILESTONES: [Milestone; 8] = [
    Milestone::Preparing,
    Milestone::Copying,
    Milestone::Stopped,
    Milestone::Finishing,
    Milestone::Starting,
    Milestone::Started,
    Milestone::Confirming,
    Milestone::Postcopy,
];
/// Most troubles of one migration.
const MOST: u64 = 6;
/// Most actions of the guest itself, or of other clients.
const MOST_BY_OTHERS: u64 = 2;
/// Keeps what they do apart from the other chance of a seed.
const OTHERS: u64 = 0x9e37_79b9_7f4a_7c15;
/// The same for its disks.
const DISKS: u64 = 0xd1b5_4a32_d192_ed03;

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let mut random = Random::from_seed(seed);
        let kinds = random.next_u64() & random.next_u64();
        let count = random.below(MOST + 1);
        let coin = |random: &mut Random| random.below(2) == 0;
        Self {
            seed,
            writes_per_second: one_of([0, 200, 2_000, 20_000], &mut random),
            is_persistent: coin(&mut random),
            postcopy: coin(&mut random),
            limits: coin(&mut random),
            timeout_ms: coin(&mut random).then(|| 500 + random.below(10_000)),
            poll_interval_ms: one_of([250, 1_000, 5_000, 20_000], &mut random),
            troubles: (0..count).filter_map(|_| Trouble::draw(kinds, &mut random)).collect(),
        }
    }

    /// The plan of a seed, with a guest that powers off, boots and sleeps when it likes, and with others that pause and
    /// resume it, end its migration, migrate it themselves, or start it from its disks.
    #[must_use]
    pub fn with_others(seed: u64) -> Self {
        let mut plan = Self::of(seed);
        let mut random = Random::from_seed(seed ^ OTHERS);
        for _ in 0..random.below(MOST_BY_OTHERS + 1) {
            let side = random.below(2) == 0;
            let what = match random.below(13) {
                0..4 => What::PowerOff,
                4 => What::Reboot,
                5 => What::WakeUp,
                6 => What::Pause(side),
                7 => What::Unpause(side),
                8 => What::Abort,
                9 | 10 => What::ColdStart(side),
                _ => What::Migrate(side),
            };
            let (when, after_ms) = moment(&mut random);
            plan.troubles.push(Trouble { when, after_ms, what });
        }
        plan
    }

    /// The plan of a seed, with a guest whose disks fail.
    #[must_use]
    pub fn with_disks(seed: u64) -> Self {
        let mut plan = Self::of(seed);
        let mut random = Random::from_seed(seed ^ DISKS);
        for _ in 0..=random.below(MOST_BY_OTHERS) {
            let what = What::Disk(random.below(4) == 0);
            let (when, after_ms) = moment(&mut random);
            plan.troubles.push(Trouble { when, after_ms, what });
        }
        plan
    }
}

impl Trouble {
    /// Draws one of the kinds that are on; none when none is.
    fn draw(kinds: u64, random: &mut Random) -> Option<Self> {
        let kind = random.below(KINDS);
        let on = (0..KINDS).map(|next| (kind + next) % KINDS).find(|kind| kinds & (1 << kind) != 0)?;
        let (when, after_ms) = moment(random);
        Some(Self { when, after_ms, what: What::draw(on, random) })
    }
}

impl What {
    fn draw(kind: u64, random: &mut Random) -> Self {
        let side = random.below(2) == 0;
        // Shorter and longer than every timeout.
        let for_ms = one_of([50, 2_000, 40_000, 400_000], random);
        match kind {
            0 => Self::Daemon(side, for_ms),
            1 => Self::Host(side, for_ms),
            2 => Self::Guest(side),
            3 => Self::Link(for_ms),
            4 => Self::Clients(side),
            5 => Self::Silence(side, for_ms),
            6 => Self::Delay(side, random.below(30_000)),
            7 => Self::Doubles(side),
            8 => Self::NoEvents(side),
            9 => Self::Driver(for_ms),
            10 => Self::Request(Request::Cancel),
            _ => Self::Request(Request::React(match random.below(4) {
                0 => Adjustment::DowntimeLimitMs(1 + random.below(2_000)),
                1 => Adjustment::BandwidthLimitBytesPerSecond((1 + random.below(200)) << 20),
                2 => Adjustment::Pause,
                _ => Adjustment::Postcopy,
            })),
        }
    }
}

/// A moment, and how many ms after it.
fn moment(random: &mut Random) -> (When, u64) {
    let milestone = usize::try_from(random.below(16)).unwrap_or(0);
    let when = MILESTONES.get(milestone).map_or(When::Begin, |milestone| When::At(*milestone));
    let after_ms = match (when, random.below(3)) {
        (When::Begin, _) => random.below(4_000),
        (_, 0) => 0,
        (_, 1) => random.below(20),
        _ => random.below(2_000),
    };
    (when, after_ms)
}

fn one_of([first, second, third, fourth]: [u64; 4], random: &mut Random) -> u64 {
    match random.below(4) {
        0 => first,
        1 => second,
        2 => third,
        _ => fourth,
    }
}
