//! A real ssh daemon on a host, with a key, a configuration and an account of the lab's own.
//!
//! Root may come in with the lab's password, which is good on the lab's hosts only: they see a table of passwords of their
//! own. It must never read or change the machine's ssh daemon, its keys or its users.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::{Host, LabError, files, shell};

/// Debian's package puts it here; the daemon re-executes itself and requires its whole path.
const DAEMON: &str = "/usr/sbin/sshd";

impl Host {
    /// Starts an ssh daemon, which waits at the usual port.
    ///
    /// # Errors
    /// [`LabError::Command`] when OpenSSH is not installed or does not start.
    pub fn start_ssh_daemon(&self) -> Result<(), LabError> {
        let folder = self.ssh_folder();
        fs::create_dir_all(&folder).map_err(LabError::io(format!("create `{}`", folder.display())))?;
        make_key(self, &folder.join("host_key"))?;
        let configuration = configuration(self.address(), &folder, &self.home());
        files::put(&folder, "sshd_config", &configuration)?;
        // An empty folder that the daemon shuts its unprivileged part into.
        shell::run(self.command("mkdir").args(["-p", "/run/sshd"]))?;
        let (file, log) = (folder.join("sshd_config"), folder.join("log"));
        shell::run(self.command(DAEMON).arg("-f").arg(file).arg("-E").arg(log)).map(drop)
    }

    /// What an account that knows this host's key has in its list of known hosts.
    ///
    /// # Errors
    /// [`LabError::Io`] when no daemon was started.
    pub fn ssh_host_key_line(&self) -> Result<String, LabError> {
        Ok(format!("{} {}", self.address(), read(&self.ssh_folder().join("host_key.pub"))?))
    }

    /// Makes this host's root known to another host's root, both ways: its key is let in, the other's key is known.
    ///
    /// # Errors
    /// As [`Host::start_ssh_daemon`] and [`Host::ssh_host_key_line`].
    pub fn may_enter(&self, other: &Host) -> Result<(), LabError> {
        let own = self.home().join(".ssh");
        fs::create_dir_all(&own).map_err(LabError::io(format!("create `{}`", own.display())))?;
        make_key(self, &own.join("id_ed25519"))?;
        append(&own.join("known_hosts"), &other.ssh_host_key_line()?)?;
        let theirs = other.home().join(".ssh");
        fs::create_dir_all(&theirs).map_err(LabError::io(format!("create `{}`", theirs.display())))?;
        append(&theirs.join("authorized_keys"), &read(&own.join("id_ed25519.pub"))?)
    }

    fn ssh_folder(&self) -> PathBuf {
        self.folder().join("ssh")
    }

    fn home(&self) -> PathBuf {
        self.folder().join("root")
    }
}

fn configuration(address: &str, folder: &Path, home: &Path) -> String {
    format!(
        "ListenAddress {address}\nHostKey {}/host_key\nPidFile none\nAuthorizedKeysFile {}/.ssh/authorized_keys\n\
         UsePAM no\nPermitRootLogin yes\nPasswordAuthentication yes\nKbdInteractiveAuthentication no\n\
         UseDNS no\nPrintMotd no\nPrintLastLog no\nLogLevel VERBOSE\n",
        folder.display(),
        home.display(),
    )
}

fn make_key(host: &Host, file: &Path) -> Result<(), LabError> {
    if file.is_file() {
        return Ok(());
    }
    let mut keygen = host.command("ssh-keygen");
    shell::run(keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", host.name(), "-f"]).arg(file)).map(drop)
}

fn read(file: &Path) -> Result<String, LabError> {
    fs::read_to_string(file).map_err(LabError::io(format!("read `{}`", file.display())))
}

fn append(file: &Path, line: &str) -> Result<(), LabError> {
    let open = fs::OpenOptions::new().create(true).append(true).open(file);
    let written = open.and_then(|mut file| file.write_all(line.as_bytes()));
    written.map_err(LabError::io(format!("write `{}`", file.display())))
}
