//! The form of the tables, and how they are asked.

use super::Version;

/// What sort of thing a feature is; names are unique within a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A flag of a migration (libvirt).
    Flag,
    /// A switch that both ends must know (QEMU).
    Capability,
    /// A named parameter of a migration.
    Parameter,
    /// One of the values that a parameter may have.
    Value,
    /// A function of the library (libvirt) or a command of the monitor (QEMU).
    Call,
    /// What a call takes, or a bit of its flags.
    Argument,
    /// A state that a migration or a guest may be in.
    State,
    /// An unsolicited event.
    Event,
    /// A number that can be read.
    Statistic,
    /// A change of behavior without a request.
    Behaviour,
}

/// What a version makes of a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Offer {
    /// Whether it can be had.
    pub state: State,
    /// The first version that has it.
    pub since: Version,
    /// The first version that advises against it.
    pub deprecated: Option<Version>,
    /// The first version that no longer has it.
    pub until: Option<Version>,
    /// Where this is written.
    pub source: &'static str,
}

/// Where a version stands in a feature's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// The version is older than the feature.
    NotYet,
    /// The version has it.
    Offered,
    /// The version has it and advises against it.
    Deprecated,
    /// The version no longer has it.
    Removed,
}

impl Offer {
    /// Whether the feature can be had, advised against or not.
    #[must_use]
    pub fn is_offered(&self) -> bool {
        matches!(self.state, State::Offered | State::Deprecated)
    }
}

/// A feature's life as a table has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    since: Version,
    deprecated: Option<Version>,
    until: Option<Version>,
    source: &'static str,
}

impl Row {
    pub(super) const fn since(since: Version, source: &'static str) -> Self {
        Self { since, deprecated: None, until: None, source }
    }

    pub(super) const fn deprecated(self, deprecated: Version) -> Self {
        Self { deprecated: Some(deprecated), ..self }
    }

    pub(super) const fn until(self, until: Version) -> Self {
        Self { until: Some(until), ..self }
    }

    pub(super) fn at(self, version: Version) -> Offer {
        let Self { since, deprecated, until, source } = self;
        let has_come = |change: Option<Version>| change.is_some_and(|change| change <= version);
        let state = if version < since {
            State::NotYet
        } else if has_come(until) {
            State::Removed
        } else if has_come(deprecated) {
            State::Deprecated
        } else {
            State::Offered
        };
        Offer { state, since, deprecated, until, source }
    }
}

/// Makes the enum of features and their lines from one list, so that neither can lack what the other has.
///
/// A line is `Name, Kind, "its own name", (first version), SOURCE, deprecated (version), until (version);`, without the
/// last two where they do not apply. Lines are in the order of first versions.
macro_rules! features {
    ($($feature:ident, $kind:ident, $name:literal, ($($since:literal),+), $source:ident
       $(, deprecated ($($deprecated:literal),+))? $(, until ($($until:literal),+))?;)+) => {
        /// What can be asked of a migration or be seen of it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Feature {
            $(#[doc = concat!("`", $name, "`")] $feature,)+
        }

        impl Feature {
            /// All of them in the order of their first versions.
            pub const ALL: &[Self] = &[$(Self::$feature),+];

            /// Its own name, as its interface or its documentation writes it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$feature => $name,)+
                }
            }

            /// What sort of thing it is.
            #[must_use]
            pub const fn kind(self) -> Kind {
                match self {
                    $(Self::$feature => Kind::$kind,)+
                }
            }

            const fn row(self) -> Row {
                match self {
                    $(Self::$feature => Row::since(Version::new($($since),+), $source)
                        $(.deprecated(Version::new($($deprecated),+)))?
                        $(.until(Version::new($($until),+)))?,)+
                }
            }
        }

        /// What a version makes of a feature.
        #[must_use]
        pub fn offers(version: Version, feature: Feature) -> Offer {
            feature.row().at(version)
        }
    };
}
pub(super) use features;
