//! How `ssh` gets a password that is in no argument, environment or file: it starts this program, which reads the password
//! from a socket in a folder that only its owner can enter, and prints it once.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use zeroize::Zeroizing;

use crate::secret::Password;

/// Names the socket to a program that `ssh` starts to ask its question.
pub const SOCKET_VARIABLE: &str = "WHIMBREL_PASSWORD_SOCKET";

/// The askpass helper: prints the password on standard output.
///
/// # Errors
/// When the password is no longer available.
pub fn answer(socket: &OsStr) -> io::Result<()> {
    let mut password = Zeroizing::new(Vec::new());
    UnixStream::connect(socket)?.read_to_end(&mut password)?;
    io::stdout().write_all(&password)
}

/// Waits for the question, and answers it once.
pub(super) struct Askpass {
    listener: UnixListener,
    password: Option<Password>,
}

impl Askpass {
    pub(super) fn new(socket: &Path, password: Password) -> io::Result<Self> {
        let listener = UnixListener::bind(socket)?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, password: Some(password) })
    }

    /// Answers a pending request. Does not wait.
    pub(super) fn attend(&mut self) -> io::Result<()> {
        let mut asking = match self.listener.accept() {
            Ok((asking, _)) => asking,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        // It is wiped as soon as it was sent; a second question gets nothing.
        let Some(password) = self.password.take() else { return Ok(()) };
        asking.write_all(password.bytes())?;
        asking.write_all(b"\n")
    }
}
