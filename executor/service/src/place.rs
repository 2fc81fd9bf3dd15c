//! Where the service listens: at an address, or at a Unix socket, whose clients the kernel names.

use std::fmt;
use std::fs::{self, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use tokio::net::{TcpListener, UnixListener};

use whimbrel_drive::private;

/// What a Unix socket's place begins with, for the service and its clients.
pub const UNIX: &str = "unix:";

/// A place to listen at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// An address of this machine.
    Address(SocketAddr),
    /// A Unix socket.
    Socket(PathBuf),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix(UNIX) {
            Some("") => Err("a Unix socket is written unix:PATH".to_owned()),
            Some(path) => Ok(Self::Socket(path.into())),
            None => text.parse().map(Self::Address).map_err(|_| "write ADDRESS:PORT or unix:PATH".to_owned()),
        }
    }
}

impl Place {
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Address(address) => Some(*address),
            Self::Socket(_) => None,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Socket(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

/// A place that is listened at.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

impl Listener {
    /// Listens. The socket is for root and this user, and for a group where there is one.
    pub(super) async fn bind(place: &Place, group: Option<u32>) -> io::Result<Self> {
        match place {
            Place::Address(address) => Ok(Self::Tcp(TcpListener::bind(address).await?)),
            Place::Socket(path) => {
                let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
                parent.map_or(Ok(()), |parent| make_folder(parent, group))?;
                remove_left(path)?;
                let listener = UnixListener::bind(path)?;
                let file = SocketFile(path.clone());
                // Created under a mask that excludes all others; the mode is widened only once the group is right.
                fs::set_permissions(path, Permissions::from_mode(0o600))?;
                if let Some(gid) = group {
                    chown(path, None, Some(gid))?;
                    fs::set_permissions(path, Permissions::from_mode(0o660))?;
                }
                Ok(Self::Unix(listener, file))
            }
        }
    }

    /// Where it listens, as a client writes it.
    pub(super) fn shown(&self, is_tls: bool) -> io::Result<String> {
        match self {
            Self::Tcp(listener) => {
                let scheme = if is_tls { "https" } else { "http" };
                Ok(format!("{scheme}://{}/", listener.local_addr()?))
            }
            Self::Unix(_, SocketFile(path)) => Ok(format!("{UNIX}{}", path.display())),
        }
    }
}

/// A socket's file, which goes with its listener.
#[derive(Debug)]
pub(super) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Makes the socket's folder where it is missing; the group may pass through it.
fn make_folder(folder: &Path, group: Option<u32>) -> io::Result<()> {
    if folder.exists() {
        return Ok(());
    }
    private::make_folder(folder)?;
    if let Some(gid) = group {
        chown(folder, None, Some(gid))?;
        fs::set_permissions(folder, Permissions::from_mode(0o750))?;
    }
    Ok(())
}

/// Removes a socket that a killed service left. A socket with a listener stays.
fn remove_left(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(about) if !about.file_type().is_socket() => Err(io::ErrorKind::AlreadyExists.into()),
        Ok(_) if UnixStream::connect(path).is_ok() => Err(io::ErrorKind::AddrInUse.into()),
        Ok(_) => fs::remove_file(path),
    }
}
