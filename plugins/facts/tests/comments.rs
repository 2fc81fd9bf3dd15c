//! A doc comment that only repeats the name of its item documents nothing. It must not be taken for documentation.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

#[test]
fn no_comment_only_repeats_a_name() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut checked = 0;
    for entry in fs::read_dir(sources).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let all = documented(&text);
            let repeating: Vec<_> = all.iter().filter(|(doc, name)| repeats(doc, name)).collect();
            assert!(repeating.is_empty(), "{}: {repeating:?}", path.display());
            checked += all.len();
        }
    }
    assert!(checked > 300, "the check has lost the comments: it found {checked}");
}

#[test]
fn a_repeating_comment_is_found() {
    let source = "/// Auto destroy.\nauto_destroy = \"auto-destroy\": bool,\n/// The size, in bytes.\n#[a]\nsize: u64,\n\
                  /// The disk's storage.\npub struct DiskStorage {}\n/// Tpm.\nTpm {\n";
    let found: Vec<_> = documented(source).into_iter().filter(|(doc, name)| repeats(doc, name)).collect();
    let names: Vec<_> = found.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(names, ["auto_destroy", "DiskStorage", "Tpm"]);
}

/// Doc comments with the names of their items.
fn documented(source: &str) -> Vec<(String, String)> {
    const KEYWORDS: [&str; 8] = ["pub", "const", "fn", "struct", "enum", "mod", "crate", "macro_rules"];
    let (mut found, mut doc) = (Vec::new(), String::new());
    for line in source.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            doc += text;
        } else if !line.starts_with("#[") && !doc.is_empty() {
            let mut names = line.split(|c: char| !(c.is_alphanumeric() || c == '_'));
            let name = names.find(|name| !name.is_empty() && !KEYWORDS.contains(name));
            found.push((std::mem::take(&mut doc), name.unwrap_or_default().to_owned()));
        }
    }
    found
}

/// Whether all that a comment says is in the name already.
fn repeats(doc: &str, name: &str) -> bool {
    const EMPTY: [&str; 7] = ["a", "an", "the", "of", "its", "s", "this"];
    let known = words(name);
    words(doc).iter().all(|word| EMPTY.contains(&word.as_str()) || known.contains(word))
}

/// Words in lower case; a capital letter begins a new one in a name such as `DiskStorage`.
fn words(text: &str) -> BTreeSet<String> {
    let apart = text.chars().flat_map(|c| c.is_uppercase().then_some(' ').into_iter().chain([c]));
    let apart: String = apart.flat_map(char::to_lowercase).collect();
    apart.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}
