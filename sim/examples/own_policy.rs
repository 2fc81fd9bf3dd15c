//! A policy of one's own in the test bed: it raises the downtime limit step by step, and gives up when that does not
//! help. The policy sees what libvirt reports; the checks at the end see the actual events.
//!
//! Run it with `cargo run -p whimbrel-sim --example own_policy`.

use std::io::{self, Write};

use whimbrel_sim::kit::{
    Failure, Fault, GuestId, HostId, MigrateOptions, Milestone, Moment, Setup, TestBed, TestGuest,
};

/// Allows more downtime every two seconds, from 50 ms up to 800 ms, and ends the migration after that.
fn patient_downtime(bed: &mut TestBed, guest: GuestId, from: HostId, to: HostId) -> Result<(), Failure> {
    bed.set_downtime_ms(guest, from, 50)?;
    let call = bed.migrate(guest, from, to, MigrateOptions::default());
    for limit_ms in [100, 200, 400, 800] {
        if bed.wait_until(2_000, |bed| bed.returned(call).is_some()) {
            break;
        }
        // A refusal means that the guest is switching over just now: the call's own answer shows the result.
        let _ = bed.set_downtime_ms(guest, from, limit_ms);
    }
    if !bed.wait_until(10_000, |bed| bed.returned(call).is_some()) {
        let _ = bed.abort(guest, from);
    }
    bed.wait_for(call)
}

/// A guest that dirties more than the link carries, so that about 370 ms' worth is always left to send: 400 ms are
/// enough, and 200 ms are not.
fn course(fault: Option<Milestone>) -> String {
    let (mut bed, alpha, beta) = TestBed::two_hosts(Setup::default());
    let wren = bed.add_guest(alpha, TestGuest::new("wren", 256).writing(64, 50_000));
    if let Some(milestone) = fault {
        bed.fault(Moment::At(wren, milestone), Fault::KillGuest(wren, beta));
    }

    let result = patient_downtime(&mut bed, wren, alpha, beta);

    bed.assert_runs_only_on(wren, if result.is_ok() { beta } else { alpha });
    let told = result.map_or_else(|failure| failure.message, |()| "migrated".to_owned());
    format!("{told}, after {} ms", bed.now_ns() / 1_000_000)
}

/// What the example shows: the policy where nothing goes wrong, and where the destination's process dies.
pub(crate) fn shown() -> [String; 2] {
    [course(None), course(Some(Milestone::Copying))]
}

fn main() -> io::Result<()> {
    shown().iter().try_for_each(|line| writeln!(io::stdout(), "{line}"))
}
