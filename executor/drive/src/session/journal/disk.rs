//! The lines of a journal on their way to the disk, on a thread of their own: a disk that hangs delays nothing else.
//!
//! A line that cannot be written stays in memory and is tried again with the next. The file is cut back to its last whole
//! line before that, so no line is ever torn in the middle of the file. After a sync that failed, nothing that was written
//! since the last good one counts: the system may have dropped it, so it is written once more. A line must never be left
//! out while later ones are kept: what is behind a gap is dropped.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::sync::mpsc::Receiver;

use crate::session::acks::Ack;

/// Bytes that wait for the disk at most. A migration that polls twice a second fills them in days.
const MOST_BYTES: usize = 64 << 20;
/// Bytes between two syncs at most, where no command needs one: they are kept in memory until then.
const MOST_UNSYNCED: usize = 256 << 10;

/// The target of the lines: a file, or its substitute in a test.
pub(super) trait Medium: Write + Send + 'static {
    /// Returns when what was written is on the disk.
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts the file to this length, and continues at its end.
    fn cut(&mut self, length: u64) -> io::Result<()>;
}

impl Medium for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)?;
        self.seek(SeekFrom::Start(length)).map(drop)
    }
}

/// A request to the thread.
pub(super) enum Ask {
    /// Append a line, which ends with a line end.
    Line {
        text: String,
        /// Whether it must be on the disk before it is acknowledged.
        sync: bool,
        ack: Ack<String>,
    },
    /// Retry pending lines, and report whether all are on the disk.
    Finish(Ack<String>),
}

struct Waiting {
    text: String,
    sync: bool,
    /// None once it was acknowledged: it is then with the operating system.
    ack: Option<Ack<String>>,
}

struct Disk<M> {
    medium: M,
    /// Everything before is on the disk.
    synced: u64,
    /// Where the last whole line ends that was written since.
    end: u64,
    /// Whether the file ends there.
    is_whole: bool,
    /// The lines behind `synced`, of which `written` are written.
    lines: VecDeque<Waiting>,
    written: usize,
    bytes: usize,
    most_bytes: usize,
    gap: Option<String>,
    last_error: Option<String>,
}

/// Serves until the journal is dropped.
pub(super) fn serve(medium: impl Medium, length: u64, asked: &Receiver<Ask>) {
    let mut disk = Disk::new(medium, length, MOST_BYTES);
    for ask in asked {
        disk.take(ask);
    }
}

impl<M: Medium> Disk<M> {
    fn new(medium: M, length: u64, most_bytes: usize) -> Self {
        Self {
            medium,
            synced: length,
            end: length,
            is_whole: true,
            lines: VecDeque::new(),
            written: 0,
            bytes: 0,
            most_bytes,
            gap: None,
            last_error: None,
        }
    }

    fn take(&mut self, ask: Ask) {
        match ask {
            Ask::Line { text, sync, ack } => {
                if self.gap.is_none() && self.bytes.saturating_add(text.len()) > self.most_bytes {
                    let error = self.last_error.as_deref().unwrap_or("the disk does not answer");
                    self.gap = Some(format!("{} bytes waited for the disk: {error}", self.bytes));
                }
                if let Some(gap) = &self.gap {
                    acknowledge(&ack, Err(gap.clone()));
                } else {
                    self.bytes += text.len();
                    self.lines.push_back(Waiting { text, sync, ack: Some(ack) });
                }
                self.last_error = self.attempt(false).err().map(|error| error.to_string());
            }
            Ask::Finish(ack) => {
                let attempt = self.attempt(true).map_err(|error| error.to_string());
                acknowledge(&ack, self.gap.clone().map_or(attempt, Err));
            }
        }
    }

    /// Writes pending lines, and syncs where that is due. After a failure, everything remains for the next attempt.
    fn attempt(&mut self, sync: bool) -> io::Result<()> {
        if !self.is_whole {
            self.medium.cut(self.end)?;
            self.is_whole = true;
        }
        while let Some(line) = self.lines.get_mut(self.written) {
            if let Err(error) = self.medium.write_all(line.text.as_bytes()) {
                // Immediately: there may be no other attempt.
                self.is_whole = self.medium.cut(self.end).is_ok();
                return Err(error);
            }
            self.written += 1;
            self.end += u64::try_from(line.text.len()).unwrap_or(u64::MAX);
            if !line.sync
                && let Some(ack) = line.ack.take()
            {
                acknowledge(&ack, Ok(()));
            }
        }
        let is_due = sync || self.bytes > MOST_UNSYNCED || self.lines.iter().any(|line| line.sync);
        if !is_due {
            return Ok(());
        }
        if let Err(error) = self.medium.sync() {
            (self.written, self.end, self.is_whole) = (0, self.synced, false);
            return Err(error);
        }
        self.synced = self.end;
        (self.written, self.bytes) = (0, 0);
        for ack in self.lines.drain(..).filter_map(|line| line.ack) {
            acknowledge(&ack, Ok(()));
        }
        Ok(())
    }
}

/// The driver may not wait any more.
fn acknowledge(ack: &Ack<String>, result: Result<(), String>) {
    let _ = ack.try_send(result);
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::mpsc::{Receiver, sync_channel};

    use super::{Ask, Disk, Medium};

    /// A disk that fails at the operations that the test names, and writes half of what it is given then.
    #[derive(Default)]
    struct Flaky {
        bytes: Vec<u8>,
        synced: usize,
        operations: usize,
        fails: Vec<usize>,
    }

    impl Flaky {
        fn fails_now(&mut self) -> bool {
            self.operations += 1;
            self.fails.contains(&self.operations)
        }
    }

    impl Write for Flaky {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.fails_now() {
                self.bytes.extend(&bytes[..bytes.len() / 2]);
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.bytes.extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Medium for Flaky {
        fn sync(&mut self) -> io::Result<()> {
            if self.fails_now() {
                // Data written since the last sync is lost, as after an error of the device.
                self.bytes.truncate(self.synced);
                return Err(io::ErrorKind::Other.into());
            }
            self.synced = self.bytes.len();
            Ok(())
        }

        fn cut(&mut self, length: u64) -> io::Result<()> {
            if self.fails_now() {
                return Err(io::ErrorKind::Other.into());
            }
            let length = usize::try_from(length).unwrap();
            assert!(length >= self.synced, "what is safe is never cut off");
            // A file that lost its tail is filled with zeros when it is made longer: that must not happen.
            assert!(length <= self.bytes.len());
            self.bytes.truncate(length);
            Ok(())
        }
    }

    fn put(disk: &mut Disk<Flaky>, text: &str, sync: bool) -> Receiver<Result<(), String>> {
        let (ack, acknowledged) = sync_channel(1);
        disk.take(Ask::Line { text: text.to_owned(), sync, ack });
        acknowledged
    }

    fn finish(disk: &mut Disk<Flaky>) -> Result<(), String> {
        let (ack, acknowledged) = sync_channel(1);
        disk.take(Ask::Finish(ack));
        acknowledged.recv().unwrap()
    }

    /// Six lines, of which every second has to be synced.
    fn lines(fails: Vec<usize>) -> (Disk<Flaky>, usize, String) {
        let mut disk = Disk::new(Flaky { fails, ..Flaky::default() }, 0, 1_000);
        let mut whole = String::new();
        for number in 0..6 {
            let (text, sync) = (format!("line {number}\n"), number % 2 == 1);
            let acknowledged = put(&mut disk, &text, sync);
            whole.push_str(&text);
            if sync && acknowledged.try_recv().is_ok() {
                assert_eq!(disk.medium.synced, whole.len(), "acknowledged before it was on the disk");
            }
        }
        let operations = disk.medium.operations;
        (disk, operations, whole)
    }

    #[test]
    fn no_line_is_torn_or_lost_whichever_operations_fail() {
        let (_, operations, _) = lines(Vec::new());
        for first in 1..=operations {
            for second in first..=first + 3 {
                let (mut disk, _, whole) = lines(vec![first, second]);
                // The last failure is retried at the end, more than once if necessary.
                while finish(&mut disk).is_err() {}
                let found = String::from_utf8(disk.medium.bytes).unwrap();
                assert_eq!(found, whole, "failures at {first} and {second}");
                assert_eq!(disk.medium.synced, whole.len());
            }
        }
    }

    #[test]
    fn beyond_the_bound_there_is_a_gap_and_nothing_behind_it() {
        let mut disk = Disk::new(Flaky { fails: (1..=20).collect(), ..Flaky::default() }, 0, 12);
        drop(put(&mut disk, "first\n", true));
        drop(put(&mut disk, "second, which is too long\n", true));
        let said = put(&mut disk, "third\n", false).try_recv().unwrap().unwrap_err();
        assert!(said.starts_with("6 bytes waited for the disk: "), "{said}");
        disk.medium.fails.clear();
        assert!(finish(&mut disk).is_err(), "a gap is for ever");
        assert_eq!(disk.medium.bytes, b"first\n");
    }
}
