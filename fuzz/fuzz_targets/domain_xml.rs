//! The reader of guests' definitions, and the removal of their secrets. Whatever the bytes are, there are facts or an error, and
//! a definition whose secrets were removed is stable: it can be read, and removing them again changes nothing.

#![no_main]

use libfuzzer_sys::fuzz_target;
use whimbrel_facts::xml;

fuzz_target!(|text: &str| {
    let _ = xml::domain(text);
    let _ = xml::domain_attributes(text);
    if let Ok(attributes) = xml::differences(text, text) {
        assert!(attributes.len() <= 2, "a definition differs from itself");
    }
    let _ = xml::network_disk(text, "vda");
    let _ = xml::cpu_with_model(text);
    let _ = xml::root_attributes(text);
    if let Ok(kept) = xml::without_secrets(text) {
        let again = xml::without_secrets(&kept);
        assert_eq!(again.as_deref(), Ok(kept.as_str()), "removing secrets twice is removing them once");
    }
});
