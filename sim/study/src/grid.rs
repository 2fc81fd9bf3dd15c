//! Grids: which guests, links, intents and seeds a comparison covers. A built-in grid is frozen: its digest is in a test.

use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use whimbrel_policy::{Allowed, Intent, Otherwise};

use crate::kinds::Kind;

/// Built-in grids by name.
pub const BUILT_IN: [(&str, &str); 3] = [
    ("small", include_str!("../grids/small.toml")),
    ("known", include_str!("../grids/known.toml")),
    ("unseen", include_str!("../grids/unseen.toml")),
];

/// A grid file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grid {
    /// `whimbrel.grid/1`.
    pub schema: String,
    /// Its name in reports.
    pub name: String,
    /// Kinds of guests.
    pub kinds: Vec<Kind>,
    /// Memory sizes.
    pub memory_gib: Vec<u64>,
    /// Links, in Gb/s.
    pub link_gbps: Vec<u64>,
    /// The first seed.
    pub first_seed: u64,
    /// Seeds of each cell.
    pub seeds: u64,
    /// After so long a migration counts as never ending.
    pub cap_s: u64,
    /// The intents.
    pub intent: Vec<IntentRow>,
    /// SHA-256 of the file, in hexadecimal digits.
    #[serde(skip)]
    pub sha256: String,
}

/// An intent of a grid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntentRow {
    /// Its name in reports.
    pub name: String,
    /// The longest downtime.
    pub max_downtime_ms: u64,
    /// The deadline, if it is the same for all guests.
    pub finish_s: Option<u64>,
    /// Or this many percent of the time that all of the memory takes on the link, and 5 s.
    pub finish_percent_of_pass: Option<u64>,
    /// What else may be done to the guest: any of `throttle`, `postcopy`, `pause`, `restart`.
    #[serde(default)]
    pub allowed: Vec<Means>,
}

/// Means that harm a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Means {
    /// Slowing its virtual CPUs.
    Throttle,
    /// Post-copy.
    Postcopy,
    /// Stopping it until the migration ends.
    Pause,
    /// Beginning again.
    Restart,
}

/// One migration that every policy is to make converge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The guest.
    pub kind: Kind,
    /// Its memory.
    pub memory_gib: u64,
    /// The link, in Gb/s.
    pub link_gbps: u64,
    /// The intent's name.
    pub intent_name: String,
    /// The intent.
    pub intent: Intent,
    /// The seed of guest and link.
    pub seed: u64,
    /// After so long it counts as never ending.
    pub cap_ms: u64,
}

/// A grid that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GridError(String);

impl fmt::Display for GridError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for GridError {}

impl Grid {
    /// A built-in grid.
    ///
    /// # Errors
    ///
    /// There is none of this name.
    pub fn built_in(name: &str) -> Result<Self, GridError> {
        let text = BUILT_IN.iter().find(|(other, _)| *other == name).map(|(_, text)| *text);
        let names = || BUILT_IN.map(|(name, _)| name).join(", ");
        Self::read(text.ok_or_else(|| GridError(format!("no grid `{name}`; there are {}", names())))?)
    }

    /// A grid from the text of a file.
    ///
    /// # Errors
    ///
    /// It is no grid, or covers nothing.
    pub fn read(text: &str) -> Result<Self, GridError> {
        let mut grid: Self = toml::from_str(text).map_err(|error| GridError(error.to_string()))?;
        if grid.schema != "whimbrel.grid/1" {
            return Err(GridError(format!("schema `{}` is not `whimbrel.grid/1`", grid.schema)));
        }
        let deadlines =
            grid.intent.iter().all(|row| row.finish_s.is_none() || row.finish_percent_of_pass.is_none());
        if !deadlines {
            return Err(GridError("an intent has two deadlines; keep one".to_owned()));
        }
        if grid.link_gbps.contains(&0) || grid.memory_gib.contains(&0) || grid.cap_s == 0 {
            return Err(GridError("sizes, links and the cap are above zero".to_owned()));
        }
        grid.sha256 = hexadecimal(&Sha256::digest(text.as_bytes()));
        if grid.cases().is_empty() {
            return Err(GridError("it covers nothing: a list is empty, or `seeds` is 0".to_owned()));
        }
        Ok(grid)
    }

    /// Every case, in a fixed order.
    #[must_use]
    pub fn cases(&self) -> Vec<Case> {
        let mut cases = Vec::new();
        for row in &self.intent {
            for kind in &self.kinds {
                for memory_gib in &self.memory_gib {
                    for link_gbps in &self.link_gbps {
                        let case = |seed| self.case(row, *kind, *memory_gib, *link_gbps, seed);
                        cases.extend((0..self.seeds).map(|seed| case(self.first_seed.wrapping_add(seed))));
                    }
                }
            }
        }
        cases
    }

    fn case(&self, row: &IntentRow, kind: Kind, memory_gib: u64, link_gbps: u64, seed: u64) -> Case {
        let pass_ms = (memory_gib << 30).saturating_mul(8) / link_gbps / 1_000_000;
        let of_pass = row.finish_percent_of_pass.map(|percent| pass_ms.saturating_mul(percent) / 100 + 5_000);
        let may = |means| row.allowed.contains(&means);
        let allowed = Allowed {
            throttle: may(Means::Throttle),
            postcopy: may(Means::Postcopy),
            pause: may(Means::Pause),
            restart: may(Means::Restart),
        };
        let intent = Intent {
            max_downtime_ms: row.max_downtime_ms,
            finish_within_ms: row.finish_s.map(|seconds| seconds.saturating_mul(1000)).or(of_pass),
            allowed,
            otherwise: Otherwise::Cancel,
            ..Intent::default()
        };
        let cap_ms = self.cap_s.saturating_mul(1000);
        Case { kind, memory_gib, link_gbps, intent_name: row.name.clone(), intent, seed, cap_ms }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
