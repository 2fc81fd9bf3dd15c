//! A comparison as a table for people.

use std::fmt;

use crate::comparison::{Cell, Comparison};

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "grid {} ({}), {} seeds from {}, {} migrations of each policy, {} of them feasible\n",
            self.grid,
            self.sha256.get(..12).unwrap_or_default(),
            self.seeds,
            self.first_seed,
            self.cases,
            self.feasible
        )?;
        let width = self.policies.iter().map(|policy| policy.name.len()).max().unwrap_or(0);
        writeln!(
            f,
            "{:width$}  {:>17}  {:>6}  {:>6}  {:>14}  {:>13}  {:>5}  {:>15}  {:>21}  {:>6}  {:>5}",
            "policy",
            "met %",
            "of F %",
            "ended",
            "total s",
            "downtime ms",
            "bytes",
            "lost s",
            "regret",
            "warned",
            "false"
        )?;
        for policy in &self.policies {
            writeln!(f, "{:width$}  {}", policy.name, Row(&policy.overall))?;
        }
        writeln!(
            f,
            "\nmet: within downtime and deadline, with its 95 % interval; of F: of the feasible ones; ended: cancelled by the \
             policy;\ntotal, downtime: median / 95 % quantile; bytes: relative to memory; lost: time that each writer lost; \
             regret: cost above\nthe best static limit in hindsight; warned: of the missed ones, those known to be hopeless \
             before; false: of the met ones"
        )
    }
}

/// One row without the name.
struct Row<'a>(&'a Cell);

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cell = self.0;
        let percent = |share: f64| format!("{:.1}", share * 100.0);
        let maybe = |share: Option<f64>| share.map_or("-".to_owned(), percent);
        let seconds = |ms: u64| ms.div_ceil(1000);
        let [low, high] = cell.met.interval.map(percent);
        let [total, total_p95] = cell.total_ms.map(seconds);
        let downtime = cell.downtime_ms.map_or("-".to_owned(), |[median, p95]| format!("{median} / {p95}"));
        let [lost_low, lost_high] = cell.lost_ms.interval.map(|ms| ms / 1000.0);
        let [regret_low, regret_high] = cell.regret.interval;
        write!(
            f,
            "{:>17}  {:>6}  {:>6}  {:>14}  {downtime:>13}  {:>5.1}  {:>15}  {:>21}  {:>5}  {:>5}",
            format!("{} ({low}-{high})", percent(cell.met.value)),
            maybe(cell.met_of_feasible),
            percent(cell.cancelled),
            format!("{total} / {total_p95}"),
            cell.sent_per_memory,
            format!("{:.2} ({lost_low:.1}-{lost_high:.1})", cell.lost_ms.value / 1000.0),
            format!("{:+.2} ({regret_low:+.2}-{regret_high:+.2})", cell.regret.value),
            maybe(cell.warned),
            maybe(cell.false_alarms),
        )
    }
}
