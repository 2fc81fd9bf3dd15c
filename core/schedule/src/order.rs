//! In which order guests leave.

/// A guest as the schedule knows it.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// Its host, by its place among the sources.
    pub source: usize,
    /// What it takes at its destination, in MiB.
    pub memory_mib: u64,
    /// How many pages it writes a second; only guests among themselves are compared by it, so any other measure of
    /// unrest will do.
    pub writes_per_second: u64,
}

/// Which guests go first. Equals go in the order in which they are given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Order {
    /// `listed`: as they are given.
    #[default]
    Listed,
    /// `smallest-first`: by their memory.
    SmallestFirst,
    /// `largest-first`: by their memory.
    LargestFirst,
    /// `quietest-first`: by their writes.
    QuietestFirst,
    /// `busiest-first`: by their writes.
    BusiestFirst,
}

impl Order {
    /// Every order with its word in files and arguments.
    pub const WORDS: [(&'static str, Self); 5] = [
        ("listed", Self::Listed),
        ("smallest-first", Self::SmallestFirst),
        ("largest-first", Self::LargestFirst),
        ("quietest-first", Self::QuietestFirst),
        ("busiest-first", Self::BusiestFirst),
    ];

    /// What guests are ordered by, the least first; the sort keeps equals as they are.
    pub(crate) fn key(self, candidate: &Candidate) -> u64 {
        match self {
            Self::Listed => 0,
            Self::SmallestFirst => candidate.memory_mib,
            Self::LargestFirst => u64::MAX - candidate.memory_mib,
            Self::QuietestFirst => candidate.writes_per_second,
            Self::BusiestFirst => u64::MAX - candidate.writes_per_second,
        }
    }
}
