//! One of QEMU's sockets, read line by line: a monitor, or a guest's serial line.
//!
//! QEMU connects to us, so nothing is ever waited for that is not there yet. A thread reads all the time: a guest whose
//! output is not read blocks after some 300 letters, because each is a message of its own to the kernel. It must
//! never do anything else.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::RecordError;
use crate::LabError;

/// A place that QEMU will connect to.
#[derive(Debug)]
pub(super) struct Post {
    what: &'static str,
    listener: UnixListener,
}

impl Post {
    /// Listens; a client that connected to the path before finds no listener.
    pub(super) fn open(what: &'static str, path: &Path) -> Result<Self, RecordError> {
        let failed = || format!("listen at `{}`", path.display());
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(LabError::io(failed())(error).into());
            }
            _ => {}
        }
        let listener = UnixListener::bind(path).map_err(LabError::io(failed()))?;
        Ok(Self { what, listener })
    }

    /// Waits for the connection. `alive` fails when no client will connect any more.
    pub(super) fn accept(
        &self,
        allowed: Duration,
        alive: &mut dyn FnMut() -> Result<(), RecordError>,
    ) -> Result<Lines, RecordError> {
        let deadline = Instant::now() + allowed;
        while !has_caller(&self.listener)? {
            alive()?;
            if Instant::now() > deadline {
                return Err(
                    LabError::Timeout { what: format!("the connection of {}", self.what), allowed }.into()
                );
            }
        }
        let (stream, _) = self.listener.accept().map_err(LabError::io("accept a connection of QEMU"))?;
        Ok(Lines::start(self.what, stream)?)
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct Lines {
    what: &'static str,
    stream: UnixStream,
    /// Closed when QEMU closes the connection.
    heard: Receiver<String>,
}

impl Lines {
    fn start(what: &'static str, stream: UnixStream) -> Result<Self, LabError> {
        let (teller, heard) = channel();
        let reading = stream.try_clone().map_err(LabError::io(format!("share {what}")))?;
        let thread = thread::Builder::new().name("recorder-lines".into());
        thread.spawn(move || read(reading, &teller)).map_err(LabError::io("start a reader"))?;
        Ok(Self { what, stream, heard })
    }

    /// The next line without its end; none when none is whole by then.
    pub(super) fn next(&mut self, deadline: Instant) -> Result<Option<String>, RecordError> {
        match self.heard.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(RecordError::Closed(self.what)),
        }
    }

    /// Sends bytes.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<(), RecordError> {
        match self.stream.write_all(bytes) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(RecordError::Closed(self.what)),
            other => Ok(other.map_err(LabError::io(format!("write to {}", self.what)))?),
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        // Ends the reader; when QEMU has closed the connection it has ended already.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

fn read(stream: UnixStream, teller: &Sender<String>) {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    // A connection that breaks has ended, whichever way it broke.
    while stream.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        // Without a receiver the lines are dropped, but the guest must not be blocked.
        let _ = teller.send(String::from_utf8_lossy(&line).trim_end().to_owned());
        line.clear();
    }
}

/// Whether somebody wants to connect, now or within 50 ms.
fn has_caller(listener: &UnixListener) -> Result<bool, LabError> {
    let wait = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
    match poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&wait)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(LabError::io("wait for QEMU")(error.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Lines, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (Lines::start("the test", ours).unwrap(), theirs)
    }

    #[test]
    fn whatever_is_said_is_taken_at_once() {
        let (mut lines, mut theirs) = pair();
        theirs.set_write_timeout(Some(Duration::from_secs(10))).unwrap();
        for _ in 0..5000 {
            // As an emulated serial line does it.
            theirs.write_all(b"r").unwrap();
        }
        theirs.write_all(b"\nnext").unwrap();
        let soon = Instant::now() + Duration::from_secs(10);
        assert_eq!(lines.next(soon).unwrap().map(|line| line.len()), Some(5000));
        assert_eq!(lines.next(Instant::now()).unwrap(), None, "no end of the line yet");
    }

    #[test]
    fn a_connection_that_ends_is_told() {
        let (mut lines, theirs) = pair();
        drop(theirs);
        let error = lines.next(Instant::now() + Duration::from_secs(10)).unwrap_err();
        assert_eq!(error.to_string(), "the test closed before it was done");
    }
}
