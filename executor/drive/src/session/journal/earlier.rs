//! The lines of a journal that an earlier driver wrote, read from the file one at a time.
//!
//! A migration that lasts for days has a journal of some hundred megabytes; adopting it must not take as much memory.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use whimbrel_core::journal::{Line, Lines};

/// The longest line that is read, in bytes. A definition, which a header may contain, and the facts are the longest parts of a
/// line; libvirt sends no string of more than 4 MiB (`VIR_NET_MESSAGE_STRING_MAX`).
const MOST_LINE_BYTES: u64 = 16 << 20;
const BLOCK_BYTES: u64 = 64 << 10;

/// The lines that were in a journal when it was adopted. Lines that are appended later are not among them.
#[derive(Clone, Debug)]
pub struct EarlierLines {
    path: PathBuf,
    length: u64,
}

impl EarlierLines {
    pub(super) fn new(path: &Path, length: u64) -> Self {
        Self { path: path.to_owned(), length }
    }

    /// Their bytes.
    pub(super) const fn length(&self) -> u64 {
        self.length
    }
}

impl Lines for EarlierLines {
    fn lines(&self) -> Box<dyn Iterator<Item = Line<'_>> + '_> {
        match File::open(&self.path) {
            Ok(file) => {
                let reader = Reader { file: BufReader::new(file.take(self.length)), has_failed: false };
                Box::new(reader.map(|line| line.map(Cow::Owned)))
            }
            Err(error) => Box::new(std::iter::once(Err(unreadable(&error)))),
        }
    }
}

struct Reader<R> {
    file: BufReader<R>,
    has_failed: bool,
}

impl<R: Read> Reader<R> {
    fn line(&mut self) -> io::Result<Option<String>> {
        let mut line = String::new();
        // One more than may be: a line that is as long was cut.
        let read = self.file.by_ref().take(MOST_LINE_BYTES + 1).read_line(&mut line)?;
        if line.ends_with('\n') {
            line.pop();
        } else if u64::try_from(read).is_ok_and(|read| read > MOST_LINE_BYTES) {
            return Err(io::Error::other(format!("a line has more than {MOST_LINE_BYTES} bytes")));
        }
        Ok((read > 0).then_some(line))
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Result<String, String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_failed {
            return None;
        }
        let line = self.line();
        self.has_failed = line.is_err();
        line.map_err(|error| unreadable(&error)).transpose()
    }
}

fn unreadable(error: &io::Error) -> String {
    format!("the journal cannot be read: {error}")
}

/// Where the last line that has its line end ends. Only the blocks behind it are read.
pub(super) fn whole_length(file: &mut (impl Read + Seek)) -> io::Result<u64> {
    let mut end = file.seek(SeekFrom::End(0))?;
    while end > 0 {
        let start = end.saturating_sub(BLOCK_BYTES);
        file.seek(SeekFrom::Start(start))?;
        let mut block = Vec::new();
        file.by_ref().take(end - start).read_to_end(&mut block)?;
        if let Some(at) = block.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + u64::try_from(at).unwrap_or(u64::MAX) + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Cursor, Read as _};

    use super::{BLOCK_BYTES, MOST_LINE_BYTES, Reader, whole_length};

    #[test]
    fn a_torn_line_is_found_however_long_it_is() {
        let block = usize::try_from(BLOCK_BYTES).unwrap();
        for torn in [0, 1, block - 1, block, block + 1, 3 * block] {
            for whole in ["", "a\n", "a\nbc\n"] {
                let text = format!("{whole}{}", "x".repeat(torn));
                assert_eq!(whole_length(&mut Cursor::new(text)).unwrap(), whole.len() as u64, "{torn}");
            }
        }
    }

    #[test]
    fn lines_are_read_in_order_and_an_endless_one_is_refused() {
        let read = |text: &'static [u8]| {
            let endless = text.chain(std::io::repeat(b'x').take(2 * MOST_LINE_BYTES));
            Reader { file: BufReader::new(endless), has_failed: false }
        };
        let mut lines = read(b"one\ntwo\n");
        assert_eq!(lines.next().unwrap().unwrap(), "one");
        assert_eq!(lines.next().unwrap().unwrap(), "two");
        assert!(lines.next().unwrap().unwrap_err().contains("more than"));
        assert!(lines.next().is_none(), "nothing is read behind it");
        assert!(read(b"\xff\n").next().unwrap().is_err(), "not UTF-8");
    }
}
