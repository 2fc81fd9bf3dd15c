//! The kind of hypervisor behind a connection URI, as people name it.

/// The driver part of a connection URI names the kind of hypervisor.
pub(crate) fn hypervisor(uri: &str) -> String {
    let scheme = uri.split(':').next().unwrap_or_default();
    scheme.split('+').next().unwrap_or_default().to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_names_its_kind_of_hypervisor() {
        assert_eq!(hypervisor("qemu+tcp://beta/system"), "QEMU");
        assert_eq!(hypervisor("qemu:///system"), "QEMU");
    }
}
