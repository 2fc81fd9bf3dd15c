//! What has to happen once in a process before libvirt is used.
//!
//! Connections made before the event implementation is registered never deliver events or keep-alives by
//! themselves, so opening one goes through here. The event thread lives as long as the process: libvirt
//! cannot unregister it.

use super::check;
use crate::error::{ErrorCode, LibvirtError};
use std::ffi::c_void;
use std::ptr;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

/// Registers the event loop, starts its thread and silences libvirt's own printing, the first time it is
/// called.
pub(super) fn initialise() -> Result<(), LibvirtError> {
    static DONE: OnceLock<Result<(), LibvirtError>> = OnceLock::new();
    DONE.get_or_init(|| {
        // SAFETY: `ignore_error` fits the type, touches nothing, and lives as long as the process.
        unsafe { virt_sys::virSetErrorFunc(ptr::null_mut(), Some(ignore_error)) };
        // SAFETY: takes nothing; called once in the process, before any connection.
        check("virInitialize", unsafe { virt_sys::virInitialize() })?;
        // SAFETY: takes nothing; called once in the process, before any connection.
        check("virEventRegisterDefaultImpl", unsafe { virt_sys::virEventRegisterDefaultImpl() })?;
        let started = thread::Builder::new().name("libvirt-events".to_owned()).spawn(run);
        started.map(drop).map_err(|error| LibvirtError {
            call: "virEventRunDefaultImpl",
            code: ErrorCode::SystemError,
            domain: 0,
            message: format!("the event thread did not start: {error}"),
        })
    })
    .clone()
}

/// One turn after another, for ever. A failing turn must not become a busy loop.
fn run() {
    loop {
        // SAFETY: the default implementation is registered, and only this thread runs it.
        if unsafe { virt_sys::virEventRunDefaultImpl() } < 0 {
            thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Takes the place of libvirt's own printing to stderr: every error is returned to the caller instead.
extern "C" fn ignore_error(_user_data: *mut c_void, _error: virt_sys::virErrorPtr) {}
