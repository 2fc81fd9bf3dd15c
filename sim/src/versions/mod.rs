//! Which version of libvirt and of QEMU offers what of migration, with where that is written.
//!
//! Two tables, [`libvirt`] and [`qemu`], have a line for everything that can be asked of a migration or be seen of it.
//! They let a simulated host be of any version, and compute which features two hosts of different versions have in
//! common.
//!
//! The tables say what a version's interface has. What a build left out, what a kernel or a machine type lacks, and
//! what distributions brought to older versions they do not know: of a real host, its own answer counts.
//!
//! [`profiles`] has the versions that are simulated as a whole.
//!
//! No line must be added without its source. Experimental features, QEMU's `x-` names, are left out.

pub mod libvirt;
pub mod profiles;
pub mod qemu;
mod table;
mod version;

pub use table::{Kind, Offer, State};
pub use version::{Version, VersionError};
