//! Validation rules: they find what would fail before anything is changed.
//!
//! A rule is a pure function of the facts. All rules are evaluated and all findings reported at once, so an operator
//! can fix everything in one pass. Packs of rules are WebAssembly components that import nothing; the shipped ones are
//! inside the program, and linked natively as well. A rule must never query a host, read a clock, or depend on another
//! rule.

pub mod build;
mod evaluation;
pub mod host;
pub mod lock;
pub mod near;
mod place;
pub mod policy;
pub mod reload;
pub mod schema;
mod set;
pub mod shipped;
mod toml_file;

pub use set::{Judged, Judgement, RuleSet};
pub use whimbrel_facts as facts;
pub use whimbrel_facts::xml;
pub use whimbrel_rules::catalogue;
pub use whimbrel_rules::native::verdict;
