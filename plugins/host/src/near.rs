//! The name that was probably meant, for messages. It must never be used instead of the name that was given.

use strsim::osa_distance;

/// The name with the fewest letters inserted, removed, replaced or exchanged with their neighbour, if those are few.
#[must_use]
pub fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let most = (wanted.chars().count() / 3).clamp(1, 4);
    let nearest = names.map(|name| (osa_distance(wanted, name), name)).min_by_key(|(changes, _)| *changes)?;
    (nearest.0 <= most).then_some(nearest.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_is_found_and_a_foreign_one_is_not() {
        let names = ["storage.identity", "storage.shared", "guest.busy", "cpu.model"];
        let find = |wanted| nearest(wanted, names.into_iter());
        assert_eq!(find("storage.idenitty"), Some("storage.identity"));
        assert_eq!(find("guest.bsuy"), Some("guest.busy"));
        assert_eq!(find("storage.share"), Some("storage.shared"));
        assert_eq!(find("no.such"), None);
        assert_eq!(
            (osa_distance("cd", "dc"), osa_distance("", "abc"), osa_distance("kitten", "sitting")),
            (1, 3, 3)
        );
    }
}
