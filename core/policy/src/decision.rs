//! What a policy answers.

use crate::action::Action;

/// The answer to one observation: at most one action, with the reason in a few words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// The action; none to wait.
    pub action: Option<Action>,
    /// Why, for people. Empty where it only waits.
    pub because: &'static str,
}

impl Decision {
    /// Nothing is done.
    pub const WAIT: Self = Self { action: None, because: "" };

    /// An action, and why.
    #[must_use]
    pub const fn act(action: Action, because: &'static str) -> Self {
        Self { action: Some(action), because }
    }

    /// A downtime limit, and why.
    #[must_use]
    pub const fn limit(ms: u64, because: &'static str) -> Self {
        Self::act(Action::DowntimeLimit { ms }, because)
    }
}
