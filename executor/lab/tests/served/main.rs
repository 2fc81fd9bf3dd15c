//! The service on two real libvirt hosts: over ssh, and as its page shows it.

#![cfg(test)]

mod harness;
mod page;
mod ssh;
mod stage;
mod store;
mod tunnel;
