//! The only wording of the phases: with names for terminals and logs, without names for the page, whose heading has them.

use whimbrel_core::PhaseName;

use crate::names::Names;

/// Where the guest is during this phase, as a sentence without its full stop.
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
            format!("{guest} runs on {destination}; the rest of its memory is being copied from {source}")
        }
        PhaseName::SwitchingOver => {
            format!("{guest} is stopped on {source} while {destination} takes over")
        }
        PhaseName::Completing => {
            format!("libvirt reports {guest} on {destination}; verifying both hosts")
        }
        PhaseName::RollingBack => format!("{guest} stays on {source}"),
        PhaseName::Resolving => {
            format!(
                "the location of {guest} is not known yet; both hosts are being queried, and neither is changed"
            )
        }
        PhaseName::Recovering => {
            format!(
                "{guest} runs on {destination} until it needs memory that is still on {source}: the connection between them is lost"
            )
        }
        PhaseName::Done => format!("the migration of {guest} has ended"),
    }
}

/// The line for entering this phase: what happens in it, and where the guest is.
pub(super) fn entered(phase: PhaseName, names: &Names) -> String {
    let (guest, owner) = (&names.guest, owner(phase, names));
    match phase {
        PhaseName::Validating => format!("{phase}: querying {guest} and both hosts; nothing is changed"),
        PhaseName::Preparing => {
            format!("{phase}: changing settings of {guest}; the undo of each is on record")
        }
        PhaseName::Precopy if names.is_offline => {
            format!("{phase}: copying the definition of {guest} to {}, no memory; {owner}", names.destination)
        }
        PhaseName::Precopy => format!("{phase}: copying memory while {owner}"),
        PhaseName::RollingBack => format!("{phase}: {owner}, and all changes are being undone"),
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

/// What happens in this phase, without names, as a sentence without its full stop.
#[must_use]
pub const fn description(phase: PhaseName) -> &'static str {
    match phase {
        PhaseName::Validating => "validating: nothing is changed",
        PhaseName::Preparing => "preparing: changing settings; the undo of each is on record",
        PhaseName::Precopy => "copying to the destination; the guest stays on the source",
        PhaseName::Postcopy => "the guest runs on the destination; the rest of its memory is being copied",
        PhaseName::SwitchingOver => "switching over: the guest is stopped",
        PhaseName::Completing => "verifying where the guest is",
        PhaseName::RollingBack => "the guest stays on the source; all changes are being undone",
        PhaseName::Resolving => "in doubt: both hosts are being queried before anything is changed",
        PhaseName::Recovering => "post-copy lost its connection: resuming it",
        PhaseName::Done => "ended",
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
            entered(PhaseName::Precopy, &Names::of(&spec)),
            "pre-copy: copying the definition of `web` to beta, no memory; `web` is off, and defined on alpha"
        );
    }
}
