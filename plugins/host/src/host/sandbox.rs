//! One call into a pack: a new store, its limits, and the result.

use wasmtime::component::{ComponentExportIndex, ComponentNamedList, InstancePre, Lift, Lower};
use wasmtime::{Store, StoreLimits, StoreLimitsBuilder, Trap};

use super::engine::{Limits, TURNS};
use super::inspect::CONTRACT;
use whimbrel_facts::printable;

/// The result of a call, and the fuel that it used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<T> {
    /// The function's result.
    pub value: T,
    /// Units of work that were used up.
    pub fuel: u64,
}

/// Why a call gave no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    /// It used up its fuel.
    #[error("it used up its fuel of {0} units")]
    Fuel(u64),
    /// It exceeded the limit of memory or tables.
    #[error("it wanted more memory than it may have")]
    Memory,
    /// It exceeded the limit of the stack.
    #[error("it used up its stack")]
    Stack,
    /// Its result exceeded the limit of output.
    #[error("its answer is larger than {0} bytes")]
    Output(usize),
    /// Its code cannot be used.
    #[error("it cannot be compiled: {0}")]
    Compile(String),
    /// It trapped.
    #[error("it broke off: {0}")]
    Trap(String),
}

impl Stop {
    /// The code of the finding that this becomes.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Fuel(_) => "engine.fuel",
            Self::Memory => "engine.memory",
            Self::Stack => "engine.stack",
            Self::Output(_) => "engine.output",
            Self::Compile(_) => "engine.compile",
            Self::Trap(_) => "engine.trap",
        }
    }
}

/// Calls a function of the contract in a new instance.
pub(super) fn call<P, R>(
    pre: &InstancePre<StoreLimits>,
    limits: Limits,
    function: &str,
    parameters: P,
) -> Result<Answer<R>, Stop>
where
    P: ComponentNamedList + Lower,
    (R,): ComponentNamedList + Lift,
    R: 'static + Send + Sync,
{
    // It ends after the store, which has the instance.
    let _turn = TURNS.take();
    let mut store = Store::new(pre.engine(), within(limits));
    store.limiter(|limits| limits);
    store.set_hostcall_fuel(limits.output_bytes);
    let stop = |error: &wasmtime::Error| stopped(error, limits);
    store.set_fuel(limits.fuel).map_err(|error| stop(&error))?;
    let instance = pre.instantiate(&mut store).map_err(|error| stop(&error))?;
    let missing = || Stop::Trap(format!("it has no function `{function}`"));
    let place: ComponentExportIndex =
        instance.get_export_index(&mut store, None, CONTRACT).ok_or_else(missing)?;
    let place = instance.get_export_index(&mut store, Some(&place), function).ok_or_else(missing)?;
    let typed = instance.get_typed_func::<P, (R,)>(&mut store, &place).map_err(|error| stop(&error))?;
    let (value,) = typed.call(&mut store, parameters).map_err(|error| stop(&error))?;
    let left = store.get_fuel().map_err(|error| stop(&error))?;
    Ok(Answer { value, fuel: limits.fuel.saturating_sub(left) })
}

fn within(limits: Limits) -> StoreLimits {
    StoreLimitsBuilder::new()
        .memory_size(limits.memory_bytes.min(Limits::MEMORY_BYTES_MOST))
        .table_elements(limits.table_elements)
        .instances(8)
        .memories(1)
        .tables(8)
        // A pack could handle memory that fails to grow in any way; a trap has one result everywhere.
        .trap_on_grow_failure(true)
        .build()
}

fn stopped(error: &wasmtime::Error, limits: Limits) -> Stop {
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => return Stop::Fuel(limits.fuel),
        Some(Trap::StackOverflow) => return Stop::Stack,
        _ => {}
    }
    let text = format!("{error:#}");
    if text.contains("forcing trap when growing") || text.contains("forcing a memory growth failure") {
        return Stop::Memory;
    }
    if text.contains("fuel allocated for hostcalls") {
        return Stop::Output(limits.output_bytes);
    }
    Stop::Trap(printable(&text))
}
