//! The readers of what a host reports of itself: capabilities, domain capabilities and its inventory. Whatever the bytes are,
//! there are facts or an error.

#![no_main]

use libfuzzer_sys::fuzz_target;
use whimbrel_facts::{Host, xml};

fuzz_target!(|text: &str| {
    let mut host = Host::default();
    let _ = xml::capabilities(text, &mut host);
    let _ = xml::domain_capabilities(text, &mut host);
    let _ = xml::pool(text);
    let _ = xml::network(text);
    let _ = xml::node_device(text);
    let _ = xml::network_device(text);
    let _ = xml::interface(text);
    let _ = xml::named_storage(text);
    let _ = xml::storage_device(text);
});
