//! What holds for every text: nothing about the machine that it was written on, no invisible white space.

use super::{Tell, ending, is_test, numbered};

/// Folders that exist on somebody's machine only. In pieces, so that this file passes its own check.
const MACHINE_FOLDERS: [&str; 3] = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];
/// A comment may show it in an example; code asks the system for its temporary folder instead.
const TEMPORARY: &str = concat!("/t", "mp/");
/// What other programs write may end lines as it likes: an empty line of a patch's context is a space.
const RECORDED: [&str; 4] = ["snap", "jsonl", "xml", "patch"];

pub(super) fn check(path: &str, text: &str, tell: &mut Tell<'_>) {
    let code = ending(path) == "rs" && !is_test(path);
    let recorded = RECORDED.contains(&ending(path));
    let mut in_tests = false;
    for (number, line) in numbered(text) {
        in_tests |= line.trim_start().starts_with("#[cfg(test)]");
        if !recorded && line.ends_with([' ', '\t']) {
            tell(Some(number), "ends in white space".to_owned());
        }
        let comment = line.trim_start().starts_with("//");
        let temporary = (code && !in_tests && !comment).then_some(TEMPORARY);
        for folder in MACHINE_FOLDERS.into_iter().chain(temporary) {
            if begins_a_path(line, folder) {
                tell(
                    Some(number),
                    format!("names `{folder}`, which is one machine's; ask the system or the caller"),
                );
            }
        }
    }
}

/// Whether the folder is named as an absolute path, not as the middle of a longer one.
fn begins_a_path(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '~' | '}' | '>' | '*'))
    })
}

#[cfg(test)]
mod tests {
    use super::{MACHINE_FOLDERS, TEMPORARY, check};

    fn lines(path: &str, text: &str) -> Vec<usize> {
        let mut lines = Vec::new();
        check(path, text, &mut |line, _| lines.extend(line));
        lines
    }

    #[test]
    fn white_space_at_the_end_is_seen() {
        assert_eq!(lines("a.md", "one\ntwo \nthree\t\n"), [2, 3]);
        assert_eq!(lines("a.snap", "two \n"), [0; 0]);
    }

    #[test]
    fn folders_of_one_machine_are_seen() {
        for folder in MACHINE_FOLDERS {
            assert_eq!(lines("a.toml", &format!("x\n\"{folder}y\"")), [2]);
            assert_eq!(lines("a.toml", &format!("sub{folder}y")), [0; 0]);
        }
    }

    #[test]
    fn the_temporary_folder_is_for_tests_and_comments() {
        let literal = format!("\"{TEMPORARY}x\"");
        assert_eq!(lines("core/src/a.rs", &literal), [1]);
        assert_eq!(lines("core/src/a.rs", &format!("// {literal}\n#[cfg(test)]\n{literal}")), [0; 0]);
        assert_eq!(lines("core/tests/a.rs", &literal), [0; 0]);
    }
}
