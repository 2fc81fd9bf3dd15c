//! A set of rules that can be replaced while it is in use: only by one that validates, and never for a migration that
//! has begun.

use std::sync::{Arc, PoisonError, RwLock};

use crate::set::RuleSet;

/// The set that the next migration begins with.
#[derive(Debug)]
pub struct Current(RwLock<Arc<RuleSet>>);

impl Current {
    /// Starts with this set.
    #[must_use]
    pub fn new(set: RuleSet) -> Self {
        Self(RwLock::new(Arc::new(set)))
    }

    /// The current set, which a migration keeps for as long as it lasts.
    #[must_use]
    pub fn get(&self) -> Arc<RuleSet> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Builds a new set and replaces the old one; returns whether it differs. When it cannot be built, the old one
    /// stays active.
    ///
    /// # Errors
    /// Why the new set cannot be built.
    pub fn replace<E>(&self, build: impl FnOnce() -> Result<RuleSet, E>) -> Result<bool, E> {
        // Built before the lock is taken, so no reader waits for a compiler.
        let set = build()?;
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let differs = current.digest() != set.digest();
        if differs {
            *current = Arc::new(set);
        }
        Ok(differs)
    }
}
