//! Measures the forecast's calibration on the known grid, with the factors for `core/policy/src/forecast/calibration.rs`,
//! and scores it on the unseen one.
//!
//! Run it with `cargo run --release -p whimbrel-study --example calibrate -- [SEEDS]`.

use std::io::{self, Write};

use whimbrel_study::{Grid, Outlook, calibrate, outlooks};

/// The outlooks of a part of the seeds, under a static limit near the intent's downtime.
fn collect(grid: &Grid, seeds: impl Fn(u64) -> bool) -> Vec<Outlook> {
    let cases = grid.cases();
    let chosen = cases.iter().filter(|case| seeds(case.seed));
    chosen.flat_map(|case| outlooks(case, case.intent.max_downtime_ms * 93 / 100)).collect()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seeds: u64 = std::env::args().nth(1).map_or(Ok(4), |text| text.parse())?;
    let mut known = Grid::built_in("known")?;
    let mut unseen = Grid::built_in("unseen")?;
    (known.seeds, unseen.seeds) = (seeds, seeds);
    let half = |seed: u64| seed.is_multiple_of(2);
    let first = collect(&known, half);
    let second = collect(&known, |seed| !half(seed));
    let others = collect(&unseen, |_| true);
    let mut out = io::stdout().lock();
    for (name, scored) in [("known, other half", &second), ("unseen", &others)] {
        writeln!(out, "{name}: stage, intervals, Brier, base rate, raw coverage, low, high, coverage")?;
        for stage in calibrate(&first, scored) {
            writeln!(
                out,
                "{} {:6} {:.3} {:.3} {:.2} {:5} {:6} {:.2}",
                stage.stage,
                stage.count,
                stage.brier,
                stage.brier_of_base_rate,
                stage.raw_coverage,
                stage.low_permille,
                stage.high_permille,
                stage.coverage
            )?;
        }
        let hopeless = scored.iter().filter(|outlook| outlook.is_hopeless);
        let wrong = hopeless.clone().filter(|outlook| outlook.met).count();
        writeln!(out, "hopeless: {} outlooks, {wrong} of them met the intent", hopeless.count())?;
    }
    Ok(())
}
