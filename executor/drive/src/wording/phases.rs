//! The wording of the phases: the one place of it. With names, for whoever knows the guest and its hosts; without them for the
//! page, which names both above it.

use whimbrel_core::PhaseName;

use super::words::Names;

/// Who has the guest while the migration is in this phase, as a sentence without its full stop.
#[must_use]
pub fn owner(phase: PhaseName, names: &Names) -> String {
    let Names { guest, source, destination, .. } = names;
    match phase {
        PhaseName::Validating | PhaseName::Preparing | PhaseName::Precopy if names.is_offline => {
            format!("{guest} is off, and defined on {source}")
        }
        PhaseName::Validating | PhaseName::Preparing | PhaseName::Precopy => {
            format!("{guest} is on {source}")
        }
        PhaseName::Postcopy => {
            format!("{guest} runs on {destination}, and its memory follows from {source}")
        }
        PhaseName::SwitchingOver => {
            format!("{guest} stands still on {source} while {destination} takes over")
        }
        PhaseName::Completing => {
            format!("{guest} is said to be on {destination}; both hosts are being looked at")
        }
        PhaseName::RollingBack => format!("{guest} stays on {source}"),
        PhaseName::Resolving => {
            format!("which host has {guest} is not known yet; both are being looked at, neither is touched")
        }
        PhaseName::Recovering => {
            format!(
                "{guest} runs on {destination} until it needs memory that is still on {source}: the two are cut off"
            )
        }
        PhaseName::Done => format!("the migration of {guest} is over"),
    }
}

/// What happens in this phase, with who has the guest.
pub(super) fn told(phase: PhaseName, names: &Names) -> String {
    let (guest, owner) = (&names.guest, owner(phase, names));
    match phase {
        PhaseName::Validating => format!("{phase}: {guest} and both hosts are asked, nothing is changed"),
        PhaseName::Preparing => {
            format!("{phase}: settings of {guest} are changed, with their undo on record")
        }
        PhaseName::Precopy if names.is_offline => {
            format!(
                "{phase}: the definition of {guest} is copied to {}, no memory; {owner}",
                names.destination
            )
        }
        PhaseName::Precopy => format!("{phase}: memory is copied while {owner}"),
        PhaseName::RollingBack => format!("{phase}: {owner} and what was changed is put back"),
        PhaseName::Postcopy
        | PhaseName::SwitchingOver
        | PhaseName::Completing
        | PhaseName::Resolving
        | PhaseName::Recovering => {
            format!("{phase}: {owner}")
        }
        PhaseName::Done => phase.to_string(),
    }
}

/// What happens in this phase, without a name, as a sentence without its full stop.
#[must_use]
pub const fn description(phase: PhaseName) -> &'static str {
    match phase {
        PhaseName::Validating => "checking: nothing is changed",
        PhaseName::Preparing => "preparing: settings are changed, each with its undo on record",
        PhaseName::Precopy => "copying to the destination; the guest stays on the source meanwhile",
        PhaseName::Postcopy => "the guest runs on the destination, and its memory follows",
        PhaseName::SwitchingOver => "handing over: the guest stands still",
        PhaseName::Completing => "making sure where the guest is",
        PhaseName::RollingBack => "the guest stays on the source; what was changed is put back",
        PhaseName::Resolving => "in doubt: both hosts are looked at before anything is done",
        PhaseName::Recovering => "post-copy lost its connection: it is made to go on",
        PhaseName::Done => "over",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use whimbrel_core::Spec;

    #[test]
    fn an_offline_migration_copies_a_definition_and_no_memory() {
        let mut spec = Spec::new("web", "qemu+tcp://alpha/system", "qemu+tcp://beta/system");
        spec.transfer.offline = true;
        assert_eq!(
            told(PhaseName::Precopy, &Names::of(&spec)),
            "pre-copy: the definition of `web` is copied to beta, no memory; `web` is off, and defined on alpha"
        );
    }
}
