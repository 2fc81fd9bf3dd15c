//! Text in the XML that this program writes for libvirt. What libvirt writes is read elsewhere.

/// Text as the content of an element, or as a value in single quotes.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\'', "&apos;")
}
