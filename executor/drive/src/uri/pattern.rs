//! Destinations that the operator approves: a URI in whose host `*` may stand for a part of one label.
//!
//! Everything but the host must be equal: driver, transport, user, port, path and parameters. `*` never stands for a dot,
//! so a pattern's name has as many labels as the host; a last label of `*` alone, behind others, is a number, so that
//! `192.0.2.*` approves addresses only.

use super::{HostUri, Origin, UriError, reader, shown};

/// A pattern of `--allow-destination`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(HostUri);

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// When it is no URI that the operator may write, but for the `*`.
    pub fn parse(text: &str) -> Result<Self, UriError> {
        let refused = |reason| UriError { shown: shown(text), reason };
        reader::read(text, Origin::Operator, true).map(Self).map_err(refused)
    }

    /// Whether this host is approved.
    #[must_use]
    pub fn approves(&self, uri: &HostUri) -> bool {
        let Self(own) = self;
        let same = own.driver == uri.driver
            && own.transport == uri.transport
            && own.user == uri.user
            && own.port == uri.port
            && own.path == uri.path
            && own.parameters == uri.parameters;
        same && match (&own.host, &uri.host) {
            (Some(pattern), Some(host)) => is_host(pattern, host),
            (None, None) => true,
            _ => false,
        }
    }

    /// Whether it approves simulated hosts only.
    #[must_use]
    pub fn is_simulated(&self) -> bool {
        self.0.is_simulated()
    }
}

fn is_host(pattern: &str, host: &str) -> bool {
    // A whole host that may be any, an IPv6 address too.
    if pattern == "*" {
        return true;
    }
    let (labels, of_host): (Vec<_>, Vec<_>) = (pattern.split('.').collect(), host.split('.').collect());
    let is_number = |label: &str| label.parse::<u8>().is_ok_and(|number| number.to_string() == label);
    let last = labels.len().saturating_sub(1);
    labels.len() == of_host.len()
        && labels.iter().zip(of_host).enumerate().all(|(index, (pattern, label))| {
            if index == last && index > 0 && *pattern == "*" {
                is_number(label)
            } else {
                is_label(pattern, label)
            }
        })
}

/// Whether a label fits, with any number of `*`. Each takes as little as it can: the text between two of them is searched
/// for from the left, which finds a fit if there is one.
fn is_label(pattern: &str, label: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == label };
    let Some(mut left) = label.strip_prefix(first) else { return false };
    let mut parts: Vec<_> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = left.find(part) else { return false };
        left = left.get(at + part.len()..).unwrap_or_default();
    }
    left.ends_with(last)
}
