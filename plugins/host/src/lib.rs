//! Validation rules: what can be known to go wrong before anything is changed.
//!
//! A rule is a pure function of the facts. Every rule is asked and every finding is reported at once, so that a
//! migration is mended in one go. Packs of rules are WebAssembly components that import nothing; the shipped ones are
//! inside the program, and linked natively as well. A rule must never ask a host, read a clock, or depend on another
//! rule.

pub mod build;
pub mod host;
pub mod lock;
pub mod policy;
pub mod reload;
pub mod schema;
mod set;
pub mod shipped;
mod toml_file;

pub use set::{INCOMPLETE, Judged, Judgement, RuleSet};
pub use whimbrel_facts as facts;
pub use whimbrel_facts::xml;
pub use whimbrel_rules::native::verdict;
