//! One shipped pack as a component: the rules of one feature.
//!
//! It has no standard library, so it imports nothing and stays small. Built for the host, it is empty.

#![cfg_attr(target_arch = "wasm32", no_std)]

#[cfg(target_arch = "wasm32")]
extern crate alloc;

#[cfg(target_arch = "wasm32")]
mod carry;
#[cfg(target_arch = "wasm32")]
mod memory;
#[cfg(target_arch = "wasm32")]
mod pack;
