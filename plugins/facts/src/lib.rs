//! The facts that rules judge and the findings that they give, as `plugins/wit/rules.wit` names them.
//!
//! Natively linked rules, sandboxed rules and the host use the same types. Nothing here judges a migration or collects
//! anything; [`sameness`] alone compares: the rules and the driver must not differ in it.

#![no_std]

extern crate alloc;
#[cfg(feature = "xml")]
#[macro_use]
extern crate std;

#[macro_use]
mod contract;

mod device;
mod domain;
mod facts;
mod finding;
mod host;
mod inventory;
#[cfg(feature = "xml")]
mod printable;
mod request;
pub mod sameness;
mod scalar;
mod storage;
#[cfg(feature = "xml")]
pub mod xml;

pub use device::{CharacterDevice, Disk, Filesystem, Graphics, HostDevice, NetworkCard, SharedMemory, Tpm};
pub use domain::{CpuFeature, Domain, GuestCpu, MemoryDevice, RunState};
pub use facts::{Facts, Phase};
pub use finding::{About, Activation, FactGroup, Finding, Rule, SettingsError, Verdict};
pub use host::{CpuComparison, CpuModel, Host, HostCpu, HugePages, Machine, Namesake, NumaNode};
pub use inventory::{Device, Link, Network, Pool};
#[cfg(feature = "xml")]
pub use printable::printable;
pub use request::{Request, StorageCopy};
pub use scalar::{Attribute, Scalar};
pub use storage::{DiskStorage, Identity, Sharing, StorageSide};

/// The page of the package, so that its example is tried.
#[cfg(all(doctest, feature = "xml"))]
#[doc = include_str!("../README.md")]
struct Readme;
