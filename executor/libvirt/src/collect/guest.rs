//! A host's facts about a guest, beyond its definition.

use whimbrel_facts::{Attribute, Domain as Guest};

use crate::{Domain, LibvirtError, PausedReason, State, documents};

/// The guest of this definition, as it is now, and what the definition has beyond the guest's fields.
pub(super) fn facts(domain: &Domain, definition: &str) -> Result<(Guest, Vec<Attribute>), LibvirtError> {
    let (mut guest, attributes) = documents::guest_with_attributes(definition)?;
    let state = domain.state()?;
    (guest.state, guest.state_reason) = (state.run_state(), reason(state).to_owned());
    guest.persistent = domain.is_persistent().ok();
    guest.autostart = domain.autostart().ok();
    guest.managed_save = domain.has_managed_save().ok();
    guest.snapshots = domain.snapshots().ok();
    guest.checkpoints = domain.checkpoints().ok();
    for disk in &mut guest.disks {
        disk.size_bytes = disk.source.as_ref().and_then(|_| domain.disk_bytes(&disk.target).ok());
        if disk.busy.is_none() {
            // A guest that is off has no block jobs, and libvirt refuses to speak of them.
            let job = if state.is_active() { domain.block_job(&disk.target) } else { Ok("") };
            disk.busy = job.ok().map(str::to_owned);
        }
    }
    let job = crate::job::job(domain);
    guest.job = job.ok().map(|job| match job {
        Some(job) if crate::job::is_active(&job) => "active".to_owned(),
        _ => String::new(),
    });
    Ok((guest, attributes))
}

/// Why a guest is in its state, in the words that rules know; empty where there is nothing to say, or libvirt does not.
fn reason(state: State) -> &'static str {
    match state {
        State::Paused(PausedReason::IoError) => "io-error",
        State::Paused(PausedReason::Migration) => "migration",
        State::Paused(PausedReason::Postcopy) => "post-copy",
        State::Paused(PausedReason::PostcopyFailed) => "post-copy-failed",
        State::Crashed | State::Paused(PausedReason::Crashed) => "crashed",
        State::Paused(PausedReason::Unknown)
        | State::Running(_)
        | State::Blocked
        | State::ShuttingDown
        | State::Shutoff
        | State::Unknown { .. } => "",
        State::Paused(_) | State::GuestSuspended => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_is_named_whether_the_guest_is_paused_for_it_or_kept() {
        // `VIR_DOMAIN_PAUSED_CRASHED`, and `VIR_DOMAIN_CRASHED`.
        for (state, number) in [(3, 10), (6, 0), (6, 1)] {
            assert_eq!(reason(State::from_numbers(state, number)), "crashed", "{state} {number}");
        }
        assert_eq!(reason(State::from_numbers(3, 1)), "other");
        assert_eq!(reason(State::from_numbers(3, 0)), "", "libvirt does not say");
    }
}
