//! The few facts of a host's capabilities that the connection itself needs.
//!
//! Pure reading of XML; it must not grow into the collection of facts for rules.

/// The host's uuid in `virConnectGetCapabilities`: two connections with the same one lead to the same host.
///
/// # Errors
/// A fragment that says what is wrong, when this is not XML or has no `<host><uuid>`.
pub fn host_uuid(capabilities_xml: &str) -> Result<String, String> {
    let document = roxmltree::Document::parse(capabilities_xml)
        .map_err(|error| format!("the capabilities are not readable XML: {error}"))?;
    let root = document.root_element();
    let host = root.children().find(|node| node.has_tag_name("host"));
    let uuid = host.and_then(|host| host.children().find(|node| node.has_tag_name("uuid")));
    let uuid = uuid.and_then(|uuid| uuid.text()).map(str::trim).filter(|uuid| !uuid.is_empty());
    uuid.map(str::to_ascii_lowercase)
        .ok_or_else(|| "the capabilities have no `<host><uuid>`; set `host_uuid` in libvirtd.conf".to_owned())
}

#[cfg(test)]
mod tests {
    use super::host_uuid;

    #[test]
    fn the_uuid_is_found_and_put_in_lower_case() {
        let xml = "<capabilities><host><uuid> AABB-01 </uuid><cpu/></host><guest><uuid>no</uuid></guest></capabilities>";
        assert_eq!(host_uuid(xml).as_deref(), Ok("aabb-01"));
    }

    #[test]
    fn a_host_without_one_and_garbage_are_told_apart() {
        assert!(host_uuid("<capabilities><host/></capabilities>").unwrap_err().contains("host_uuid"));
        assert!(host_uuid("<capabilities>").unwrap_err().contains("not readable"));
    }
}
