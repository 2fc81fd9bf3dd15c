//! What its host tells of a guest, beyond its definition.

use whimbrel_facts::{Domain as Guest, RunState};

use crate::{Domain, LibvirtError, PausedReason, State, documents};

/// The guest of this definition, as it is now.
pub(super) fn facts(domain: &Domain, definition: &str) -> Result<Guest, LibvirtError> {
    let mut guest = documents::guest(definition)?;
    let state = domain.state()?;
    (guest.state, guest.state_reason) = run_state(state);
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
    let job = crate::driver::job_of(domain);
    guest.job = job.ok().map(|job| match job {
        Some(job) if crate::driver::is_active_job(&job) => "active".to_owned(),
        _ => String::new(),
    });
    Ok(guest)
}

/// A state in the contract's words, and its reason where rules know one.
pub(super) fn run_state(state: State) -> (RunState, String) {
    let (state, reason) = match state {
        State::Running(_) | State::Blocked | State::ShuttingDown => (RunState::Running, ""),
        State::Paused(PausedReason::IoError) => (RunState::Paused, "io-error"),
        State::Paused(PausedReason::Migration) => (RunState::Paused, "migration"),
        State::Paused(PausedReason::Postcopy) => (RunState::Paused, "post-copy"),
        State::Paused(PausedReason::PostcopyFailed) => (RunState::Paused, "post-copy-failed"),
        State::Paused(PausedReason::Unknown) => (RunState::Paused, ""),
        State::Paused(_) | State::GuestSuspended => (RunState::Paused, "other"),
        State::Shutoff(_) => (RunState::Off, ""),
        State::Crashed => (RunState::Crashed, "crashed"),
        State::Unknown { .. } => (RunState::Unknown, ""),
    };
    (state, reason.to_owned())
}
