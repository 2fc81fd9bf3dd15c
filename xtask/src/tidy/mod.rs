//! What no compiler and no lint holds: sizes, words and paths that do not belong, XML that is parsed without a guard,
//! links that lead nowhere, promises without a test, discouraged phrases.

mod lexer;
mod links;
mod parsing;
mod phrases;
mod promises;
mod source;
mod text;

use std::fmt;

use crate::Tree;

pub use phrases::EXEMPT;

/// Something that is not as it should be, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// Path below the root.
    pub path: String,
    /// Line, from 1; none when it is about the whole file.
    pub line: Option<usize>,
    /// What is wrong and what to do.
    pub what: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.path, self.what),
            None => write!(f, "{}: {}", self.path, self.what),
        }
    }
}

/// Everything that is wrong: by path, then promises, then phrases.
#[must_use]
pub fn complaints(tree: &Tree) -> Vec<Complaint> {
    let mut all = Vec::new();
    for (path, text) in tree.texts() {
        let mut tell = |line: Option<usize>, what: String| {
            all.push(Complaint { path: path.to_owned(), line, what });
        };
        text::check(path, text, &mut tell);
        match ending(path) {
            "rs" => {
                source::check(path, text, &mut tell);
                parsing::check_source(path, text, &mut tell);
            }
            "md" => links::check(tree, path, text, &mut tell),
            "toml" => parsing::check_manifest(path, text, &mut tell),
            _ => {}
        }
    }
    promises::check(tree, &mut all);
    phrases::check(tree, &mut all);
    phrases::check_exemptions(tree, &mut all);
    all
}

/// Where complaints of one file go.
type Tell<'a> = dyn FnMut(Option<usize>, String) + 'a;

/// Lines with their numbers, from 1.
fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines())
}

/// What follows the last dot of a path.
fn ending(path: &str) -> &str {
    path.rsplit_once('.').map_or("", |(_, ending)| ending)
}

/// Whether a file holds nothing but tests.
fn is_test(path: &str) -> bool {
    path.split('/').any(|part| matches!(part, "tests" | "tests.rs"))
}

/// Whether the word stands there by itself, not inside a longer one.
fn has_word(line: &str, word: &str) -> bool {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        let after = line.get(at + word.len()..).and_then(|text| text.chars().next());
        !before.is_some_and(part_of_word) && !after.is_some_and(part_of_word)
    })
}

#[cfg(test)]
mod tests {
    use super::{complaints, has_word};
    use crate::Tree;

    #[test]
    fn words_stand_by_themselves() {
        assert!(has_word("an a.", "a"));
        assert!(!has_word("an as_a", "a"));
    }

    #[test]
    fn a_complaint_says_where() {
        let tree = Tree::of(&[("docs/SPECIFICATION.md", "| 1 | holds | \n")]);
        let told: Vec<_> = complaints(&tree).iter().map(ToString::to_string).collect();
        assert_eq!(told[0], "docs/SPECIFICATION.md:1: ends in white space");
    }
}
