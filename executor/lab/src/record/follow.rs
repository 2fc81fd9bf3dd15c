//! A migration from its beginning to its end: the requests on the way, and QEMU's figures at the end.
//!
//! It must never ask QEMU more than it has to: every question is answered by the thread that the switchover needs.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use super::RecordError;
use super::case::Case;
use super::driver::Driver;
use super::load::Meter;
use super::qmp::Qmp;
use crate::LabError;

/// How often the throttle is queried where there may be one; QEMU raises it once a second at most.
const THROTTLE_LOOK: Duration = Duration::from_millis(100);
/// The first answer that says "completed" may come before its own figures.
const FIGURES_ALLOWED: Duration = Duration::from_secs(5);
const START_ALLOWED: Duration = Duration::from_mins(1);
const CANCEL_ALLOWED: Duration = Duration::from_secs(30);
/// Beyond its timeout, a migration that cannot be cancelled any more is waited for this long.
const BEYOND_CANCEL: Duration = Duration::from_secs(30);

/// How it ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// Whether it completed; it was cancelled at its timeout otherwise.
    pub(super) completed: bool,
    /// QEMU's figures at the end, or just before the cancel.
    pub(super) figures: Value,
    /// When these were queried, in microseconds since the epoch.
    pub(super) figures_us: u64,
    /// Throttle percentages at each change, with the microseconds since the epoch at which they were seen.
    pub(super) throttle: Vec<(u64, u64)>,
    /// The capabilities that were on, without `events`.
    pub(super) capabilities: Vec<String>,
    /// When it was requested, in microseconds since the epoch.
    pub(super) asked_us: u64,
    /// When QEMU began; all times of a case count from here.
    pub(super) began: Instant,
}

#[derive(Debug)]
enum Step {
    Limit(Option<u64>, Option<u64>),
    PostCopy,
    GiveUp,
}

/// Begins the migration and stays with it until it is over.
pub(super) fn follow(driver: &mut dyn Driver, case: &Case, meter: &mut Meter) -> Result<Ended, RecordError> {
    let mut steps = steps(case);
    let asked_us = now_us();
    driver.begin()?;
    let began = wait_for_start(driver)?;
    let mut ended = Ended {
        completed: false,
        figures: Value::Null,
        figures_us: 0,
        throttle: Vec::new(),
        capabilities: Vec::new(),
        asked_us,
        began,
    };
    loop {
        let now = began.elapsed();
        if steps.front().is_some_and(|(at, _)| *at <= now) {
            match steps.pop_front() {
                Some((_, Step::Limit(bandwidth, downtime))) => driver.limit(bandwidth, downtime)?,
                Some((_, Step::PostCopy)) => driver.post_copy()?,
                Some((_, Step::GiveUp)) => {
                    give_up(driver, &mut ended)?;
                    break;
                }
                None => {}
            }
            continue;
        }
        meter.look(&driver.processes());
        let mut until = began + steps.front().map_or(BEYOND_CANCEL, |(at, _)| *at);
        if case.has("auto-converge") {
            ended.look_at_throttle(&query(&mut driver.source().qmp)?);
            until = until.min(Instant::now() + THROTTLE_LOOK);
        }
        match next_status(&mut driver.source().qmp, until)?.as_deref() {
            Some("active") if ended.capabilities.is_empty() => {
                ended.capabilities = capabilities(&mut driver.source().qmp)?;
            }
            Some("completed") => {
                ended.complete(&mut driver.source().qmp)?;
                break;
            }
            Some(status @ ("failed" | "cancelled")) => return Err(failure(driver, status)),
            _ => {}
        }
    }
    meter.look(&driver.processes());
    driver.settle()?;
    Ok(ended)
}

/// Waits until QEMU begins, which with libvirt is a while after it was asked.
fn wait_for_start(driver: &mut dyn Driver) -> Result<Instant, RecordError> {
    let deadline = Instant::now() + START_ALLOWED;
    loop {
        match next_status(&mut driver.source().qmp, Instant::now() + Duration::from_millis(50))?.as_deref() {
            Some("setup") => return Ok(Instant::now()),
            Some(status @ ("failed" | "cancelled")) => return Err(failure(driver, status)),
            _ if Instant::now() > deadline => {
                let what = "the beginning of the migration".to_owned();
                return Err(LabError::Timeout { what, allowed: START_ALLOWED }.into());
            }
            _ => driver.goes_on()?,
        }
    }
}

fn steps(case: &Case) -> VecDeque<(Duration, Step)> {
    let at = |s: f64| Duration::try_from_secs_f64(s).unwrap_or_default();
    let mut steps: Vec<_> =
        case.changes.iter().map(|change| (at(change.at_s), Step::Limit(change.bw, change.dl))).collect();
    steps.extend(case.post_copy_at_s.map(|s| (at(s), Step::PostCopy)));
    steps.push((Duration::from_secs(case.timeout_s), Step::GiveUp));
    steps.sort_by_key(|(at, _)| *at);
    steps.into()
}

/// The figures as they are, and then the end of the migration; unless it completes first.
fn give_up(driver: &mut dyn Driver, ended: &mut Ended) -> Result<(), RecordError> {
    ended.figures = query(&mut driver.source().qmp)?;
    ended.figures_us = now_us();
    ended.look_at_throttle(&ended.figures.clone());
    if status(&ended.figures).is_some_and(|status| status.starts_with("postcopy")) {
        return Err(RecordError::Migration {
            status: "timeout".into(),
            reason: "after the switch to post-copy it cannot be cancelled".into(),
        });
    }
    driver.cancel()?;
    let deadline = Instant::now() + CANCEL_ALLOWED;
    loop {
        match next_status(&mut driver.source().qmp, deadline)?.as_deref() {
            Some("completed") => return ended.complete(&mut driver.source().qmp),
            Some("cancelled") => return Ok(()),
            None if Instant::now() >= deadline => {
                let what = "the end of a cancelled migration".to_owned();
                return Err(LabError::Timeout { what, allowed: CANCEL_ALLOWED }.into());
            }
            _ => {}
        }
    }
}

impl Ended {
    /// Queries the figures until they are complete.
    fn complete(&mut self, qmp: &mut Qmp) -> Result<(), RecordError> {
        self.completed = true;
        let deadline = Instant::now() + FIGURES_ALLOWED;
        loop {
            self.figures = query(qmp)?;
            self.figures_us = now_us();
            self.look_at_throttle(&self.figures.clone());
            let number = |name: &str| self.figures.get(name).and_then(Value::as_u64);
            if number("total-time").is_some_and(|ms| ms > 0) && number("downtime").is_some() {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(RecordError::Answer(format!("the figures at the end: {}", self.figures)));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn look_at_throttle(&mut self, figures: &Value) {
        let Some(percentage) = figures.get("cpu-throttle-percentage").and_then(Value::as_u64) else { return };
        let changed = self.throttle.last().is_none_or(|(_, last)| *last != percentage);
        if percentage > 0 && changed {
            self.throttle.push((now_us(), percentage));
        }
    }
}

/// The state that the next event of the migration gives; none when there is none by then.
fn next_status(qmp: &mut Qmp, until: Instant) -> Result<Option<String>, RecordError> {
    while let Some(event) = qmp.event(until)? {
        if event.name == "MIGRATION" {
            return Ok(status(&event.data).map(str::to_owned));
        }
    }
    Ok(None)
}

fn query(qmp: &mut Qmp) -> Result<Value, RecordError> {
    qmp.execute("query-migrate", &json!({}))
}

fn status(figures: &Value) -> Option<&str> {
    figures.get("status").and_then(Value::as_str)
}

fn failure(driver: &mut dyn Driver, status: &str) -> RecordError {
    // Whatever QEMU or the driver still says is better than nothing.
    let said = query(&mut driver.source().qmp)
        .ok()
        .and_then(|figures| Some(figures.get("error-desc")?.as_str()?.to_owned()));
    let told = driver.settle().err().map(|error| error.to_string());
    let reason = said.or(told).unwrap_or_else(|| "it does not say why".to_owned());
    RecordError::Migration { status: status.to_owned(), reason }
}

fn capabilities(qmp: &mut Qmp) -> Result<Vec<String>, RecordError> {
    let all = qmp.execute("query-migrate-capabilities", &json!({}))?;
    let is_on = |one: &&Value| one.get("state") == Some(&Value::Bool(true));
    let name = |one: &Value| one.get("capability").and_then(Value::as_str).map(str::to_owned);
    let on = all.as_array().into_iter().flatten().filter(is_on).filter_map(name);
    Ok(on.filter(|name| name != "events").collect())
}

fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Plan;
    use super::*;

    #[test]
    fn steps_are_taken_in_their_order_and_the_last_gives_up() {
        let text = "[[case]]\nname = \"a\"\nguest = \"m=0\"\ntimeout_s = 5\npost_copy_at_s = 1.5\n\
                    capabilities = [\"postcopy-ram\"]\nchanges = [{ at_s = 1.0, downtime_limit_ms = 7 }, { at_s = 2.0, downtime_limit_ms = 9 }]\n";
        let case = Plan::parse(text, Path::new("p")).unwrap().cases.remove(0);
        let steps = steps(&case);
        let at: Vec<u128> = steps.iter().map(|(at, _)| at.as_millis()).collect();
        assert_eq!(at, [1000, 1500, 2000, 5000]);
        assert!(matches!(steps[0].1, Step::Limit(None, Some(7))) && matches!(steps[3].1, Step::GiveUp));
    }

    #[test]
    fn a_throttle_is_noted_when_it_changes() {
        let mut ended = Ended {
            completed: false,
            figures: Value::Null,
            figures_us: 0,
            throttle: Vec::new(),
            capabilities: Vec::new(),
            asked_us: 0,
            began: Instant::now(),
        };
        for percentage in [0, 20, 20, 30, 30, 30] {
            ended.look_at_throttle(&json!({"cpu-throttle-percentage": percentage}));
        }
        ended.look_at_throttle(&json!({"status": "completed"}));
        let seen: Vec<u64> = ended.throttle.iter().map(|(_, percentage)| *percentage).collect();
        assert_eq!(seen, [20, 30]);
    }
}
