//! What came out of a migration, as far as it matters for who is migrated next.

/// What became of a guest's migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Where the guest is.
    pub guest: After,
    /// Whether the source is to be left alone for a while.
    pub rests_source: bool,
    /// Whether the destination is.
    pub rests_destination: bool,
}

/// Where a guest is after a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// At the destination.
    Moved,
    /// On the source, whole, and may be tried again.
    MayRetry,
    /// On the source, and is not to be tried again.
    Stays,
    /// A copy may be left at the destination.
    Unsettled,
}
