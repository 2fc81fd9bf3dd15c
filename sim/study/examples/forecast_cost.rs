//! Measures the CPU time of one forecast with its verdict and every action, on the guests of the known and the unseen
//! grid: at each sync that is a second after the last one, as a follower makes them.
//!
//! Run it with `cargo run --release -p whimbrel-study --example forecast_cost -- [SEEDS]`.

use std::hint::black_box;
use std::io::{self, Write};
use std::time::{Duration, Instant as Clock};

use whimbrel_core::Instant;
use whimbrel_policy::policies::StaticLimit;
use whimbrel_policy::{Beforehand, Intent, Seen, Start};
use whimbrel_study::{Grid, ModelBeside, Observer, run_observed};

/// The least of so many repetitions counts: the others include the time of other programs.
const REPETITIONS: usize = 5;

/// The model is copied for each measurement, and no forecast made of the original, so that each fits the curve itself.
struct Watch {
    intent: Intent,
    beside: ModelBeside,
    costs: Vec<Duration>,
}

impl Observer for Watch {
    fn starts(&mut self, before: &Beforehand, start: &Start) {
        self.beside.starts(before, start);
    }

    fn on(&mut self, now: Instant, seen: Seen<'_>) {
        let Some(model) = self.beside.on(now, seen) else { return };
        let costs = (0..REPETITIONS).map(|_| {
            let copy = model.clone();
            let begun = Clock::now();
            black_box(copy.outlook(&self.intent));
            begun.elapsed()
        });
        self.costs.extend(costs.min());
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seeds: u64 = std::env::args().nth(1).map_or(Ok(2), |text| text.parse())?;
    let mut out = io::stdout().lock();
    for name in ["known", "unseen"] {
        let mut grid = Grid::built_in(name)?;
        grid.seeds = seeds;
        let mut costs = Vec::new();
        for case in grid.cases() {
            let mut watch = Watch { intent: case.intent, beside: ModelBeside::default(), costs: Vec::new() };
            let mut limit = StaticLimit::new(case.intent.max_downtime_ms * 93 / 100);
            black_box(run_observed(&case, &mut limit, &mut watch));
            costs.extend(watch.costs);
        }
        costs.sort_unstable();
        let at = |percent: usize| costs.get(costs.len().saturating_sub(1) * percent / 100).copied();
        let [median, high, most] = [50, 99, 100].map(|percent| at(percent).unwrap_or_default().as_micros());
        let sum: Duration = costs.iter().sum();
        let mean = sum / u32::try_from(costs.len())?.max(1);
        writeln!(
            out,
            "{name}: {} forecasts, median {median} µs, 99 % {high} µs, most {most} µs; \
             1,000 migrations with one a second: {} % of one core",
            costs.len(),
            mean.as_micros() * 1_000 / 10_000
        )?;
    }
    Ok(())
}
