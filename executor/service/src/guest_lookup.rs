//! Resolving a guest's name. A name is unique on a host; several hosts may each have a guest of that name.
//!
//! A UUID is one guest, wherever it is seen. Neither the intended one of two guests nor the right one of two running copies must
//! ever be guessed.

use whimbrel_core::GuestRun;

use whimbrel_drive::inventory::GuestEntry;

/// The result for a name, among the guests that have it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Resolved {
    NotFound,
    /// One guest, where it is in memory, or else where it is only defined.
    One(GuestEntry),
    /// One guest of which two copies run: every place where it does.
    Twice(Vec<GuestEntry>),
    /// Several guests.
    Several(Vec<GuestEntry>),
}

/// Decides it. `found` has the guests of every host that answers, in the hosts' order.
pub(super) fn resolve(found: Vec<GuestEntry>) -> Resolved {
    let mut guests: Vec<GuestEntry> = Vec::new();
    for copy in &found {
        match guests.iter_mut().find(|known| known.uuid == copy.uuid) {
            Some(known) if rank(copy.run) > rank(known.run) => known.clone_from(copy),
            Some(_) => {}
            None => guests.push(copy.clone()),
        }
    }
    match guests.pop() {
        None => Resolved::NotFound,
        Some(guest) if guests.is_empty() => {
            let running = copies(&found, &guest.uuid);
            if running.len() > 1 { Resolved::Twice(running) } else { Resolved::One(guest) }
        }
        // The ambiguity is reported before copies that run twice.
        Some(_) => Resolved::Several(found),
    }
}

/// The running copies of a guest, wherever they are.
pub(super) fn copies(found: &[GuestEntry], uuid: &str) -> Vec<GuestEntry> {
    let runs = |guest: &&GuestEntry| guest.uuid == uuid && guest.run == GuestRun::Running;
    found.iter().filter(runs).cloned().collect()
}

/// The host where the guest runs takes precedence over one where it is paused, and that over one where it is only defined.
fn rank(run: GuestRun) -> u8 {
    match run {
        GuestRun::NotRunning => 0,
        GuestRun::Paused => 1,
        GuestRun::Running => 2,
    }
}

#[cfg(test)]
mod tests {
    use whimbrel_core::GuestRun::{self, NotRunning, Paused, Running};

    use super::{GuestEntry, Resolved, resolve};

    fn guest(uuid: &str, host: &str, run: GuestRun) -> GuestEntry {
        let (name, uuid, host) = ("web".to_owned(), uuid.to_owned(), host.to_owned());
        GuestEntry { name, uuid, host, run, memory_bytes: 1, vcpus: 1 }
    }

    #[test]
    fn copies_of_one_guest_are_one_and_guests_of_one_name_are_several() {
        let (off, waits, runs) =
            (guest("1", "a", NotRunning), guest("1", "b", Paused), guest("1", "c", Running));
        let other = guest("2", "b", NotRunning);
        assert_eq!(resolve(Vec::new()), Resolved::NotFound);
        assert_eq!(resolve(vec![off.clone(), waits.clone()]), Resolved::One(waits.clone()));
        assert_eq!(resolve(vec![off.clone(), runs.clone(), waits]), Resolved::One(runs.clone()));
        let two = vec![runs.clone(), other.clone()];
        assert_eq!(resolve(two.clone()), Resolved::Several(two));
        let again = guest("1", "d", Running);
        assert_eq!(
            resolve(vec![runs.clone(), off.clone(), again.clone()]),
            Resolved::Twice(vec![runs.clone(), again.clone()])
        );
        let all = vec![runs, off, again, other];
        assert_eq!(resolve(all.clone()), Resolved::Several(all));
    }
}
