//! The name that was probably meant, for messages. It must never be used instead of the name that was given.

/// The name with the fewest changed letters, if those are few.
#[must_use]
pub fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let most = (wanted.chars().count() / 3).clamp(1, 4);
    let nearest = names.map(|name| (changes(wanted, name), name)).min_by_key(|(changes, _)| *changes)?;
    (nearest.0 <= most).then_some(nearest.1)
}

/// How many letters have to be inserted, removed, replaced or exchanged with their neighbour.
fn changes(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    // Rows of the table of all beginnings; no name is long.
    let mut rows: Vec<Vec<usize>> = vec![(0..=other.len()).collect()];
    for (at, letter) in one.iter().enumerate() {
        let above = rows.last().cloned().unwrap_or_default();
        let mut row = vec![at + 1];
        for (place, theirs) in other.iter().enumerate() {
            let value = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(usize::MAX / 2);
            let replaced = value(&above, place) + usize::from(letter != theirs);
            let mut least = replaced.min(value(&above, place + 1) + 1).min(value(&row, place) + 1);
            let is_exchange = at > 0
                && place > 0
                && one.get(at - 1) == Some(theirs)
                && other.get(place - 1) == Some(letter);
            if is_exchange && let Some(before) = at.checked_sub(1).and_then(|at| rows.get(at)) {
                least = least.min(value(before, place - 1) + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows.last().and_then(|row| row.last()).copied().unwrap_or_default()
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
        assert_eq!((changes("cd", "dc"), changes("", "abc"), changes("kitten", "sitting")), (1, 3, 3));
    }
}
