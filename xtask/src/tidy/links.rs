//! Links between documents lead somewhere. Links to the world outside are left alone: no test may need a network.

use super::{Tell, numbered};
use crate::Tree;

pub(super) fn check(tree: &Tree, path: &str, text: &str, tell: &mut Tell<'_>) {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut fenced = false;
    for (number, line) in numbered(text) {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        for target in targets(line) {
            let file = target.split('#').next().unwrap_or(target);
            if target.contains("://") || target.starts_with("mailto:") || file.is_empty() {
                continue;
            }
            if !resolve(folder, file).is_some_and(|file| tree.has(&file)) {
                tell(Some(number), format!("links to `{target}`, which is not there"));
            }
        }
    }
}

/// What the inline links and images of a line point to, those in code left out.
fn targets(line: &str) -> Vec<&str> {
    let outside_code = line.split('`').step_by(2);
    // A link whose words are code is cut in two; its target begins the next piece.
    let begun = outside_code.flat_map(|piece| piece.split("](").skip(1));
    begun.filter_map(|rest| rest.split([')', ' ']).next()).collect()
}

/// The path below the root; none when it leads out of the project.
fn resolve(folder: &str, target: &str) -> Option<String> {
    let (mut parts, target): (Vec<&str>, _) = match target.strip_prefix('/') {
        Some(target) => (Vec::new(), target),
        None => (folder.split('/').filter(|part| !part.is_empty()).collect(), target),
    };
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::Tree;

    fn lost(text: &str) -> Vec<usize> {
        let tree = Tree::of(&[("README.md", ""), ("docs/a.md", text), ("docs/pictures/b.svg", "")]);
        let mut lines = Vec::new();
        check(&tree, "docs/a.md", text, &mut |line, _| lines.extend(line));
        lines
    }

    #[test]
    fn links_that_lead_somewhere_pass() {
        assert_eq!(
            lost("[a](../README.md) [b](pictures) ![c](pictures/b.svg \"t\") [`d`](a.md#x) [e](#y)"),
            [0; 0]
        );
        assert_eq!(lost("[a](https://example.org/x)\n```\n[b](nowhere)\n```\n`[c](nowhere)`"), [0; 0]);
    }

    #[test]
    fn links_that_lead_nowhere_are_seen() {
        assert_eq!(lost("[a](README.md)\n[b](../../README.md)\n[`c`](pictures/c.svg)"), [1, 2, 3]);
    }
}
