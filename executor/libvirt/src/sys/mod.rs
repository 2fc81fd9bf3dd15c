//! The only module with `unsafe`: handles, calls, typed parameters and callbacks of libvirt's C interface.
//!
//! Rules that every block here keeps:
//! * a handle is owned by exactly one Rust value, which gives its reference back when dropped, without
//!   panicking;
//! * memory that libvirt allocates goes back to C's `free` or to libvirt, never to Rust's allocator;
//! * an error is copied by the thread that made the call, at once, since libvirt keeps it per thread;
//! * a callback copies what it is lent and hands it to the subscriber behind `catch_unwind`; it never calls a
//!   daemon.
#![expect(unsafe_code, reason = "libvirt is a C library; this module makes it safe for the rest")]

mod connection;
mod dirty_rate;
mod domain;
mod events;
mod facts;
mod forward;
mod library;
mod lists;
mod metadata;
mod sinks;
mod storage;
mod typed;

pub(crate) use connection::{Connection, Installed};
pub(crate) use domain::Domain;
pub(crate) use storage::{StoragePool, StorageVolume};

use super::error::{ErrorCode, LibvirtError};
use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr::NonNull;

/// Turns a C result into ours: negative means failed.
fn check(call: &'static str, result: c_int) -> Result<c_int, LibvirtError> {
    if result < 0 { Err(last_error(call)) } else { Ok(result) }
}

/// Turns a C pointer into ours: null means failed.
fn check_pointer<T>(call: &'static str, pointer: *mut T) -> Result<NonNull<T>, LibvirtError> {
    NonNull::new(pointer).ok_or_else(|| last_error(call))
}

/// Copies this thread's last error. Only to be used right after the call that failed, on the same thread.
fn last_error(call: &'static str) -> LibvirtError {
    // SAFETY: the function takes nothing, and answers null or a pointer that stays valid until this thread's
    // next call.
    let error = unsafe { virt_sys::virGetLastError() };
    // SAFETY: null, or valid for reading, as above; nothing else touches this thread's slot meanwhile.
    let Some(error) = (unsafe { error.as_ref() }) else {
        let message = "libvirt gave no reason".to_owned();
        return LibvirtError { call, code: ErrorCode::Other(0), domain: 0, message };
    };
    // SAFETY: the message is null or a NUL-terminated string that lives as long as the error.
    let message = unsafe { borrowed_string(error.message) };
    LibvirtError { call, code: error.code.into(), domain: error.domain, message }
}

/// A string for C. A NUL inside would cut it short, so that libvirt would act on another name: refused.
fn c_string(call: &'static str, what: &str, text: &str) -> Result<CString, LibvirtError> {
    CString::new(text).map_err(|error| {
        let place = error.nul_position();
        LibvirtError::refused(call, format!("{what} has a NUL at byte {place}; remove it"))
    })
}

/// Copies a string that C keeps; null becomes empty, and what is not UTF-8 is replaced.
///
/// # Safety
/// `text` is null or points to a NUL-terminated string that lives through this call.
unsafe fn borrowed_string(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: not null, and NUL-terminated by the caller's promise.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// Copies and frees a string that libvirt allocated for us; null means that the call failed.
///
/// # Safety
/// `text` is null or a NUL-terminated string from C's allocator that no other code frees.
unsafe fn owned_string(call: &'static str, text: *mut c_char) -> Result<String, LibvirtError> {
    let text = check_pointer(call, text)?;
    // SAFETY: not null, NUL-terminated, and ours until freed below.
    let copy = unsafe { borrowed_string(text.as_ptr()) };
    // SAFETY: from C's allocator and freed once, here.
    unsafe { libc::free(text.as_ptr().cast()) };
    Ok(copy)
}
