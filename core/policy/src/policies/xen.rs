//! Xen's toolstack, XAPI's emu-manager, and SUSE's `abort_if_busy`: a number of passes decides.
//!
//! Source: xen `c447b73`, `tools/libs/guest/xg_sr_save.c` (fewer than 50 pages, or 5 iterations); xcp-ng/xcp-emu-manager
//! `03da089`, `src/emu.c` (at most 50 pages, or 4 iterations after the first, then the toolstack's suspend, while
//! pre-copy goes on); SUSE's libxl patch (`max_iters` 5, `min_remaining` 50, `abort_if_busy`).
//!
//! Xen has no downtime limit. On QEMU's loop a limit of 1 ms lets a pass end only when next to nothing is left, and the
//! final copy is a switchover whatever the downtime. A guest that is busy at the last pass pays for all of it.

use whimbrel_core::Instant;

use crate::SyncKind;
use crate::action::Action;
use crate::decision::Decision;
use crate::intent::Intent;
use crate::observation::{Beforehand, Seen, SyncSeen};
use crate::policy::Policy;
use crate::start::Start;

/// A limit under which no pass ends early.
const PASS_MS: u64 = 1;

/// When a toolstack stops the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct XenRules {
    /// It stops after this many passes.
    pub passes: u64,
    /// Or once fewer dirty pages than this are left.
    pub pages: u64,
    /// A guest that is still busy then stays: the migration is cancelled.
    pub abort_if_busy: bool,
}

/// A toolstack's policy for one migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Xen {
    rules: XenRules,
    passes: u64,
    is_over: bool,
}

impl Xen {
    /// Xen's own.
    #[must_use]
    pub const fn libxl() -> Self {
        Self::with(XenRules { passes: 5, pages: 50, abort_if_busy: false })
    }

    /// XAPI's and XCP-ng's emu-manager: fewer than 51 pages, or the fourth pass after the first.
    #[must_use]
    pub const fn xapi() -> Self {
        Self::with(XenRules { passes: 4, pages: 51, abort_if_busy: false })
    }

    /// SUSE's `abort_if_busy`.
    #[must_use]
    pub const fn abort_if_busy() -> Self {
        Self::with(XenRules { passes: 5, pages: 50, abort_if_busy: true })
    }

    /// Other numbers.
    #[must_use]
    pub const fn with(rules: XenRules) -> Self {
        Self { rules, passes: 0, is_over: false }
    }

    fn pass_ended(&mut self, sync: &SyncSeen) -> Decision {
        self.passes = self.passes.saturating_add(1).saturating_add(sync.unseen);
        let pages = sync.remaining_bytes / sync.statistics.page_size_bytes.max(1);
        let is_calm = pages < self.rules.pages;
        if self.is_over || !is_calm && self.passes < self.rules.passes {
            return Decision::WAIT;
        }
        self.is_over = true;
        if is_calm {
            Decision::act(Action::SWITCH_OVER, "next to nothing is left")
        } else if self.rules.abort_if_busy {
            Decision::act(Action::Cancel, "the guest is still busy after the last pass")
        } else {
            Decision::act(Action::SWITCH_OVER, "that was the last pass")
        }
    }
}

impl Policy for Xen {
    fn start(&mut self, _: &Beforehand, _: &Intent) -> Start {
        Start::with_limit(PASS_MS)
    }

    fn on(&mut self, _: Instant, seen: Seen<'_>) -> Decision {
        match seen {
            Seen::Sync(sync) if sync.iteration > 1 && sync.kind != SyncKind::Within => self.pass_ended(sync),
            _ => Decision::WAIT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::Script;

    fn busy() -> Script {
        Script::new(4_096, 100).syncs(41_000, 6_000, &[500; 10])
    }

    #[test]
    fn the_last_pass_is_the_fifth_or_the_fourth() {
        let at = |mut policy: Xen, script: &Script| script.play(&mut policy, 100_000).actions;
        assert_eq!(at(Xen::libxl(), &busy()), [(65_000, Action::SWITCH_OVER)]);
        assert_eq!(at(Xen::xapi(), &busy()), [(59_000, Action::SWITCH_OVER)]);
        assert_eq!(at(Xen::abort_if_busy(), &busy()), [(65_000, Action::Cancel)]);
    }

    #[test]
    fn a_calm_guest_moves_at_once() {
        let calm = Script::new(4_096, 100).sync(41_000, 300).sync(44_000, 0).sync(45_000, 500);
        for mut policy in [Xen::libxl(), Xen::xapi(), Xen::abort_if_busy()] {
            assert_eq!(calm.play(&mut policy, 60_000).actions, [(44_000, Action::SWITCH_OVER)]);
        }
    }
}
