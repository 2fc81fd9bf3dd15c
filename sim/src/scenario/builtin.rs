//! The scenarios that come with the program: some to show what it does, and shapes that the field has published.
//!
//! Those of the field are held to what was published by `sim/tests/field.rs`, which also says what of it cannot be had.

use super::{Scenario, ScenarioError};

/// Name and text of each.
const FILES: [(&str, &str); 14] = [
    ("regression", include_str!("../../scenarios/regression.toml")),
    ("converges", include_str!("../../scenarios/converges.toml")),
    ("never-converges", include_str!("../../scenarios/never-converges.toml")),
    ("vep248-mariadb", include_str!("../../scenarios/field/vep248-mariadb.toml")),
    ("vep248-kernel-compile", include_str!("../../scenarios/field/vep248-kernel-compile.toml")),
    ("vep248-redis-spikes", include_str!("../../scenarios/field/vep248-redis-spikes.toml")),
    ("vep248-redis-edge", include_str!("../../scenarios/field/vep248-redis-edge.toml")),
    ("vep248-stress-ng", include_str!("../../scenarios/field/vep248-stress-ng.toml")),
    ("qemu-7ca1dfad-plain", include_str!("../../scenarios/field/qemu-7ca1dfad-plain.toml")),
    ("qemu-7ca1dfad-auto-converge", include_str!("../../scenarios/field/qemu-7ca1dfad-auto-converge.toml")),
    ("qemu-rdma-idle", include_str!("../../scenarios/field/qemu-rdma-idle.toml")),
    ("qemu-rdma-idle-pinned", include_str!("../../scenarios/field/qemu-rdma-idle-pinned.toml")),
    ("qemu-multifd-plain", include_str!("../../scenarios/field/qemu-multifd-plain.toml")),
    ("cloud-hypervisor-7799", include_str!("../../scenarios/field/cloud-hypervisor-7799.toml")),
];

impl Scenario {
    /// Names of the built-in scenarios; the first is the default.
    #[must_use]
    pub fn built_in_names() -> impl ExactSizeIterator<Item = &'static str> {
        FILES.iter().map(|(name, _)| *name)
    }

    /// The text of a built-in scenario.
    #[must_use]
    pub fn built_in_text(name: &str) -> Option<&'static str> {
        FILES.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
    }

    /// A built-in scenario; none if there is none of that name. A test reads every one of them, so the
    /// inner error cannot occur in a tested build.
    #[must_use]
    pub fn built_in(name: &str) -> Option<Result<Self, ScenarioError>> {
        Self::built_in_text(name).map(|text| Self::parse(text, &format!("{name}.toml")))
    }
}
