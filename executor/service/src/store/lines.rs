//! The journal of a migration in the store, read page by page.
//!
//! A migration that lasts for days has hundreds of thousands of records: at most one page of them is in memory.

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};
use std::vec;

use tokio::runtime::Handle;
use whimbrel_core::journal::{Line, Lines};

use super::{Store, StoreError};

/// Records in memory at most. One takes about half a kilobyte.
const PAGE: i64 = 256;

/// A journal. Its lines must be read on a thread that may block.
#[derive(Debug)]
pub(crate) struct StoredLines {
    store: Store,
    runtime: Handle,
    migration: i64,
    header: String,
    /// Why a page could not be read.
    failed: Mutex<Option<StoreError>>,
}

impl StoredLines {
    /// The journal with this header. To be called in the runtime.
    pub(crate) fn new(store: Store, migration: i64, header: String) -> Self {
        Self { store, runtime: Handle::current(), migration, header, failed: Mutex::default() }
    }

    /// Why reading ended, if the store is to blame and not the journal.
    pub(crate) fn take_failure(&self) -> Option<StoreError> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The number in the store of the record in this line of the journal. The header is the first line.
    pub(crate) fn number(&self, line: usize) -> Option<i64> {
        let index = i64::try_from(line.checked_sub(2)?).ok()?;
        self.runtime.block_on(self.store.record_at(self.migration, index)).ok().flatten()
    }
}

impl Lines for StoredLines {
    fn lines(&self) -> Box<dyn Iterator<Item = Line<'_>> + '_> {
        let records = Records { of: self, after: 0, page: Vec::new().into_iter(), is_over: false };
        Box::new(std::iter::once(Ok(Cow::Borrowed(self.header.as_str()))).chain(records))
    }
}

struct Records<'l> {
    of: &'l StoredLines,
    after: i64,
    page: vec::IntoIter<(i64, String)>,
    is_over: bool,
}

impl<'l> Iterator for Records<'l> {
    type Item = Line<'l>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.page.len() == 0 && !self.is_over {
            let StoredLines { store, runtime, migration, failed, .. } = self.of;
            match runtime.block_on(store.records_after(*migration, self.after, PAGE)) {
                Ok(page) => {
                    self.is_over = page.is_empty();
                    self.page = page.into_iter();
                }
                Err(error) => {
                    self.is_over = true;
                    let reason = error.to_string();
                    *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    return Some(Err(reason));
                }
            }
        }
        let (number, line) = self.page.next()?;
        self.after = number;
        Some(Ok(Cow::Owned(line)))
    }
}
