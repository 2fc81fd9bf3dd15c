//! The address that the guest's memory is sent to.

use alloc::format;
use core::net::{IpAddr, Ipv6Addr};

use whimbrel_facts::Host;

use crate::case::Case;
use crate::pack::{Rule, rule};
use crate::report::Report;

pub(super) const RULES: &[Rule] = &[
    rule(
        "access.address",
        "the guest is sent to an address of the destination",
        "an address of the source itself, such as `localhost`, leads back to the source",
        "give the destination's address: `--migrate-uri tcp://ADDRESS`",
        address,
    ),
    rule(
        "access.uri",
        "the migration URI has a form that libvirt accepts",
        "libvirt refuses a URI without a scheme or a host only after both hosts were prepared",
        "write it as `tcp://ADDRESS` or `tcp://ADDRESS:PORT`, with a numeric IPv6 address in brackets",
        form,
    ),
    rule(
        "access.name",
        "the source can use the destination's own name",
        "without a migration URI, libvirt sends the guest to the destination's own host name",
        "give `--migrate-uri tcp://ADDRESS`, or set a full host name on the destination",
        name,
    ),
];

/// A migration URI in its parts. Empty: absent.
struct Parts<'a> {
    scheme: &'a str,
    host: &'a str,
    port: &'a str,
}

/// Splits `tcp://user@host:port/…`, and `tcp:host:port` as libvirt accepts it from older clients.
fn parts(uri: &str) -> Parts<'_> {
    let (scheme, rest) = match uri.split_once("://") {
        Some(split) => split,
        None => match uri.split_once(':') {
            Some((scheme, rest)) if matches!(scheme, "tcp" | "rdma" | "unix") => (scheme, rest),
            _ => ("", uri),
        },
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (host, port) = match authority.strip_prefix('[') {
        Some(six) => {
            let (host, after) = six.split_once(']').unwrap_or((six, ""));
            (host, after.strip_prefix(':').unwrap_or(after))
        }
        None => authority.split_once(':').unwrap_or((authority, "")),
    };
    Parts { scheme, host, port }
}

fn address(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let Some(uri) = case.request(report)?.migrate_uri.as_deref() else { return Some(()) };
    let Parts { scheme, host, .. } = parts(uri);
    if scheme == "unix" || host.is_empty() {
        return Some(());
    }
    let pointer = "/request/migrate-uri";
    if is_local(host) {
        report.fail(pointer, format!("`{uri}` leads back to the source"));
        return Some(());
    }
    let (source, destination) = (case.source(report)?, case.destination(report)?);
    let names = |of: &Host| is_same_name(&of.name, host) || is_same_name(parts(&of.uri).host, host);
    if names(source) && !names(destination) {
        report.fail(pointer, format!("`{uri}` leads back to the source: {host} is its name"));
    }
    Some(())
}

fn form(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let request = case.request(report)?;
    let Some(uri) = request.migrate_uri.as_deref() else { return Some(()) };
    let pointer = "/request/migrate-uri";
    let Parts { scheme, host, port } = parts(uri);
    if scheme.is_empty() {
        report.fail(pointer, format!("`{uri}` has no scheme, such as `tcp://`"));
    } else if scheme != "unix" && host.is_empty() {
        report.fail(pointer, format!("`{uri}` has no host"));
    }
    if !port.is_empty() && port.parse::<u16>().ok().is_none_or(|port| port == 0) {
        report.fail(pointer, format!("`{port}` in `{uri}` is not a port from 1 to 65535"));
    }
    if request.tunnelled {
        report.fail(
            pointer,
            format!(
                "`{uri}` is given, and a tunnel goes over libvirt's own connection: libvirt refuses both"
            ),
        );
    }
    Some(())
}

fn name(case: &Case<'_>, report: &mut Report) -> Option<()> {
    if case.request(report)?.migrate_uri.is_some() {
        return Some(());
    }
    let destination = case.destination(report)?;
    let name = destination.name.as_str();
    report.need((!name.is_empty()).then_some(()), "/destination/name")?;
    let pointer = "/destination/name";
    if is_local(name) {
        report.fail(
            pointer,
            format!("the destination calls itself `{name}`: the source would send the guest to itself"),
        );
        return Some(());
    }
    // The source's daemon connects to the destination's by the URI: it can resolve the name in it.
    let is_used = is_same_name(parts(&destination.uri).host, name);
    if !name.contains('.') && !name.contains(':') && !is_used {
        report.unknown(
            pointer,
            format!("the destination calls itself `{name}`, without a domain: whether the source can resolve that is not known"),
        );
    }
    Some(())
}

fn is_same_name(one: &str, other: &str) -> bool {
    let plain = |name: &str| name.trim_end_matches('.').trim_matches(['[', ']']).to_ascii_lowercase();
    !one.is_empty() && plain(one) == plain(other)
}

/// Whether each host takes the name for itself: a loopback or unspecified address, or a name of one. Source: RFC 6761 for
/// `localhost`; the others are in `/etc/hosts` of Debian and Fedora.
fn is_local(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    if let Ok(address) = host.parse::<IpAddr>() {
        let of_six = |six: Ipv6Addr| six.to_ipv4_mapped().is_some_and(|four| four.is_loopback());
        return address.is_loopback()
            || address.is_unspecified()
            || matches!(address, IpAddr::V6(six) if of_six(six));
    }
    let first = host.split('.').next().unwrap_or_default();
    // Resolvers take `127.1` and `0` for addresses too.
    matches!(first, "localhost" | "localhost4" | "localhost6" | "ip6-localhost" | "ip6-loopback")
        || host.ends_with(".localhost")
        || host == "0"
        || host.strip_prefix("127.").is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit() || c == '.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_is_split_as_libvirt_splits_it() {
        for (uri, expected) in [
            ("tcp://192.0.2.12", ("tcp", "192.0.2.12", "")),
            ("tcp://user@beta.example:49152/x", ("tcp", "beta.example", "49152")),
            ("tcp:beta:49152", ("tcp", "beta", "49152")),
            ("rdma://[2001:db8::1]:4444", ("rdma", "2001:db8::1", "4444")),
            ("192.0.2.12", ("", "192.0.2.12", "")),
            ("192.0.2.12:49152", ("", "192.0.2.12", "49152")),
            ("tcp://:49152", ("tcp", "", "49152")),
            ("unix:///run/a.sock", ("unix", "", "")),
        ] {
            let Parts { scheme, host, port } = parts(uri);
            assert_eq!((scheme, host, port), expected, "{uri}");
        }
    }

    #[test]
    fn names_that_lead_back_are_known() {
        for host in [
            "localhost",
            "LOCALHOST.",
            "localhost4",
            "localhost.localdomain",
            "a.localhost",
            "127.0.0.2",
            "127.1",
            "::1",
            "0:0:0:0:0:0:0:1",
            "::ffff:127.0.0.1",
            "0.0.0.0",
            "::",
            "ip6-localhost",
        ] {
            assert!(is_local(host), "{host}");
        }
        for host in ["beta", "localhosts.example", "127.example.org", "192.0.2.1", "2001:db8::1", "local"] {
            assert!(!is_local(host), "{host}");
        }
    }
}
