//! Lock files pin packs to the byte; signatures prove who made them.

use minisign_verify::{PublicKey, Signature};
use serde::{Deserialize, Serialize};

use crate::host::{CONTRACT, Pack};
use crate::toml_file;

/// Pins packs by their digests.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// Version of the file format; another one is refused.
    pub version: u32,
    /// Pinned packs, sorted by name.
    #[serde(default)]
    pub pack: Vec<Pinned>,
}

/// What is pinned of one pack.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Pinned {
    /// The pack's name, such as `whimbrel.storage`.
    pub name: String,
    /// The pack's version, as it describes itself.
    pub version: String,
    /// The contract that it exports.
    pub contract: String,
    /// SHA-256 of the component, in hexadecimal.
    pub sha256: String,
}

const VERSION: u32 = 1;

impl Lock {
    /// Pins these packs.
    #[must_use]
    pub fn of<'a>(packs: impl Iterator<Item = &'a Pack>) -> Self {
        let pinned = |pack: &Pack| Pinned {
            name: pack.about().name.clone(),
            version: pack.about().version.clone(),
            contract: CONTRACT.to_owned(),
            sha256: pack.digest().to_owned(),
        };
        let mut pack: Vec<_> = packs.map(pinned).collect();
        pack.sort_by(|one, other| one.name.cmp(&other.name));
        Self { version: VERSION, pack }
    }

    /// Reads a lock file.
    ///
    /// # Errors
    /// When it is not a lock file, or of another format version.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lock: Self = toml_file::read(text)?;
        if lock.version == VERSION {
            Ok(lock)
        } else {
            Err(format!("the lock file has version {}, and this program reads {VERSION}", lock.version))
        }
    }

    /// The text of the file to write.
    #[must_use]
    pub fn text(&self) -> String {
        let entry = |pack: &Pinned| {
            format!(
                "\n[[pack]]\nname = {:?}\nversion = {:?}\ncontract = {:?}\nsha256 = {:?}\n",
                pack.name, pack.version, pack.contract, pack.sha256
            )
        };
        let entries: String = self.pack.iter().map(entry).collect();
        format!("# Written by `whimbrel rule lock`.\nversion = {VERSION}\n{entries}")
    }

    /// All differences between these packs and the pinned ones.
    #[must_use]
    pub fn disagreements<'a>(&self, packs: impl Iterator<Item = &'a Pack>) -> Vec<String> {
        let now = Self::of(packs);
        let mut told = Vec::new();
        for pack in &now.pack {
            match self.pack.iter().find(|pinned| pinned.name == pack.name) {
                None => told.push(format!("`{}` is not in the lock file", pack.name)),
                Some(pinned) if pinned != pack => told.push(format!(
                    "`{}` is version {} with the digest {}, and {} with {} is pinned",
                    pack.name, pack.version, pack.sha256, pinned.version, pinned.sha256
                )),
                Some(_) => {}
            }
        }
        for pinned in &self.pack {
            if !now.pack.iter().any(|pack| pack.name == pinned.name) {
                told.push(format!("`{}` is pinned and not there", pinned.name));
            }
        }
        told
    }
}

/// Whether one of these keys signed the bytes. Keys and signature are texts as `minisign` writes them.
///
/// # Errors
/// When a key or the signature cannot be read, or no key made it.
pub fn verify_signature(bytes: &[u8], signature: &str, keys: &[String]) -> Result<usize, String> {
    let signature =
        Signature::decode(signature).map_err(|error| format!("the signature cannot be read: {error}"))?;
    for (at, key) in keys.iter().enumerate() {
        let key = PublicKey::decode(key)
            .or_else(|_| PublicKey::from_base64(key.trim()))
            .map_err(|error| format!("key {} cannot be read: {error}", at + 1))?;
        if key.verify(bytes, &signature, false).is_ok() {
            return Ok(at);
        }
    }
    Err("none of the keys made the signature, or the pack was changed after it".to_owned())
}
