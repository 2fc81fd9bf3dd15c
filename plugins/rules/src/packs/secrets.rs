//! Secrets that the destination must have: which one, and not only whether it has any.

use alloc::format;
use alloc::string::String;

use whimbrel_facts::Scalar;

use crate::case::{Case, called};
use crate::pack::{Rule, rule};
use crate::report::Report;

pub(super) const RULES: &[Rule] = &[rule(
    "destination.secrets",
    "the destination has each secret that the guest's disks name",
    "libvirt refuses to start the guest without the secret of an encrypted disk, or of storage over the network",
    "define it on the destination with the same UUID and usage (`virsh secret-define`, `virsh secret-set-value`)",
    secrets,
)];

const BY_UUID: [&str; 2] = ["**/auth/secret/@uuid", "**/encryption/secret/@uuid"];
const BY_USAGE: [&str; 2] = ["**/auth/secret/@usage", "**/encryption/secret/@usage"];

fn secrets(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.arriving(report)?;
    let definition = case.expected(report)?;
    let disk = |number: usize| guest.disks.get(number).map_or("", |disk| disk.target.as_str());
    let named = |patterns: [&'static str; 2]| patterns.into_iter().flat_map(move |one| definition.all(one));
    for value in named(BY_UUID) {
        let host = case.destination(report)?;
        let known = report.need(host.secrets.as_deref(), "/destination/secrets")?;
        if !known.iter().any(|uuid| uuid.eq_ignore_ascii_case(value.text)) {
            let message = format!(
                "{} has no secret {}, which disk `{}` needs",
                called(host),
                value.text,
                disk(value.number())
            );
            report.fail(value.subject(), message);
        }
    }
    for value in named(BY_USAGE) {
        let host = case.destination(report)?;
        let known = report.need(host.secrets.as_deref(), "/destination/secrets")?;
        let usage = |uuid: &String| match case.attribute(&format!("destination/secrets/{uuid}/usage")) {
            Some(Scalar::Text(usage)) => Some(usage.as_str()),
            _ => None,
        };
        let what =
            format!("a secret for the usage `{}`, which disk `{}` needs", value.text, disk(value.number()));
        if known.iter().any(|uuid| usage(uuid) == Some(value.text)) {
            continue;
        }
        if known.iter().all(|uuid| usage(uuid).is_some()) {
            report.fail(value.subject(), format!("{} does not have {what}", called(host)));
        } else {
            report.unknown(value.subject(), format!("whether {} has {what} is not known", called(host)));
        }
    }
    Some(())
}
