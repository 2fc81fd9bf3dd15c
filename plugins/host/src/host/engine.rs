//! The engine that compiles and runs packs, set so that a verdict depends on nothing but the pack and the facts.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, Strategy};

use whimbrel_facts::About;

use super::cache::Cache;
use super::digest;
use super::inspect::{Refusal, inspect};
use super::pack::Pack;
use super::turns::Turns;

/// How much a pack may use in one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Units of work: about one for each instruction.
    pub fuel: u64,
    /// Linear memory in bytes; at most [`Limits::MEMORY_BYTES_MOST`].
    pub memory_bytes: usize,
    /// Entries of its tables.
    pub table_elements: usize,
    /// Bytes that the host copies out of it.
    pub output_bytes: usize,
    /// Findings in one answer.
    pub findings: usize,
    /// Size of the component in bytes.
    pub component_bytes: usize,
}

impl Limits {
    /// Bytes for which the pool of memories is laid out.
    pub const MEMORY_BYTES_MOST: usize = 64 << 20;
}

impl Default for Limits {
    /// Bounds far above the needs of a pack in Rust: ten times the work of all shipped rules, 16 MiB.
    fn default() -> Self {
        Self {
            fuel: 50_000_000,
            memory_bytes: 16 << 20,
            table_elements: 10_000,
            output_bytes: 256 << 10,
            findings: 1_000,
            component_bytes: 2 << 20,
        }
    }
}

/// Where instances get their memory from. It must not make a difference to any verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Allocation {
    /// From a pool that is laid out once.
    #[default]
    Pooled,
    /// From the system, each time.
    OnDemand,
}

/// The compiler that makes machine code of a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compiler {
    /// The engine's default, and the only one that its makers support for untrusted code.
    Proven,
    /// Takes an eighth of the time. For packs that this program holds itself.
    Quick,
}

/// Compiles packs, and caches them.
#[derive(Clone, Debug)]
pub struct Host {
    engine: Engine,
    cache: Option<Cache>,
    limits: Limits,
}

/// Why a pack, or the host itself, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The engine cannot be set up on this machine.
    #[error("the sandbox cannot be set up on this machine: {0}")]
    Engine(String),
    /// The pack is refused before it is compiled.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It does not compile.
    #[error("the pack cannot be compiled: {0}")]
    Compile(String),
    /// Its `describe` fails, or returns an invalid description.
    #[error("the pack does not describe itself: {0}")]
    Describe(String),
}

/// Number of instances that can live at once: one for each call. [`TURNS`] has as many, so that no call finds none.
const INSTANCES: u32 = 64;
pub(super) static TURNS: Turns = Turns::new(INSTANCES);
/// Bytes that are kept ready between calls; more takes longer to clear than it saves.
const KEPT_READY_BYTES: usize = 64 << 10;
const STACK_BYTES: usize = 512 << 10;

impl Host {
    /// An engine with these limits; compiled packs are kept in the cache, if there is one.
    ///
    /// # Errors
    /// When the machine lacks what the sandbox needs, such as address space.
    pub fn new(limits: Limits, allocation: Allocation, cache: Option<Cache>) -> Result<Self, HostError> {
        Self::with(limits, allocation, cache, Compiler::Proven)
    }

    /// A host for the packs inside this program, which are trusted more than others.
    pub(crate) fn for_shipped(
        limits: Limits,
        allocation: Allocation,
        cache: Option<Cache>,
    ) -> Result<Self, HostError> {
        // The quick compiler knows these two. Source: wasmtime 48, `Config::strategy`.
        let has_quick = cfg!(any(target_arch = "x86_64", target_arch = "aarch64"));
        let compiler = if has_quick { Compiler::Quick } else { Compiler::Proven };
        Self::with(limits, allocation, cache, compiler)
    }

    fn with(
        limits: Limits,
        allocation: Allocation,
        cache: Option<Cache>,
        compiler: Compiler,
    ) -> Result<Self, HostError> {
        let engine = Engine::new(&config(allocation, compiler))
            .map_err(|error| HostError::Engine(format!("{error:#}")))?;
        Ok(Self { engine, cache, limits })
    }

    /// Inspects a component, compiles it or takes it from the cache, and calls its `describe`.
    ///
    /// # Errors
    /// When it imports anything, is of another contract, is damaged, or describes itself inconsistently.
    pub fn load(&self, bytes: &[u8]) -> Result<Pack, HostError> {
        let digest = digest(bytes);
        let component = self.compiled(bytes, &digest)?;
        let pre = Linker::<wasmtime::StoreLimits>::new(&self.engine)
            .instantiate_pre(&component)
            .map_err(|error| HostError::Compile(format!("{error:#}")))?;
        Pack::described(pre, digest, self.limits)
    }

    /// A pack of this program's own: its description is known, and it is compiled when a rule of it is evaluated.
    ///
    /// # Errors
    /// When the description is not consistent.
    pub(crate) fn defer(&self, bytes: &'static [u8], about: About) -> Result<Pack, HostError> {
        Pack::deferred(self, bytes, digest(bytes), about)
    }

    /// The limits of every call.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    fn compiled(&self, bytes: &[u8], digest: &str) -> Result<Component, HostError> {
        let compile =
            || Component::new(&self.engine, bytes).map_err(|error| HostError::Compile(format!("{error:#}")));
        let key = format!("{digest}-{:016x}", self.compatibility());
        // A cached pack was inspected before it was compiled; the key holds its digest.
        if let Some(component) = self.cache.as_ref().and_then(|cache| cache.load(&self.engine, &key)) {
            return Ok(component);
        }
        inspect(bytes, self.limits.component_bytes)?;
        let component = compile()?;
        let Some(cache) = &self.cache else { return Ok(component) };
        if let Ok(code) = component.serialize() {
            cache.store(&key, &code);
        }
        Ok(component)
    }

    /// Code is good only for an engine of the same version, settings and processor.
    fn compatibility(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.engine.precompile_compatibility_hash().hash(&mut hasher);
        hasher.finish()
    }
}

fn config(allocation: Allocation, compiler: Compiler) -> Config {
    let mut config = Config::new();
    match compiler {
        Compiler::Quick => config.strategy(Strategy::Winch),
        // A rule runs for microseconds: code that is made quickly is worth more than quick code.
        Compiler::Proven => config.strategy(Strategy::Cranelift).cranelift_opt_level(OptLevel::None),
    };
    config
        .consume_fuel(true)
        .cranelift_nan_canonicalization(true)
        .wasm_relaxed_simd(false)
        .relaxed_simd_deterministic(true)
        .wasm_memory64(false)
        .concurrency_support(false)
        .max_wasm_stack(STACK_BYTES)
        // The place of a trap in a pack is not used, and reading the data for it takes most of a start from the cache.
        .wasm_backtrace_max_frames(None)
        .generate_address_map(false)
        .native_unwind_info(false);
    if allocation == Allocation::Pooled {
        let mut pool = PoolingAllocationConfig::new();
        pool.total_component_instances(INSTANCES)
            .total_core_instances(INSTANCES * 8)
            .total_memories(INSTANCES)
            .total_tables(INSTANCES * 4)
            .max_core_instances_per_component(8)
            .max_memories_per_component(1)
            .max_tables_per_component(8)
            .table_elements(Limits::default().table_elements)
            .max_memory_size(Limits::MEMORY_BYTES_MOST)
            .max_component_instance_size(1 << 20)
            .max_core_instance_size(1 << 20)
            .linear_memory_keep_resident(KEPT_READY_BYTES)
            .table_keep_resident(KEPT_READY_BYTES);
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        config.memory_reservation(Limits::MEMORY_BYTES_MOST as u64);
    }
    config
}
