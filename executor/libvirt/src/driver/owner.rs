//! The owner tag: an element in the guest's metadata that names the driver of its migration.
//!
//! By it, drivers in different processes see each other before anything is changed. It goes with the guest, and is removed
//! at the end on the host where the guest is; it stays where the outcome is in doubt or the driver was killed, and the same
//! migration finds its own tag when it is adopted. It must never be taken for a lock: two drivers that begin at one moment
//! are kept apart by the second reading, and after that by libvirt's own job on the guest.

use std::sync::Arc;
use std::time::Duration;

use whimbrel_core::{Ending, Failure, Fault, Outcome, Side};
use whimbrel_facts::xml;

use super::Hosts;
use super::failure::failure;
use crate::xml_text::escaped;
use crate::{Description, Domain, ErrorCode, LibvirtError};
use whimbrel_drive::owner::Owner;

/// The namespace, which also is the tag's version.
const NAMESPACE: &str = "https://whimbrel.dev/xmlns/owner/1";
const PREFIX: &str = "whimbrel";

/// How long the end of a migration waits for the tag to be removed. The hosts answered a moment ago.
const RELEASE_PATIENCE: Duration = Duration::from_secs(5);

/// What the metadata of a guest says of its driver.
#[derive(Debug, PartialEq, Eq)]
enum Tag {
    /// No driver has left its name.
    None,
    /// This migration.
    Ours,
    /// Another migration.
    Other(Box<Owner>),
    /// The driver of this host keeps no metadata: other drivers cannot be seen.
    Unsupported,
}

impl Hosts {
    /// Writes our tag on the guest, and reads it again. Nothing is changed where another driver has written its own.
    pub(super) fn claim_guest(&self, domain: &Domain) -> Result<(), Failure> {
        let failed = |error: LibvirtError| failure(Side::Source, &error);
        match self.tag(domain, Description::Current).map_err(failed)? {
            Tag::Ours | Tag::Unsupported => return Ok(()),
            Tag::None => {}
            Tag::Other(owner) if self.may_replace(&owner) => {}
            Tag::Other(owner) => return Err(self.refusal(&owner)),
        }
        let element = written(&self.owner);
        let write = domain.set_metadata(NAMESPACE, PREFIX, Some(&element), Description::Current);
        match write {
            Ok(()) => {}
            Err(error) if error.code == ErrorCode::NoSupport => return Ok(()),
            Err(error) => return Err(failed(error)),
        }
        match self.tag(domain, Description::Current).map_err(failed)? {
            Tag::Ours | Tag::Unsupported => Ok(()),
            Tag::Other(owner) => Err(self.refusal(&owner)),
            Tag::None => Err(Failure::new(
                Fault::Refused,
                "the owner tag of this migration was removed while it was written: another driver works on the guest",
            )),
        }
    }

    /// Refuses while the guest carries the tag of another driver. One without a tag is free, or its definition was given
    /// by the operator and has none.
    pub(super) fn refuse_if_owned(&self, side: Side, domain: &Domain) -> Result<(), Failure> {
        match self.tag(domain, Description::Current) {
            Ok(Tag::Other(owner)) if !self.may_replace(&owner) => Err(self.refusal(&owner)),
            Ok(Tag::Other(_) | Tag::None | Tag::Ours | Tag::Unsupported) => Ok(()),
            // It has gone meanwhile, which the caller finds in its own terms.
            Err(error) if error.code == ErrorCode::NoDomain => Ok(()),
            Err(error) => Err(failure(side, &error)),
        }
    }

    /// Carries out what changes the guest on this side, unless it belongs to another driver by now.
    pub(super) fn unless_owned<T>(
        &self,
        side: Side,
        act: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        // A guest that is not found is not found by the act either, which knows what that means.
        if let Ok(domain) = self.domain(side) {
            self.refuse_if_owned(side, &domain)?;
        }
        act()
    }

    /// Removes our tag at the end of the migration, unless the outcome is in doubt: on the host where the guest is, and on
    /// the other one if it is connected. Returns what the operator has to know. Blocks for [`RELEASE_PATIENCE`] at most.
    pub(super) fn release_guest(self: &Arc<Self>, outcome: &Outcome) -> Vec<String> {
        if outcome.ending == Ending::InDoubt || self.uuid.get().is_none() {
            return Vec::new();
        }
        let releasing = [Side::Source, Side::Destination].map(|side| {
            let hosts = Arc::clone(self);
            let is_there = outcome.guest.side() == Some(side);
            (side, self.threads.begin("release", move || hosts.release_on(side, is_there)))
        });
        let deadline = self.threads.now() + RELEASE_PATIENCE;
        let mut remarks = Vec::new();
        for (side, released) in releasing {
            let left = deadline.saturating_sub(self.threads.now());
            match released.wait(&*self.threads, left) {
                Some(Ok(())) => {}
                Some(Err(error)) => remarks.push(self.not_released(side, &error.message)),
                None => remarks.push(self.not_released(side, "no answer in time")),
            }
        }
        remarks
    }

    /// A host without the guest is not connected to for this alone: it may be the one that was lost.
    fn release_on(&self, side: Side, is_there: bool) -> Result<(), LibvirtError> {
        let link = self.link(side);
        let connection = match link.present() {
            Some(connection) => connection,
            None if is_there => link.connection()?,
            None => return Ok(()),
        };
        let uuid = self.uuid.get().map_or("", String::as_str);
        let domain = match connection.lookup_uuid(uuid) {
            Ok(domain) => domain,
            Err(error) if error.code == ErrorCode::NoDomain => return Ok(()),
            Err(error) => return Err(error),
        };
        // A guest that was off when it was tagged may run by now, with the tag in both.
        for description in [Description::Live, Description::Stored] {
            // It has no such description: neither has it the tag there.
            if self.tag(&domain, description) == Ok(Tag::Ours) {
                match domain.set_metadata(NAMESPACE, PREFIX, None, description) {
                    Err(error) if error.code != ErrorCode::NoDomain => return Err(error),
                    Ok(()) | Err(_) => {}
                }
            }
        }
        Ok(())
    }

    fn not_released(&self, side: Side, why: &str) -> String {
        format!(
            "the owner tag of this migration may still be in the metadata of `{}` on the {side} ({why}): if the next \
             migration is refused for it, give it `--replace-owner {}`",
            self.route.guest, self.owner.id
        )
    }

    fn tag(&self, domain: &Domain, description: Description) -> Result<Tag, LibvirtError> {
        match domain.metadata(NAMESPACE, description) {
            Ok(None) => Ok(Tag::None),
            Ok(Some(element)) => Ok(read(&element, &self.owner)),
            Err(error) if error.code == ErrorCode::NoSupport => Ok(Tag::Unsupported),
            Err(error) => Err(error),
        }
    }

    fn may_replace(&self, owner: &Owner) -> bool {
        self.route.replace_owner.as_ref() == Some(&owner.id)
    }

    fn refusal(&self, owner: &Owner) -> Failure {
        let (guest, id) = (&self.route.guest, &owner.id);
        let message = format!(
            "`{guest}` belongs to another driver ({}); nothing was changed by this one. Wait until that migration ends, \
             or cancel it there. If its driver is gone, drive it on from its record (`whimbrel adopt`, or start that \
             service), or take the guest over with `--replace-owner {id}` (`replace_owner` in a request)",
            owner.describe()
        );
        Failure::new(Fault::Refused, message)
    }
}

/// The element as it is stored.
fn written(owner: &Owner) -> String {
    let Owner { id, record, host, user, pid, began_at_unix_ms } = owner;
    let [id, record, host, user] = [id, record, host, user].map(|text| escaped(text));
    format!(
        "<owner id='{id}' record='{record}' host='{host}' user='{user}' pid='{pid}' began-at-unix-ms='{began_at_unix_ms}'/>"
    )
}

/// A tag that cannot be read is another driver's all the same.
fn read(element: &str, ours: &Owner) -> Tag {
    let attributes = xml::root_attributes(element).unwrap_or_default();
    let found = |name| attributes.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str());
    let attribute = |name| found(name).unwrap_or("unknown").to_owned();
    let number = |name| found(name).and_then(|value| value.parse().ok()).unwrap_or(0);
    let owner = Owner {
        id: attribute("id"),
        record: attribute("record"),
        host: attribute("host"),
        user: attribute("user"),
        pid: u32::try_from(number("pid")).unwrap_or(0),
        began_at_unix_ms: number("began-at-unix-ms"),
    };
    if owner.id == ours.id { Tag::Ours } else { Tag::Other(Box::new(owner)) }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::documents::hostile;

    #[test]
    fn a_tag_is_read_as_it_was_written() {
        let ours = Owner::of_journal(Path::new("/tmp/<a> & 'b'.journal"), 5);
        assert_eq!(read(&written(&ours), &ours), Tag::Ours);
        let other = Owner::of_store(Path::new("/tmp/<a> & 'b'"), 7, 5);
        assert_eq!(read(&written(&other), &ours), Tag::Other(Box::new(other)));
    }

    #[test]
    fn a_tag_of_a_later_form_is_another_drivers() {
        let ours = Owner::of_journal(Path::new("/tmp/a.journal"), 5);
        for element in ["<owner/>", "<later><x/></later>", "not XML"] {
            assert!(matches!(read(element, &ours), Tag::Other(owner) if owner.id == "unknown"), "{element}");
        }
        let later = "<later id='a'><x/></later>";
        assert!(matches!(read(later, &ours), Tag::Other(owner) if owner.id == "a"), "it can be replaced");
    }

    #[test]
    fn a_hostile_tag_is_another_drivers() {
        let ours = Owner::of_journal(Path::new("/tmp/a.journal"), 5);
        let element = written(&ours).replace("/>", ">@</owner>");
        assert_eq!(read(&element, &ours), Tag::Ours);
        for (kind, element) in hostile(&element) {
            assert!(matches!(read(&element, &ours), Tag::Other(owner) if owner.id == "unknown"), "{kind}");
        }
    }
}
