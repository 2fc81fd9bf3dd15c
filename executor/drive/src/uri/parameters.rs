//! The parameters that a URI may carry, and who may set each. A parameter that is not in this table is refused.

use super::{Origin, Reason};

/// The allowed values.
enum Values {
    /// One of these.
    Words(&'static [&'static str]),
    /// Any text of printable ASCII.
    Text,
}

/// A parameter, who may give it at least, and its values.
struct Parameter(&'static str, Origin, Values);

const SWITCH: Values = Values::Words(&["0", "1"]);

const PARAMETERS: [Parameter; 13] = [
    Parameter("authfile", Origin::Operator, Values::Text),
    Parameter("keyfile", Origin::Operator, Values::Text),
    Parameter("known_hosts", Origin::Operator, Values::Text),
    Parameter("known_hosts_verify", Origin::Operator, Values::Words(&["normal", "auto", "ignore"])),
    Parameter("mode", Origin::Request, Values::Words(&["auto", "direct", "legacy"])),
    Parameter("no_sanity", Origin::Operator, SWITCH),
    Parameter("no_tty", Origin::Request, SWITCH),
    Parameter("no_verify", Origin::Operator, SWITCH),
    Parameter("pkipath", Origin::Operator, Values::Text),
    Parameter("proxy", Origin::Operator, Values::Words(&["auto", "netcat", "native"])),
    Parameter("socket", Origin::Operator, Values::Text),
    Parameter("sshauth", Origin::Operator, Values::Text),
    Parameter("tls_priority", Origin::Operator, Values::Text),
];

/// Parameters that name a program.
const PROGRAMS: [&str; 2] = ["command", "netcat"];

/// Reads what stands behind the `?`.
pub(super) fn read(query: &str, origin: Origin) -> Result<Vec<(&'static str, String)>, Reason> {
    let mut found: Vec<(&'static str, String)> = Vec::new();
    for pair in query.split('&') {
        let (name, value) =
            pair.split_once('=').ok_or(Reason::Malformed("each parameter is written NAME=VALUE"))?;
        // libvirt decodes names as well and ignores their case: a name that needs decoding is not in the table.
        let name = name.to_ascii_lowercase();
        if PROGRAMS.contains(&name.as_str()) {
            return Err(Reason::Program(name));
        }
        let Some(Parameter(known, who, values)) =
            PARAMETERS.iter().find(|Parameter(known, ..)| *known == name)
        else {
            return Err(Reason::Parameter(name.chars().take(32).collect()));
        };
        if origin < *who {
            return Err(Reason::NotFromRequest(known));
        }
        if found.iter().any(|(other, _)| other == known) {
            return Err(Reason::Twice(known));
        }
        let value = decoded(value).filter(|value| values.take(value)).ok_or(Reason::Value(known))?;
        found.push((known, value));
    }
    Ok(found)
}

impl Values {
    fn take(&self, value: &str) -> bool {
        match self {
            Self::Words(words) => words.contains(&value),
            Self::Text => !value.is_empty() && value.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
        }
    }
}

/// A value without its escapes; none where one is broken, or a character stands for itself that should be escaped.
fn decoded(value: &str) -> Option<String> {
    let (mut bytes, mut out) = (value.bytes(), Vec::with_capacity(value.len()));
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let mut digit = || bytes.next().and_then(|byte| char::from(byte).to_digit(16));
                let (high, low) = (digit()?, digit()?);
                out.push(u8::try_from(high * 16 + low).ok()?);
            }
            byte if is_plain(byte) || b":,+=!".contains(&byte) => out.push(byte),
            _ => return None,
        }
    }
    String::from_utf8(out).ok()
}

/// A value with everything escaped that could mean something in a URI.
pub fn escaped(value: impl AsRef<[u8]>) -> String {
    let one = |byte: u8| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    value.as_ref().iter().copied().map(one).collect()
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte)
}
