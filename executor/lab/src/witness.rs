//! Understands what guests say on their consoles: a pure record of ticks, fed with bytes and times.
//!
//! Every QEMU that runs a copy of the guest has a connection of its own, so the ticks tell which copy
//! ran when. The record must never look at a clock: times come with the bytes, taken by one reader from
//! one clock, or gaps across two connections would mean nothing.

use std::time::{Duration, Instant};

/// A line longer than this is not the guest's.
const LINE_MAX: usize = 128;

/// What the witness showed, at one moment. Counts are since the guest's start unless they say otherwise.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Number of the last tick; 0 before the first.
    pub seq: u64,
    /// Page writes that the guest did, by its own count.
    pub writes: u64,
    /// Finished scans of the whole region.
    pub scans: u64,
    /// Pages found wrong and sums that did not agree, over all scans. Anything but 0 means lost memory.
    pub bad: u64,
    /// Pages in the region, and the guest's clock in kHz; both 0 until the guest has filled its region.
    pub pages: u64,
    /// The rate of the guest's time-stamp counter in kHz, as the guest measured it.
    pub tsc_khz: u64,
    /// The longest time between two consecutive ticks since the mark: the downtime,
    /// give or take a tick (5 ms) and the machine's own scheduling.
    pub longest_gap: Duration,
    /// The time since the last tick; grows while the guest is stopped.
    pub silence: Duration,
    /// The time between the last tick of one copy and the first of the next, for the last change since the mark.
    pub handover: Option<Duration>,
    /// Consoles that ticked since the mark: one, or two when the guest moved meanwhile.
    pub ticking: usize,
    /// The console that ticked last, counted from 0 in the order in which QEMU processes connected.
    pub owner: Option<usize>,
    /// Consoles that connected so far, and how many of them are still open.
    pub connected: usize,
    /// Consoles still open.
    pub open: usize,
    /// Ticks that never arrived, though later ones did.
    pub lost: u64,
    /// Ticks whose number had been seen before: the guest's history happened twice.
    pub repeated: u64,
    /// Lines that could not be understood, other than one cut in two by a switchover.
    pub torn: u64,
    /// Ticks of a copy that another one had already taken over from: two copies ran.
    pub overtaken: u64,
}

impl Snapshot {
    /// Whether there is any sign that two copies of the guest ran, at once or one after the other from the same past.
    #[must_use]
    pub fn two_copies_ran(&self) -> bool {
        self.repeated > 0 || self.overtaken > 0
    }
}

/// A copy of the guest: a QEMU process that connected to the console.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CopyRecord {
    /// Its stretches of ticks between ticks of other copies: the first and the last of each.
    pub runs: Vec<(Instant, Instant)>,
    /// Whether its console is closed.
    pub is_closed: bool,
}

/// Copies that run at the same time interrupt each other's stretches. More of these than this show nothing new.
const RUNS_MAX: usize = 1000;

/// A report of the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Ready { pages: u64, tsc_khz: u64 },
    Tick { seq: u64, writes: u64, scans: u64, bad: u64 },
}

#[derive(Debug, Default)]
struct Connection {
    pending: Vec<u8>,
    /// Whether a whole line has come, after which a broken one is not a switchover's.
    spoke: bool,
    ticks_since_mark: u64,
    overtaken: bool,
    closed: bool,
    runs: Vec<(Instant, Instant)>,
}

/// The record of all of a guest's consoles.
#[derive(Debug, Default)]
pub(crate) struct Record {
    connections: Vec<Connection>,
    now: Snapshot,
    last_tick: Option<Instant>,
}

impl Record {
    /// A QEMU connected; the answer names it from now on.
    pub(crate) fn connect(&mut self) -> usize {
        self.connections.push(Connection::default());
        self.connections.len() - 1
    }

    /// A QEMU went away.
    pub(crate) fn close(&mut self, which: usize) {
        if let Some(connection) = self.connections.get_mut(which) {
            connection.closed = true;
        }
    }

    /// The copy that ticked last. What it sent has to be fed before what others sent.
    pub(crate) fn owner(&self) -> Option<usize> {
        self.now.owner
    }

    pub(crate) fn feed(&mut self, which: usize, at: Instant, bytes: &[u8]) {
        for &byte in bytes {
            let Some(connection) = self.connections.get_mut(which) else { return };
            match byte {
                b'\n' => {
                    let line = std::mem::take(&mut connection.pending);
                    self.line(which, at, &line);
                }
                // Too long a line is cut here and counted as torn at its end.
                _ if connection.pending.len() < LINE_MAX => connection.pending.push(byte),
                _ => {}
            }
        }
    }

    pub(crate) fn snapshot(&self, at: Instant) -> Snapshot {
        let count = |test: fn(&Connection) -> bool| self.connections.iter().filter(|c| test(c)).count();
        Snapshot {
            silence: self.last_tick.map(|tick| at.saturating_duration_since(tick)).unwrap_or_default(),
            ticking: count(|connection| connection.ticks_since_mark > 0),
            connected: self.connections.len(),
            open: count(|connection| !connection.closed),
            ..self.now.clone()
        }
    }

    /// All copies, in the order in which they connected.
    pub(crate) fn copies(&self) -> Vec<CopyRecord> {
        let copy = |connection: &Connection| CopyRecord {
            runs: connection.runs.clone(),
            is_closed: connection.closed,
        };
        self.connections.iter().map(copy).collect()
    }

    pub(crate) fn mark(&mut self) {
        self.now.longest_gap = Duration::ZERO;
        self.now.handover = None;
        for connection in &mut self.connections {
            connection.ticks_since_mark = 0;
        }
    }

    fn line(&mut self, which: usize, at: Instant, text: &[u8]) {
        let parsed = parse(text).or_else(|| parse(&self.joined(which, text)?));
        if let Some(connection) = self.connections.get_mut(which) {
            connection.spoke = true;
        }
        match parsed {
            Some(Line::Tick { seq, writes, scans, bad }) => {
                self.tick(which, at, seq);
                if seq == self.now.seq {
                    self.now.writes = writes;
                    self.now.scans = scans;
                }
                // Bad news counts whichever copy brings it.
                self.now.bad = self.now.bad.max(bad);
            }
            Some(Line::Ready { pages, tsc_khz }) => {
                self.now.pages = pages;
                self.now.tsc_khz = tsc_khz;
            }
            None => self.now.torn += 1,
        }
    }

    /// A guest that stops in the middle of a line goes on with it at the destination: the first thing
    /// that a new console says may be the end of what the last one began.
    fn joined(&mut self, which: usize, text: &[u8]) -> Option<Vec<u8>> {
        let fresh = self.connections.get(which).is_some_and(|connection| !connection.spoke);
        let owner = self.now.owner.filter(|&owner| fresh && owner != which)?;
        let mut line = std::mem::take(&mut self.connections.get_mut(owner)?.pending);
        line.extend_from_slice(text);
        Some(line)
    }

    fn tick(&mut self, which: usize, at: Instant, seq: u64) {
        if let Some(last) = self.last_tick {
            let gap = at.saturating_duration_since(last);
            self.now.longest_gap = self.now.longest_gap.max(gap);
            if let Some(owner) = self.now.owner.filter(|&owner| owner != which) {
                self.now.handover = Some(gap);
                if let Some(before) = self.connections.get_mut(owner) {
                    before.overtaken = true;
                }
            }
        }
        if seq <= self.now.seq {
            self.now.repeated += 1;
        } else {
            self.now.lost += seq - self.now.seq - 1;
            self.now.seq = seq;
        }
        if let Some(connection) = self.connections.get_mut(which) {
            self.now.overtaken += u64::from(connection.overtaken);
            connection.ticks_since_mark += 1;
            let continues = self.now.owner == Some(which);
            let has_room = connection.runs.len() < RUNS_MAX;
            match connection.runs.last_mut() {
                Some((_, last)) if continues => *last = at,
                _ if has_room => connection.runs.push((at, at)),
                _ => {}
            }
        }
        self.now.owner = Some(which);
        self.last_tick = Some(at);
    }
}

fn parse(line: &[u8]) -> Option<Line> {
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let kind = words.next()?;
    let numbers: Vec<u64> = words.map(|word| u64::from_str_radix(word, 16).ok()).collect::<Option<_>>()?;
    match (kind, numbers.as_slice()) {
        ("i", &[pages, tsc_khz]) => Some(Line::Ready { pages, tsc_khz }),
        ("t", &[seq, writes, scans, bad]) => Some(Line::Tick { seq, writes, scans, bad }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Case {
        record: Record,
        start: Instant,
    }

    impl Case {
        fn new(consoles: usize) -> Self {
            let mut record = Record::default();
            for _ in 0..consoles {
                record.connect();
            }
            Self { record, start: Instant::now() }
        }

        fn at(&mut self, ms: u64, which: usize, text: &str) -> &mut Self {
            self.record.feed(which, self.start + Duration::from_millis(ms), text.as_bytes());
            self
        }

        fn seen(&self) -> Snapshot {
            self.record.snapshot(self.start + Duration::from_secs(1))
        }
    }

    #[test]
    fn numbers_are_hexadecimal() {
        assert_eq!(parse(b"t ff 10 a 0"), Some(Line::Tick { seq: 255, writes: 16, scans: 10, bad: 0 }));
        assert_eq!(parse(b"i c000 279d1c"), Some(Line::Ready { pages: 49152, tsc_khz: 2_596_124 }));
        for wrong in ["", "t", "t 1 2 3", "t 1 2 3 4 5", "x 1 2 3 4", "t 1 2 3 g", "t 1 2 3 ", " 1 2 3 4"] {
            assert_eq!(parse(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn the_longest_gap_counts_from_the_mark() {
        let mut case = Case::new(1);
        case.at(0, 0, "t 1 0 0 0\n").at(90, 0, "t 2 0 0 0\n");
        assert_eq!(case.seen().longest_gap, Duration::from_millis(90));
        case.record.mark();
        case.at(95, 0, "t 3 0 0 0\n").at(130, 0, "t 4 7 2 0\n");
        let seen = case.seen();
        assert_eq!((seen.longest_gap, seen.silence), (Duration::from_millis(35), Duration::from_millis(870)));
        assert_eq!((seen.seq, seen.writes, seen.scans, seen.ticking), (4, 7, 2, 1));
    }

    #[test]
    fn a_move_is_one_handover_and_no_second_copy() {
        let mut case = Case::new(2);
        case.at(0, 0, "t 1 0 0 0\n").at(5, 0, "t 2 0 0 0\n").at(65, 1, "t 3 0 0 0\n").at(
            70,
            1,
            "t 4 0 0 0\n",
        );
        let seen = case.seen();
        assert_eq!(seen.handover, Some(Duration::from_millis(60)));
        assert_eq!((seen.owner, seen.ticking, seen.lost, seen.two_copies_ran()), (Some(1), 2, 0, false));
        case.record.mark();
        case.at(75, 1, "t 5 0 0 0\n");
        assert_eq!((case.seen().ticking, case.seen().handover), (1, None));
    }

    #[test]
    fn a_line_cut_in_two_by_the_move_is_whole_again() {
        let mut case = Case::new(2);
        case.at(0, 0, "t 1f 0 0 0\nt 2").at(60, 1, "0 5 1 0\nt 21 5 1 0\n");
        let seen = case.seen();
        assert_eq!((seen.seq, seen.torn, seen.repeated), (0x21, 0, 0));
        assert_eq!(seen.lost, 0x1e, "only those before the first that was heard");
    }

    #[test]
    fn a_broken_line_is_counted_once_a_console_has_spoken() {
        let mut case = Case::new(2);
        case.at(0, 0, "t 1 0 0 0\nt 2").at(60, 1, "t 2 0 0 0\n 3 0 0 0\n");
        assert_eq!(case.seen().torn, 1);
    }

    #[test]
    fn a_source_that_goes_on_after_the_move_is_seen() {
        let mut case = Case::new(2);
        case.at(0, 0, "t 1 0 0 0\n").at(50, 1, "t 2 0 0 0\n").at(55, 0, "t 2 0 0 0\n").at(
            56,
            1,
            "t 3 0 0 0\n",
        );
        let seen = case.seen();
        assert!(seen.two_copies_ran());
        assert_eq!((seen.repeated, seen.overtaken), (1, 2));
    }

    #[test]
    fn each_copy_has_the_stretches_in_which_it_ran() {
        let mut case = Case::new(2);
        case.at(0, 0, "t 1 0 0 0\n").at(5, 0, "t 2 0 0 0\n").at(50, 1, "t 3 0 0 0\n").at(
            60,
            0,
            "t 3 0 0 0\n",
        );
        case.record.close(1);
        let at = |ms| case.start + Duration::from_millis(ms);
        let first = CopyRecord { runs: vec![(at(0), at(5)), (at(60), at(60))], is_closed: false };
        let second = CopyRecord { runs: vec![(at(50), at(50))], is_closed: true };
        assert_eq!(case.record.copies(), [first, second]);
    }

    #[test]
    fn a_destination_that_starts_from_an_older_past_is_seen() {
        let mut case = Case::new(2);
        case.at(0, 0, "t 1 0 0 0\nt 2 0 0 0\nt 3 0 0 0\n").at(50, 1, "t 3 0 0 0\n");
        assert!(case.seen().two_copies_ran());
    }

    #[test]
    fn bad_never_goes_away() {
        let mut case = Case::new(2);
        case.at(0, 0, "t 1 0 1 2\n").at(5, 0, "t 2 0 1 0\n");
        assert_eq!(case.seen().bad, 2);
    }

    #[test]
    fn an_endless_line_is_bounded() {
        let mut case = Case::new(1);
        case.at(0, 0, &"x".repeat(5000));
        assert!(case.record.connections[0].pending.len() <= LINE_MAX);
        case.at(1, 0, "\nt 1 0 0 0\n");
        assert_eq!((case.seen().torn, case.seen().seq), (1, 1));
    }
}
