//! libvirt's typed parameters, both ways.
//!
//! Out: a list that libvirt grows and that is freed on every path. In: a copy, which tolerates null, no
//! entries, unknown types and texts that are not UTF-8, because the daemon on the other side may be newer
//! than this code. libvirt must have been initialised, or its functions crash: a connection or a domain
//! guarantees that.

use super::{borrowed_string, c_string, check};
use crate::error::LibvirtError;
use crate::parameters::Argument;
use crate::statistics::ParameterValue;
use std::ffi::{CStr, c_int, c_uint};
use std::{ptr, slice};
use virt_sys::{virTypedParameter, virTypedParameterPtr};

/// A list of typed parameters that this process owns.
pub(super) struct TypedParameters {
    entries: virTypedParameterPtr,
    count: c_int,
    capacity: c_int,
}

impl TypedParameters {
    /// A list for libvirt to fill.
    pub(super) fn empty() -> Self {
        Self { entries: ptr::null_mut(), count: 0, capacity: 0 }
    }

    /// A list of parameters for a request.
    pub(super) fn from_arguments(arguments: &[(&CStr, Argument<'_>)]) -> Result<Self, LibvirtError> {
        let mut list = Self::empty();
        for (name, argument) in arguments {
            list.add(name, *argument)?;
        }
        Ok(list)
    }

    fn add(&mut self, name: &CStr, argument: Argument<'_>) -> Result<(), LibvirtError> {
        let (entries, count, capacity) = (&raw mut self.entries, &raw mut self.count, &raw mut self.capacity);
        match argument {
            Argument::Int(value) => {
                // SAFETY: the three places belong to this list and agree with each other; the name is copied.
                let result =
                    unsafe { virt_sys::virTypedParamsAddInt(entries, count, capacity, name.as_ptr(), value) };
                check("virTypedParamsAddInt", result)?;
            }
            Argument::Text(text) => {
                let call = "virTypedParamsAddString";
                let value = c_string(call, &format!("the parameter `{}`", name.to_string_lossy()), text)?;
                // SAFETY: as above; name and value are copied by libvirt and outlive the call.
                let result = unsafe {
                    virt_sys::virTypedParamsAddString(entries, count, capacity, name.as_ptr(), value.as_ptr())
                };
                check(call, result)?;
            }
        }
        Ok(())
    }

    /// For a call that reads the list.
    pub(super) fn as_ptr(&self) -> virTypedParameterPtr {
        self.entries
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> c_uint {
        c_uint::try_from(self.count).unwrap_or(0)
    }

    /// For a call that allocates the list: where to put it and its length.
    pub(super) fn out(&mut self) -> (*mut virTypedParameterPtr, *mut c_int) {
        (&raw mut self.entries, &raw mut self.count)
    }

    /// Copies the entries.
    pub(super) fn read(&self) -> Vec<(String, ParameterValue)> {
        // SAFETY: libvirt filled both together, or left null and 0.
        unsafe { read(self.entries, self.count) }
    }
}

impl Drop for TypedParameters {
    fn drop(&mut self) {
        // SAFETY: null, or allocated by libvirt with this many entries; freed once. Strings inside are freed
        // with it.
        unsafe { virt_sys::virTypedParamsFree(self.entries, self.count) };
    }
}

/// Copies entries that somebody else owns.
///
/// # Safety
/// `entries` is null, or points to `count` initialised typed parameters that live through this call.
pub(super) unsafe fn read(entries: *const virTypedParameter, count: c_int) -> Vec<(String, ParameterValue)> {
    let count = usize::try_from(count).unwrap_or(0);
    if entries.is_null() || count == 0 {
        return Vec::new();
    }
    // SAFETY: not null, and `count` entries by the caller's promise.
    let entries = unsafe { slice::from_raw_parts(entries, count) };
    entries.iter().filter_map(|entry| Some((field_name(entry), value(entry)?))).collect()
}

/// The name, which libvirt ends with a NUL within its 80 bytes; without one, all of them.
fn field_name(entry: &virTypedParameter) -> String {
    let bytes: Vec<u8> =
        entry.field.iter().map(|byte| byte.cast_unsigned()).take_while(|byte| *byte != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The value, or nothing for a type that is not known here.
fn value(entry: &virTypedParameter) -> Option<ParameterValue> {
    let kind = c_uint::try_from(entry.type_).ok()?;
    Some(match kind {
        // SAFETY: the type says `int`.
        virt_sys::VIR_TYPED_PARAM_INT => ParameterValue::Signed(i64::from(unsafe { entry.value.i })),
        // SAFETY: the type says `unsigned int`.
        virt_sys::VIR_TYPED_PARAM_UINT => ParameterValue::Unsigned(u64::from(unsafe { entry.value.ui })),
        // SAFETY: the type says `long long`.
        virt_sys::VIR_TYPED_PARAM_LLONG => ParameterValue::Signed(unsafe { entry.value.l }),
        // SAFETY: the type says `unsigned long long`.
        virt_sys::VIR_TYPED_PARAM_ULLONG => ParameterValue::Unsigned(unsafe { entry.value.ul }),
        // SAFETY: the type says `double`.
        virt_sys::VIR_TYPED_PARAM_DOUBLE => ParameterValue::Real(unsafe { entry.value.d }),
        // SAFETY: the type says `boolean`, stored as a `char`.
        virt_sys::VIR_TYPED_PARAM_BOOLEAN => ParameterValue::Boolean(unsafe { entry.value.b } != 0),
        // SAFETY: the type says `string`, which is null or NUL-terminated and lives as long as the entry.
        virt_sys::VIR_TYPED_PARAM_STRING => ParameterValue::Text(unsafe { borrowed_string(entry.value.s) }),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::library;
    use super::{Argument, ParameterValue, TypedParameters, read};
    use std::ptr;

    #[test]
    fn what_goes_in_comes_out() {
        library::initialise().unwrap();
        let list = TypedParameters::from_arguments(&[
            (c"parallel.connections", Argument::Int(-3)),
            (c"migrate_uri", Argument::Text("tcp://192.0.2.1")),
        ])
        .unwrap();
        assert_eq!(list.len(), 2);
        assert_eq!(
            list.read(),
            [
                ("parallel.connections".to_owned(), ParameterValue::Signed(-3)),
                ("migrate_uri".to_owned(), ParameterValue::Text("tcp://192.0.2.1".to_owned())),
            ]
        );
    }

    #[test]
    fn a_nul_is_refused_and_what_was_added_before_is_freed() {
        library::initialise().unwrap();
        let arguments = [(c"migrate_uri", Argument::Text("tcp")), (c"migrate_uri", Argument::Text("a\0b"))];
        let error = TypedParameters::from_arguments(&arguments).err().unwrap();
        assert!(error.message.contains("`migrate_uri` has a NUL at byte 1"), "{error}");
    }

    #[test]
    fn nothing_is_an_empty_list() {
        library::initialise().unwrap();
        assert_eq!(TypedParameters::empty().read(), []);
        // SAFETY: null is allowed, whatever the count.
        assert_eq!(unsafe { read(ptr::null(), 7) }, []);
    }

    #[test]
    fn an_unknown_type_is_skipped_and_a_name_without_an_end_is_kept() {
        library::initialise().unwrap();
        let list =
            TypedParameters::from_arguments(&[(c"bandwidth", Argument::Int(1)), (c"x", Argument::Int(2))]);
        let mut list = list.unwrap();
        // SAFETY: the list has two entries of plain data, and nothing else refers to them.
        let entries = unsafe { std::slice::from_raw_parts_mut(list.as_ptr(), 2) };
        entries[0].type_ = 99;
        entries[1].field = [120; 80];
        assert_eq!(list.read(), [("x".repeat(80), ParameterValue::Signed(2))]);
        entries[0].type_ = -1;
        list.count = 1;
        assert_eq!(list.read(), []);
    }
}
