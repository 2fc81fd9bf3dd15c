//! Every promise of the specification names the tests that hold it, and those tests exist.
//!
//! A promise is a row of a table in the specification. A test is named in backticks by its file and its function,
//! as in `core/tests/machine/paths.rs::a_migration_that_works`; a documentation test that must not compile is named
//! `FILE::compile_fail`.

use super::{Complaint, numbered};
use crate::Tree;

const SPECIFICATION: &str = "docs/SPECIFICATION.md";

pub(super) fn check(tree: &Tree, all: &mut Vec<Complaint>) {
    let mut tell = |line, what: String| all.push(Complaint { path: SPECIFICATION.to_owned(), line, what });
    let Some(text) = tree.text(SPECIFICATION) else {
        return tell(None, "is missing: it says what is promised and which tests hold it".to_owned());
    };
    let mut promises = 0;
    for (number, line) in numbered(text) {
        let is_rule = |line: &str| line.starts_with('|') && line.chars().all(|c| "|-: ".contains(c));
        let is_head = numbered(text).nth(number).is_some_and(|(_, next)| is_rule(next));
        if !line.starts_with('|') || is_rule(line) || is_head {
            continue;
        }
        promises += 1;
        let tests: Vec<_> = line.split('`').skip(1).step_by(2).filter(|code| code.contains(".rs")).collect();
        if tests.is_empty() {
            tell(
                Some(number),
                "promises something that no test holds; name one as `FILE::FUNCTION`".to_owned(),
            );
        }
        for test in tests {
            if let Err(why) = find(tree, test) {
                tell(Some(number), format!("names the test `{test}`, but {why}"));
            }
        }
    }
    if promises == 0 {
        tell(None, "promises nothing: a promise is a row of a table".to_owned());
    }
}

/// Whether the test is there.
fn find(tree: &Tree, name: &str) -> Result<(), &'static str> {
    let (file, function) = name.split_once("::").ok_or("it does not say which function")?;
    let text = tree.text(file).ok_or("there is no such file")?;
    if function == "compile_fail" {
        return if text.contains("```compile_fail") { Ok(()) } else { Err("nothing in it must not compile") };
    }
    let head = format!("fn {function}(");
    let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
    let at = lines.iter().position(|line| line.starts_with(&head)).ok_or("there is no such function")?;
    let above =
        lines.iter().take(at).rev().take_while(|line| line.starts_with("#[") || line.starts_with("//"));
    if above.into_iter().any(|line| line.starts_with("#[test]")) { Ok(()) } else { Err("it is not a test") }
}

#[cfg(test)]
mod tests {
    use super::{SPECIFICATION, check};
    use crate::Tree;

    const TESTS: &str = "/// Holds.\n#[test]\n#[ignore = \"long\"]\nfn holds() {}\nfn helps() {}\n";

    fn told(rows: &str) -> Vec<String> {
        let text = format!("# Promises\n\n| promise | test |\n| --- | --- |\n{rows}");
        let tree = Tree::of(&[(SPECIFICATION, &text), ("a/tests/b.rs", TESTS)]);
        let mut all = Vec::new();
        check(&tree, &mut all);
        all.into_iter().map(|complaint| complaint.what).collect()
    }

    #[test]
    fn a_promise_with_a_test_passes() {
        assert_eq!(told("| it holds | `a/tests/b.rs::holds` |\n"), [""; 0]);
    }

    #[test]
    fn a_promise_without_a_test_does_not() {
        let cases = [
            ("| it holds | |\n", "no test holds"),
            ("| it holds | `a/tests/c.rs::holds` |\n", "no such file"),
            ("| it holds | `a/tests/b.rs` |\n", "which function"),
            ("| it holds | `a/tests/b.rs::hold` |\n", "no such function"),
            ("| it holds | `a/tests/b.rs::helps` |\n", "not a test"),
            ("| it holds | `a/tests/b.rs::compile_fail` |\n", "must not compile"),
            ("", "promises nothing"),
        ];
        for (rows, expected) in cases {
            let told = told(rows);
            assert!(told.len() == 1 && told[0].contains(expected), "{rows}: {told:?}");
        }
    }

    #[test]
    fn the_specification_is_there() {
        let mut all = Vec::new();
        check(&Tree::default(), &mut all);
        assert_eq!(all.len(), 1);
    }
}
