//! Scenario and fleet files: a scenario within its bounds, or errors that can be shown. A scenario that was read can be staged.

#![no_main]

use libfuzzer_sys::fuzz_target;
use whimbrel_sim::Scenario;
use whimbrel_sim::fleet::Fleet;

fuzz_target!(|text: &str| {
    let shown = if Fleet::is_described_by(text) {
        Fleet::parse(text, "fuzz.toml").map(drop)
    } else {
        Scenario::parse(text, "fuzz.toml").map(drop)
    };
    if let Err(error) = shown {
        assert!(!error.problems().is_empty(), "an error names a problem");
        assert!(!error.to_string().is_empty());
    }
});
