//! Listens at a guest's console: one thread for all QEMU processes that run the guest, so that
//! one clock times the ticks of source and destination.
//!
//! The thread must never do anything slow: the time that it takes a tick for is when it was woken.

use std::io::{ErrorKind, Read};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};

use crate::witness::{CopyRecord, Record};
use crate::{LabError, Snapshot};

/// The ear at one guest's console. Dropping it closes the console.
#[derive(Debug)]
pub(crate) struct Console {
    shared: Arc<Shared>,
    socket: PathBuf,
    /// Dropping this end wakes the reader and ends it.
    closer: Option<UnixStream>,
    reader: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    record: Mutex<Record>,
    news: Condvar,
}

impl Console {
    pub(crate) fn listen(socket: &Path) -> Result<Self, LabError> {
        let what = || format!("listen at `{}`", socket.display());
        let listener = UnixListener::bind(socket).map_err(LabError::io(what()))?;
        listener.set_nonblocking(true).map_err(LabError::io(what()))?;
        let (closer, closing) = UnixStream::pair().map_err(LabError::io(what()))?;
        let shared = Arc::new(Shared::default());
        let reader = Reader { listener, closing, streams: Vec::new(), shared: Arc::clone(&shared) };
        let thread = thread::Builder::new().name("lab-console".into()).spawn(move || reader.run());
        let reader = thread.map_err(LabError::io("start a console's reader"))?;
        Ok(Self { shared, socket: socket.to_owned(), closer: Some(closer), reader: Some(reader) })
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.shared.lock().snapshot(Instant::now())
    }

    pub(crate) fn copies(&self) -> Vec<CopyRecord> {
        self.shared.lock().copies()
    }

    pub(crate) fn mark(&self) -> Snapshot {
        let mut record = self.shared.lock();
        record.mark();
        record.snapshot(Instant::now())
    }

    pub(crate) fn wait_until(
        &self,
        allowed: Duration,
        wanted: impl Fn(&Snapshot) -> bool,
    ) -> Result<Snapshot, LabError> {
        let deadline = Instant::now() + allowed;
        let mut record = self.shared.lock();
        loop {
            let now = Instant::now();
            let seen = record.snapshot(now);
            if wanted(&seen) {
                return Ok(seen);
            }
            if now >= deadline {
                return Err(LabError::Witness { allowed, last: Box::new(seen) });
            }
            // Silence grows without any news, so look again now and then.
            let pause = (deadline - now).min(Duration::from_millis(50));
            record = self.shared.news.wait_timeout(record, pause).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        drop(self.closer.take());
        if let Some(reader) = self.reader.take() {
            // A reader that failed has nothing more to end.
            let _ = reader.join();
        }
        // The lab's own removal takes away what this cannot.
        let _ = std::fs::remove_file(&self.socket);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Reader {
    listener: UnixListener,
    closing: UnixStream,
    /// In the order of connection, which is how the record names them.
    streams: Vec<Option<UnixStream>>,
    shared: Arc<Shared>,
}

impl Reader {
    fn run(mut self) {
        // Emulated processors keep the machine busy; a late reader would see gaps that were not there. It is
        // allowed to root only, and the lab needs root anyway; refused, the gaps are merely less exact.
        let _ = rustix::process::setpriority_process(None, -20);
        while self.wait() {
            let now = Instant::now();
            self.accept();
            self.read_all(now);
            self.shared.news.notify_all();
        }
    }

    /// Sleeps until something happens; `false` once the console is closed.
    fn wait(&self) -> bool {
        let readable = |fd| PollFd::from_borrowed_fd(fd, PollFlags::IN);
        let mut waiting = vec![readable(self.closing.as_fd()), readable(self.listener.as_fd())];
        waiting.extend(self.streams.iter().flatten().map(|stream| readable(stream.as_fd())));
        match poll(&mut waiting, None) {
            Ok(_) => waiting.first().is_some_and(|end| end.revents().is_empty()),
            Err(error) => error == rustix::io::Errno::INTR,
        }
    }

    fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            if stream.set_nonblocking(true).is_ok() {
                self.shared.lock().connect();
                self.streams.push(Some(stream));
            }
        }
    }

    /// Reads whatever has come, that of the copy that ran last first: its last words were said
    /// before the first ones of a copy that took over in the meantime.
    fn read_all(&mut self, now: Instant) {
        let mut record = self.shared.lock();
        let mut order: Vec<usize> = (0..self.streams.len()).collect();
        order.sort_by_key(|&which| Some(which) != record.owner());
        for which in order {
            let Some(slot) = self.streams.get_mut(which) else { continue };
            if let Some(stream) = slot
                && !drain(stream, |bytes| record.feed(which, now, bytes))
            {
                record.close(which);
                *slot = None;
            }
        }
    }
}

/// Reads until nothing is left; `false` when the other side is gone.
fn drain(stream: &mut UnixStream, mut take: impl FnMut(&[u8])) -> bool {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return false,
            Ok(length) => take(buffer.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        }
    }
}
