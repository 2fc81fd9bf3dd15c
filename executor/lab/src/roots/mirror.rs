//! Where Debian's packages come from: the machine's own mirror, as its package manager is configured, then Debian's.
//!
//! It must never name a mirror that is not Debian's public one: which other one is near, only the machine's
//! administrator knows.

use std::process::Command;

use super::Generation;
use crate::shell;

/// Debian's own, which leads to one that is near.
const PUBLIC: &str = "http://deb.debian.org/debian";
/// Debian's own, of releases that are no longer supported.
const ARCHIVE: &str = "http://archive.debian.org/debian";
/// Fields of the package manager's list of sources, with a separator that no address contains.
const FORMAT: &str = "$(ORIGIN)|$(LABEL)|$(REPO_URI)|$(COMPONENT)";

/// The mirrors to try, in this order.
pub(super) fn candidates(generation: Generation) -> Vec<String> {
    let sources = shell::run(Command::new("apt-get").args(["indextargets", "--format", FORMAT]));
    // Without a package manager, or with one that has no lists yet, Debian's own mirror is the only one known.
    let configured = sources.ok().and_then(|text| configured(&text));
    ordered(configured, generation.archive)
}

/// The proxy that the package manager uses, which a program that does not read its configuration has to be given.
pub(super) fn proxy() -> Option<String> {
    let text =
        shell::run(Command::new("apt-config").args(["dump", "--format", "%v", "Acquire::http::Proxy"]))
            .ok()?;
    Some(text.trim().to_owned()).filter(|proxy| !proxy.is_empty() && proxy != "DIRECT" && proxy != "false")
}

fn ordered(configured: Option<String>, archived: bool) -> Vec<String> {
    let mut all: Vec<String> = configured.into_iter().collect();
    for known in [Some(PUBLIC), archived.then_some(ARCHIVE)].into_iter().flatten() {
        if !all.iter().any(|mirror| mirror == known) {
            all.push(known.to_owned());
        }
    }
    all
}

/// The first source of Debian itself, not of its security updates, whose address a program other than the package
/// manager can read.
fn configured(sources: &str) -> Option<String> {
    sources.lines().find_map(|line| {
        let mut fields = line.split('|');
        let (origin, label, uri, component) =
            (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let is_debian = (origin, label, component) == ("Debian", "Debian", "main");
        let is_readable = ["http://", "https://", "file:/"].iter().any(|scheme| uri.starts_with(scheme));
        (is_debian && is_readable).then(|| uri.trim_end_matches('/').to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::{ARCHIVE, PUBLIC, configured, ordered};

    #[test]
    fn the_machines_own_mirror_of_debian_is_found() {
        let sources = "\
            Other|other|https://packages.example/apt/|main\n\
            Debian|Debian-Security|http://near.example/debian-security/|main\n\
            Debian|Debian|mirror+file:/etc/apt/mirrors/debian.list|main\n\
            Debian|Debian|http://near.example/debian/|contrib\n\
            Debian|Debian|http://near.example/debian/|main\n";
        assert_eq!(configured(sources).as_deref(), Some("http://near.example/debian"));
        assert_eq!(
            configured("||http://near.example/debian/|main\nshort|line\n"),
            None,
            "its origin is not known"
        );
        assert_eq!(configured(""), None);
    }

    #[test]
    fn debians_own_mirrors_come_after_the_machines_and_once() {
        let near = || Some("http://near.example/debian".to_owned());
        assert_eq!(ordered(near(), true), ["http://near.example/debian", PUBLIC, ARCHIVE]);
        assert_eq!(ordered(Some(PUBLIC.to_owned()), false), [PUBLIC]);
        assert_eq!(ordered(None, true), [PUBLIC, ARCHIVE]);
    }
}
