//! How many migrate calls one daemon executes for this process at the same time.
//!
//! A daemon has 20 workers for ordinary calls (`max_workers` in `virtqemud.conf` and `libvirtd.conf`), and a peer-to-peer
//! migrate call occupies one of them to its end. Queries of a job are ordinary calls: when every worker is occupied, they
//! wait, and nothing is known of any guest of that host. Therefore further calls wait here, where they can be withdrawn,
//! instead of in the daemon's queue, from which a call that was given up would begin hours later.
//!
//! It must never hold up the call that resumes a post-copy: that guest has no other way.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::lock;

/// Migrate calls of this process at one daemon. The other workers are left to queries, acts and other clients.
pub(crate) const CALLS_MOST: usize = 12;

/// Calls by daemon.
#[derive(Debug, Default)]
pub(crate) struct Workers(Mutex<BTreeMap<String, usize>>);

/// A worker that a call occupies, until this is dropped.
#[derive(Debug)]
pub(crate) struct Worker {
    workers: Arc<Workers>,
    daemon: String,
}

impl Workers {
    /// A worker of this daemon, unless this process occupies [`CALLS_MOST`] of them.
    pub(crate) fn take(self: &Arc<Self>, daemon: &str) -> Option<Worker> {
        let mut calls = lock(&self.0);
        let count = calls.entry(daemon.to_owned()).or_default();
        if *count >= CALLS_MOST {
            return None;
        }
        *count += 1;
        Some(Worker { workers: Arc::clone(self), daemon: daemon.to_owned() })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let mut calls = lock(&self.workers.0);
        if let Some(count) = calls.get_mut(&self.daemon) {
            *count -= 1;
            if *count == 0 {
                calls.remove(&self.daemon);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_gives_so_many_and_another_one_as_many() {
        let workers = Arc::new(Workers::default());
        let all: Vec<_> = (0..CALLS_MOST).map(|_| workers.take("alpha").unwrap()).collect();
        assert!(workers.take("alpha").is_none());
        assert!(workers.take("beta").is_some());
        drop(all);
        assert!(workers.take("alpha").is_some());
        assert!(lock(&workers.0).is_empty(), "daemons are not remembered");
    }
}
