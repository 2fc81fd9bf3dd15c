//! The versions of libvirt and QEMU that a host migrates with, as its daemon reports them.

use std::fmt;

use crate::{Host, LabError};

/// Such as `11.3.0` and `10.0.13`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostVersions {
    /// Of the daemon.
    pub libvirt: String,
    /// Of the emulator that the daemon starts.
    pub qemu: String,
}

impl Host {
    /// The versions of its daemon and its emulator.
    ///
    /// # Errors
    /// [`LabError::Command`] when the daemon does not answer, or answers without a version.
    pub fn versions(&self) -> Result<HostVersions, LabError> {
        let text = self.virsh(&["version", "--daemon"])?;
        HostVersions::parse(&text).ok_or_else(|| LabError::Command {
            command: format!("virsh --connect {} version --daemon", self.uri()),
            message: format!("no versions in: {text}"),
        })
    }
}

impl HostVersions {
    fn parse(text: &str) -> Option<Self> {
        let after = |label: &str| text.lines().find_map(|line| line.strip_prefix(label)).map(str::trim);
        let qemu = after("Running hypervisor: QEMU ")?;
        Some(Self { libvirt: after("Running against daemon:")?.to_owned(), qemu: qemu.to_owned() })
    }
}

impl fmt::Display for HostVersions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "libvirt {}, QEMU {}", self.libvirt, self.qemu)
    }
}

#[cfg(test)]
mod tests {
    use super::HostVersions;

    #[test]
    fn versions_are_the_daemons_and_its_emulators() {
        let text = "Compiled against library: libvirt 9.0.0\nUsing library: libvirt 9.0.0\nUsing API: QEMU 9.0.0\n\
                    Running hypervisor: QEMU 10.0.13\nRunning against daemon: 11.3.0\n";
        assert_eq!(HostVersions::parse(text).unwrap().to_string(), "libvirt 11.3.0, QEMU 10.0.13");
        assert_eq!(HostVersions::parse("Running against daemon: 11.3.0\n"), None);
    }
}
