//! The outcomes of the migrations that a draining service adopted.

use std::collections::BTreeMap;
use std::fmt;

use whimbrel_core::Outcome;

use super::store::StoreError;
use super::supervisor::Supervisor;

/// Counts of endings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    endings: BTreeMap<String, usize>,
    unfinished: usize,
}

impl Drained {
    pub(super) async fn of(supervisor: &Supervisor, migrations: &[i64]) -> Result<Self, StoreError> {
        let mut drained = Self::default();
        for id in migrations {
            let Some(row) = supervisor.store.migration(*id).await? else { continue };
            let outcome = row.outcome.and_then(|text| serde_json::from_str::<Outcome>(&text).ok());
            let ending = match (outcome, row.trouble) {
                (Some(outcome), _) => outcome.ending.to_string(),
                (None, Some(_)) => "in trouble".to_owned(),
                (None, None) => {
                    drained.unfinished += 1;
                    continue;
                }
            };
            *drained.endings.entry(ending).or_default() += 1;
        }
        Ok(drained)
    }
}

impl fmt::Display for Drained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ended: usize = self.endings.values().sum();
        write!(f, "{ended} migrations were driven to their end")?;
        for (index, (ending, count)) in self.endings.iter().enumerate() {
            write!(f, "{}{count} {ending}", if index == 0 { ": " } else { ", " })?;
        }
        if self.unfinished > 0 {
            write!(f, "; {} have not ended, and are adopted at the next start", self.unfinished)?;
        }
        Ok(())
    }
}
