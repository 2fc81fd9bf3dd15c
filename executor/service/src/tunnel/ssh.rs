//! The system's `ssh`, as it is started for a tunnel.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::askpass::{Askpass, SOCKET_VARIABLE};
use super::{CONTROL, Login, QUESTION, TunnelError};
use crate::secret::Password;
use whimbrel_drive::host_key::RefusedKey;

/// Time limit for the login.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(20);
/// The output of `ssh`, in a tunnel's folder.
const SAID: &str = "said";

/// Sockets of daemons for the whole system: of libvirt's one daemon or the proxy in its place, then of QEMU's own.
const DAEMONS: [&str; 2] = ["/run/libvirt/libvirt-sock", "/run/libvirt/virtqemud-sock"];

/// Authentication with a password only.
const WITH_PASSWORD: [&str; 3] = [
    "PubkeyAuthentication=no",
    "PreferredAuthentications=password,keyboard-interactive",
    "NumberOfPasswordPrompts=1",
];
/// Authentication with keys only.
const WITH_KEYS: [&str; 2] = ["BatchMode=yes", "PreferredAuthentications=publickey"];
/// A host with an unknown key is refused without a prompt; a host that has been silent for 15 s counts as lost. Nothing of this
/// machine is forwarded to the other side, and nothing is recorded.
const MANNERS: [&str; 10] = [
    "StrictHostKeyChecking=yes",
    "UpdateHostKeys=no",
    "ConnectTimeout=10",
    "ServerAliveInterval=5",
    "ServerAliveCountMax=2",
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "PermitLocalCommand=no",
    "LogLevel=ERROR",
    "ControlPersist=no",
];

/// Connects, and leaves the connection as a process of its own, which takes orders in `place`.
pub(super) fn connect(
    login: &Login,
    password: Option<Password>,
    place: &Path,
    known_hosts: Option<&Path>,
) -> Result<(), TunnelError> {
    let with_password = password.is_some();
    let entry = if with_password { &WITH_PASSWORD[..] } else { &WITH_KEYS[..] };
    let mut answerer = password.map(|password| Askpass::new(&place.join(QUESTION), password)).transpose()?;
    let said = place.join(SAID);
    let mut command = ssh(place);
    command.args(["-M", "-N", "-f", "-x", "-T"]);
    command.args(entry.iter().chain(&MANNERS).flat_map(|manner| ["-o", manner]));
    if let Some(file) = known_hosts {
        // Those of this file count, and no others.
        let quoted = file.display().to_string().replace('\\', "\\\\").replace('"', "\\\"");
        command.args(["-o", "GlobalKnownHostsFile=none", "-o"]);
        command.arg(format!("UserKnownHostsFile=\"{quoted}\""));
    }
    if with_password {
        command.env("SSH_ASKPASS", std::env::current_exe()?).env("SSH_ASKPASS_REQUIRE", "force");
        command.env(SOCKET_VARIABLE, place.join(QUESTION));
    }
    let mut child = to(command, login).stderr(File::create(&said)?).spawn()?;
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(answerer) = &mut answerer {
            answerer.attend()?;
        }
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            break None;
        }
        thread::sleep(PAUSE);
    };
    match status {
        Some(status) if status.success() => Ok(()),
        _ => Err(match why(login, &fs::read_to_string(said).unwrap_or_default()) {
            TunnelError::Refused(host) if !with_password => TunnelError::NoKey(host),
            error => error,
        }),
    }
}

/// Where the daemon's socket is on the other side.
pub(super) fn find_daemon(login: &Login, place: &Path) -> Result<&'static str, TunnelError> {
    let tests = DAEMONS.map(|socket| format!("test -S {socket} && echo {socket}")).join("; ");
    let output = to(through(place), login).arg(tests).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let found = DAEMONS.into_iter().find(|socket| said.lines().any(|line| line == *socket));
    found.ok_or_else(|| TunnelError::NoDaemon(login.host().to_owned()))
}

/// Forwards connections from the near end to the far end.
pub(super) fn lead(login: &Login, place: &Path, near_end: &Path, far_end: &str) -> Result<(), TunnelError> {
    let mut command = through(place);
    command.args(["-o", "StreamLocalBindMask=0177", "-O", "forward", "-L"]);
    command.arg(format!("{}:{far_end}", near_end.display()));
    let output = to(command, login).output()?;
    if output.status.success() { Ok(()) } else { Err(why(login, &String::from_utf8_lossy(&output.stderr))) }
}

/// Ends the connection, if there is one.
pub(super) fn end(place: &Path) {
    // The name is ignored: the order goes to the process that listens in this place.
    let _ =
        through(place).args(["-O", "exit", "tunnel"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
}

fn ssh(place: &Path) -> Command {
    let mut command = Command::new("ssh");
    command.arg("-S").arg(place.join(CONTROL)).stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Over the connection that there is, and never over a new one.
fn through(place: &Path) -> Command {
    let mut command = ssh(place);
    command.args(["-o", "ProxyCommand=false", "-o", "BatchMode=yes"]).stdout(Stdio::piped());
    command
}

fn to(mut command: Command, login: &Login) -> Command {
    if let Some(user) = login.user() {
        command.args(["-l", user]);
    }
    if let Some(port) = login.port() {
        command.args(["-p", &port.to_string()]);
    }
    command.args(["--", login.host()]);
    command
}

/// `ssh` has one code for every failure; its words, which are in one language only, tell them apart.
fn why(login: &Login, said: &str) -> TunnelError {
    let (host, says) = (login.host().to_owned(), |words: &str| said.contains(words));
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    match RefusedKey::of(&said) {
        Some(RefusedKey::Changed) => return TunnelError::KeyChanged(host),
        Some(RefusedKey::Unknown) => return TunnelError::KeyUnknown { host, said },
        None => {}
    }
    if says("Permission denied") {
        TunnelError::Refused(host)
    } else if said.is_empty() {
        let said = format!("no answer within {} s", PATIENCE.as_secs());
        TunnelError::Unreachable { host, said }
    } else {
        TunnelError::Unreachable { host, said }
    }
}

#[cfg(test)]
mod tests {
    use super::{Login, TunnelError, why};

    #[test]
    fn the_words_of_ssh_are_told_apart() {
        let login = Login::of_uri("qemu+ssh://beta/system").unwrap();
        let told = |said: &str| why(&login, said);
        let unknown = "No ED25519 host key is known for beta and you have requested strict checking.\r\n\
                       Host key verification failed.\r\n";
        assert!(matches!(told(unknown), TunnelError::KeyUnknown { said, .. } if said.ends_with("failed.")));
        let changed = "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.\n";
        assert!(matches!(told(changed), TunnelError::KeyChanged(_)));
        assert!(matches!(told("root@beta: Permission denied (password)."), TunnelError::Refused(_)));
        let refused = "ssh: connect to host beta port 22: Connection refused";
        assert!(matches!(told(refused), TunnelError::Unreachable { said, .. } if said == refused));
        assert!(matches!(told(""), TunnelError::Unreachable { said, .. } if said.starts_with("no answer")));
    }
}
