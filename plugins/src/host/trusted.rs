//! The one place where machine code comes from a file. It must never be called with bytes that [`super::cache`] did
//! not find to be this user's own, unchanged, and made by this very engine.
//!
//! It is here because each start would otherwise compile every pack anew, and because the engine's own cache, which needs
//! no `unsafe` of ours, trusts whatever lies in its folder.

#![expect(unsafe_code, reason = "loading compiled code cannot be checked by the compiler")]

use std::fs::File;
use std::os::fd::AsRawFd as _;

use wasmtime::Engine;
use wasmtime::component::Component;

/// Compiled code as a component; none if the engine does not take it. The file is mapped, not read: a start would be
/// half as quick again if code that nobody calls were copied.
pub(super) fn component(engine: &Engine, file: &File) -> Option<Component> {
    // The engine opens a path. This one is the very file that was looked at, whatever its folder now says.
    let same = format!("/dev/fd/{}", file.as_raw_fd());
    // SAFETY: only this user can write the file, and nothing of ours writes to one that has its name: it is read-only, and
    // replaced by another. It has the digest that was written with it behind what `Component::serialize` made for an engine
    // with the same compatibility hash. The engine itself checks version and settings again.
    unsafe { Component::deserialize_file(engine, same) }.ok()
}
