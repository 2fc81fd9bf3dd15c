//! A domain's metadata: XML elements of other programs that libvirt keeps beside the description, one for each namespace.
//!
//! An element goes with its guest: the live one to the destination, the stored one into the definition. It must never be
//! taken for a lock: libvirt has no compare-and-set here.

use super::{Domain, c_string, check, owned_string};
use crate::calls::Description;
use crate::error::{ErrorCode, LibvirtError};
use std::ffi::{c_int, c_uint};
use std::ptr;

impl Description {
    fn flags(self) -> c_uint {
        match self {
            Self::Current => virt_sys::VIR_DOMAIN_AFFECT_CURRENT,
            Self::Live => virt_sys::VIR_DOMAIN_AFFECT_LIVE,
            Self::Stored => virt_sys::VIR_DOMAIN_AFFECT_CONFIG,
        }
    }
}

/// The number is small; the type differs between the enumeration and the parameter.
const ELEMENT: c_int = virt_sys::VIR_DOMAIN_METADATA_ELEMENT.cast_signed();

impl Domain {
    /// The element of this namespace, without its prefix; nothing when there is none.
    ///
    /// # Errors
    /// `NoDomain` when it has gone, `OperationInvalid` when it has no such description, `NoSupport` when the driver keeps no
    /// metadata.
    pub(crate) fn metadata(&self, namespace: &str, of: Description) -> Result<Option<String>, LibvirtError> {
        let call = "virDomainGetMetadata";
        let namespace = c_string(call, "the namespace", namespace)?;
        // SAFETY: the handle is valid as long as `self` and the namespace outlives the call; the answer is null or a string
        // for us to free.
        let found = unsafe {
            let text = virt_sys::virDomainGetMetadata(self.raw(), ELEMENT, namespace.as_ptr(), of.flags());
            owned_string(call, text)
        };
        match found {
            Ok(element) => Ok(Some(element)),
            Err(error) if error.code == ErrorCode::NoDomainMetadata => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Stores this element in the namespace, in place of the one that is there; without one, removes it. `prefix` is what
    /// stands before its name in the description.
    ///
    /// # Errors
    /// As for [`Self::metadata`], and `OperationTimeout` while a job works on the domain.
    pub(crate) fn set_metadata(
        &self,
        namespace: &str,
        prefix: &str,
        element: Option<&str>,
        of: Description,
    ) -> Result<(), LibvirtError> {
        let call = "virDomainSetMetadata";
        let namespace = c_string(call, "the namespace", namespace)?;
        let prefix = c_string(call, "the prefix", prefix)?;
        let element = element.map(|element| c_string(call, "the element", element)).transpose()?;
        let text = element.as_ref().map_or(ptr::null(), |element| element.as_ptr());
        // SAFETY: the handle is valid as long as `self`; the element is null or, like the other strings, outlives the call.
        let result = unsafe {
            virt_sys::virDomainSetMetadata(
                self.raw(),
                ELEMENT,
                text,
                prefix.as_ptr(),
                namespace.as_ptr(),
                of.flags(),
            )
        };
        check(call, result).map(drop)
    }
}
