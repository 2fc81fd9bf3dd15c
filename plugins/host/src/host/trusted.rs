//! The one place where machine code comes from a file. It must never be called with bytes that [`super::cache`] has not
//! checked to be this user's own, unchanged, and made by this very engine.
//!
//! It exists because each start would otherwise recompile every pack, and because the engine's own cache, which needs
//! no `unsafe` here, trusts every file in its folder.

#![expect(unsafe_code, reason = "loading compiled code cannot be checked by the compiler")]

use std::fs::File;
use std::os::fd::AsRawFd as _;

use wasmtime::Engine;
use wasmtime::component::Component;

/// A file of compiled code as a component; none if the engine does not take it. The file must stay as it is for as long
/// as the component lives.
pub(super) fn mapped(engine: &Engine, file: &File) -> Option<Component> {
    // The engine opens a path. This one leads to the very file that was checked, even if its name now leads elsewhere.
    let same = format!("/dev/fd/{}", file.as_raw_fd());
    // SAFETY: as below; and the file stays as it is: only this user can write it, this program never writes to a file
    // under its final name (it is read-only, and replaced by another), and its file system is this machine's own, so a
    // removed file stays for a process that has mapped it.
    unsafe { Component::deserialize_file(engine, same) }.ok()
}

/// Compiled code as a component; none if the engine does not take it.
pub(super) fn copied(engine: &Engine, code: &[u8]) -> Option<Component> {
    // SAFETY: the caller read the bytes from a file that only this user can write, in a folder that only this user can
    // change, and they have the digest that was written with them by `Component::serialize` of an engine with the same
    // compatibility hash. The engine itself checks version and settings again.
    unsafe { Component::deserialize(engine, code) }.ok()
}
