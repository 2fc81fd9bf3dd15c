//! Measures the forecast's calibration on the known grid, with the factors for `core/policy/src/forecast/calibration.rs`,
//! and scores it on the unseen one: without a measurement before the start under a limit near the intent's, and with one
//! under that limit, 300 ms and 1 s. Stage 0 is before the first byte.
//!
//! Run it with `cargo run --release -p whimbrel-study --example calibrate -- [SEEDS]`.

use std::io::{self, Write};
use std::num::NonZeroU64;

use whimbrel_study::{Calibration, Case, Grid, Outlook, calibrate, chances_before_ppm, outlooks};

/// How a case is forecast.
struct Mode {
    name: &'static str,
    limit_ms: fn(&Case) -> u64,
    measured_s: &'static [u64],
}

/// The intervals that `--measure-dirty-rate` uses.
const MEASURED_S: &[u64] = &[1, 2, 5];

const MODES: [Mode; 4] = [
    Mode { name: "limit 93 % of the intent's, not measured", limit_ms: near, measured_s: &[] },
    Mode { name: "limit 93 % of the intent's, measured", limit_ms: near, measured_s: MEASURED_S },
    Mode { name: "limit 300 ms, measured", limit_ms: |_| 300, measured_s: MEASURED_S },
    Mode { name: "limit 1 s, measured", limit_ms: |_| 1_000, measured_s: MEASURED_S },
];

fn near(case: &Case) -> u64 {
    case.intent.max_downtime_ms * 93 / 100
}

impl Mode {
    /// The outlooks of a part of the seeds.
    fn collect(&self, grid: &Grid, seeds: impl Fn(u64) -> bool) -> Vec<Outlook> {
        let intervals: Vec<NonZeroU64> =
            self.measured_s.iter().filter_map(|seconds| NonZeroU64::new(seconds * 1_000)).collect();
        let cases = grid.cases();
        let chosen = cases.iter().filter(|case| seeds(case.seed));
        chosen.flat_map(|case| outlooks(case, (self.limit_ms)(case), &intervals)).collect()
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seeds: u64 = std::env::args().nth(1).map_or(Ok(4), |text| text.parse())?;
    let mut known = Grid::built_in("known")?;
    let mut unseen = Grid::built_in("unseen")?;
    (known.seeds, unseen.seeds) = (seeds, seeds);
    let half = |seed: u64| seed.is_multiple_of(2);
    let mut out = io::stdout().lock();
    // One set of factors for all modes: a driver does not choose them by its limit.
    let first: Vec<Outlook> = MODES.iter().flat_map(|mode| mode.collect(&known, half)).collect();
    writeln!(
        out,
        "before the first byte, none and all converge, in millionths: {:?}",
        chances_before_ppm(&first)
    )?;
    for mode in MODES {
        let second = mode.collect(&known, |seed| !half(seed));
        let others = mode.collect(&unseen, |_| true);
        for (name, scored) in [("known, other half", &second), ("unseen", &others)] {
            writeln!(out, "{}; {name}", mode.name)?;
            writeln!(
                out,
                "stage intervals | meets: Brier base skill | converges: Brier base skill | raw low high coverage"
            )?;
            for stage in calibrate(&first, scored) {
                row(&mut out, &stage)?;
            }
            let hopeless = scored.iter().filter(|outlook| outlook.is_hopeless);
            let wrong = hopeless.clone().filter(|outlook| outlook.met).count();
            writeln!(out, "hopeless: {} outlooks, {wrong} of them met the intent", hopeless.count())?;
        }
    }
    Ok(())
}

fn row(out: &mut impl Write, stage: &Calibration) -> io::Result<()> {
    write!(out, "{} {:6}", stage.stage, stage.count)?;
    for score in [stage.meets, stage.converges] {
        write!(out, " | {:.3} {:.3} {:+.2}", score.brier, score.brier_of_base_rate, score.skill())?;
    }
    let Calibration { raw_coverage, low_permille, high_permille, coverage, .. } = stage;
    writeln!(out, " | {raw_coverage:.2} {low_permille:5} {high_permille:6} {coverage:.2}")
}
