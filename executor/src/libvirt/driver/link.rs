//! A connection to one host that is made when it is needed, and made anew when it has died.

use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Duration;

use super::lock;
use crate::libvirt::{Connection, ErrorCode, LibvirtError, known_hosts};
use crate::uri::HostUri;

/// Seconds between two signs of life, and how many may be missing: a host that is silent for 15 s is not there.
const KEEP_ALIVE_S: u16 = 5;
const KEEP_ALIVE_COUNT: u16 = 2;

/// A host that has not let us in after this time counts as out of reach. TCP itself would try for minutes.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(in crate::libvirt) struct Link {
    uri: HostUri,
    connection: Mutex<Option<Connection>>,
}

impl Link {
    pub(super) fn new(uri: HostUri) -> Self {
        Self { uri, connection: Mutex::new(None) }
    }

    /// The URI that it opens.
    pub(super) fn uri(&self) -> &HostUri {
        &self.uri
    }

    /// The connection, made anew when it has died.
    pub(super) fn connection(&self) -> Result<Connection, LibvirtError> {
        let present = lock(&self.connection).clone();
        if let Some(connection) = present.filter(|connection| connection.is_alive() == Ok(true)) {
            return Ok(connection);
        }
        // Not under the lock: a host that does not answer must not hold up whoever has a connection already.
        let connection = Self::open(&self.uri)?;
        *lock(&self.connection) = Some(connection.clone());
        Ok(connection)
    }

    /// A connection of its own, within [`CONNECT_PATIENCE`]. An attempt that takes longer is left to end by itself.
    pub(in crate::libvirt) fn open(uri: &HostUri) -> Result<Connection, LibvirtError> {
        let (done, result) = mpsc::channel();
        let own = uri.clone();
        thread::spawn(move || done.send(Self::open_blocking(&own)));
        result.recv_timeout(CONNECT_PATIENCE).unwrap_or_else(|_| {
            Err(LibvirtError {
                call: "virConnectOpenAuth",
                code: ErrorCode::NoConnect,
                domain: 0,
                message: format!("no answer from `{uri}` within {} s", CONNECT_PATIENCE.as_secs()),
            })
        })
    }

    fn open_blocking(uri: &HostUri) -> Result<Connection, LibvirtError> {
        let connection = Connection::open(&known_hosts::trusting(uri.as_str()))?;
        // Drivers without a daemon have no use for it, and old daemons do not know it.
        let _ = connection.set_keep_alive(KEEP_ALIVE_S, KEEP_ALIVE_COUNT);
        Ok(connection)
    }
}
