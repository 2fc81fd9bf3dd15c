//! Escapes untrusted text before it is displayed. It must never be used on text that is compared or stored.

use std::prelude::rust_2024::*;

/// Untrusted text that is safe to display on a terminal: control characters except the line feed, and marks that change
/// the direction of text, are replaced by escapes.
#[must_use]
pub fn printable(text: &str) -> String {
    let safe = |c: char| {
        let is_control = c.is_control() && c != '\n';
        // Marks that change the direction of text can make a line read as another one.
        let is_direction =
            matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if is_control || is_direction { c.escape_unicode().to_string() } else { c.to_string() }
    };
    text.chars().map(safe).collect()
}
