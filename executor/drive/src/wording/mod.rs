//! The wording of events and outcomes in plain English, shared by the command line, the service and the page.
//!
//! It must never claim more than was observed, and no text of a guest or hypervisor reaches a terminal unchecked.

pub mod messages;
pub mod phases;
pub mod summary;
pub mod units;
