//! The lines of a journal, wherever they are kept: one at a time, and as often from the first one as a reader needs.
//!
//! A journal may have millions of lines, so no reader here keeps them: at most one line is in memory, and each of the
//! passes (for a takeover, for the replay, and, where that fails, two for what can be read) takes time in proportion to
//! their number.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;

use super::whole_lines;

/// One line, or why it cannot be fetched. Reading ends with an error.
pub type Line<'l> = Result<Cow<'l, str>, String>;

/// A journal that can be read from its first line again and again.
pub trait Lines {
    /// The header and the records in order, without line ends. A last line that was torn while it was written is left
    /// out.
    fn lines(&self) -> Box<dyn Iterator<Item = Line<'_>> + '_>;

    /// Whether a last, torn line was left out.
    fn is_torn(&self) -> bool {
        false
    }
}

/// A journal in memory.
impl Lines for str {
    fn lines(&self) -> Box<dyn Iterator<Item = Line<'_>> + '_> {
        Box::new(whole_lines(self).0.lines().map(|line| Ok(Cow::Borrowed(line))))
    }

    fn is_torn(&self) -> bool {
        !whole_lines(self).1.is_empty()
    }
}
