//! Connection URIs: which ones this program opens, and which parts each origin may set.
//!
//! libvirt runs programs that a URI names (`qemu+ext`, `command`, `netcat`), reads files that it names and opens a second
//! URI that it carries (`name`). So no text reaches libvirt as it was written: it is parsed here by a grammar that is
//! narrower than libvirt's own, and the URI that is opened is put together again from what was recognised. Nothing here
//! connects to anything.
//!
//! | part | from a request | from the operator |
//! | --- | --- | --- |
//! | drivers | `qemu`, `sim`, `test:///default` | the same, and `test:///FILE` |
//! | transports | none, `ssh`, `tls`, `tcp`, `unix`, `libssh`, `libssh2` | the same |
//! | `mode`, `no_tty` | yes | yes |
//! | `authfile`, `keyfile`, `known_hosts`, `known_hosts_verify`, `no_sanity`, `no_verify`, `pkipath`, `proxy`, `socket`, `sshauth`, `tls_priority` | no | yes |
//! | `ext`, `command`, `netcat`: a program | no | no |
//! | `name`: another URI, opened by the remote daemon | no | no |
//! | a password | no | no |
//!
//! "The operator" is the command line, the service's own options, and what was written down for them: journals and
//! stores. As none of these may name a program, a foreign journal cannot run one either.

mod migrate;
mod parameters;
mod pattern;
mod reader;
#[cfg(test)]
mod tests;

use std::fmt;

pub use self::migrate::check_migrate_uri;
pub use self::parameters::escaped;
pub use self::pattern::Pattern;

/// Bytes of a URI at most.
pub const MOST_BYTES: usize = 1_024;

/// Who wrote a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A client of the service.
    Request,
    /// The command line, the service's options, or a journal or store.
    Operator,
}

/// The driver: one of libvirt's, or the simulated one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// Real guests.
    Qemu,
    /// libvirt's own test driver.
    Test,
    /// A simulated host.
    Simulated,
}

/// How a daemon is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// The daemon of this machine; libvirt's default, TLS, where a host is named.
    Unnamed,
    /// A Unix socket of this machine.
    Unix,
    /// The `ssh` program.
    Ssh,
    /// The libssh library.
    Libssh,
    /// The libssh2 library.
    Libssh2,
    /// TLS.
    Tls,
    /// TCP without encryption.
    Tcp,
}

/// A connection URI that this program opens, in its only spelling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostUri {
    driver: Driver,
    transport: Transport,
    user: Option<String>,
    /// Without brackets.
    host: Option<String>,
    port: Option<u16>,
    path: String,
    /// Names with decoded values.
    parameters: Vec<(&'static str, String)>,
    text: String,
}

/// Why a text is no URI that may be opened. It shows the text without what may be a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{shown}` is not a usable libvirt connection URI: {reason}")]
pub struct UriError {
    shown: String,
    /// The reason.
    pub reason: Reason,
}

/// Why a URI is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The text does not fit the grammar.
    #[error("{0}")]
    Malformed(&'static str),
    /// It holds a password, which would be written down.
    #[error("it contains a password; supply the password separately, or use keys")]
    Password,
    /// The driver is none that guests are migrated with.
    #[error("`{0}` is not one of the drivers `qemu`, `test` and `sim`")]
    Driver(String),
    /// The transport is not known.
    #[error("`{0}` is not one of the transports `ssh`, `tls`, `tcp`, `unix`, `libssh` and `libssh2`")]
    Transport(String),
    /// The transport or a parameter names a program.
    #[error("`{0}` names a program to run, which is not allowed in a URI")]
    Program(String),
    /// A parameter that is not known, or that is never allowed.
    #[error("the parameter `{0}` is not supported")]
    Parameter(String),
    /// A parameter is given twice.
    #[error("the parameter `{0}` is given twice")]
    Twice(&'static str),
    /// A parameter has a value that it cannot have.
    #[error("the parameter `{0}` cannot have this value")]
    Value(&'static str),
    /// A parameter that only the operator may give.
    #[error("the parameter `{0}` is not accepted in a request; the operator can set it with `--host`")]
    NotFromRequest(&'static str),
}

impl HostUri {
    /// Reads a URI that `origin` wrote.
    ///
    /// # Errors
    /// When the URI may not be opened. The error does not repeat a password.
    pub fn parse(text: &str, origin: Origin) -> Result<Self, UriError> {
        reader::read(text, origin, false).map_err(|reason| UriError { shown: shown(text), reason })
    }

    /// The daemon behind a socket of this machine, for tunnels that this program made.
    #[must_use]
    pub fn through_socket(socket: &str) -> String {
        format!("qemu+unix:///system?socket={}", escaped(socket))
    }

    /// The URI, as libvirt is given it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The driver.
    #[must_use]
    pub fn driver(&self) -> Driver {
        self.driver
    }

    /// Whether the host is simulated.
    #[must_use]
    pub fn is_simulated(&self) -> bool {
        self.driver == Driver::Simulated
    }

    /// How the daemon is reached.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// The account to log in as.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Host name or address, without brackets; none for this machine.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// The port, where it is not the usual one.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    fn with_text(mut self) -> Self {
        self.text = self.to_string();
        self
    }
}

impl fmt::Display for HostUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.driver.name())?;
        if let Some(name) = self.transport.name() {
            write!(f, "+{name}")?;
        }
        f.write_str("://")?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        match &self.host {
            Some(host) if host.contains(':') => write!(f, "[{host}]")?,
            Some(host) => f.write_str(host)?,
            None => {}
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str(&self.path)?;
        for (index, (name, value)) in self.parameters.iter().enumerate() {
            let joint = if index == 0 { '?' } else { '&' };
            write!(f, "{joint}{name}={}", escaped(value))?;
        }
        Ok(())
    }
}

impl Driver {
    fn name(self) -> &'static str {
        match self {
            Self::Qemu => "qemu",
            Self::Test => "test",
            Self::Simulated => "sim",
        }
    }
}

impl Transport {
    const NAMED: [Self; 6] = [Self::Unix, Self::Ssh, Self::Libssh, Self::Libssh2, Self::Tls, Self::Tcp];

    fn name(self) -> Option<&'static str> {
        match self {
            Self::Unnamed => None,
            Self::Unix => Some("unix"),
            Self::Ssh => Some("ssh"),
            Self::Libssh => Some("libssh"),
            Self::Libssh2 => Some("libssh2"),
            Self::Tls => Some("tls"),
            Self::Tcp => Some("tcp"),
        }
    }

    /// Whether it goes over ssh.
    #[must_use]
    pub fn is_ssh(self) -> bool {
        matches!(self, Self::Ssh | Self::Libssh | Self::Libssh2)
    }
}

/// A text that was refused, as people are shown it: short, without control characters, and without whatever stands where
/// a password could.
fn shown(text: &str) -> String {
    const MOST_SHOWN: usize = 120;
    let whole = masked(text);
    let cut = whole.split(['?', '#']).next().unwrap_or_default();
    let mark = if cut.len() < whole.len() || cut.chars().count() > MOST_SHOWN { "…" } else { "" };
    let plain =
        |c: char| if c.is_ascii_graphic() || c.is_alphanumeric() || c == ' ' { c } else { '\u{fffd}' };
    cut.chars().take(MOST_SHOWN).map(plain).chain(mark.chars()).collect()
}

/// The URI of a record or a request, for people: one that may hold a password is shown without it.
#[must_use]
pub fn without_password(text: &str) -> String {
    if HostUri::parse(text, Origin::Operator).is_ok() { text.to_owned() } else { masked(text) }
}

/// A text in which everything between the first `:` and the last `@` is hidden, wherever a password may begin or end.
fn masked(text: &str) -> String {
    let is_scheme =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let (scheme, rest) = text.split_once("://").filter(|(scheme, _)| is_scheme(scheme)).unwrap_or(("", text));
    let colon = if text.len() > rest.len() { "://" } else { "" };
    match rest.rsplit_once('@') {
        Some((userinfo, rest)) if userinfo.contains(':') => {
            let user = userinfo.split(':').next().unwrap_or_default();
            format!("{scheme}{colon}{user}:***@{rest}")
        }
        _ => text.to_owned(),
    }
}
