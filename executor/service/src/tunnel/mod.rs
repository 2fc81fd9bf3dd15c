//! Connections to a destination's daemon that a password opens, or a key where known hosts of the service's own are to be
//! trusted: a tunnel of the system's own `ssh`, with a socket on this machine as its near end.
//!
//! A password is passed to `ssh` once and not stored. The tunnel is a process of its own, so that it outlives the
//! service as the migration does: this service, or the next, and the source's daemon use it until the end. Host keys
//! are checked by `ssh` against known ones, and an unknown one is refused; nothing here may ever weaken that.

mod askpass;
mod login;
mod ssh;
mod watch;

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};

pub use self::askpass::{SOCKET_VARIABLE, answer};
pub(super) use self::login::{Login, is_plain};
use super::auth::hexadecimal;
use super::secret::Password;

/// Name of the near end in a tunnel's folder.
const NEAR_END: &str = "daemon";
/// Name of the place at which the tunnel takes orders.
const CONTROL: &str = "control";
/// Name of the place at which `ssh` gets the password.
const QUESTION: &str = "question";

/// Why there is no tunnel.
#[derive(Debug, thiserror::Error)]
pub(super) enum TunnelError {
    /// The destination's key is not known.
    #[error("the ssh host key of `{host}` is not among the known hosts: {said}")]
    KeyUnknown { host: String, said: String },
    /// The destination shows another key than the known one.
    #[error("the ssh host key of `{0}` differs from the known one")]
    KeyChanged(String),
    /// The password was refused.
    #[error("`{0}` refused the password")]
    Refused(String),
    /// Every key of this service's user was refused.
    #[error("`{0}` refused every key of this service's user")]
    NoKey(String),
    /// No answer, or not in time.
    #[error("cannot connect to `{host}` over ssh: {said}")]
    Unreachable { host: String, said: String },
    /// There is no libvirt daemon to be reached there.
    #[error("no libvirt daemon has its socket on `{0}`")]
    NoDaemon(String),
    /// This machine has no `ssh`, or no place for a tunnel.
    #[error("cannot create a tunnel on this machine")]
    Machine(#[from] io::Error),
}

/// Makes and ends tunnels. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Tunnels {
    folder: Arc<Path>,
    known_hosts: Option<Arc<Path>>,
}

/// A tunnel that is not used yet: it ends when it is dropped, unless it is kept.
#[derive(Debug)]
pub(super) struct NewTunnel {
    tunnels: Tunnels,
    near_end: Option<PathBuf>,
}

impl Tunnels {
    /// Tunnels of the service with this store, below a folder for what lives as long as the machine runs.
    pub(super) fn new(run_folder: &Path, store: &Path, known_hosts: Option<&Path>) -> Self {
        let store = fs::canonicalize(store).unwrap_or_else(|_| store.to_owned());
        let of_store = hexadecimal(digest(&SHA256, store.as_os_str().as_encoded_bytes()).as_ref());
        // A path of a socket has 107 bytes at most.
        let folder = run_folder.join(of_store.chars().take(8).collect::<String>());
        Self { folder: folder.into(), known_hosts: known_hosts.map(Arc::from) }
    }

    /// Whether keys are to be checked against known hosts of the service's own.
    pub(super) fn has_known_hosts(&self) -> bool {
        self.known_hosts.is_some()
    }

    /// Opens a tunnel: with the password, or else with keys. Blocks for some seconds.
    pub(super) fn open(&self, login: &Login, password: Option<Password>) -> Result<NewTunnel, TunnelError> {
        let mut name = [0; 4];
        let no_chance = |_| io::Error::other("the system gives no random numbers");
        SystemRandom::new().fill(&mut name).map_err(no_chance)?;
        let place = self.folder.join(hexadecimal(&name));
        DirBuilder::new().recursive(true).mode(0o700).create(&place)?;
        let near_end = place.join(NEAR_END);
        // From here on whatever was made goes with it.
        let fresh = NewTunnel { tunnels: self.clone(), near_end: Some(near_end.clone()) };
        self.lead(login, password, &place, &near_end)?;
        tracing::info!(host = login.host(), "a tunnel is open");
        Ok(fresh)
    }

    fn lead(
        &self,
        login: &Login,
        password: Option<Password>,
        place: &Path,
        near_end: &Path,
    ) -> Result<(), TunnelError> {
        ssh::connect(login, password, place, self.known_hosts.as_deref())?;
        let far_end = ssh::find_daemon(login, place)?;
        ssh::lead(login, place, near_end, far_end)
    }

    /// Re-establishes a broken tunnel in its place, with keys.
    fn remake(&self, login: &Login, near_end: &Path) -> Result<(), TunnelError> {
        let Some(place) = near_end.parent().filter(|place| place.starts_with(&self.folder)) else {
            return Err(TunnelError::Machine(io::Error::other("the tunnel is another service's")));
        };
        for left in [CONTROL, NEAR_END, QUESTION] {
            let _ = fs::remove_file(place.join(left));
        }
        let made = self.lead(login, None, place, near_end);
        if made.is_err() {
            ssh::end(place);
        }
        made
    }

    /// Ends a tunnel, and removes what is left of it. One that has ended already is no mistake.
    pub(super) fn close(&self, near_end: &Path) {
        let Some(place) = near_end.parent().filter(|place| place.starts_with(&self.folder)) else { return };
        ssh::end(place);
        let _ = fs::remove_dir_all(place);
        // Others may be there.
        let _ = fs::remove_dir(&self.folder);
    }

    /// Ends the unneeded tunnels: of migrations whose service was killed before they began or after they ended.
    pub(super) fn sweep(&self, needed: &[PathBuf]) {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let near_end = entry.path().join(NEAR_END);
            if !needed.contains(&near_end) {
                self.close(&near_end);
            }
        }
    }
}

impl NewTunnel {
    /// The near end, as a path.
    pub(super) fn near_end(&self) -> Option<String> {
        self.near_end.as_ref().map(|path| path.display().to_string())
    }

    /// Leaves the tunnel open: the driver of the migration ends it.
    pub(super) fn keep(mut self) {
        self.near_end = None;
    }
}

impl Drop for NewTunnel {
    fn drop(&mut self) {
        if let Some(near_end) = &self.near_end {
            self.tunnels.close(near_end);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::{NEAR_END, Tunnels};

    #[test]
    fn what_is_needed_and_what_is_foreign_stays() {
        let folder = std::env::temp_dir().join(format!("whimbrel-tunnels-{}", std::process::id()));
        let [own, other] = ["own", "other"].map(|store| Tunnels::new(&folder, &folder.join(store), None));
        let place = |tunnels: &Tunnels, name: &str| -> PathBuf {
            let place = tunnels.folder.join(name);
            fs::create_dir_all(&place).unwrap();
            place
        };
        let (needed, left) = (place(&own, "needed"), place(&own, "left"));
        let foreign = place(&other, "needed");
        own.sweep(&[needed.join(NEAR_END)]);
        assert!(needed.is_dir(), "a migration goes through it");
        assert!(!left.exists(), "no migration goes through it");
        own.close(&foreign.join(NEAR_END));
        assert!(foreign.is_dir(), "it is another service's");
        own.close(&needed.join(NEAR_END));
        assert!(!needed.exists() && !own.folder.exists(), "nothing of it is left");
        fs::remove_dir_all(&folder).unwrap();
    }
}
