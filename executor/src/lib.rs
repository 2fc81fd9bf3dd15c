//! whimbrel.

#[cfg(feature = "libvirt")]
pub mod libvirt;
