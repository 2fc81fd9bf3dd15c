//! The contract's three functions over `whimbrel-rules`.
//!
//! What the macros write crosses the sandbox's border; nothing written by hand here may be unsafe.

#![expect(unsafe_code, reason = "the contract's glue is generated")]

use alloc::vec::Vec;

use whimbrel_rules::Pack;

use self::exports::whimbrel::rules::pack::{About, Activation, Facts, Finding, Guest, SettingsError};
use crate::carry::Carry;

wit_bindgen::generate!({ path: "../wit/rules.wit", world: "validator" });

#[cfg(feature = "guest")]
const PACK: Pack = whimbrel_rules::GUEST;
#[cfg(feature = "hosts")]
const PACK: Pack = whimbrel_rules::HOSTS;
#[cfg(feature = "storage")]
const PACK: Pack = whimbrel_rules::STORAGE;
#[cfg(feature = "request")]
const PACK: Pack = whimbrel_rules::REQUEST;

struct Shipped;

impl Guest for Shipped {
    fn describe() -> About {
        PACK.about().carry()
    }

    fn validate_settings(activation: Activation) -> Vec<SettingsError> {
        PACK.validate_settings(&activation.carry()).carry()
    }

    fn check(facts: Facts, activations: Vec<Activation>) -> Vec<Finding> {
        let activations: Vec<whimbrel_facts::Activation> = activations.carry();
        PACK.check(&facts.carry(), &activations).carry()
    }
}

export!(Shipped);

/// A trap is what the host sees, and turns into a finding.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}
