//! Whimbrel's own machine in the test bed, with a fault at the worst moment: the destination's daemon dies after
//! everything was sent and before the guest runs there, and comes back ten seconds later.
//!
//! Run it with `cargo run -p whimbrel-sim --example core_with_a_fault`.

use std::error::Error;
use std::io::{self, Write};

use whimbrel_sim::kit::{
    Fault, MigrationRun, MigrationRunError, Milestone, Moment, Outcome, Setup, TestBed, TestGuest,
};

/// What the example shows: the outcome, which agrees with the truth.
pub(crate) fn shown() -> Result<Outcome, MigrationRunError> {
    let (mut bed, alpha, beta) = TestBed::two_hosts(Setup::default());
    let wren = bed.add_guest(alpha, TestGuest::new("wren", 256).writing(64, 3_000));
    let worst = Moment::At(wren, Milestone::Finishing);
    bed.fault(worst, Fault::KillDaemon(beta));
    bed.fault_after_ms(worst, 10_000, Fault::StartDaemon(beta));

    let outcome = bed.outcome(&MigrationRun::new(wren, alpha, beta))?;

    bed.assert_runs_only_on(wren, alpha);
    Ok(outcome)
}

fn main() -> Result<(), Box<dyn Error>> {
    let outcome = shown()?;
    writeln!(io::stdout(), "{}: the guest is {}; {}", outcome.ending, outcome.guest, outcome.advice)?;
    Ok(())
}
