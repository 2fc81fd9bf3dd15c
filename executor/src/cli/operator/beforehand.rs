//! What is measured on the guest before a migration, and the forecast that follows from it.
//!
//! The guest is not changed. A rate that cannot be measured is unknown, and never a reason not to migrate.

use std::fmt;
use std::time::Instant;

use clap::Args;
use serde::Serialize;
use whimbrel_core::Spec;
use whimbrel_drive::dirty_rate::DirtyRate;
use whimbrel_drive::hosts::{Hosts, HostsError, Route};
use whimbrel_policy::follow::{Before, Known};

use super::args::heading;

/// The intervals, in seconds: a short one shows small hot sets, a longer one how the rate falls with time.
const INTERVALS_S: [u16; 3] = [1, 2, 5];
/// Links that are assumed without a bandwidth limit, in Gb/s.
const LINKS_GBPS: [u64; 3] = [1, 10, 25];
const BYTES_PER_GBPS: u64 = 125_000_000;

#[derive(Clone, Copy, Debug, Args)]
pub(in crate::cli) struct Measuring {
    /// Measure the guest's dirty rate first, over 1, 2 and 5 s, and forecast whether the copy ends. QEMU compares a sample of
    /// the guest's pages; the guest is neither stopped nor slowed by write protection.
    #[arg(long, help_heading = heading::MIGRATION)]
    pub(super) measure_dirty_rate: bool,
}

/// The measurements, and the forecast under each bandwidth that is assumed.
#[derive(Debug, Serialize)]
pub(super) struct Beforehand {
    /// One for each interval.
    dirty_rates: Vec<DirtyRate>,
    /// How long measuring took.
    took_ms: u64,
    /// Why something is not known.
    unknown: Option<String>,
    forecasts: Vec<Before>,
}

impl Beforehand {
    /// Measures a guest on its source. Blocks for the intervals.
    pub(super) fn measure(hosts: &Hosts, spec: &Spec, route: &Route) -> Self {
        let began = Instant::now();
        let measured = rates(hosts, route);
        let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut this = Self { dirty_rates: Vec::new(), took_ms, unknown: None, forecasts: Vec::new() };
        match measured {
            Ok(rates) => {
                this.dirty_rates = rates;
                match memory_bytes(hosts, route) {
                    Some(bytes) => this.forecast(spec, bytes),
                    None => this.unknown = Some("the source does not report the guest's memory".to_owned()),
                }
            }
            Err(error) => this.unknown = Some(format!("the dirty rate was not measured: {error}")),
        }
        this
    }

    /// The knowledge that follows from it.
    pub(super) fn known(&self) -> Known {
        let rate = |rate: &DirtyRate| whimbrel_policy::DirtyRate {
            interval_ms: rate.interval_ms,
            bytes_per_second: rate.bytes_per_second,
        };
        Known { dirty_rates: self.dirty_rates.iter().map(rate).collect(), ..Known::default() }
    }

    fn forecast(&mut self, spec: &Spec, memory_bytes: u64) {
        let known = self.known();
        let links = LINKS_GBPS.map(|gbps| gbps * BYTES_PER_GBPS);
        let limit = spec.bandwidth_limit_bytes_per_second;
        let assumed: &[u64] = limit.as_ref().map_or(&links, std::slice::from_ref);
        self.forecasts =
            assumed.iter().map(|bandwidth| Before::of(spec, &known, memory_bytes, *bandwidth)).collect();
    }
}

fn rates(hosts: &Hosts, route: &Route) -> Result<Vec<DirtyRate>, HostsError> {
    let inquiry = route.inquiry();
    INTERVALS_S.iter().map(|seconds| hosts.dirty_rate(&inquiry, *seconds)).collect()
}

/// The guest's memory as its source reports it.
fn memory_bytes(hosts: &Hosts, route: &Route) -> Option<u64> {
    let inventory = hosts.inventory(&route.source).ok()?;
    let guest = inventory.guests.into_iter().find(|guest| guest.name == route.guest)?;
    Some(guest.memory_bytes).filter(|bytes| *bytes > 0)
}

/// A line for the rates, and one for each forecast.
impl fmt::Display for Beforehand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = Vec::new();
        if !self.dirty_rates.is_empty() {
            let rate = |rate: &DirtyRate| {
                format!("{} MiB/s over {} s", rate.bytes_per_second >> 20, rate.interval_ms / 1_000)
            };
            let rates: Vec<String> = self.dirty_rates.iter().map(rate).collect();
            lines.push(format!(
                "dirty rate: {}; measured in {}.{} s by sampled pages, without stopping the guest",
                rates.join(", "),
                self.took_ms / 1_000,
                self.took_ms % 1_000 / 100
            ));
        }
        lines.extend(self.unknown.iter().map(|reason| format!("forecast: unknown: {reason}")));
        lines.extend(self.forecasts.iter().map(|before| format!("forecast: {}", before.sentence)));
        f.write_str(&lines.join("\n"))
    }
}
