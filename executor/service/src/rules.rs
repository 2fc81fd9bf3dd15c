//! The rules that validate the next migration, and their reload while the service runs.
//!
//! A migration keeps the set that it started with. A set that cannot be loaded must never replace one that works.

use std::fmt;
use std::sync::Arc;

use whimbrel_facts::Phase;
use whimbrel_plugins::RuleSet;
use whimbrel_plugins::reload::Current;

/// Loads the rules from the operator's files, or returns the reason why that fails.
pub type Load = Box<dyn Fn() -> Result<RuleSet, String> + Send + Sync>;

/// The active set. Clones share it.
#[derive(Clone)]
pub(super) struct Rules(Arc<Inner>);

struct Inner {
    current: Current,
    load: Load,
}

impl Rules {
    /// Loads them for the first time.
    pub(super) fn new(load: Load) -> Result<Self, String> {
        let current = Current::new(compiled(&load)?);
        Ok(Self(Arc::new(Inner { current, load })))
    }

    /// The set, to be kept for as long as a migration lasts.
    pub(super) fn get(&self) -> Arc<RuleSet> {
        self.0.current.get()
    }

    /// Reloads them; returns whether they differ. Blocks for as long as compilation takes.
    pub(super) fn reload(&self) -> Result<bool, String> {
        let differ = self.0.current.replace(|| compiled(&self.0.load));
        match &differ {
            Ok(true) => tracing::info!(set = self.get().digest(), "new rules are active"),
            Ok(false) => tracing::info!("the rules were reloaded and are unchanged"),
            Err(reason) => {
                tracing::error!(reason, "rule reload failed; the previous rules remain active");
            }
        }
        differ
    }
}

/// A set whose packs can be used, and whose first migration does not wait for a compiler.
fn compiled(load: &Load) -> Result<RuleSet, String> {
    let set = load()?;
    set.compile(Phase::Preflight).map_err(|error| error.to_string())?;
    Ok(set)
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Rules").field(&self.0.current).finish()
    }
}
