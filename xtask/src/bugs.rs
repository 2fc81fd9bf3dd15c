//! Planted bugs: patches that break the program outside of the control machine, each with the check that must detect it.
//!
//! A bug is a file `xtask/planted/NAME.patch`. Its first line says what is wrong, its second one names the check by the
//! arguments of `cargo test`; a patch of one sentence's size follows. A check is a test of behaviour: a golden file or a
//! snapshot would detect any change at all. `cargo xtask planted` applies one after the other and runs their checks.

use crate::Tree;

/// Where the patches are, below the root.
pub const FOLDER: &str = "xtask/planted/";
const ENDING: &str = ".patch";
const CHECK: &str = "check: ";

/// A planted bug.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bug {
    /// The file's name without its ending.
    pub name: String,
    /// The patch's path below the root.
    pub path: String,
    /// What is wrong with it applied.
    pub wrong: String,
    /// The check that must fail.
    pub check: Check,
}

/// A test of the project, as `cargo test` takes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Check {
    /// The package and the target, for example `-p whimbrel-drive --lib`.
    pub target: String,
    /// Parts of the names of the tests; at least one.
    pub tests: Vec<String>,
}

impl Bug {
    /// Reads a patch.
    ///
    /// # Errors
    /// In words, when its first two lines are not as they must be, or no patch follows.
    pub fn parse(path: &str, text: &str) -> Result<Self, String> {
        let name = path.strip_prefix(FOLDER).and_then(|name| name.strip_suffix(ENDING)).unwrap_or_default();
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        {
            return Err("its name is not of lower-case letters, digits and hyphens".to_owned());
        }
        let mut lines = text.lines();
        let wrong = lines.next().unwrap_or_default();
        if wrong.is_empty() || wrong.starts_with("---") || wrong.starts_with("diff ") {
            return Err("its first line does not say what is wrong".to_owned());
        }
        let check = lines.next().and_then(|line| line.strip_prefix(CHECK));
        let check = check.ok_or_else(|| format!("its second line does not begin with `{CHECK}`"))?;
        let (target, tests) = check.split_once(" -- ").ok_or("its check has no ` -- ` before the tests")?;
        let names_one_target =
            target.starts_with("-p ") && (target.contains(" --lib") || target.contains(" --test "));
        let tests: Vec<String> = tests.split_whitespace().map(str::to_owned).collect();
        if !names_one_target || tests.is_empty() {
            return Err(
                "its check is not of the form `-p PACKAGE --lib -- TEST` or `-p PACKAGE --test NAME -- TEST`"
                    .to_owned(),
            );
        }
        if !lines.any(|line| line.starts_with("+++ b/")) {
            return Err("no patch follows".to_owned());
        }
        let check = Check { target: target.to_owned(), tests };
        Ok(Self { name: name.to_owned(), path: path.to_owned(), wrong: wrong.to_owned(), check })
    }
}

impl std::fmt::Display for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cargo test {} -- {}", self.target, self.tests.join(" "))
    }
}

/// Every planted bug of the tree, by name.
///
/// # Errors
/// The first patch that cannot be read, with the reason.
pub fn planted(tree: &Tree) -> Result<Vec<Bug>, String> {
    let is_patch = |path: &str| path.starts_with(FOLDER) && path.ends_with(ENDING);
    let patches = tree.texts().filter(|(path, _)| is_patch(path));
    patches.map(|(path, text)| Bug::parse(path, text).map_err(|why| format!("{path}: {why}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::Bug;

    const GOOD: &str = "A is B.\ncheck: -p whimbrel-drive --lib -- one two\n--- a/x\n+++ b/x\n";

    #[test]
    fn a_patch_names_what_is_wrong_and_its_check() {
        let bug = Bug::parse("xtask/planted/a-is-b.patch", GOOD).unwrap();
        assert_eq!((bug.name.as_str(), bug.wrong.as_str()), ("a-is-b", "A is B."));
        assert_eq!(bug.check.to_string(), "cargo test -p whimbrel-drive --lib -- one two");
    }

    #[test]
    fn what_has_no_check_is_refused() {
        for (from, to) in [
            ("A is B.\n", ""),
            ("check: ", ""),
            (" -- one two", ""),
            ("one two", ""),
            (" --lib", ""),
            ("-p whimbrel-drive", ""),
            ("+++ b/x\n", ""),
        ] {
            let text = GOOD.replacen(from, to, 1);
            assert!(Bug::parse("xtask/planted/a.patch", &text).is_err(), "{text}");
        }
        assert!(Bug::parse("xtask/planted/A b.patch", GOOD).is_err());
    }
}
