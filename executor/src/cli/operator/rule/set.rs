//! The set of rules that a verb works with.

use whimbrel_plugins::RuleSet;
use whimbrel_plugins::host::{Allocation, Cache, Host, Limits};
use whimbrel_plugins::lock::Lock;
use whimbrel_plugins::policy::Policy;
use whimbrel_plugins::shipped;

use super::args::Set;
use super::{CliError, OperatorError, read, text};

/// Loads the packs and the operator's settings.
pub(in crate::cli) fn load(arguments: &Set) -> Result<RuleSet, CliError> {
    let cache = if arguments.no_cache { None } else { Cache::usual() };
    let mut packs = Vec::new();
    if !arguments.no_builtin_packs {
        let shipped = shipped::load(Limits::default(), Allocation::Pooled, cache.clone());
        packs.extend(shipped.map_err(|error| OperatorError::Rules(error.to_string()))?);
    }
    if !arguments.packs.is_empty() {
        // Created only where it is needed: setting up a sandbox takes longer than loading a pack into it.
        let host = host(arguments.max_pack_size, cache)?;
        for path in &arguments.packs {
            let loaded = host.load(&read(path)?);
            packs.push(
                loaded
                    .map_err(|error| OperatorError::Pack { path: path.clone(), reason: error.to_string() })?,
            );
        }
    }
    if let Some(path) = &arguments.locked {
        let lock = Lock::parse(&text(path)?).map_err(OperatorError::Rules)?;
        let wrong = lock.disagreements(packs.iter());
        if !wrong.is_empty() {
            return Err(OperatorError::Rules(wrong.join("; ")).into());
        }
    }
    let policy = match &arguments.rule_settings {
        Some(path) => Policy::parse(&text(path)?).map_err(|error| OperatorError::Rules(error.to_string()))?,
        None => Policy::default(),
    };
    RuleSet::new(packs, policy).map_err(|error| OperatorError::Rules(error.to_string()).into())
}

/// A sandbox host that accepts components of up to this size, in MiB.
pub(super) fn host(largest_mib: u16, cache: Option<Cache>) -> Result<Host, CliError> {
    let mut limits = Limits { component_bytes: usize::from(largest_mib) << 20, ..Limits::default() };
    // A pack with an interpreter needs fuel and memory to initialise it.
    if limits.component_bytes > Limits::default().component_bytes {
        limits.fuel = 2_000_000_000;
        limits.memory_bytes = Limits::MEMORY_BYTES_MOST;
    }
    Host::new(limits, Allocation::Pooled, cache)
        .map_err(|error| OperatorError::Rules(error.to_string()).into())
}
