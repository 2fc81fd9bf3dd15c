//! The text of a panic. It must never be taken for an answer: it only shows that there is none.

use std::any::Any;

/// The text of a panic that was caught.
pub fn text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a text")
}
