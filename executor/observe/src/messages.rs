//! The wording of every event, shared by lines and picture.
//!
//! Names and messages come from guests and hypervisors: control characters in them must never reach a terminal.

use whimbrel_core::convergence::{Statistics, SyncKind, SyncReport, SyncTotals};
use whimbrel_core::{CancelAnswer, Event, Finding, Recovery, Severity, Verdict};

use crate::names::{Names, clean};
use crate::phases;
use crate::units::{mib, seconds};

/// Something to be said, with the word under which it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// The word under which it stands.
    pub tag: String,
    /// The sentence.
    pub text: String,
}

impl LogLine {
    fn new(tag: impl Into<String>, text: impl Into<String>) -> Self {
        Self { tag: tag.into(), text: text.into() }
    }

    /// The line of it, with its time.
    #[must_use]
    pub fn line(&self, now: whimbrel_core::Instant) -> String {
        format!("{:>9} s  {:<8}  {}", seconds(now), self.tag, self.text)
    }
}

/// The log lines of an event.
#[must_use]
pub fn tell(event: &Event, names: &Names) -> Vec<LogLine> {
    let one = |tag: &str, text: String| vec![LogLine::new(tag, text)];
    match event {
        Event::Phase(phase) => one("phase", phases::entered(*phase, names)),
        Event::Judged(verdict) => judged(verdict),
        Event::Progress(statistics) => one("progress", progress(statistics)),
        Event::Sync(seen) => vec![LogLine::new(format!("sync {}", seen.sync.iteration), sync_words(seen))],
        Event::CancelAnswered(answer) => one("cancel", cancel(*answer, names)),
        Event::Reacted(reaction, result) => one("reaction", format!("{reaction}: {result}")),
        Event::Seen(side, state) => one("seen", format!("{} on {}: {state}", names.guest, names.side(*side))),
        Event::Recovered(recovery) => one("restored", recovered(*recovery, names)),
        Event::Ended(outcome) => one("outcome", outcome.ending.to_string()),
    }
}

/// One recovery, with the names of guest and host.
#[must_use]
pub fn recovered(recovery: Recovery, names: &Names) -> String {
    match recovery {
        Recovery::DowntimeLimitRestored | Recovery::BandwidthLimitRestored | Recovery::PostcopyResumed => {
            recovery.to_string()
        }
        Recovery::DisksRemoved => format!("the disks created on {} were removed", names.destination),
        Recovery::Undefined(side) => {
            format!("the definition of {} left on {} was removed", names.guest, names.side(side))
        }
        Recovery::Resumed(side) => format!("{} was resumed on {}", names.guest, names.side(side)),
        Recovery::Destroyed(side) => format!("the copy left on {} was removed", names.side(side)),
    }
}

/// The text cut into lines of at most `width` characters, at spaces where it can be; the lines after the first are
/// indented by `indent`.
#[must_use]
pub fn wrap(text: &str, width: usize, indent: usize) -> Vec<String> {
    let width = width.max(indent + 8);
    let mut lines = Vec::new();
    let mut rest: Vec<char> = text.chars().collect();
    while rest.len() > width {
        // A break inside the indentation would not make the line shorter.
        let space = rest.iter().take(width + 1).rposition(|character| *character == ' ');
        let end = space.filter(|end| *end > indent).unwrap_or(width);
        let tail = rest.split_off(end);
        lines.push(rest.into_iter().collect::<String>().trim_end().to_owned());
        rest = std::iter::repeat_n(' ', indent).chain(tail.into_iter().skip_while(|c| *c == ' ')).collect();
    }
    lines.push(rest.into_iter().collect());
    lines
}

fn judged(verdict: &Verdict) -> Vec<LogLine> {
    if verdict.findings.is_empty() {
        return vec![LogLine::new("rules", "no check failed")];
    }
    verdict.findings.iter().map(finding).collect()
}

fn finding(finding: &Finding) -> LogLine {
    let severity = match finding.severity {
        Severity::Warning => "warning",
        Severity::Error => "error",
    };
    let Finding { code, message, remediation, .. } = finding;
    let fix = if remediation.is_empty() { String::new() } else { format!("; fix: {remediation}") };
    LogLine::new("rules", clean(&format!("{severity} {code}: {message}{fix}")))
}

fn progress(statistics: &Statistics) -> String {
    let remaining = mib(statistics.memory_remaining_bytes);
    let gap = "";
    if !statistics.knows_memory() {
        return format!("{:>9} the hypervisor has not measured the memory yet", "");
    }
    let rates = rates(statistics.dirty_rate_bytes_per_second(), statistics.bandwidth_bytes_per_second);
    let mut parts = vec![format!("{remaining:>9} MiB left {gap:>21} {rates}")];
    parts.extend(disks(statistics.disk_remaining_bytes));
    parts.join("; ")
}

fn sync_words(SyncReport { sync, totals }: &SyncReport) -> String {
    let (remaining, rise) = (mib(sync.memory_remaining_bytes), mib(sync.dirtied_bytes));
    let rates = rates(sync.dirty_rate_bytes_per_second, sync.bandwidth_bytes_per_second);
    let mut parts = vec![format!("{remaining:>9} MiB left, rose by {rise:>9} MiB; {rates}")];
    if let Some(SyncTotals { low_water_bytes: Some(low), high_water_bytes: Some(high), .. }) = *totals {
        parts.push(format!("low water {:>8}, high {:>8} MiB", mib(low), mib(high)));
    }
    parts.extend(disks(sync.disk_remaining_bytes));
    if sync.unseen > 0 {
        let syncs = if sync.unseen == 1 { "sync" } else { "syncs" };
        parts.push(format!("{} earlier {syncs} not observed", sync.unseen));
    }
    let mark = match (sync.kind, sync.above_previous) {
        (SyncKind::Within, _) => "  (within the pass)",
        (_, true) => "  ^ above the previous sync",
        (_, false) => "",
    };
    parts.join("; ") + mark
}

fn rates(dirty_rate_bytes_per_second: Option<u64>, bandwidth_bytes_per_second: Option<u64>) -> String {
    match (dirty_rate_bytes_per_second.map(mib), bandwidth_bytes_per_second.map(mib)) {
        (Some(dirty_rate), Some(bandwidth)) => {
            format!("dirty rate {dirty_rate:>8}, bandwidth {bandwidth:>8} MiB/s")
        }
        (None, Some(bandwidth)) => {
            format!("dirty rate not measured yet, bandwidth {bandwidth:>8} MiB/s")
        }
        (Some(dirty_rate), None) => {
            format!("dirty rate {dirty_rate:>8} MiB/s, bandwidth not measured yet")
        }
        (None, None) => String::from("dirty rate and bandwidth not measured yet"),
    }
}

fn disks(remaining_bytes: u64) -> Option<String> {
    (remaining_bytes > 0).then(|| format!("disk {} MiB left", mib(remaining_bytes)))
}

fn cancel(answer: CancelAnswer, names: &Names) -> String {
    let Names { guest, source, destination, .. } = names;
    match answer {
        CancelAnswer::Cancelled => format!("cancelled: {guest} is on {source}"),
        CancelAnswer::TooLate => format!("too late: {guest} was already on {destination}"),
        CancelAnswer::Refused => {
            format!("refused: {guest} already runs on {destination} and cannot return to {source}")
        }
        CancelAnswer::InDoubt => {
            format!(
                "in doubt: the switchover of {guest} is in progress; both hosts are queried, then this is answered again"
            )
        }
        CancelAnswer::Unresolved => format!("unresolved: could not determine where {guest} runs"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_cut_at_spaces_and_lose_nothing() {
        assert_eq!(wrap("one two three four", 12, 2), ["one two", "  three four"]);
        assert_eq!(wrap("abcdefghijklmnopqrst", 8, 0), ["abcdefgh", "ijklmnop", "qrst"]);
        assert_eq!(wrap("", 8, 0), [""]);
    }
}
