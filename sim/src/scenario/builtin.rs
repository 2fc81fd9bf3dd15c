//! The scenarios that come with the program.

use super::{Scenario, ScenarioError};

/// Name and text of each.
const FILES: [(&str, &str); 3] = [
    ("regression", include_str!("../../scenarios/regression.toml")),
    ("converges", include_str!("../../scenarios/converges.toml")),
    ("never-converges", include_str!("../../scenarios/never-converges.toml")),
];

impl Scenario {
    /// Names of the built-in scenarios; the first is the one to show when none is asked for.
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
