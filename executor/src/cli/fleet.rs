//! `whimbrel simulate` with a fleet file: many migrations in one world, and their outcomes.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use serde::Serialize;
use whimbrel_core::{Ending, Instant, Outcome};
use whimbrel_sim::fleet::{Fleet, FleetReport, LinkKind, LinkUse, Moved, Percentiles};
use whimbrel_sim::qemu::Engine;

use super::args::Simulate;
use super::{CliError, Exit, given, say, unwritten};
use crate::output::Format;
use whimbrel_observe::units::{approx, short, span};

const SCHEMA: &str = "whimbrel.fleet/1";
const ENDED_SCHEMA: &str = "whimbrel.fleet-migration/1";

/// Simulates the fleet in a file's text; `None` if the text is not a fleet.
pub(super) fn run(arguments: &Simulate, text: &str) -> Option<Result<Exit, CliError>> {
    Fleet::is_described_by(text).then(|| simulate(arguments, text))
}

fn simulate(arguments: &Simulate, text: &str) -> Result<Exit, CliError> {
    if let Some(option) = arguments.single_only() {
        return Err(CliError::NotForFleets { option });
    }
    let fleet = Fleet::parse(text, &arguments.scenario)
        .map_err(|error| CliError::Scenario { error, text: text.to_owned() })?;
    let engine = arguments.engine.map_or(Engine::Lumped, Engine::from);
    let seed = arguments.seed.unwrap_or(fleet.seed);
    let mut output = io::BufWriter::new(io::stdout());
    let mut written = Ok(());
    let report = fleet.evacuate(engine, seed, |moved| {
        let line = match arguments.format {
            Format::Ndjson => line_of(moved).map_err(io::Error::from),
            Format::Text if moved.outcome.ending != Ending::Completed => Ok(words_of(moved)),
            Format::Text | Format::Json => return,
        };
        if written.is_ok() {
            written = line.and_then(|line| output.write_all(line.as_bytes()));
        }
    })?;
    let closing = match arguments.format {
        Format::Text => text_of(&report),
        Format::Json | Format::Ndjson => document(&report).map_err(|source| unwritten(source.into()))?,
    };
    let written = written.and_then(|()| output.write_all(closing.as_bytes())).and_then(|()| output.flush());
    given(written)?;
    let unmet = fleet.expect.unmet(&report);
    for what in &unmet {
        say(&format!("error: the fleet `{}` did not end as expected: {what}", fleet.name));
    }
    Ok(if unmet.is_empty() { Exit::Done } else { Exit::Unexpected })
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    #[serde(flatten)]
    report: &'a FleetReport,
}

/// One migration of a fleet.
#[derive(Serialize)]
struct Line<'a> {
    schema: &'static str,
    guest: &'a str,
    from: &'a str,
    to: &'a str,
    attempt: u64,
    began_ms: u64,
    ended_ms: u64,
    sent_bytes: u64,
    outcome: &'a Outcome,
}

fn document(report: &FleetReport) -> serde_json::Result<String> {
    Ok(serde_json::to_string(&Document { schema: SCHEMA, report })? + "\n")
}

fn line_of(moved: &Moved) -> serde_json::Result<String> {
    let line = Line {
        schema: ENDED_SCHEMA,
        guest: &moved.guest,
        from: &moved.from,
        to: &moved.to,
        attempt: moved.attempt,
        began_ms: Instant::from_ns(moved.began_ns).as_ms(),
        ended_ms: Instant::from_ns(moved.ended_ns).as_ms(),
        sent_bytes: moved.sent_bytes,
        outcome: &moved.outcome,
    };
    Ok(serde_json::to_string(&line)? + "\n")
}

/// A migration that did not complete.
fn words_of(moved: &Moved) -> String {
    let at = span(Instant::from_ns(moved.ended_ns).as_ms());
    let cause =
        moved.outcome.cause.map_or_else(|| moved.outcome.ending.to_string(), |cause| cause.to_string());
    let Moved { guest, from, to, .. } = moved;
    format!("{at}: {guest} from {from} to {to}: {cause}; it is {}\n", moved.outcome.guest)
}

fn text_of(report: &FleetReport) -> String {
    let (guests, migrations, most) = (report.guests, report.migrations, report.most_at_once);
    let mut text = String::new();
    // Writing into a string does not fail.
    let _ = write!(
        text,
        "{}: {} of {} guests moved in {} of virtual time, on {} hosts\n\n\
         guests      {} moved, {} stayed, {} in doubt, {} lost, {} never tried\n\
         migrations  {} completed, {} cancelled, {} failed, {} in doubt, {} arrived but not running\n",
        report.name,
        guests.moved,
        guests.all,
        span(report.makespan_ms),
        report.hosts,
        guests.moved,
        guests.stayed,
        guests.in_doubt,
        guests.lost,
        guests.not_tried,
        migrations.completed,
        migrations.cancelled,
        migrations.failed,
        migrations.in_doubt,
        migrations.arrived_stopped,
    );
    for count in &report.causes {
        let _ = writeln!(text, "            {}: {}", count.cause, count.migrations);
    }
    let _ = writeln!(text, "total time  {}", percentiles(report.total_ms));
    let _ = writeln!(text, "downtime    {}", percentiles(report.downtime_ms));
    let _ = writeln!(text, "  reported  {} by the hypervisor", percentiles(report.hypervisor_downtime_ms));
    let _ = writeln!(text, "sent        {}", short(approx(report.sent_bytes)));
    let _ = writeln!(
        text,
        "at once     {} at most, {} from one host, {} to one host",
        most.all, most.per_source, most.per_destination
    );
    for (index, link) in report.links.iter().enumerate() {
        let _ = writeln!(text, "{:12}{}", if index == 0 { "links" } else { "" }, link_words(link));
    }
    if report.incidents.is_empty() {
        text.push_str("incidents   none\n");
    }
    for (index, incident) in report.incidents.iter().enumerate() {
        let head = if index == 0 { "incidents" } else { "" };
        let _ =
            writeln!(text, "{head:12}{} of {} at {}", incident.kind, incident.guest, span(incident.at_ms));
    }
    text
}

fn percentiles(values: Option<Percentiles>) -> String {
    let Some(Percentiles { p50, p95, p99, max }) = values else { return "none".to_owned() };
    format!("p50 {}, p95 {}, p99 {}, max {}", span(p50), span(p95), span(p99), span(max))
}

fn link_words(link: &LinkUse) -> String {
    let what = match link.link {
        LinkKind::CardOut => "cards, sending",
        LinkKind::CardIn => "cards, receiving",
        LinkKind::UplinkOut => "uplink, sending",
        LinkKind::UplinkIn => "uplink, receiving",
    };
    let percent = |per_mille: u64| format!("{}.{} %", per_mille / 10, per_mille % 10);
    let busiest = if link.count > 1 {
        format!(", the busiest {}", percent(link.busiest_per_mille))
    } else {
        String::new()
    };
    format!(
        "{} {what}: {} of {}/s used{busiest}",
        link.group,
        percent(link.used_per_mille),
        short(approx(link.capacity_bytes_per_second))
    )
}
