//! What every migration and query of this process shares: the library, the threads, and what is counted by host.

use std::sync::Arc;

use whimbrel_drive::uri::HostUri;

use crate::attempts::{Attempts, PATIENCE, Refusal};
use crate::threads::{SystemThreads, Threads};
use crate::workers::Workers;
use crate::{Connection, ErrorCode, Installed, Library, LibvirtError, known_hosts};

/// Seconds between two signs of life, and how many may be missing: a host that is silent for 15 s is not there.
const KEEP_ALIVE_S: u16 = 5;
const KEEP_ALIVE_COUNT: u16 = 2;

/// The way to hosts.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    pub(crate) library: Arc<dyn Library>,
    pub(crate) threads: Arc<dyn Threads>,
    pub(crate) attempts: Arc<Attempts>,
    pub(crate) workers: Arc<Workers>,
}

impl Default for Access {
    fn default() -> Self {
        Self::new(Arc::new(Installed), Arc::new(SystemThreads::default()))
    }
}

impl Access {
    /// A process with this library and these threads.
    pub(crate) fn new(library: Arc<dyn Library>, threads: Arc<dyn Threads>) -> Self {
        Self { library, threads, attempts: Arc::default(), workers: Arc::default() }
    }

    /// A connection to whatever host answers, within [`PATIENCE`]. An attempt that takes longer is left to end by itself:
    /// how many there may be is [`Attempts`]' business.
    ///
    /// # Errors
    /// Whatever libvirt reports, or [`ErrorCode::NoConnect`] without an answer in time.
    pub(crate) fn open(&self, uri: &HostUri) -> Result<Connection, LibvirtError> {
        self.within_patience(uri, Ok)
    }

    /// The same, with what is queried over the connection first.
    ///
    /// # Errors
    /// As [`open`](Self::open), and those of `first`.
    pub(crate) fn within_patience<T: Send + 'static>(
        &self,
        uri: &HostUri,
        first: impl FnOnce(Connection) -> Result<T, LibvirtError> + Send + 'static,
    ) -> Result<T, LibvirtError> {
        let began = self.threads.now();
        let permit = loop {
            let now = self.threads.now();
            match self.attempts.begin(uri.as_str(), now) {
                Ok(permit) => break permit,
                Err(Refusal::Busy) if now.saturating_sub(began) < PATIENCE => {
                    self.threads.pause(PATIENCE / 200);
                }
                Err(refusal) => return Err(not_begun(uri, refusal)),
            }
        };
        let (library, own) = (Arc::clone(&self.library), uri.clone());
        let opened = self.threads.within("connect", PATIENCE, move || {
            let _permit = permit;
            let connection = library.open(&known_hosts::trusting(own.as_str()))?;
            // Drivers without a daemon have no use for it, and old daemons do not know it.
            let _ = connection.set_keep_alive(KEEP_ALIVE_S, KEEP_ALIVE_COUNT);
            first(connection)
        });
        opened.unwrap_or_else(|| {
            Err(no_answer(format!("no answer from `{uri}` within {} s", PATIENCE.as_secs())))
        })
    }
}

fn not_begun(uri: &HostUri, refusal: Refusal) -> LibvirtError {
    no_answer(match refusal {
        Refusal::Busy => format!(
            "no connection to `{uri}` was attempted for {} s, because many attempts were under way",
            PATIENCE.as_secs()
        ),
        Refusal::Overdue(overdue) => format!(
            "`{uri}` does not answer: {overdue} earlier attempts to connect have waited for more than {} s, and a further \
             one begins later",
            PATIENCE.as_secs()
        ),
    })
}

fn no_answer(message: String) -> LibvirtError {
    LibvirtError { call: "virConnectOpen", code: ErrorCode::NoConnect, domain: 0, message }
}
