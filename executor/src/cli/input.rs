//! Files that users name, read up to a bound: a device or a pipe may never end.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use super::CliError;

/// Bytes of one file. The largest inputs are journals; the longest of the tests has 40 MB.
const MOST_BYTES: u64 = 512 << 20;

/// A file's bytes.
pub(super) fn bytes(path: &Path) -> Result<Vec<u8>, CliError> {
    let read = || -> io::Result<Vec<u8>> {
        let file = File::open(path)?;
        // A device reports no size and may be endless; a reader of a pipe waits for its writer.
        if file.metadata()?.len() > MOST_BYTES || is_device(&file)? {
            return Err(too_large());
        }
        let mut bytes = Vec::new();
        file.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
        if u64::try_from(bytes.len()).is_ok_and(|len| len > MOST_BYTES) {
            Err(too_large())
        } else {
            Ok(bytes)
        }
    };
    read().map_err(|source| CliError::Unreadable { path: path.to_owned(), source })
}

/// A file's text.
pub(super) fn text(path: &Path) -> Result<String, CliError> {
    String::from_utf8(bytes(path)?).map_err(|_| CliError::Unreadable {
        path: path.to_owned(),
        source: io::Error::new(io::ErrorKind::InvalidData, "it is no UTF-8 text"),
    })
}

/// A file's text that only its owner should be able to read. One that others can read is used, with a warning.
#[cfg(feature = "service")]
pub(super) fn secret(path: &Path) -> Result<String, CliError> {
    use std::os::unix::fs::PermissionsExt as _;
    let text = text(path)?;
    // A file that cannot be examined was just read: it is on a file system without permissions.
    if path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o077 != 0) {
        let path = path.display();
        super::say(&format!(
            "warning: other accounts can read or change {path}, which is a secret; protect it with `chmod 600 {path}`"
        ));
    }
    Ok(text)
}

/// A terminal is a device as well, and its user ends the input.
fn is_device(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::FileTypeExt as _;
    let kind = file.metadata()?.file_type();
    Ok(kind.is_block_device() || kind.is_char_device() && !io::IsTerminal::is_terminal(file))
}

fn too_large() -> io::Error {
    io::Error::new(
        io::ErrorKind::FileTooLarge,
        format!("it is a device, or larger than {} MiB", MOST_BYTES >> 20),
    )
}
