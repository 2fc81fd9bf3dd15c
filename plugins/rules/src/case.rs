//! What a rule looks at: the facts, with the settings that it was given.

use whimbrel_facts::{Attribute, DiskStorage, Domain, Facts, Host, Request, Scalar};

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

    /// What the operator asks for.
    pub fn request(&self, report: &mut Report) -> Option<&'a Request> {
        report.need(self.facts.request.as_ref(), "/request")
    }

    /// The guest, as the source has it. Where nobody read its definition, empty texts and lists say nothing: then it is
    /// as unknown as no guest. Every definition names its accelerator. Source: libvirt, "Domain XML format", `type`.
    pub fn guest(&self, report: &mut Report) -> Option<&'a Domain> {
        let guest = self.guest_in_short(report)?;
        report.need((!guest.accelerator.is_empty()).then_some(guest), "/guest/accelerator")
    }

    /// The guest for a rule that looks at its name, UUID, state and what is optional alone: its definition may not have
    /// been read.
    pub fn guest_in_short(&self, report: &mut Report) -> Option<&'a Domain> {
        report.need(self.facts.guest.as_ref(), "/guest")
    }

    /// What the guest becomes, if that was said.
    #[must_use]
    pub const fn target(&self) -> Option<&'a Domain> {
        self.facts.target.as_ref()
    }

    /// The host it runs on.
    pub fn source(&self, report: &mut Report) -> Option<&'a Host> {
        report.need(self.facts.source.as_ref(), "/source")
    }

    /// The host it is to run on.
    pub fn destination(&self, report: &mut Report) -> Option<&'a Host> {
        report.need(self.facts.destination.as_ref(), "/destination")
    }

    /// What both hosts say of the storage behind each disk.
    pub fn storage(&self, report: &mut Report) -> Option<&'a [DiskStorage]> {
        report.need(self.facts.storage.as_deref(), "/storage")
    }

    /// Facts without a field of their own, sorted by path.
    #[must_use]
    pub fn attributes(&self) -> &'a [Attribute] {
        &self.facts.attributes
    }

    /// One of them.
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

/// The destination's name in a message, where somebody told it.
#[must_use]
pub(crate) fn called(destination: &Host) -> &str {
    if destination.name.is_empty() { "the destination" } else { &destination.name }
}
