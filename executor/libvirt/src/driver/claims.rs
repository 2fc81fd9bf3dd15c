//! Files that migrations of this process write to, by the destination's identity: no two write to one.
//!
//! Another process is not seen. There a new file is created by one of the two only, and QEMU's lock on an image is the
//! last guard for a file that was there before.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

static CLAIMED: Mutex<BTreeSet<(String, String)>> = Mutex::new(BTreeSet::new());

/// The files of one migration, until it is dropped.
#[derive(Debug)]
pub(super) struct Claim(Vec<(String, String)>);

impl Claim {
    /// Claims all of these files of a host, or none of them.
    ///
    /// # Errors
    /// The first one that another migration has.
    pub(super) fn new(host: &str, paths: Vec<String>) -> Result<Self, String> {
        let mut claimed = CLAIMED.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted: Vec<_> = paths.into_iter().map(|path| (host.to_owned(), path)).collect();
        if let Some((_, path)) = wanted.iter().find(|one| claimed.contains(*one)) {
            return Err(path.clone());
        }
        claimed.extend(wanted.iter().cloned());
        Ok(Self(wanted))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut claimed = CLAIMED.lock().unwrap_or_else(PoisonError::into_inner);
        for one in &self.0 {
            claimed.remove(one);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Claim;

    #[test]
    fn a_file_of_a_host_belongs_to_one_migration_at_a_time() {
        let paths = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let first = Claim::new("beta", paths(&["/srv/a", "/srv/b"])).unwrap();
        assert_eq!(Claim::new("beta", paths(&["/srv/c", "/srv/b"])).unwrap_err(), "/srv/b");
        assert!(Claim::new("gamma", paths(&["/srv/b"])).is_ok());
        drop(first);
        assert!(Claim::new("beta", paths(&["/srv/c", "/srv/b"])).is_ok());
    }
}
