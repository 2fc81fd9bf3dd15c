//! Where guests may go: the hosts that the operator configured, and those that a pattern of theirs approves.
//!
//! A request names its destination as a URI, as a configured host's name, or as an address, which becomes a URI by the
//! operator's transport. Whatever it names, nothing is connected to that the operator did not approve.

use std::net::Ipv6Addr;
use std::sync::Arc;

use super::tunnel::is_plain;
use super::{ServiceError, USUAL_TRANSPORT};
use whimbrel_drive::uri::{HostUri, Origin, Pattern, UriError};

/// What stands for the address in a transport.
const ADDRESS: &str = "{host}";

/// The operator's hosts, patterns and transport. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Destinations {
    hosts: Arc<[HostUri]>,
    patterns: Arc<[Pattern]>,
    transport: Arc<str>,
}

/// Why a guest may not go there.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotThere {
    /// What was written is no URI that may be opened.
    #[error(transparent)]
    Uri(#[from] UriError),
    /// What was written as the user is no name.
    #[error("the user name may contain only letters, digits, `.`, `_` and `-`")]
    User,
    /// The operator did not approve it.
    #[error("`{0}` is neither a host of this service nor an allowed destination")]
    NotAllowed(Box<HostUri>),
}

impl Destinations {
    /// Reads what the operator configured.
    pub(super) fn new(
        hosts: Vec<HostUri>,
        patterns: &[String],
        transport: String,
    ) -> Result<Self, ServiceError> {
        if !transport.contains(ADDRESS) {
            return Err(ServiceError::Transport(transport));
        }
        HostUri::parse(&transport.replace(ADDRESS, "host"), Origin::Operator)?;
        let patterns = patterns.iter().map(|text| Pattern::parse(text)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { hosts: hosts.into(), patterns: patterns.into(), transport: transport.into() })
    }

    /// Whether only simulated hosts can be reached.
    pub(super) fn are_simulated(&self) -> bool {
        self.hosts.iter().all(HostUri::is_simulated) && self.patterns.iter().all(Pattern::is_simulated)
    }

    /// The configured host that a request names by its URI.
    pub(super) fn host(&self, written: &str) -> Option<&HostUri> {
        let as_read = HostUri::parse(written, Origin::Request).ok();
        let is_it = |host: &&HostUri| host.as_str() == written || as_read.as_ref() == Some(*host);
        self.hosts.iter().find(is_it)
    }

    /// The host that a request means. With a password, an address is reached by ssh, whatever the transport is.
    pub(super) fn resolve(
        &self,
        written: &str,
        user: Option<&str>,
        with_password: bool,
    ) -> Result<HostUri, NotThere> {
        if let Some(host) = self.host(written).or_else(|| self.simulated(written)) {
            return Ok(host.clone());
        }
        if written.contains("://") || !is_plain(written, "-.:[]") {
            return self.approved(HostUri::parse(written, Origin::Request)?);
        }
        if !user.is_none_or(|user| is_plain(user, "-._")) {
            return Err(NotThere::User);
        }
        let bracketed =
            written.parse::<Ipv6Addr>().map_or_else(|_| written.to_owned(), |address| format!("[{address}]"));
        let account = user.map_or_else(|| bracketed.clone(), |user| format!("{user}@{bracketed}"));
        let transport = if with_password { USUAL_TRANSPORT } else { &*self.transport };
        // The parameters of the transport are the operator's own.
        let uri = HostUri::parse(&transport.replace(ADDRESS, &account), Origin::Operator)?;
        self.approved(uri).or_else(|refused| self.at(&bracketed, user, with_password).cloned().ok_or(refused))
    }

    fn approved(&self, uri: HostUri) -> Result<HostUri, NotThere> {
        // Simulated hosts are those of the simulated world: there is nothing else to be reached.
        let is_approved = uri.is_simulated()
            || self.hosts.contains(&uri)
            || self.patterns.iter().any(|pattern| pattern.approves(&uri));
        if is_approved { Ok(uri) } else { Err(NotThere::NotAllowed(uri.into())) }
    }

    fn simulated(&self, name: &str) -> Option<&HostUri> {
        self.hosts.iter().find(|host| host.is_simulated() && host.host() == Some(name))
    }

    /// The first configured host at this address, as the operator says it is reached.
    fn at(&self, address: &str, user: Option<&str>, by_ssh: bool) -> Option<&HostUri> {
        let address = address.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let is_it = |host: &&HostUri| {
            host.host() == Some(&*address)
                && user.is_none_or(|user| host.user() == Some(user))
                && (!by_ssh || host.transport().is_ssh())
        };
        self.hosts.iter().find(is_it)
    }
}

#[cfg(test)]
mod tests {
    use super::{Destinations, HostUri, NotThere, Origin, USUAL_TRANSPORT};

    fn destinations(hosts: &[&str], patterns: &[&str], transport: &str) -> Destinations {
        let hosts = hosts.iter().map(|text| HostUri::parse(text, Origin::Operator).unwrap()).collect();
        let patterns: Vec<_> = patterns.iter().map(|text| (*text).to_owned()).collect();
        Destinations::new(hosts, &patterns, transport.to_owned()).unwrap()
    }

    #[test]
    fn a_request_reaches_what_the_operator_configured_and_nothing_else() {
        let hosts =
            ["qemu:///system", "qemu+ssh://root@beta/system", "qemu+tls://gamma/system?pkipath=/etc/pki/x"];
        let known = destinations(&hosts, &["qemu+ssh://root@*.lab/system"], USUAL_TRANSPORT);
        let ssh = |host: &str| format!("qemu+ssh://root@{host}/system");
        for (written, user, with_password, uri) in [
            ("qemu:///system", None, false, hosts[0].to_owned()),
            ("QEMU+ssh://root@BETA/system", None, false, ssh("beta")),
            (hosts[2], None, false, hosts[2].to_owned()),
            ("beta", None, false, ssh("beta")),
            ("beta", Some("root"), true, ssh("beta")),
            ("gamma", None, false, hosts[2].to_owned()),
            ("delta.lab", Some("root"), false, ssh("delta.lab")),
            ("sim://alpha", None, false, "sim://alpha".to_owned()),
        ] {
            let found = known.resolve(written, user, with_password).unwrap();
            assert_eq!(found.as_str(), uri, "{written}");
        }
        for (written, user, with_password) in [
            ("delta.lab", None, false),
            ("beta", Some("anna"), true),
            ("gamma", None, true),
            ("192.0.2.1", None, false),
            ("2001:db8::1", None, false),
            ("qemu+tls://gamma/system", None, false),
            ("qemu+ssh://root@beta/system?mode=legacy", None, false),
            ("qemu+ssh://root@beta:2222/system", None, false),
        ] {
            let found = known.resolve(written, user, with_password);
            assert!(matches!(found, Err(NotThere::NotAllowed(_))), "{written}: {found:?}");
        }
        for written in ["qemu+ext:///system?command=/x", "qemu+tls://delta/system?pkipath=/x", "b eta", "-oX"]
        {
            assert!(matches!(known.resolve(written, None, false), Err(NotThere::Uri(_))), "{written}");
        }
        assert!(matches!(known.resolve("beta", Some("-l"), false), Err(NotThere::User)));
        assert!(!known.are_simulated() && destinations(&["sim://a"], &[], USUAL_TRANSPORT).are_simulated());
    }

    #[test]
    fn an_address_goes_by_the_operators_transport() {
        let transport = "qemu+tls://{host}/system?pkipath=/etc/pki/lab";
        let known = destinations(
            &["qemu:///system"],
            &["qemu+tls://192.0.2.*/system?pkipath=/etc/pki/lab"],
            transport,
        );
        let found = known.resolve("192.0.2.7", None, false).unwrap();
        assert_eq!(found.as_str(), "qemu+tls://192.0.2.7/system?pkipath=/etc/pki/lab");
        assert!(matches!(known.resolve(found.as_str(), None, false), Err(NotThere::Uri(_))), "not as a URI");
        for transport in
            ["qemu+ssh://beta/system", "qemu+ssh://{host}/system?command=/x", "qemu+ssh://u:p@{host}/system"]
        {
            assert!(Destinations::new(Vec::new(), &[], transport.to_owned()).is_err(), "{transport}");
        }
    }
}
