//! Migrations of real guests by `whimbrel migrate` and `adopt` that others disturb: another host, another driver, or the
//! guest itself.

#![cfg(test)]

mod another_host;
mod harness;
mod owner;
mod stale;
mod woken;
