//! The input of a rule: the facts, with the settings that it was given.

use alloc::format;

use whimbrel_facts::{Attribute, DiskStorage, Domain, Facts, Host, Request, Scalar};

use crate::definition::Definition;
use crate::report::Report;
use crate::settings::Settings;

/// One migration, as one rule sees it.
#[derive(Debug)]
pub struct Case<'a> {
    facts: &'a Facts,
    settings: &'a Settings,
}

impl<'a> Case<'a> {
    /// A case of these facts and settings.
    #[must_use]
    pub const fn new(facts: &'a Facts, settings: &'a Settings) -> Self {
        Self { facts, settings }
    }

    /// The operator's options. None: unknown, which the report names.
    pub fn request(&self, report: &mut Report) -> Option<&'a Request> {
        report.need(self.facts.request.as_ref(), "/request")
    }

    /// The guest, as the source has it. Where its definition was not read, empty texts and lists are unknown: then it
    /// is as unknown as no guest. Every definition names its accelerator. Source: libvirt, "Domain XML format", `type`.
    pub fn guest(&self, report: &mut Report) -> Option<&'a Domain> {
        let guest = self.guest_in_short(report)?;
        report.need((!guest.accelerator.is_empty()).then_some(guest), "/guest/accelerator")
    }

    /// The guest for a rule that reads only its name, UUID, state and optional fields: its definition may not have been
    /// read.
    pub fn guest_in_short(&self, report: &mut Report) -> Option<&'a Domain> {
        report.need(self.facts.guest.as_ref(), "/guest")
    }

    /// The guest by the definition for the destination, if one was given.
    #[must_use]
    pub const fn target(&self) -> Option<&'a Domain> {
        self.facts.target.as_ref()
    }

    /// What the guest's own definition says beyond the fields of the contract.
    pub(crate) fn definition(&self, report: &mut Report) -> Option<Definition<'a>> {
        self.guest(report)?;
        report.need(Definition::of(&self.facts.attributes, "guest/xml"), "/guest/xml")
    }

    /// The same of the definition by which the destination starts the guest: the one given for it, or else its own.
    pub(crate) fn expected(&self, report: &mut Report) -> Option<Definition<'a>> {
        if self.facts.target.is_none() {
            return self.definition(report);
        }
        self.guest(report)?;
        report.need(Definition::of(&self.facts.attributes, "target/xml"), "/target/xml")
    }

    /// The guest as the destination will have it: by the definition for it, else its own.
    pub fn arriving(&self, report: &mut Report) -> Option<&'a Domain> {
        self.target().or_else(|| self.guest(report))
    }

    /// The pointer to what [`Self::arriving`] gives.
    #[must_use]
    pub const fn arriving_at(&self) -> &'static str {
        if self.facts.target.is_some() { "/target" } else { "/guest" }
    }

    /// Whether the definition of a guest that is off is moved, and no guest. None: the request is unknown.
    #[must_use]
    pub fn is_offline(&self) -> Option<bool> {
        self.facts.request.as_ref().map(|request| request.offline)
    }

    /// An attribute of the definition that the destination will have, such as `leases` for `guest/leases`, or
    /// `target/leases` where there is a definition for the destination.
    #[must_use]
    pub fn arriving_attribute(&self, path: &str) -> Option<&'a Scalar> {
        let whose = if self.facts.target.is_some() { "target" } else { "guest" };
        self.attribute(&format!("{whose}/{path}"))
    }

    /// The texts of all attributes below a path.
    pub(crate) fn texts(&self, below: &'a str) -> impl Iterator<Item = &'a str> {
        self.facts.attributes.iter().filter(move |one| one.path.starts_with(below)).filter_map(|one| {
            match &one.value {
                Scalar::Text(text) => Some(text.as_str()),
                Scalar::Boolean(_) | Scalar::Integer(_) => None,
            }
        })
    }

    /// Whether a file is there on the destination; none where that is not known.
    pub(crate) fn has_file(&self, path: &str) -> Option<bool> {
        match self.attribute(&format!("destination/files{path}"))? {
            Scalar::Boolean(is_there) => Some(*is_there),
            Scalar::Integer(_) | Scalar::Text(_) => None,
        }
    }

    /// The host it runs on.
    pub fn source(&self, report: &mut Report) -> Option<&'a Host> {
        report.need(self.facts.source.as_ref(), "/source")
    }

    /// The host it is to run on.
    pub fn destination(&self, report: &mut Report) -> Option<&'a Host> {
        report.need(self.facts.destination.as_ref(), "/destination")
    }

    /// The storage behind each disk, as both hosts report it.
    pub fn storage(&self, report: &mut Report) -> Option<&'a [DiskStorage]> {
        report.need(self.facts.storage.as_deref(), "/storage")
    }

    /// Facts without a field of their own, sorted by path.
    #[must_use]
    pub fn attributes(&self) -> &'a [Attribute] {
        &self.facts.attributes
    }

    /// The value of one attribute; none when it is unknown.
    #[must_use]
    pub fn attribute(&self, path: &str) -> Option<&'a Scalar> {
        self.facts.attributes.iter().find(|one| one.path == path).map(|one| &one.value)
    }

    /// A number among the rule's settings.
    #[must_use]
    pub fn number(&self, name: &str) -> u64 {
        self.settings.number(name)
    }
}

/// The destination's name for a message, if it is known.
#[must_use]
pub(crate) fn called(destination: &Host) -> &str {
    if destination.name.is_empty() { "the destination" } else { &destination.name }
}
