//! Which ssh host keys this process trusts when libvirt connects over ssh for it, if not the usual files' ones.
//!
//! libvirt has a parameter of the URI for it, but not for each of its transports: `known_hosts` is taken by `libssh` and
//! `libssh2`, whose own check of the key stays as strict as it is. Plain `ssh` takes another program's name only
//! (`command`), so it gets a script of three lines. It concerns connections of this process only: a source's daemon that
//! connects to a destination checks keys as its own machine is set up.

use std::borrow::Cow;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use whimbrel_drive::uri::escaped;

/// Set once, as the process starts.
static KNOWN: OnceLock<Known> = OnceLock::new();

#[derive(Debug)]
struct Known {
    file: PathBuf,
    script: PathBuf,
}

/// From now on connections of this process trust the host keys of this file only. The script is rewritten.
///
/// # Errors
/// When the script cannot be written.
pub(crate) fn trust(file: &Path, script: &Path) -> io::Result<()> {
    let known = Known { file: std::path::absolute(file)?, script: std::path::absolute(script)? };
    let text = script_of(&known.file);
    let mut out = OpenOptions::new().write(true).create(true).truncate(true).mode(0o700).open(script)?;
    out.write_all(text.as_bytes())?;
    fs::set_permissions(script, fs::Permissions::from_mode(0o700))?;
    // Only the first counts; a process has one.
    let _ = KNOWN.set(known);
    Ok(())
}

/// The URI as it is to be opened.
pub(super) fn trusting(uri: &str) -> Cow<'_, str> {
    KNOWN.get().map_or(Cow::Borrowed(uri), |known| known.in_uri(uri))
}

impl Known {
    /// A parameter that is already in the URI has precedence.
    fn in_uri<'a>(&self, uri: &'a str) -> Cow<'a, str> {
        let Some((transport, rest)) = uri.split_once("://") else { return Cow::Borrowed(uri) };
        let (parameter, value) = match transport.rsplit_once('+').map(|(_, transport)| transport) {
            Some("ssh") => ("command", &self.script),
            Some("libssh" | "libssh2") => ("known_hosts", &self.file),
            _ => return Cow::Borrowed(uri),
        };
        let query = rest.split_once('?').map_or("", |(_, query)| query);
        if query.split('&').any(|pair| pair.split('=').next() == Some(parameter)) {
            return Cow::Borrowed(uri);
        }
        let joint = if rest.contains('?') { '&' } else { '?' };
        Cow::Owned(format!("{uri}{joint}{parameter}={}", escaped(value.as_os_str().as_encoded_bytes())))
    }
}

fn script_of(file: &Path) -> String {
    // In double quotes for ssh, which takes several files; all of it in single ones for the shell.
    let for_ssh = file.display().to_string().replace('\\', "\\\\").replace('"', "\\\"");
    let for_shell = format!("UserKnownHostsFile=\"{for_ssh}\"").replace('\'', "'\\''");
    format!(
        "#!/bin/sh\n# Made by whimbrel serve: ssh with the host keys of --ssh-known-hosts, and no others.\n\
         exec ssh -o StrictHostKeyChecking=yes -o UpdateHostKeys=no -o GlobalKnownHostsFile=none -o '{for_shell}' \"$@\"\n"
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::{Known, script_of};

    #[test]
    fn each_transport_is_told_in_its_own_way() {
        let known = Known { file: "/etc/known hosts".into(), script: "/var/lib/ssh".into() };
        let told = |uri| known.in_uri(uri).into_owned();
        assert_eq!(told("qemu+ssh://beta/system"), "qemu+ssh://beta/system?command=/var/lib/ssh");
        let libssh = "qemu+libssh://beta/system?keyfile=/k&known_hosts=/etc/known%20hosts";
        assert_eq!(told("qemu+libssh://beta/system?keyfile=/k"), libssh);
        for own in ["qemu+ssh://beta/system?command=/x", "qemu+libssh2://beta/system?known_hosts=/x"] {
            assert_eq!(told(own), own);
        }
        for other in ["qemu:///system", "qemu+tls://beta/system", "test:///default", "nonsense"] {
            assert_eq!(told(other), other);
        }
    }

    #[test]
    fn the_script_hands_ssh_the_file_whatever_it_is_called() {
        let file = Path::new("/tmp/it's \"known\"");
        // Prints how ssh understands its arguments, and opens no connection.
        let script = script_of(file).replace("exec ssh ", "exec ssh -F none -G ");
        let output = Command::new("sh").args(["-c", &script, "sh", "beta"]).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains("\nuserknownhostsfile /tmp/it's \"known\"\n"), "{said}");
        assert!(said.contains("\nglobalknownhostsfile none\n"), "{said}");
        assert!(said.contains("\nstricthostkeychecking true\n") && said.contains("host beta\n"), "{said}");
    }
}
