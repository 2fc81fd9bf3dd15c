//! A connection to one host that is made when it is needed, and made anew when it has died.

use std::sync::Mutex;

use super::lock;
use crate::libvirt::{Connection, LibvirtError};

/// Seconds between two signs of life, and how many may be missing: a host that is silent for 15 s is not there.
const KEEP_ALIVE_S: u16 = 5;
const KEEP_ALIVE_COUNT: u16 = 2;

#[derive(Debug)]
pub(super) struct Link {
    uri: String,
    connection: Mutex<Option<Connection>>,
}

impl Link {
    pub(super) fn new(uri: String) -> Self {
        Self { uri, connection: Mutex::new(None) }
    }

    /// The connection, made anew when it has died.
    pub(super) fn connection(&self) -> Result<Connection, LibvirtError> {
        let mut place = lock(&self.connection);
        if let Some(connection) = place.as_ref().filter(|connection| connection.is_alive() == Ok(true)) {
            return Ok(connection.clone());
        }
        *place = None;
        let connection = Self::open(&self.uri)?;
        *place = Some(connection.clone());
        Ok(connection)
    }

    /// A connection of its own.
    pub(super) fn open(uri: &str) -> Result<Connection, LibvirtError> {
        let connection = Connection::open(uri)?;
        // Drivers without a daemon have no use for it, and old daemons do not know it.
        let _ = connection.set_keep_alive(KEEP_ALIVE_S, KEEP_ALIVE_COUNT);
        Ok(connection)
    }
}
