//! Documents from hosts are parsed in one place, which refuses hostile ones: no other file calls the XML parser, and no other
//! package depends on it.

use super::{Tell, has_word, numbered};

/// The parser, as a dependency and as a path in code. In pieces, so that this file passes its own check.
const PARSER: &str = concat!("rox", "mltree");
/// What makes a document of a text, with and without options.
const CALL: &str = concat!("Document", "::parse");
/// The only package that has it, the only folder that walks through its documents, and the only file that calls it.
const MANIFEST: &str = "plugins/facts/Cargo.toml";
const READERS: &str = "plugins/facts/src/xml/";
const GUARD: &str = "plugins/facts/src/xml/mod.rs";

/// Checks a Rust file.
pub(super) fn check_source(path: &str, text: &str, tell: &mut Tell<'_>) {
    if path == GUARD {
        return;
    }
    for (number, line) in numbered(text) {
        let code = line.split("//").next().unwrap_or(line);
        let is_parsed = code.contains(CALL);
        if is_parsed || (has_word(code, PARSER) && !path.starts_with(READERS)) {
            let what = if is_parsed { CALL } else { PARSER };
            tell(
                Some(number),
                format!("uses `{what}`; XML is read by {GUARD}, which refuses hostile documents"),
            );
        }
    }
}

/// Checks a package's manifest.
pub(super) fn check_manifest(path: &str, text: &str, tell: &mut Tell<'_>) {
    for (number, line) in numbered(text) {
        let entry = line.split('#').next().unwrap_or(line);
        if path != MANIFEST && has_word(entry, PARSER) {
            tell(Some(number), format!("depends on `{PARSER}`, which is for {MANIFEST} alone"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CALL, GUARD, MANIFEST, PARSER, READERS, check_manifest, check_source};

    fn told(path: &str, text: &str) -> usize {
        let mut told = 0;
        let mut tell = |_: Option<usize>, _: String| told += 1;
        if std::path::Path::new(path).extension().is_some_and(|end| end == "toml") {
            check_manifest(path, text, &mut tell);
        } else {
            check_source(path, text, &mut tell);
        }
        told
    }

    #[test]
    fn only_the_guard_calls_the_parser() {
        for call in [format!("{CALL}(text)"), format!("{CALL}_with_options(text, options)")] {
            let code = format!("//! A.\nlet x = {call};\n");
            assert_eq!(told("executor/libvirt/src/a.rs", &code), 1);
            assert_eq!(told(&format!("{READERS}a.rs"), &code), 1, "not even beside it");
            assert_eq!(told(GUARD, &code), 0);
        }
    }

    #[test]
    fn only_its_folder_walks_through_documents() {
        let code = format!("//! A.\nuse {PARSER}::Node;\n");
        assert_eq!(told("executor/libvirt/src/a.rs", &code), 1);
        assert_eq!(told(&format!("{READERS}a.rs"), &code), 0);
        assert_eq!(
            told("a/src/b.rs", &format!("//! Not by {PARSER}.\n")),
            0,
            "a mention in a comment is no use"
        );
    }

    #[test]
    fn only_its_package_depends_on_it() {
        let entry = format!("{PARSER} = \"0.21\"\n");
        assert_eq!(told("executor/libvirt/Cargo.toml", &entry), 1);
        assert_eq!(told(MANIFEST, &entry), 0);
        assert_eq!(told("a/Cargo.toml", &format!("# Not {PARSER}.\n")), 0);
    }
}
