//! Addresses and ports of the source at which the guest's displays and ports listen, and numbers that one guest of a host
//! can have.

use alloc::format;

use crate::case::{Case, called};
use crate::pack::{Rule, rule};
use crate::report::Report;

pub(super) const RULES: &[Rule] = &[
    rule(
        "access.listen",
        "every display can listen on the destination as it does here",
        "QEMU on the destination binds the addresses and ports of the definition, and fails if the address is the \
         source's or the port is taken",
        "let the display listen at `0.0.0.0`, at a `network`, or at an address of the destination (`--xml`); use \
         `autoport='yes'`",
        listen,
    ),
    rule(
        "access.bound-address",
        "no serial port or channel is bound to an address of the source, or to a fixed port",
        "QEMU on the destination binds the port's address, and fails if the address is the source's or the port is \
         taken",
        "bind the port to `0.0.0.0` or `127.0.0.1`, or give a definition for the destination (`--xml`) with an address of its \
         own",
        bound,
    ),
    rule(
        "device.vsock",
        "the destination can assign the guest's vsock address",
        "a context identifier (CID) belongs to one guest of a host; at the start the kernel refuses one that is taken",
        "let libvirt choose it (`<cid auto='yes'/>`), or verify that no guest of the destination has it",
        vsock,
    ),
];

/// Whether every host has this address.
fn is_everywhere(address: &str) -> bool {
    matches!(address, "" | "0.0.0.0" | "::" | "::1" | "localhost" | "*") || address.starts_with("127.")
}

fn listen(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.arriving(report)?;
    let (here, definition) = (case.definition(report)?, case.expected(report)?);
    let is_given = case.target().is_some();
    let host = called(case.destination(report)?);
    for value in definition.all("devices/graphics/listen/@address") {
        let kind = format!("{}/@type", value.path.trim_end_matches("/@address"));
        // The address of a network is chosen again on each host.
        let is_fixed = definition.text(&kind).is_none_or(|kind| kind == "address");
        // Another address than the guest's own was chosen for the destination.
        let is_of_source = !is_given || here.text(value.path) == Some(value.text);
        if is_fixed && is_of_source && !is_everywhere(value.text) {
            let message = format!(
                "a display listens at {}: whether {host} has this address is not known, and it is most likely the source's",
                value.text
            );
            report.warn(value.subject(), message);
        }
    }
    for value in definition.all("devices/graphics/listen/@network") {
        let destination = case.destination(report)?;
        let networks = report.need(destination.networks.as_deref(), "/destination/networks")?;
        if !networks.iter().any(|network| network.name == value.text && network.active) {
            let message = format!(
                "a display listens at the network `{}`, which is missing or inactive on {host}",
                value.text
            );
            report.fail(value.subject(), message);
        }
    }
    let of_guest = case.guest(report)?;
    for (at, display) in guest.graphics.iter().enumerate() {
        let is_of_source =
            !is_given || of_guest.graphics.get(at).is_some_and(|one| one.listen == display.listen);
        let has_elements = definition.text(&format!("devices/graphics/{at}/listen/0/@type")).is_some();
        if is_of_source && !has_elements && !is_everywhere(&display.listen) {
            let message = format!(
                "the {} display listens at {}: whether {host} has this address is not known, and it is most likely the \
                 source's",
                display.kind, display.listen
            );
            report.warn(format!("{}/graphics/{at}/listen", case.arriving_at()), message);
        }
    }
    for automatic in definition.all("devices/graphics/@autoport").filter(|value| value.text == "no") {
        for name in ["@port", "@tlsPort", "@websocket"] {
            let port = definition.beside(automatic, name).and_then(|port| port.parse::<u16>().ok());
            if let Some(port) = port.filter(|port| *port > 0) {
                let subject = format!("{}/xml/{}/{name}", case.arriving_at(), automatic.device());
                report.unknown(
                    subject,
                    format!(
                        "whether port {port}, at which a display listens, is free on {host} is not known"
                    ),
                );
            }
        }
    }
    Some(())
}

fn bound(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let (here, definition) = (case.definition(report)?, case.expected(report)?);
    for value in definition.all("devices/*/source/@host") {
        let mode = format!("{}/@mode", value.path.trim_end_matches("/@host"));
        let is_bound = definition.text(&mode) == Some("bind");
        let is_of_source = case.target().is_none() || here.text(value.path) == Some(value.text);
        if is_bound && is_of_source && !is_everywhere(value.text) {
            report.warn(
                value.subject(),
                format!("a port of the guest is bound to {}, an address of the source", value.text),
            );
        }
        let service = definition.text(&format!("{}/@service", value.path.trim_end_matches("/@host")));
        if let Some(port) =
            service.and_then(|port| port.parse::<u16>().ok()).filter(|port| is_bound && *port > 0)
        {
            let host = called(case.destination(report)?);
            report.unknown(
                value.subject(),
                format!("whether port {port}, to which a port of the guest is bound, is free on {host} is not known"),
            );
        }
    }
    Some(())
}

fn vsock(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let definition = case.expected(report)?;
    for value in definition.all("devices/vsock/cid/@address") {
        if definition.beside(value, "cid/@auto") == Some("yes") {
            continue;
        }
        let host = called(case.destination(report)?);
        let message = format!(
            "the guest has the fixed vsock CID {}: whether it is free on {host} is not known",
            value.text
        );
        report.unknown(value.subject(), message);
    }
    Some(())
}
