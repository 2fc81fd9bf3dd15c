//! The guest's firmware on the destination: images, templates of variables, and the folder of the variables.

use alloc::format;
use alloc::string::String;

use crate::case::{Case, called};
use crate::pack::{Rule, rule};
use crate::report::Report;

/// Where libvirt creates the file of a guest's variables from a template. Source: libvirt, `qemu_conf.c`, `nvramDir`.
const VARIABLES: &str = "/var/lib/libvirt/qemu/nvram/";

pub(super) const RULES: &[Rule] = &[rule(
    "destination.firmware",
    "the destination has the guest's firmware",
    "QEMU loads the firmware image by the path in the source's definition; a missing image is refused, and \
         another image of the same size is another firmware",
    "install the same firmware package on the destination, or give a definition for it with a path that it has: \
         `virsh domcapabilities` lists them",
    firmware,
)];

/// Whether the host lists a firmware image of the same folder: the template is then of the same package.
fn is_beside_listed(supports: &[String], template: &str) -> bool {
    let mut listed = supports.iter().filter_map(|one| one.strip_prefix("loader.value."));
    listed.any(|image| folder(image) == folder(template))
}

fn folder(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(folder, _)| folder)
}

fn firmware(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.arriving(report)?;
    let definition = case.expected(report)?;
    let image = guest.firmware.as_str();
    let is_listed = |supports: &[String], value: &str| supports.iter().any(|one| one == value);
    if image.starts_with('/') {
        let host = case.destination(report)?;
        let subject = format!("{}/firmware", case.arriving_at());
        let supports = report.need(host.supports.as_deref(), "/destination/supports")?;
        if !is_listed(supports, &format!("loader.value.{image}")) {
            match case.has_file(image) {
                Some(true) => {}
                Some(false) => report.fail(subject, format!("{} has no firmware `{image}`", called(host))),
                None => {
                    let message = format!(
                        "the firmware `{image}` is not among those that {} reports: whether it is there is not known",
                        called(host)
                    );
                    report.unknown(subject, message);
                }
            }
        }
    } else if let Some(kind) = definition.text("os/@firmware") {
        let host = case.destination(report)?;
        let supports = report.need(host.supports.as_deref(), "/destination/supports")?;
        let is_reported = supports.iter().any(|one| one.starts_with("os.firmware."));
        if !is_listed(supports, &format!("os.firmware.{kind}")) {
            let subject = format!("{}/xml/os/@firmware", case.arriving_at());
            let message = format!("{} does not offer firmware of the kind `{kind}`", called(host));
            if is_reported { report.fail(subject, message) } else { report.unknown(subject, message) }
        }
    }
    for value in definition.all("os/nvram/@template").chain(definition.all("os/varstore/@template")) {
        let host = case.destination(report)?;
        let supports = report.need(host.supports.as_deref(), "/destination/supports")?;
        if value.text.starts_with('/')
            && !is_beside_listed(supports, value.text)
            && case.has_file(value.text) != Some(true)
        {
            let message = format!(
                "the firmware's variables come from the template `{}`: whether {} has it, or the variables, is not known",
                value.text,
                called(host)
            );
            report.unknown(value.subject(), message);
        }
    }
    for value in definition.all("os/nvram").chain(definition.all("os/varstore/@path")) {
        if value.text.starts_with('/') && !value.text.starts_with(VARIABLES) {
            let host = called(case.destination(report)?);
            let message = format!(
                "the firmware's variables are kept in `{}`: whether {host} has the folder, and whether both hosts share it, is \
                 not known",
                value.text
            );
            report.unknown(value.subject(), message);
        }
    }
    Some(())
}
