//! A connection to one host that is made when it is needed, and made again when it has died; always to the same host.
//!
//! An address is not a host: it may be moved, and a name may resolve to another machine. The UUID of the host from which the
//! facts were collected is pinned, and each new connection is compared with it. It must never return a connection to a host
//! other than the pinned one: "no such guest" there would be taken for a statement about this migration.

use std::sync::{Mutex, OnceLock};

use whimbrel_core::Side;

use crate::access::Access;
use crate::lock;
use crate::{Connection, ErrorCode, LibvirtError};
use whimbrel_drive::uri::HostUri;

/// The link of a migration to one of its hosts.
#[derive(Debug)]
pub(crate) struct Link {
    access: Access,
    uri: HostUri,
    role: String,
    open: Opener,
    present: Mutex<Option<Reached>>,
    /// The UUID of the host that belongs to this migration, once that is known. Empty where its driver reports none:
    /// then the host cannot be verified.
    pin: OnceLock<String>,
    /// The last host that answered here and was not the pinned one, in words.
    stranger: Mutex<Option<String>>,
}

/// Opens a connection within the patience of [`Access`] and reads which host it leads to.
pub(crate) type Opener = fn(&Access, &HostUri) -> Result<Reached, LibvirtError>;

/// A connection, and the UUID of the host that it leads to; `None` where its driver reports none.
#[derive(Clone, Debug)]
pub(crate) struct Reached {
    pub(crate) connection: Connection,
    pub(crate) host: Option<String>,
}

impl Link {
    /// The link to the host of `guest` on this side. Nothing is connected to yet.
    pub(crate) fn new(access: Access, uri: HostUri, side: Side, guest: &str) -> Self {
        Self {
            access,
            uri,
            role: format!("the {side} of `{guest}`"),
            open: reach,
            present: Mutex::new(None),
            pin: OnceLock::new(),
            stranger: Mutex::new(None),
        }
    }

    /// The same, opened otherwise.
    #[cfg(test)]
    pub(crate) fn opened_by(self, open: Opener) -> Self {
        Self { open, ..self }
    }

    /// The URI that it opens.
    pub(crate) fn uri(&self) -> &HostUri {
        &self.uri
    }

    /// From now on, only the host with this UUID is accepted. An empty one pins nothing: the driver reports none.
    ///
    /// # Errors
    /// When another host was pinned before.
    pub(crate) fn pin(&self, host: &str) -> Result<(), LibvirtError> {
        let pinned = self.pin.get_or_init(|| host.to_ascii_lowercase());
        if pinned.eq_ignore_ascii_case(host) { Ok(()) } else { Err(self.another_host(Some(host), pinned)) }
    }

    /// What calls at this host's daemon are counted by: its UUID, which several URIs may lead to, or else its URI.
    pub(crate) fn daemon(&self) -> String {
        let pinned = self.pin.get().filter(|pinned| !pinned.is_empty());
        pinned.cloned().unwrap_or_else(|| self.uri.to_string())
    }

    /// The connection, made again when it has died.
    ///
    /// # Errors
    /// When the host cannot be reached, or another host answers.
    pub(crate) fn connection(&self) -> Result<Connection, LibvirtError> {
        if let Some(connection) = self.present() {
            return Ok(connection);
        }
        // Not under the lock: a host that does not answer must not hold up those that have a connection already.
        let reached = self.reach_pinned()?;
        *lock(&self.present) = Some(reached.clone());
        Ok(reached.connection)
    }

    /// The connection that is there, if it is alive and leads to the pinned host.
    pub(crate) fn present(&self) -> Option<Connection> {
        let present = lock(&self.present).clone()?;
        // It may have been made before the host was pinned.
        let is_good = present.connection.is_alive() == Ok(true) && self.verify(&present).is_ok();
        is_good.then_some(present.connection)
    }

    /// A connection of its own, verified as the shared one is: for a call that blocks to the end, or to see which host the
    /// address leads to now.
    ///
    /// # Errors
    /// As [`connection`](Self::connection).
    pub(crate) fn separate(&self) -> Result<Connection, LibvirtError> {
        self.reach_pinned().map(|reached| reached.connection)
    }

    /// The last host that answered here without being the pinned one, in words for the operator.
    pub(crate) fn stranger(&self) -> Option<String> {
        lock(&self.stranger).clone()
    }

    fn reach_pinned(&self) -> Result<Reached, LibvirtError> {
        let reached = (self.open)(&self.access, &self.uri)?;
        self.verify(&reached)?;
        Ok(reached)
    }

    fn verify(&self, reached: &Reached) -> Result<(), LibvirtError> {
        let Some(pinned) = self.pin.get().filter(|pinned| !pinned.is_empty()) else { return Ok(()) };
        let is_it = reached.host.as_ref().is_some_and(|host| host.eq_ignore_ascii_case(pinned));
        if is_it { Ok(()) } else { Err(self.another_host(reached.host.as_deref(), pinned)) }
    }

    /// The code is one that no caller takes for a statement about the guest.
    fn another_host(&self, found: Option<&str>, pinned: &str) -> LibvirtError {
        let found = found.filter(|found| !found.is_empty()).unwrap_or("not reported");
        let message = format!(
            "another host answers at `{}`: its UUID is {found}, but {} is the host {pinned}; nothing was done there and \
             nothing concluded from it. Let the address lead to the host {pinned} again",
            self.uri, self.role
        );
        *lock(&self.stranger) = Some(message.clone());
        LibvirtError { call: "virConnectGetCapabilities", code: ErrorCode::NoConnect, domain: 0, message }
    }
}

fn reach(access: &Access, uri: &HostUri) -> Result<Reached, LibvirtError> {
    access.within_patience(uri, |connection| {
        let host = connection.host_uuid()?;
        Ok(Reached { connection, host })
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::{Installed, Library as _};
    use whimbrel_drive::uri::Origin;

    const OURS: &str = "a1fa0000-77ab-4b1e-8a11-00000000000a";
    const OTHER: &str = "be7a0000-77ab-4b1e-8b22-00000000000b";

    /// libvirt's test driver reports no UUID; the opener gives the connection one.
    fn reached(host: Option<&str>) -> Result<Reached, LibvirtError> {
        Ok(Reached { connection: Installed.open("test:///default")?, host: host.map(str::to_owned) })
    }

    fn link(open: Opener) -> Link {
        let uri = HostUri::parse("test:///default", Origin::Operator).unwrap();
        Link::new(Access::default(), uri, Side::Destination, "web").opened_by(open)
    }

    fn refusal(result: Result<Connection, LibvirtError>) -> String {
        let error = result.expect_err("another host was accepted");
        assert_ne!(error.code, ErrorCode::NoDomain, "taken for an absence");
        error.message
    }

    #[test]
    fn every_new_connection_is_compared_with_the_pinned_host() {
        let link = link(|_, _| reached(Some(OTHER)));
        link.pin(OURS).unwrap();
        for result in [link.connection(), link.separate()] {
            let message = refusal(result);
            for part in [OURS, OTHER, "test:///default", "the destination of `web`"] {
                assert!(message.contains(part), "{part}: {message}");
            }
        }
        assert_eq!(link.stranger(), Some(refusal(link.connection())));
    }

    #[test]
    fn a_connection_that_was_made_before_the_pin_is_compared_too_and_the_right_host_is_taken_back() {
        static OPENED: AtomicUsize = AtomicUsize::new(0);
        // The first leads to another host, later ones to ours.
        let link = link(|_, _| match OPENED.fetch_add(1, Ordering::SeqCst) {
            0 => reached(Some(OTHER)),
            _ => reached(Some(&OURS.to_ascii_uppercase())),
        });
        assert!(link.connection().is_ok(), "nothing was pinned yet");
        link.pin(OURS).unwrap();
        assert!(link.present().is_none());
        assert!(link.connection().is_ok());
        assert_eq!(OPENED.load(Ordering::SeqCst), 2);
        assert!(link.present().is_some());
    }

    #[test]
    fn a_host_without_a_uuid_is_not_the_pinned_one_and_pins_nothing() {
        let unknown = link(|_, _| reached(None));
        unknown.pin("").unwrap();
        assert!(unknown.connection().is_ok(), "its driver reports none: it cannot be verified");
        let pinned = link(|_, _| reached(None));
        pinned.pin(OURS).unwrap();
        assert!(refusal(pinned.connection()).contains("not reported"));
    }

    #[test]
    fn a_pin_stays() {
        let link = link(|_, _| reached(Some(OURS)));
        link.pin(OURS).unwrap();
        link.pin(&OURS.to_ascii_uppercase()).unwrap();
        assert!(link.pin(OTHER).unwrap_err().message.contains(OTHER));
        assert!(link.connection().is_ok());
    }
}
