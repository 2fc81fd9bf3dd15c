//! Access control: tokens with roles. Only a token's digest is stored, so a file that others can read grants no access.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use serde::Deserialize;
use whimbrel_core::document::ObjectsOnly;

/// The permissions of a token; each role includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub enum Role {
    /// Reads everything but the audit record.
    Viewer,
    /// Starts, cancels and tunes migrations.
    Operator,
    /// Supplies definitions for the destination as well, which can name any file and network there.
    Define,
    /// Everything, including the audit record and reloading the rules.
    Admin,
}

/// The sender of a request.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) name: String,
    pub(super) role: Role,
}

/// The permissions of this machine's accounts over a Unix socket. The kernel identifies the account: root and the service's own
/// user have all permissions; others have access through the socket's group, if one is set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Accounts {
    own: u32,
    group: Option<Role>,
}

impl Accounts {
    pub(super) fn new(group: Option<Role>) -> Self {
        Self { own: rustix::process::geteuid().as_raw(), group }
    }

    /// The caller for this account, if it has access.
    pub(super) fn caller(self, uid: u32) -> Option<Caller> {
        let role = if uid == 0 || uid == self.own { Some(Role::Admin) } else { self.group };
        role.map(|role| Caller { name: format!("uid {uid}"), role })
    }
}

/// A group of this machine whose members have access, and their role: `GROUP` or `GROUP:ROLE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its number.
    pub gid: u32,
    /// The role of its members.
    pub role: Role,
}

impl FromStr for Group {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, role) = match text.split_once(':') {
            Some((name, role)) => (name, role.parse()?),
            None => (text, Role::Operator),
        };
        let gid = name.parse().ok().map_or_else(|| group_id(name), Ok)?;
        Ok(Self { gid, role })
    }
}

/// The number of a group of this machine's own list.
fn group_id(name: &str) -> Result<u32, String> {
    let list =
        std::fs::read_to_string("/etc/group").map_err(|error| format!("cannot read /etc/group: {error}"))?;
    let found = list.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
    });
    found.ok_or_else(|| {
        "/etc/group has no such group; give a group of another source by its number".to_owned()
    })
}

/// The accepted tokens.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tokens {
    #[serde(default)]
    token: Vec<Token>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Token {
    name: String,
    role: Role,
    sha256: String,
}

/// Why tokens cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("cannot read the file")]
    Unreadable(#[from] std::io::Error),
    /// It is not what it should be.
    #[error("the file is not a list of tokens: {0}")]
    Malformed(String),
    /// No random numbers are available.
    #[error("the operating system provides no random numbers")]
    NoChance,
}

impl Tokens {
    /// Reads a file: `[[token]]` with `name`, `role` and `sha256`.
    ///
    /// # Errors
    /// When it cannot be read, or holds anything else, or nothing.
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let text = std::fs::read_to_string(path)?;
        let malformed = |error: toml::de::Error| TokenError::Malformed(error.to_string());
        let file = toml::Deserializer::parse(&text).map_err(malformed)?;
        let tokens = Self::deserialize(ObjectsOnly(file)).map_err(malformed)?;
        let digest =
            |token: &Token| token.sha256.len() == 64 && token.sha256.bytes().all(|b| b.is_ascii_hexdigit());
        if tokens.token.is_empty() || !tokens.token.iter().all(digest) {
            let why = "every token needs a name, a role and a sha256 of 64 hexadecimal digits";
            return Err(TokenError::Malformed(why.to_owned()));
        }
        Ok(tokens)
    }

    /// A new token, and its entry for the file.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn make(name: &str, role: Role) -> Result<(String, String), TokenError> {
        let mut bytes = [0; 32];
        SystemRandom::new().fill(&mut bytes).map_err(|_| TokenError::NoChance)?;
        let token = format!("whimbrel_{}", hexadecimal(&bytes));
        // A JSON string is a TOML string as well.
        let name = serde_json::Value::String(name.to_owned());
        let entry =
            format!("[[token]]\nname = {name}\nrole = \"{role}\"\nsha256 = \"{}\"\n", digest_of(&token));
        Ok((token, entry))
    }

    /// The caller with this token. Digests are compared, so the duration reveals nothing about the token.
    pub(super) fn caller(&self, token: &str) -> Option<Caller> {
        let digest = digest_of(token);
        let found = self.token.iter().find(|known| known.sha256.eq_ignore_ascii_case(&digest))?;
        Some(Caller { name: found.name.clone(), role: found.role })
    }
}

impl Role {
    /// Every role, from the least to the most.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Operator, Self::Define, Self::Admin];
    /// Former names. They are refused with an error that names the new one, so that only one name of a role is in use.
    pub const RENAMED: [(&'static str, Self); 3] =
        [("look", Self::Viewer), ("operate", Self::Operator), ("administer", Self::Admin)];

    /// Its name in files, options and documents.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Define => "define",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(role) = Self::ALL.into_iter().find(|role| role.name() == text) {
            return Ok(role);
        }
        Err(match Self::RENAMED.into_iter().find(|(old, _)| *old == text) {
            Some((old, role)) => format!("the role `{old}` was renamed: use `{role}`"),
            None => format!("`{text}` is not a role; roles are {}", Self::ALL.map(Self::name).join(", ")),
        })
    }
}

impl TryFrom<String> for Role {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn digest_of(token: &str) -> String {
    hexadecimal(digest(&SHA256, token.as_bytes()).as_ref())
}

/// Bytes as digits.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn former_role_names_are_refused_with_the_new_one() {
        for (old, role) in Role::RENAMED {
            let expected = format!("the role `{old}` was renamed: use `{role}`");
            assert_eq!(old.parse::<Role>(), Err(expected.clone()));
            assert_eq!(format!("0:{old}").parse::<Group>(), Err(expected.clone()));
            let entry = format!("token = [{{ name = \"a\", role = \"{old}\", sha256 = \"\" }}]");
            let error = toml::from_str::<Tokens>(&entry).unwrap_err().to_string();
            assert!(error.contains(&expected), "{error}");
        }
    }
}
