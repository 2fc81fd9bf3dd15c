//! The rules that the next migration is judged by, and how they are loaded anew while the service runs.
//!
//! A migration keeps the set that it began with. What cannot be loaded must never take the place of what can.

use std::fmt;
use std::sync::Arc;

use whimbrel_plugins::RuleSet;
use whimbrel_plugins::reload::Current;

/// Loads the rules from wherever the operator keeps them, or says why that fails.
pub type Load = Box<dyn Fn() -> Result<RuleSet, String> + Send + Sync>;

/// The set in force. Clones are the same.
#[derive(Clone)]
pub(super) struct Rules(Arc<Inner>);

struct Inner {
    current: Current,
    load: Load,
}

impl Rules {
    /// Loads them for the first time.
    pub(super) fn new(load: Load) -> Result<Self, String> {
        let current = Current::new(load()?);
        Ok(Self(Arc::new(Inner { current, load })))
    }

    /// The set, to be kept for as long as a migration lasts.
    pub(super) fn get(&self) -> Arc<RuleSet> {
        self.0.current.get()
    }

    /// Loads them anew; whether they differ. Blocks for as long as a compiler takes.
    pub(super) fn reload(&self) -> Result<bool, String> {
        let differ = self.0.current.replace(|| (self.0.load)());
        match &differ {
            Ok(true) => tracing::info!(set = self.get().digest(), "new rules are in force"),
            Ok(false) => tracing::info!("the rules were loaded anew, and are the same"),
            Err(reason) => {
                tracing::error!(reason, "the rules cannot be loaded anew; those before stay in force");
            }
        }
        differ
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Rules").field(&self.0.current).finish()
    }
}
