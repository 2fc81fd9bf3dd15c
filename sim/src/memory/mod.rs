//! What a source knows of its guest's memory: which pages must still be sent, in the order of the circular walk.
//!
//! There are two of them behind one contract, so that one migration loop serves every engine: [`Bitmap`] keeps a bit
//! for each page, [`Counts`] a number for each class of pages. Neither may touch time or bytes.

mod bitmap;
mod counts;
mod draw;
mod page_map;

use std::fmt::Debug;

pub(crate) use bitmap::Bitmap;
pub(crate) use counts::Counts;

use crate::guest::{PageClasses, Written};
use crate::sampling::Hits;

/// What the walk meets next: dirty pages that cost the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) pages: u64,
    /// They hold nothing but zeros.
    pub(crate) zero: bool,
    /// They belong to the firmware's blocks.
    pub(crate) firmware: bool,
    /// They were never sent before, so that the destination touches their memory for the first time.
    pub(crate) first: bool,
}

/// The dirty pages of a guest on their circular walk.
pub(crate) trait Memory: Clone + Debug {
    /// Where chance comes from, or what stands for it.
    type Chance: Hits;

    /// Everything is dirty, as at the start of every migration, but for what a hinted balloon has.
    fn new(page_classes: &PageClasses) -> Self;

    /// Pages still to be sent.
    fn remaining(&self) -> u64;

    /// Zero pages among them.
    fn remaining_zero(&self) -> u64;

    /// The next pages on the walk, as many as cost the same; none when everything is sent.
    fn next_run(&mut self, page_classes: &PageClasses) -> Option<Run>;

    /// Takes pages off the front of the run that was returned last: they are on the wire.
    fn sent(&mut self, page_classes: &PageClasses, run: Run, pages: u64);

    /// Adds what was written since the last sync; returns how many pages were clean before and are dirty now.
    fn sync(&mut self, page_classes: &PageClasses, written: &Written<'_>, chance: &mut Self::Chance) -> u64;
}
