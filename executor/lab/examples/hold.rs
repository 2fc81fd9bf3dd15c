//! Builds a lab with one guest that dirties its memory, says where everything is, and holds it until interrupted.
//!
//! `cargo run -p whimbrel-lab --example hold [WRITES_PER_SECOND]`, as root.

#![expect(clippy::print_stdout, reason = "the example's output is what it is for")]

use std::time::Duration;

use whimbrel_lab::{GuestSpec, Lab, LabError, LabOptions};

fn main() -> Result<(), LabError> {
    let rate = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(2000);
    let lab = Lab::build(&LabOptions::default())?;
    let guest = lab.start_guest(&GuestSpec { writes_per_second: rate, ..GuestSpec::default() })?;
    let operator = lab.operator_command("virsh");
    let mut words = vec![operator.get_program()];
    words.extend(operator.get_args());
    let virsh = words.join(std::ffi::OsStr::new(" "));
    println!("folder    {}", lab.folder().display());
    println!("operator  {}", virsh.display());
    println!("source    --connect {} list", lab.alpha().uri());
    println!("target    --connect {} list", lab.beta().uri());
    println!(
        "migrate   --connect {} migrate --live --p2p {} {}",
        lab.alpha().uri(),
        guest.name(),
        lab.beta().uri()
    );
    println!("interrupt to remove everything");
    loop {
        let mark = guest.mark();
        std::thread::sleep(Duration::from_secs(5));
        let now = guest.snapshot();
        println!(
            "console {:?}: {} writes/s, {} scans, {} bad, longest gap {} ms, handover {:?}, two copies: {}",
            now.owner,
            (now.writes - mark.writes) / 5,
            now.scans,
            now.bad,
            now.longest_gap.as_millis(),
            now.handover,
            now.two_copies_ran()
        );
    }
}
