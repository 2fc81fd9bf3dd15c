//! The grammar: `DRIVER[+TRANSPORT]://[USER@][HOST[:PORT]][/PATH][?NAME=VALUE&…]`, in printable ASCII, without fragment.

use std::net::Ipv6Addr;

use super::{Driver, HostUri, MOST_BYTES, Origin, Reason, Transport, parameters};

/// Characters of a name at most.
const MOST_NAME: usize = 253;

/// Reads a URI. With `wildcards`, `*` may stand in the host's name.
pub(super) fn read(text: &str, origin: Origin, wildcards: bool) -> Result<HostUri, Reason> {
    let (scheme, rest) = text.split_once("://").ok_or(Reason::Malformed("it has no `://`"))?;
    let (before, query) = rest.split_once('?').map_or((rest, None), |(before, query)| (before, Some(query)));
    // A password is refused before everything else, so that no other complaint repeats it.
    if before.rsplit_once('@').is_some_and(|(userinfo, _)| userinfo.contains(':')) {
        return Err(Reason::Password);
    }
    if query.is_some_and(|query| query.contains('@')) {
        return Err(Reason::Malformed("an `@` behind the `?` is written `%40`"));
    }
    if text.len() > MOST_BYTES {
        return Err(Reason::Malformed("it is longer than 1024 bytes"));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Reason::Malformed("it holds a space, a control character or a letter that is not ASCII"));
    }
    if text.contains('#') {
        return Err(Reason::Malformed("it has a fragment, `#`"));
    }
    let (driver, transport) = self::scheme(scheme)?;
    let (authority, path) = match before.find('/') {
        Some(at) => before.split_at_checked(at).unwrap_or((before, "")),
        None => (before, ""),
    };
    let (user, place) = match authority.split_once('@') {
        Some((user, place)) => (Some(self::user(user)?), place),
        None => (None, authority),
    };
    let (host, port) = self::place(place, wildcards)?;
    let uri = HostUri {
        driver,
        transport,
        user,
        host,
        port,
        path: path.to_owned(),
        parameters: query.map_or(Ok(Vec::new()), |query| parameters::read(query, origin))?,
        text: String::new(),
    };
    match driver {
        Driver::Qemu => qemu(uri),
        Driver::Test => test(uri, origin),
        Driver::Simulated => simulated(uri, place, wildcards),
    }
    .map(HostUri::with_text)
}

fn scheme(scheme: &str) -> Result<(Driver, Transport), Reason> {
    let scheme = scheme.to_ascii_lowercase();
    let (driver, transport) =
        scheme.split_once('+').map_or((&*scheme, None), |(driver, transport)| (driver, Some(transport)));
    let word = |text: &str| text.chars().filter(char::is_ascii_graphic).take(32).collect::<String>();
    if transport == Some("ext") {
        return Err(Reason::Program("ext".to_owned()));
    }
    let driver = match driver {
        "qemu" => Driver::Qemu,
        "test" => Driver::Test,
        "sim" => Driver::Simulated,
        other => return Err(Reason::Driver(word(other))),
    };
    let Some(name) = transport else { return Ok((driver, Transport::Unnamed)) };
    let known = Transport::NAMED.into_iter().find(|known| known.name() == Some(name));
    known.map(|known| (driver, known)).ok_or_else(|| Reason::Transport(word(name)))
}

fn user(user: &str) -> Result<String, Reason> {
    if is_name(user, "-._") {
        return Ok(user.to_owned());
    }
    Err(Reason::Malformed("the user is not a name of letters, digits, `.`, `_` and `-`"))
}

/// Host and port.
pub(super) fn place(place: &str, wildcards: bool) -> Result<(Option<String>, Option<u16>), Reason> {
    if place.is_empty() {
        return Ok((None, None));
    }
    let bracketed = place.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let (host, port) = if let Some((address, rest)) = bracketed {
        let malformed = Reason::Malformed("there is no IPv6 address in the brackets");
        let address: Ipv6Addr = address.parse().map_err(|_| malformed)?;
        let port = match rest {
            "" => None,
            rest => Some(rest.strip_prefix(':').ok_or(Reason::Malformed("the port is no number"))?),
        };
        (address.to_string(), port)
    } else {
        let (host, port) = place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port)));
        if !is_host(host, wildcards) {
            let why = "the host is neither a name, an IPv4 address nor an IPv6 address in brackets";
            return Err(Reason::Malformed(why));
        }
        (host.to_ascii_lowercase(), port)
    };
    let number = |port: &str| {
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        port.parse()
            .ok()
            .filter(|port| digits && *port != 0)
            .ok_or(Reason::Malformed("the port is no number"))
    };
    Ok((Some(host), port.map(number).transpose()?))
}

fn qemu(uri: HostUri) -> Result<HostUri, Reason> {
    if !matches!(uri.path.as_str(), "/system" | "/session") {
        return Err(Reason::Malformed("its path is neither `/system` nor `/session`"));
    }
    match uri.transport {
        Transport::Unnamed if uri.host.is_some() => Ok(uri),
        Transport::Unnamed | Transport::Unix if uri.user.is_some() || uri.host.is_some() => {
            Err(Reason::Malformed("this machine's own daemon is reached without a user and a host"))
        }
        Transport::Unnamed | Transport::Unix => Ok(uri),
        _ if uri.host.is_none() => Err(Reason::Malformed("it names no host")),
        _ => Ok(uri),
    }
}

fn test(uri: HostUri, origin: Origin) -> Result<HostUri, Reason> {
    let is_bare = uri.transport == Transport::Unnamed
        && uri.host.is_none()
        && uri.user.is_none()
        && uri.parameters.is_empty();
    let is_file = uri.path.len() > 1 && uri.path.bytes().all(|byte| byte != b'%');
    if is_bare && (uri.path == "/default" || (is_file && origin == Origin::Operator)) {
        return Ok(uri);
    }
    Err(Reason::Malformed("the test driver is reached by `test:///default`"))
}

/// `place` has the name as it was written: those of simulated hosts may differ in their letters' case only.
fn simulated(mut uri: HostUri, place: &str, wildcards: bool) -> Result<HostUri, Reason> {
    let is_bare = uri.transport == Transport::Unnamed
        && uri.user.is_none()
        && uri.port.is_none()
        && uri.parameters.is_empty()
        && matches!(uri.path.as_str(), "" | "/");
    if !is_bare || !is_host(place, wildcards) {
        return Err(Reason::Malformed("a simulated host is written sim://HOST"));
    }
    uri.host = Some(place.to_owned());
    uri.path = String::new();
    Ok(uri)
}

fn is_host(text: &str, wildcards: bool) -> bool {
    is_name(text, if wildcards { "-._*" } else { "-._" }) && text.split('.').all(|label| !label.is_empty())
}

/// Whether a text is a name, with these characters beside letters and digits, that no program takes for an option.
fn is_name(text: &str, also: &str) -> bool {
    !text.is_empty()
        && text.len() <= MOST_NAME
        && !text.starts_with('-')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || also.contains(c))
}
