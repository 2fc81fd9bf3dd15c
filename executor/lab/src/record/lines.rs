//! One of QEMU's sockets, read line by line: a monitor, or a guest's serial line.
//!
//! QEMU connects to us, so nothing is ever waited for that is not there yet; it must never be left waiting for a reader.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
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
    /// Listens; whoever was told the path before finds nobody there.
    pub(super) fn open(what: &'static str, path: &Path) -> Result<Self, RecordError> {
        let failed = || format!("listen at `{}`", path.display());
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(LabError::io(failed())(error).into()),
            _ => {}
        }
        let listener = UnixListener::bind(path).map_err(LabError::io(failed()))?;
        Ok(Self { what, listener })
    }

    /// Waits for the connection. `alive` fails when nobody will come any more.
    pub(super) fn accept(
        &self,
        allowed: Duration,
        alive: &mut dyn FnMut() -> Result<(), RecordError>,
    ) -> Result<Lines, RecordError> {
        let deadline = Instant::now() + allowed;
        while !readable(&self.listener, Instant::now() + Duration::from_millis(50))? {
            alive()?;
            if Instant::now() > deadline {
                return Err(LabError::Timeout { what: format!("the connection of {}", self.what), allowed }.into());
            }
        }
        let (stream, _) = self.listener.accept().map_err(LabError::io("accept a connection of QEMU"))?;
        Ok(Lines { what: self.what, stream, pending: Vec::new() })
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct Lines {
    what: &'static str,
    stream: UnixStream,
    pending: Vec<u8>,
}

impl Lines {
    /// The next line without its end; none when none is whole by then.
    pub(super) fn next(&mut self, deadline: Instant) -> Result<Option<String>, RecordError> {
        loop {
            if let Some(at) = self.pending.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=at).collect();
                return Ok(Some(String::from_utf8_lossy(&line).trim_end().to_owned()));
            }
            if !readable(&self.stream, deadline)? {
                return Ok(None);
            }
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(RecordError::Closed(self.what)),
                Ok(length) => self.pending.extend_from_slice(buffer.get(..length).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                    return Err(RecordError::Closed(self.what));
                }
                Err(error) => return Err(LabError::io(format!("read from {}", self.what))(error).into()),
            }
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

/// Whether something can be read or accepted by then.
fn readable(from: &impl AsFd, deadline: Instant) -> Result<bool, RecordError> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        match poll(&mut [PollFd::new(from, PollFlags::IN)], Some(&left)) {
            Ok(ready) => return Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(LabError::io("wait for QEMU")(error.into()).into()),
        }
    }
}
