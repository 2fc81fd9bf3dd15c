//! What holds for every Rust file: one idea of a size that can be read at once, which says what it is for; nothing
//! put off; `unsafe` in one place only. How long a function may be is clippy's to say.

use super::{Tell, has_word, is_test, numbered};

const MOST_LINES: usize = 450;
/// Tests are lists; they are read one at a time.
const MOST_LINES_OF_TESTS: usize = 600;
/// In pieces, so that this file passes its own check.
const PUT_OFF: [&str; 4] =
    [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];
const DEBUGGING: &str = concat!("db", "g!");
const UNSAFE: &str = concat!("un", "safe");
/// The only places: what talks to C, and what loads compiled packs.
const FOREIGN: &str = "executor/libvirt/src/sys/";
const COMPILED: &str = "plugins/host/src/host/trusted.rs";
/// The glue of the packs, which is generated: nothing written by hand there is unsafe; and their allocator, which has to
/// assume that there is one thread.
const GLUE: &str = "plugins/packs/src/pack.rs";
const ALLOCATOR: &str = "plugins/packs/src/memory.rs";

pub(super) fn check(path: &str, text: &str, tell: &mut Tell<'_>) {
    let (lines, most) = (text.lines().count(), if is_test(path) { MOST_LINES_OF_TESTS } else { MOST_LINES });
    if lines > most {
        tell(None, format!("has {lines} lines, of at most {most}; divide it by its ideas"));
    }
    if !text.starts_with("//!") {
        tell(
            Some(1),
            "does not begin with `//!`: say what the file is for and what it must never do".to_owned(),
        );
    }
    for (number, line) in numbered(text) {
        for word in PUT_OFF.into_iter().filter(|word| has_word(line, word)) {
            tell(Some(number), format!("says `{word}`; do it, or leave the word out"));
        }
        if line.contains(DEBUGGING) {
            tell(Some(number), format!("still debugs with `{DEBUGGING}`"));
        }
        let code = line.split("//").next().unwrap_or(line);
        let lets_in = |level: &str| code.contains(&format!("{level}({UNSAFE}_code"));
        if !path.starts_with(FOREIGN)
            && ![COMPILED, GLUE, ALLOCATOR].contains(&path)
            && (is_unchecked(code) || lets_in("allow") || lets_in("expect"))
        {
            tell(
                Some(number),
                format!(
                    "has `{UNSAFE}`, whose only places are {FOREIGN}, {COMPILED}, {GLUE} and {ALLOCATOR}"
                ),
            );
        }
    }
}

/// Whether the keyword is used. The word alone may stand in messages.
fn is_unchecked(code: &str) -> bool {
    const FOLLOWERS: [&str; 6] = ["{", "(", "extern ", "fn ", "impl", "trait "];
    has_word(code, UNSAFE)
        && code
            .split(UNSAFE)
            .skip(1)
            .any(|rest| FOLLOWERS.iter().any(|follower| rest.trim_start().starts_with(follower)))
}

#[cfg(test)]
mod tests {
    use super::{DEBUGGING, FOREIGN, MOST_LINES, MOST_LINES_OF_TESTS, PUT_OFF, UNSAFE, check};

    fn told(path: &str, text: &str) -> Vec<String> {
        let mut told = Vec::new();
        check(path, text, &mut |_, what| told.push(what));
        told
    }

    #[test]
    fn a_file_has_its_size() {
        let file = |lines: usize| "//! A file.\n".repeat(lines);
        assert_eq!(told("a/src/b.rs", &file(MOST_LINES)), [""; 0]);
        assert_eq!(told("a/src/b.rs", &file(MOST_LINES + 1)).len(), 1);
        assert_eq!(told("a/tests/b.rs", &file(MOST_LINES_OF_TESTS)), [""; 0]);
        assert_eq!(told("a/src/tests.rs", &file(MOST_LINES_OF_TESTS + 1)).len(), 1);
    }

    #[test]
    fn a_file_says_what_it_is_for() {
        assert_eq!(told("a/src/b.rs", "use std::fs;\n").len(), 1);
    }

    #[test]
    fn nothing_is_put_off() {
        for word in PUT_OFF {
            assert_eq!(told("a/src/b.rs", &format!("//! A.\n// {word}: later\n")).len(), 1);
        }
        assert_eq!(told("a/src/b.rs", &format!("//! A.\n{DEBUGGING}(x);\n")).len(), 1);
    }

    #[test]
    fn code_that_the_compiler_cannot_check_has_one_place() {
        let block = format!("//! A.\nlet x = {UNSAFE} {{ f() }};\n");
        assert_eq!(told("executor/src/a.rs", &block).len(), 1);
        assert_eq!(told(&format!("{FOREIGN}a.rs"), &block), [""; 0]);
        assert_eq!(told("a/src/b.rs", &format!("//! A.\n{UNSAFE} fn f() {{}}\n")).len(), 1);
        assert_eq!(told("a/src/b.rs", &format!("//! A.\nlet x = \"an {UNSAFE} step\";\n")), [""; 0]);
        let opened = format!("//! A.\n#![expect({UNSAFE}_code, reason = \"\")]\n");
        assert_eq!(told("sim/src/a.rs", &opened).len(), 1);
        assert_eq!(
            told("sim/src/a.rs", &format!("//! No `{UNSAFE}`.\n#![forbid({UNSAFE}_code)]\n")),
            [""; 0]
        );
    }
}
