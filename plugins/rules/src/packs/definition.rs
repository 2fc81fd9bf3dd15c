//! Whether the guest would notice any difference between its definition and the one given for the destination.
//!
//! The reader of the definitions lists every path that differs (`definitions/…` among the attributes); [`visible`] knows
//! what each is. A difference of an unknown kind is unknown, and so is a comparison that was not made.

use alloc::format;
use alloc::string::String;

use whimbrel_facts::Scalar;

use super::visible::{self, Kind};
use crate::case::Case;
use crate::pack::{Rule, rule};
use crate::report::Report;

const COMPARED: &str = "definitions/compared";
const LEFT_OUT: &str = "definitions/left-out";
const SOURCE: &str = "definitions/source/";
const TARGET: &str = "definitions/target/";

pub(super) const RULES: &[Rule] = &[
    rule(
        "retarget.definition",
        "the definition for the destination changes nothing that the guest sees",
        "a device, an address or a CPU feature that changes under a running guest crashes it or makes its state unreadable; \
         libvirt refuses many such changes, and only after both hosts were prepared",
        "take the definition from the source (`virsh dumpxml --migratable GUEST`) and change in it only what the host uses: \
         paths, networks, addresses of listeners, pinning",
        definition,
    ),
    rule(
        "retarget.known",
        "the definition for the destination was read",
        "the guest cannot be judged by its own definition if it gets another one",
        "collect the facts with the definition: `whimbrel facts collect --xml FILE`, or `facts from-xml --target FILE`",
        known,
    ),
];

fn definition(case: &Case<'_>, report: &mut Report) -> Option<()> {
    case.guest(report)?;
    if case.target().is_none() {
        return Some(());
    }
    if case.attribute(COMPARED).is_none() {
        report.unknown(
            "/target",
            "whether the two definitions differ in more than the other rules compare is not known",
        );
        return Some(());
    }
    if let Some(Scalar::Integer(count)) = case.attribute(LEFT_OUT) {
        report.unknown(
            "/target",
            format!("the definitions differ in {count} more places, or are too large to be compared"),
        );
    }
    for (at, one) in case.attributes().iter().enumerate() {
        let subject = format!("/attributes/{at}");
        if let Some(path) = one.path.strip_prefix(SOURCE) {
            let there = case.attribute(&format!("{TARGET}{path}"));
            differ(report, subject, path, Some(&one.value), there);
        } else if let Some(path) = one.path.strip_prefix(TARGET)
            && case.attribute(&format!("{SOURCE}{path}")).is_none()
        {
            differ(report, subject, path, None, Some(&one.value));
        }
    }
    Some(())
}

fn differ(report: &mut Report, subject: String, path: &str, here: Option<&Scalar>, there: Option<&Scalar>) {
    let kind = visible::kind(path);
    let message = match (here, there) {
        (Some(here), Some(there)) => {
            format!("`{path}` is `{here}` for the guest, and `{there}` in the definition for the destination")
        }
        (Some(here), None) => {
            format!("`{path}`{} is missing from the definition for the destination", of(here))
        }
        (None, there) => format!(
            "`{path}`{} is in the definition for the destination alone",
            there.map(of).unwrap_or_default()
        ),
    };
    let is_one_sided = here.is_none() || there.is_none();
    let why = match kind {
        Kind::Host | Kind::Elsewhere => return,
        Kind::OfSpice if ![here, there].into_iter().flatten().any(is_of_spice) => return,
        Kind::OfSpice => "the name of the port may change with it",
        Kind::Filled if is_one_sided => "libvirt then chooses it, and may choose another than the guest has",
        Kind::Presence if !is_one_sided => "whether both stand for the same is not known",
        Kind::Unknown => "whether the guest sees it is not known",
        Kind::Guest | Kind::Filled | Kind::Presence => return report.fail(subject, message),
    };
    report.unknown(subject, format!("{message}: {why}"));
}

fn is_of_spice(value: &Scalar) -> bool {
    matches!(value, Scalar::Text(text) if text == "spicevmc")
}

/// The value in a message; nothing for an element without a text.
fn of(value: &Scalar) -> String {
    match value {
        Scalar::Text(text) if text.is_empty() => String::new(),
        value => format!(" (`{value}`)"),
    }
}

fn known(case: &Case<'_>, report: &mut Report) -> Option<()> {
    if case.request(report)?.destination_xml && case.target().is_none() {
        report.unknown("/target", "a definition for the destination is given, and what it says is not known");
    }
    Some(())
}
