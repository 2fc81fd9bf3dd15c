//! Supervision of a running migration's tunnel: it is checked until the migration ends, and re-established when it breaks.
//!
//! It is re-established with keys, because no password is kept. Where keys are refused, it stays broken, which is logged once:
//! the migration then ends as with any broken link, by what can still be observed.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::{CONTROL, Login, TunnelError, Tunnels};

/// Interval between checks of a tunnel.
const PAUSE: Duration = Duration::from_secs(1);

/// Ends when it is dropped; the tunnel stays.
#[derive(Debug)]
pub(crate) struct Watch {
    close: Sender<()>,
    thread: Option<JoinHandle<()>>,
}

impl Tunnels {
    /// Watches over a tunnel to this account.
    pub(crate) fn watch(&self, near_end: PathBuf, login: Option<Login>) -> Watch {
        let (close, told) = channel();
        let tunnels = self.clone();
        let span = tracing::Span::current();
        let watch = move || {
            let _inside = span.enter();
            let mut hope = login;
            loop {
                match told.recv_timeout(PAUSE) {
                    Ok(()) => return tunnels.close(&near_end),
                    Err(RecvTimeoutError::Disconnected) => return,
                    Err(RecvTimeoutError::Timeout) => {}
                }
                if let Some(login) = &hope
                    && !stands(&near_end)
                    && !tunnels.mend(login, &near_end)
                {
                    hope = None;
                }
            }
        };
        // Without the thread the tunnel is neither re-established nor closed: the next service that starts does that.
        let thread = thread::Builder::new().name("tunnel".to_owned()).spawn(watch).ok();
        Watch { close, thread }
    }

    /// Whether there is hope for this tunnel: a host that does not answer may come back, one that refuses will not.
    fn mend(&self, login: &Login, near_end: &Path) -> bool {
        match self.remake(login, near_end) {
            Ok(()) => {
                tracing::warn!(host = login.host(), "the tunnel broke and was re-established");
                true
            }
            Err(error @ (TunnelError::Unreachable { .. } | TunnelError::NoDaemon(_))) => {
                tracing::warn!(%error, "the tunnel broke and cannot be re-established yet");
                true
            }
            Err(error) => {
                tracing::warn!(
                    %error,
                    "the tunnel broke and cannot be re-established: the password is not kept, and no key is accepted; \
                     the migration's outcome reports the result"
                );
                false
            }
        }
    }
}

impl Watch {
    /// Closes the tunnel.
    pub(crate) fn close(self) {
        let Self { close, thread } = self;
        let _ = close.send(());
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

/// Whether a tunnel's process accepts orders. A tunnel whose other side is silent ends on its own after 15 s.
fn stands(near_end: &Path) -> bool {
    near_end.parent().is_some_and(|place| UnixStream::connect(place.join(CONTROL)).is_ok())
}
