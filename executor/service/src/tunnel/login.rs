//! Whom `ssh` connects as, and where: read out of a connection URI, or refused.

use whimbrel_drive::uri::{HostUri, Origin};

/// Characters of a name at most.
const MOST: usize = 255;

/// An account on a host. None of its parts can be taken for an option of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Login {
    user: Option<String>,
    host: String,
    port: Option<u16>,
}

impl Login {
    /// The account that a URI names; none when it is not one of ssh.
    pub(crate) fn of_uri(uri: &str) -> Option<Self> {
        let uri = HostUri::parse(uri, Origin::Operator).ok().filter(|uri| uri.transport().is_ssh())?;
        let host = uri.host()?;
        let fits = is_plain(host, "-._:") && uri.user().is_none_or(|user| is_plain(user, "-._"));
        fits.then(|| Self { user: uri.user().map(str::to_owned), host: host.to_owned(), port: uri.port() })
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    pub(super) fn port(&self) -> Option<u16> {
        self.port
    }
}

/// Whether a text is a name, with these characters beside letters and digits, and no option.
pub(crate) fn is_plain(text: &str, also: &str) -> bool {
    !text.is_empty()
        && text.len() <= MOST
        && !text.starts_with('-')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || also.contains(c))
}

#[cfg(test)]
mod tests {
    use super::Login;

    #[test]
    fn an_account_is_read_out_of_a_uri() {
        let told = |uri| Login::of_uri(uri).map(|login| (login.user, login.host, login.port));
        let some =
            |user: Option<&str>, host: &str, port| Some((user.map(str::to_owned), host.to_owned(), port));
        assert_eq!(told("qemu+ssh://beta/system"), some(None, "beta", None));
        assert_eq!(
            told("qemu+libssh2://root@192.0.2.12:2222/system?mode=auto"),
            some(Some("root"), "192.0.2.12", Some(2222))
        );
        assert_eq!(told("qemu+ssh://[2001:db8::1]:22/system"), some(None, "2001:db8::1", Some(22)));
        for uri in [
            "qemu+tcp://beta/system",
            "qemu+ssh:///system",
            "qemu+ssh://-oProxyCommand=x/system",
            "qemu+ssh://-l@beta/system",
            "qemu+ssh://a b@beta/system",
            "qemu+ssh://beta:port/system",
            "qemu+ssh://b$(x)/system",
        ] {
            assert_eq!(told(uri), None, "{uri}");
        }
    }
}
