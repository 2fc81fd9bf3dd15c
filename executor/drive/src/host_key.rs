//! Whether ssh refused a host because of its key, by ssh's own messages: libvirt has no error code for it.
//!
//! Source: OpenSSH, `sshconnect.c` (`verify_host_key`, `warn_changed_key`). An unknown key must never be reported as a
//! host that is down: the remedy is another one, and a wrong key may be an attack.

/// Why a host's key was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedKey {
    /// It is not among the known hosts of the user that connected.
    Unknown,
    /// It is another one than the known hosts have.
    Changed,
}

impl RefusedKey {
    /// The reason, if a message of ssh, or of libvirt with one in it, has it.
    #[must_use]
    pub fn of(message: &str) -> Option<Self> {
        let says = |text: &str| message.contains(text);
        if says("REMOTE HOST IDENTIFICATION HAS CHANGED") {
            Some(Self::Changed)
        } else if says("Host key verification failed") || says("host key is known") {
            Some(Self::Unknown)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::RefusedKey;

    #[test]
    fn a_refused_key_is_known_by_the_words_of_ssh() {
        for (message, expected) in [
            (
                "Cannot recv data: Host key verification failed.: Connection reset by peer",
                Some(RefusedKey::Unknown),
            ),
            (
                "No ED25519 host key is known for [192.0.2.1]:22 and you have requested",
                Some(RefusedKey::Unknown),
            ),
            (
                "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.",
                Some(RefusedKey::Changed),
            ),
            ("Cannot recv data: ssh: connect to host beta port 22: Connection refused", None),
            ("", None),
        ] {
            assert_eq!(RefusedKey::of(message), expected, "{message}");
        }
    }
}
