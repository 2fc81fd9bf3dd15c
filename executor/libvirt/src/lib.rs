//! libvirt from Rust, safely and synchronously.
//!
//! The driver of libvirt's hosts, over a thin layer straight over the C interface. Between the two is a seam (`calls`,
//! `threads`), so that tests run the shipped driver on a fake libvirt in this process. Every call of the layer blocks its
//! thread, so none belongs on an executor's thread, and a migration needs a thread of its own plus a second connection
//! for polling and aborting. Set a keep-alive on every remote connection, or a cut network blocks calls (and the dropping
//! of subscriptions) for as long as TCP likes.
//!
//! All `unsafe` is in `sys`; nothing else here may need any. Nothing here decides: no policy, no retry, no
//! conclusion from an error about where a guest runs.

mod access;
mod attempts;
mod calls;
mod collect;
mod dirty_rate;
mod documents;
mod driver;
mod error;
mod event;
mod host_driver;
mod hypervisor;
mod job;
mod known_hosts;
mod link;
mod listing;
mod numbered;
mod parameters;
mod state;
mod statistics;
mod sys;
mod threads;
mod versions;
mod workers;
mod xml_text;

pub use host_driver::LibvirtHosts;

use calls::{
    Connection, Description, Domain, Library, Listed, ListedInterface, StoragePool, Subscription, XmlView,
};
use collect::{LibvirtSurvey, collect};
use driver::LibvirtPort;
use error::{ErrorCode, LibvirtError};
use event::{DomainEvent, Lifecycle, Resumed, Suspended};
use known_hosts::trust;
use listing::inventory;
use parameters::{MigrateFlags, MigrateParameters};
use state::{PausedReason, RunningReason, State};
use statistics::{JobOperation, JobStatistics, JobType};
use sys::Installed;
use versions::Version;

#[cfg(test)]
mod counted;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;

/// A lock that a panicking thread held is still good: what it guards is replaced whole.
fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
