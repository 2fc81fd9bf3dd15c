//! Files and folders for this user only: what this program writes holds definitions, host names and addresses, and a lock
//! that others can open is a lock that others can hold.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::Mode;

/// All permissions of group and others.
const OTHERS: u32 = 0o077;
const FILE: u32 = 0o600;
const FOLDER: u32 = 0o700;

/// Sets the umask, so that others can open no new file of this process, whichever library creates it.
pub fn restrict_new_files() {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
}

/// Opens a file, and makes it with mode 0600 where it is missing. One that others can open is restricted.
///
/// # Errors
/// When it cannot be opened, or is another user's and cannot be restricted.
pub fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let file = options.mode(FILE).open(path)?;
    if file.metadata()?.permissions().mode() & OTHERS != 0 {
        file.set_permissions(Permissions::from_mode(FILE)).map_err(|error| refused(&error))?;
    }
    Ok(file)
}

/// Restricts a file that may not be there.
///
/// # Errors
/// When it is another user's and cannot be restricted.
pub fn restrict(path: &Path) -> io::Result<()> {
    match open(OpenOptions::new().read(true), path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        opened => opened.map(drop),
    }
}

/// Makes a folder, and those above it that are missing, with mode 0700. One that is there stays as it is: it may be shared.
///
/// # Errors
/// When it cannot be made.
pub fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(FOLDER).create(path)
}

/// Makes a folder of this program's own: one that others can enter is restricted.
///
/// # Errors
/// When it cannot be made, or is another user's and cannot be restricted.
pub fn make_own_folder(path: &Path) -> io::Result<()> {
    make_folder(path)?;
    if fs::metadata(path)?.permissions().mode() & OTHERS != 0 {
        fs::set_permissions(path, Permissions::from_mode(FOLDER)).map_err(|error| refused(&error))?;
    }
    Ok(())
}

fn refused(error: &io::Error) -> io::Error {
    io::Error::new(
        error.kind(),
        format!("others can open it, and it cannot be restricted to this user: {error}"),
    )
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::{make_folder, make_own_folder, open, restrict};

    #[test]
    fn what_others_could_open_is_restricted() {
        let folder = std::env::temp_dir().join(format!("whimbrel-private-{}", std::process::id()));
        make_folder(&folder.join("a/b")).unwrap();
        let mode = |name: &str| fs::metadata(folder.join(name)).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(""), mode("a"), mode("a/b")), (0o700, 0o700, 0o700));
        fs::set_permissions(folder.join("a"), Permissions::from_mode(0o755)).unwrap();
        make_folder(&folder.join("a")).unwrap();
        assert_eq!(mode("a"), 0o755, "it may be shared");
        make_own_folder(&folder.join("a")).unwrap();
        assert_eq!(mode("a"), 0o700);
        let file = folder.join("file");
        drop(open(OpenOptions::new().write(true).create_new(true), &file).unwrap());
        assert_eq!(mode("file"), 0o600);
        fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        restrict(&file).unwrap();
        assert_eq!(mode("file"), 0o600);
        restrict(&folder.join("missing")).unwrap();
        fs::remove_dir_all(&folder).unwrap();
    }
}
