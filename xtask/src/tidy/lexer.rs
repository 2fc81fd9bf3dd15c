//! The texts in files: comments, documents and messages, as words with their lines.
//!
//! It reads only as much of a language as separates comments and string literals from code.

use super::phrases::Kind;

/// Consecutive words of one text.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) kind: Kind,
    pub(super) tokens: Vec<Token>,
}

/// A word in lower case; or none where punctuation separates words.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) line: usize,
    pub(super) word: Option<String>,
}

/// How a language marks comments and strings.
struct Syntax {
    line_comment: &'static str,
    block_comment: Option<(&'static str, &'static str)>,
    quotes: &'static [char],
    /// Whether `r#"…"#` is a string and `'a` not the beginning of one.
    is_rust: bool,
}

const RUST: Syntax =
    Syntax { line_comment: "//", block_comment: Some(("/*", "*/")), quotes: &['"'], is_rust: true };
const C: Syntax = Syntax { is_rust: false, ..RUST };
const JAVASCRIPT: Syntax = Syntax { quotes: &['"', '\'', '`'], ..C };
const HASHES: Syntax =
    Syntax { line_comment: "#", block_comment: None, quotes: &['"', '\''], is_rust: false };
const SQL: Syntax = Syntax { line_comment: "--", ..HASHES };

/// The texts of a file of this type; nothing for data.
pub(super) fn pieces(file_type: &str, text: &str) -> Vec<Piece> {
    let syntax = match file_type {
        "md" => return vec![Piece { kind: Kind::Documents, tokens: tokens(1, text, false) }],
        "snap" => return vec![Piece { kind: Kind::Messages, tokens: tokens(1, text, false) }],
        "rs" => RUST,
        "c" | "h" | "S" | "ld" | "css" | "wit" => C,
        "js" | "mjs" => JAVASCRIPT,
        "toml" | "yml" | "sh" | "py" => HASHES,
        "sql" => SQL,
        _ => return Vec::new(),
    };
    parts(&syntax, text)
}

/// Comments and string literals. Line comments on consecutive lines are one piece.
fn parts(syntax: &Syntax, text: &str) -> Vec<Piece> {
    let mut all: Vec<Piece> = Vec::new();
    let (mut rest, mut line) = (text, 1);
    let mut comment_until = 0;
    while let Some(first) = rest.chars().next() {
        let (kind, length) = if rest.starts_with(syntax.line_comment) {
            (Some(Kind::Comments), rest.find('\n').unwrap_or(rest.len()))
        } else if let Some((open, close)) = syntax.block_comment.filter(|(open, _)| rest.starts_with(open)) {
            (Some(Kind::Comments), after(rest, open.len(), close))
        } else if let Some(length) = syntax.is_rust.then(|| raw_string(rest)).flatten() {
            (Some(Kind::Messages), length)
        } else if syntax.is_rust && first == '\'' {
            (None, character(rest))
        } else if syntax.quotes.contains(&first) {
            (Some(Kind::Messages), string(rest, first))
        } else {
            (None, first.len_utf8())
        };
        let (part, remainder) = rest.split_at_checked(length).unwrap_or((rest, ""));
        if let Some(kind) = kind {
            let inside = part.strip_prefix('r').unwrap_or(part);
            let mut found = tokens(line, inside, kind == Kind::Messages);
            let is_line = kind == Kind::Comments && part.starts_with(syntax.line_comment);
            match all.last_mut() {
                Some(piece) if is_line && comment_until == line => piece.tokens.append(&mut found),
                _ => all.push(Piece { kind, tokens: found }),
            }
            // A message between two comments ends the first one.
            comment_until = if is_line { line + 1 } else { 0 };
        }
        line += part.matches('\n').count();
        rest = remainder;
    }
    all
}

/// The length up to the end of the first `close` that begins at `from` or later.
fn after(text: &str, from: usize, close: &str) -> usize {
    let end = text.get(from..).and_then(|rest| rest.find(close));
    end.map_or(text.len(), |end| from + end + close.len())
}

/// The length of a raw string that the text begins with.
fn raw_string(text: &str) -> Option<usize> {
    let hashes = text.strip_prefix("r")?;
    let count = hashes.chars().take_while(|c| *c == '#').count();
    hashes.get(count..)?.starts_with('"').then(|| after(text, count + 2, &format!("\"{}", "#".repeat(count))))
}

/// The length of a character, or of the mark of a lifetime.
fn character(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    let is_escape = chars.next().is_some_and(|(_, c)| c == '\\');
    match chars.next() {
        Some(_) if is_escape => {
            // The escaped character may itself be a quote.
            let end = text.char_indices().skip(3).find(|(_, c)| *c == '\'');
            end.map_or(text.len(), |(at, _)| at + 1)
        }
        Some((at, '\'')) => at + 1,
        _ => 1,
    }
}

/// The length of a string literal with escapes.
fn string(text: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if c == quote && !is_escaped {
            return at + 1;
        }
        is_escaped = c == '\\' && !is_escaped;
    }
    text.len()
}

/// Words and the punctuation between them. In messages, `{name}` is a placeholder and no word.
fn tokens(first_line: usize, text: &str, is_message: bool) -> Vec<Token> {
    let mut all = Vec::new();
    for (line, text) in (first_line..).zip(text.split('\n')) {
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let word: String =
                rest.chars().take_while(|c| c.is_alphanumeric() || "_'’-".contains(*c)).collect();
            if is_message && let Some(length) = placeholder(rest).or_else(|| escape(rest)) {
                all.extend((first == '\\').then_some(Token { line, word: None }));
                rest = rest.get(length..).unwrap_or_default();
            } else if word.is_empty() {
                if ".,;:!?()|\"".contains(first) {
                    all.push(Token { line, word: None });
                }
                rest = rest.get(first.len_utf8()..).unwrap_or_default();
            } else {
                rest = rest.get(word.len()..).unwrap_or_default();
                let word = word.trim_matches(|c: char| "_'’-".contains(c)).to_lowercase();
                if word.chars().next().is_some_and(char::is_alphabetic) {
                    all.push(Token { line, word: Some(word) });
                }
            }
        }
    }
    all
}

/// The length of an escape sequence that the text begins with. A backslash at the end of a line continues the message.
fn escape(text: &str) -> Option<usize> {
    let escaped = text.strip_prefix('\\')?.chars().next()?;
    Some(1 + escaped.len_utf8())
}

/// The length of a placeholder that the text begins with: a name, or nothing, with its format.
fn placeholder(text: &str) -> Option<usize> {
    let inside = text.strip_prefix('{')?;
    let end = inside.find('}')?;
    let is_name = inside.get(..end)?.chars().all(|c| c.is_alphanumeric() || "_:?#<>.$".contains(c));
    is_name.then_some(end + 2)
}

#[cfg(test)]
mod tests {
    use super::{Kind, pieces};

    fn words(file_type: &str, text: &str) -> Vec<(Kind, String)> {
        let text_of = |piece: &super::Piece| {
            let words: Vec<_> = piece.tokens.iter().filter_map(|token| token.word.as_deref()).collect();
            words.join(" ")
        };
        pieces(file_type, text).iter().map(|piece| (piece.kind, text_of(piece))).collect()
    }

    fn comment(text: &str) -> (Kind, String) {
        (Kind::Comments, text.to_owned())
    }

    fn message(text: &str) -> (Kind, String) {
        (Kind::Messages, text.to_owned())
    }

    #[test]
    fn comments_and_strings_are_separated_from_code() {
        let text =
            "//! One\n//! two.\nfn code<'a>() { let c = '\"'; f(\"three \\\" // four\", '\\''); } // five\n";
        assert_eq!(words("rs", text), [comment("one two"), message("three four"), comment("five")]);
        assert_eq!(
            words("rs", "let a = r#\"one \"two\"#; /* three */ b\n"),
            [message("one two"), comment("three")]
        );
        assert_eq!(
            words("toml", "a = \"one\" # two\nb = 'three'\n"),
            [message("one"), comment("two"), message("three")]
        );
        assert_eq!(
            words("mjs", "f(`one`, 'two'); // three\n"),
            [message("one"), message("two"), comment("three")]
        );
        assert_eq!(words("c", "/* one\n * two */ int x;\n"), [comment("one two")]);
    }

    #[test]
    fn placeholders_are_no_words_and_lines_are_counted() {
        assert_eq!(words("rs", "f(\"a {name} b {0:?} {}\")"), [message("a b")]);
        assert_eq!(words("rs", "f(\"a\\nb \\\n c\")"), [message("a b c")]);
        let tokens = &pieces("rs", "\n\n// one\n// two\n")[0].tokens;
        assert_eq!(tokens.iter().map(|token| token.line).collect::<Vec<_>>(), [3, 4]);
    }

    #[test]
    fn data_has_no_text() {
        assert_eq!(words("jsonl", "{\"a\": \"b\"}"), []);
    }
}
