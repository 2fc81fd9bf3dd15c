//! The one place where machine code comes from a file. It must never be called with bytes that [`super::cache`] did
//! not find to be this user's own, unchanged, and made by this very engine.
//!
//! It is here because each start would otherwise compile every pack anew, and because the engine's own cache, which needs
//! no `unsafe` of ours, trusts whatever lies in its folder.

#![expect(unsafe_code, reason = "loading compiled code cannot be checked by the compiler")]

use wasmtime::Engine;
use wasmtime::component::Component;

/// Compiled code as a component; none if the engine does not take it.
pub(super) fn component(engine: &Engine, code: &[u8]) -> Option<Component> {
    // SAFETY: the caller read the bytes from a file that only this user can write, in a folder that only this user can
    // change, and they have the digest that was written with them by `Component::serialize` of an engine with the same
    // compatibility hash. The engine itself checks version and settings again.
    unsafe { Component::deserialize(engine, code) }.ok()
}
