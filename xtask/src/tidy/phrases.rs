//! How often texts may use discouraged phrases: at most once per 10,000 words of comments, of documents and of messages.
//!
//! Messages are string literals, and snapshots, which are made of them. Data is no text: recordings, documents, drawings.
//! It must never skip a text silently: the table [`EXEMPT`] names every exception with its reason.

use super::lexer::{self, Piece, Token};
use super::{Complaint, ending};
use crate::Tree;

/// One occurrence is allowed per this many words.
const WORDS_PER_OCCURRENCE: usize = 10_000;

/// A phrase in its forms, each a sequence of words; and plain terms to use instead. In pieces, so that this file passes its
/// own check.
struct Phrase {
    forms: &'static [&'static [&'static str]],
    instead: &'static str,
}

const PHRASES: [Phrase; 7] = [
    Phrase { forms: &[&[concat!("who", "ever")]], instead: "the caller, the driver, the operator" },
    Phrase { forms: &[&[concat!("no", "body")]], instead: "no client, no operator, no receiver" },
    Phrase {
        forms: &[&[concat!("to", "ld")], &[concat!("tel", "ls")]],
        instead: "receives, reports, is notified, distinguishes",
    },
    Phrase { forms: &[&["asked", "for"], &["asks", "for"]], instead: "requested, requests" },
    Phrase { forms: &[&["looked", "at"]], instead: "queried, checked, read" },
    Phrase { forms: &[&[concat!("a", "new")]], instead: "again, or the verb with re-" },
    Phrase { forms: &[&[concat!("men", "d")]], instead: "correct, fix" },
];

/// Paths, or beginnings of paths, whose texts are not counted, with the reason.
pub const EXEMPT: [(&str, &str); 1] =
    [("executor/service/src/page/", "the page's texts are replaced by a later change")];

/// The three kinds of text, each with its own rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Comments,
    Documents,
    Messages,
}

const KINDS: [(Kind, &str); 3] =
    [(Kind::Comments, "comments"), (Kind::Documents, "documents"), (Kind::Messages, "messages")];

pub(super) fn check(tree: &Tree, all: &mut Vec<Complaint>) {
    let mut pieces: Vec<(&str, Piece)> = Vec::new();
    for (path, text) in tree.texts() {
        if !EXEMPT.iter().any(|(exempt, _)| path.starts_with(exempt)) {
            pieces.extend(lexer::pieces(file_type(path), text).into_iter().map(|piece| (path, piece)));
        }
    }
    for (kind, kind_name) in KINDS {
        let of_kind = || pieces.iter().filter(|(_, piece)| piece.kind == kind);
        let words: usize = of_kind().map(|(_, piece)| words_in(&piece.tokens)).sum();
        for phrase in &PHRASES {
            let found: Vec<(&str, Found)> = of_kind()
                .flat_map(|(path, piece)| occurrences(phrase, &piece.tokens).map(move |found| (*path, found)))
                .collect();
            if found.len() * WORDS_PER_OCCURRENCE <= words {
                continue;
            }
            let count = found.len();
            all.extend(found.into_iter().map(|(path, Found { line, form })| Complaint {
                path: path.to_owned(),
                line: Some(line),
                what: format!(
                    "says `{form}`, which {words} words of {kind_name} have {count} times, of at most 1 per \
                     {WORDS_PER_OCCURRENCE}; plain terms are: {}",
                    phrase.instead
                ),
            }));
        }
    }
}

/// Exemptions for paths that do not exist, which would otherwise outlive their reason.
pub(super) fn check_exemptions(tree: &Tree, all: &mut Vec<Complaint>) {
    let stale = EXEMPT.iter().filter(|(path, _)| !tree.has(path));
    all.extend(stale.map(|(path, _)| Complaint {
        path: (*path).to_owned(),
        line: None,
        what: "is exempt from the limits of phrases, and does not exist; remove the exemption".to_owned(),
    }));
}

/// The ending that decides how a file is read: a template's is that of its result.
fn file_type(path: &str) -> &str {
    ending(path.strip_suffix(".in").unwrap_or(path))
}

fn words_in(tokens: &[Token]) -> usize {
    tokens.iter().filter(|token| token.word.is_some()).count()
}

struct Found {
    line: usize,
    form: String,
}

/// Where a phrase occurs: the words of one of its forms in a row, without punctuation between them.
fn occurrences<'a>(phrase: &'a Phrase, tokens: &'a [Token]) -> impl Iterator<Item = Found> + 'a {
    phrase.forms.iter().flat_map(move |form| {
        tokens.windows(form.len()).filter_map(move |window| {
            let is_match = window.iter().zip(*form).all(|(token, word)| token.word.as_deref() == Some(*word));
            is_match
                .then(|| Found { line: window.first().map_or(0, |first| first.line), form: form.join(" ") })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::{EXEMPT, PHRASES, WORDS_PER_OCCURRENCE, check, check_exemptions};
    use crate::Tree;

    fn complaints(files: &[(&str, &str)]) -> Vec<String> {
        let mut all = Vec::new();
        check(&Tree::of(files), &mut all);
        all.iter().map(ToString::to_string).collect()
    }

    /// Every form of every phrase, as text.
    fn forms() -> impl Iterator<Item = String> {
        PHRASES.iter().flat_map(|phrase| phrase.forms.iter().map(|form| form.join(" ")))
    }

    #[test]
    fn every_phrase_is_found_in_every_kind_of_text() {
        for form in forms() {
            for (path, text) in [
                ("a/src/b.rs", format!("//! A file.\n// It is {form} them.\n")),
                ("a/src/b.rs", format!("//! A file.\nconst A: &str = \"it is {form} them\";\n")),
                ("docs/a.md", format!("# A\nIt is {form} them.\n")),
                ("a/snapshots/a.snap", format!("---\nIt is {form} them.\n")),
                ("sim/scenarios/a.toml", format!("[a]\ndescription = \"it is {form} them\"\n")),
                ("a/guest/a.c", format!("int a;\n/* it is {form} them */\n")),
            ] {
                let found = complaints(&[(path, &text)]);
                assert!(
                    found.len() == 1 && found[0].starts_with(&format!("{path}:2: says `{form}`")),
                    "{found:?}"
                );
            }
        }
    }

    #[test]
    fn the_limit_is_a_rate() {
        let form = forms().next().unwrap();
        let words = |count: usize| "word ".repeat(count);
        let at_limit = format!("{}{form}", words(WORDS_PER_OCCURRENCE - 1));
        assert_eq!(complaints(&[("docs/a.md", &at_limit)]), [""; 0]);
        assert_eq!(complaints(&[("docs/a.md", &at_limit), ("docs/b.md", &form)]).len(), 2, "both are named");
        // Words of another kind do not dilute the rate.
        assert_eq!(complaints(&[("docs/a.md", &at_limit), ("a.rs", &format!("// {form}"))]).len(), 1);
    }

    #[test]
    fn a_phrase_may_wrap_and_may_not_span_sentences() {
        let form = "asked for";
        let (first, second) = form.split_once(' ').unwrap();
        assert_eq!(complaints(&[("a.rs", &format!("// it was {first}\n// {second} them\n"))]).len(), 1);
        assert_eq!(complaints(&[("a.rs", &format!("// it was {first}. {second} them\n"))]), [""; 0]);
    }

    #[test]
    fn code_data_and_exempt_texts_are_not_counted() {
        let form = forms().next().unwrap();
        assert_eq!(complaints(&[("a.rs", &format!("fn {form}() {{}}\n"))]), [""; 0]);
        assert_eq!(complaints(&[("a.rs", &format!("let a = \"{{{form}}}\";\n"))]), [""; 0]);
        assert_eq!(complaints(&[("a.jsonl", &format!("{{\"a\": \"{form}\"}}\n"))]), [""; 0]);
        for (path, reason) in EXEMPT {
            assert_eq!(complaints(&[(&format!("{path}a.md"), &form)]), [""; 0]);
            assert!(!reason.is_empty(), "{path}");
        }
    }

    #[test]
    fn exemptions_end_with_their_files() {
        let mut all = Vec::new();
        check_exemptions(&Tree::of(&[(EXEMPT[0].0, "")]), &mut all);
        assert_eq!(all.len(), EXEMPT.len() - 1);
        check_exemptions(&Tree::of(&[]), &mut all);
        assert_eq!(all.len(), 2 * EXEMPT.len() - 1);
    }
}
