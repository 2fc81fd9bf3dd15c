//! Documents that hosts give, read by the one guarded reader, with libvirt's own error where one cannot be read.
//!
//! A document that is refused must never be taken for one that says nothing: code that pins a host or looks up a guest by
//! it would continue without it.

use whimbrel_facts::xml::{self, XmlError};
use whimbrel_facts::{Attribute, Domain as Guest, Host};

use crate::{ErrorCode, LibvirtError};

/// The result of `virConnectGetCapabilities`. The UUID is empty where it names none.
///
/// # Errors
/// When it is not the XML of capabilities, or hostile.
pub(crate) fn host(capabilities: &str) -> Result<Host, LibvirtError> {
    let mut host = Host::default();
    xml::capabilities(capabilities, &mut host)
        .map_err(|error| unreadable("virConnectGetCapabilities", &error))?;
    Ok(host)
}

/// The result of `virDomainGetXMLDesc`.
///
/// # Errors
/// When it is not the XML of a domain, or hostile.
pub(crate) fn guest(definition: &str) -> Result<Guest, LibvirtError> {
    xml::domain(definition).map_err(|error| unreadable("virDomainGetXMLDesc", &error))
}

/// The same, with what the definition has beyond the guest's fields, of one reading.
///
/// # Errors
/// As [`guest`].
pub(crate) fn guest_with_attributes(definition: &str) -> Result<(Guest, Vec<Attribute>), LibvirtError> {
    xml::domain_with_attributes(definition).map_err(|error| unreadable("virDomainGetXMLDesc", &error))
}

/// A document that this call gave, or was to be given, cannot be read.
pub(crate) fn unreadable(call: &'static str, error: &XmlError) -> LibvirtError {
    LibvirtError { call, code: ErrorCode::XmlError, domain: 0, message: error.to_string() }
}

/// The document with something hostile where it has `@`, by what that is.
#[cfg(test)]
pub(crate) fn hostile(document: &str) -> [(&'static str, String); 4] {
    let with = |inner: &str| document.replace('@', inner);
    [
        ("document type", format!("<!DOCTYPE d [<!ENTITY a 'b'>]>{}", with("&a;"))),
        ("deep", with(&format!("{}{}", "<a>".repeat(1_000), "</a>".repeat(1_000)))),
        ("large", with(&"a".repeat(17 << 20))),
        ("broken", with("<")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPABILITIES: &str = "<capabilities><host><uuid> AABB-01 </uuid><cpu><arch>x86_64</arch></cpu></host>\
         <guest><uuid>no</uuid></guest>@</capabilities>";

    #[test]
    fn a_host_is_its_uuid_in_lower_case() {
        let told = host(&CAPABILITIES.replace('@', "")).unwrap();
        assert_eq!((told.uuid.as_str(), told.architecture.as_str()), ("aabb-01", "x86_64"));
    }

    #[test]
    fn a_host_without_one_and_a_refused_document_are_told_apart() {
        assert_eq!(host("<capabilities><host/></capabilities>").unwrap().uuid, "");
        for (kind, xml) in hostile(CAPABILITIES) {
            assert_eq!(host(&xml).unwrap_err().code, ErrorCode::XmlError, "{kind}");
        }
    }

    #[test]
    fn a_hostile_definition_is_no_guest() {
        let definition = "<domain><name>x</name><memory unit='KiB'> 262144 </memory><vcpu>2</vcpu>@</domain>";
        let told = guest(&definition.replace('@', "")).unwrap();
        assert_eq!((told.memory_kib, told.cpus_maximum), (256 << 10, 2));
        for (kind, xml) in hostile(definition) {
            assert_eq!(guest(&xml).unwrap_err().code, ErrorCode::XmlError, "{kind}");
        }
    }
}
