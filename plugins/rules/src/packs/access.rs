//! Networks of the guest on the destination.

use alloc::format;

use whimbrel_facts::{Host, NetworkCard, Scalar};

use crate::case::Case;
use crate::pack::{Rule, rule};
use crate::report::Report;

pub(super) const RULES: &[Rule] = &[
    rule(
        "network.missing",
        "the destination has the network of each card",
        "a guest cannot start if the network of a card is missing",
        "define the network on the destination, or name another one in the definition for it",
        missing,
    ),
    rule(
        "network.inactive",
        "the network of each card is active on the destination",
        "a card cannot be connected to an inactive network",
        "start it: `virsh net-start`",
        inactive,
    ),
    rule(
        "network.bridge",
        "the destination has the bridge of each card, or of its network",
        "a guest cannot start if the bridge of a card is missing",
        "create the bridge on the destination, or name another one in the definition for it",
        |case, report| links(case, report, "bridge"),
    ),
    rule(
        "network.direct",
        "the destination has the device under each direct card",
        "a direct card is connected to a device of the host by its name",
        "name the destination's device in the definition for it",
        |case, report| links(case, report, "direct"),
    ),
    rule(
        "network.mtu",
        "the destination's devices carry packets as large as the guest sends",
        "packets that are larger than the device under a card takes are lost without a word",
        "raise the MTU of the destination's device",
        mtu,
    ),
];

fn missing(case: &Case<'_>, report: &mut Report) -> Option<()> {
    networks(case, report, |report, card, at, found| {
        if found.is_none() {
            let message = format!("the destination has no network `{}`", card.source);
            report.fail(format!("{}/network-cards/{at}/source", case.arriving_at()), message);
        }
    })
}

fn inactive(case: &Case<'_>, report: &mut Report) -> Option<()> {
    networks(case, report, |report, card, at, found| {
        if found == Some(false) {
            let message = format!("the network `{}` is not active on the destination", card.source);
            report.fail(format!("{}/network-cards/{at}/source", case.arriving_at()), message);
        }
    })
}

/// Each card on a network, with whether the network is active there; none when it does not exist there.
fn networks(
    case: &Case<'_>,
    report: &mut Report,
    look: impl Fn(&mut Report, &NetworkCard, usize, Option<bool>),
) -> Option<()> {
    let guest = case.arriving(report)?;
    for (at, card) in guest.network_cards.iter().enumerate().filter(|(_, card)| card.kind == "network") {
        let host = case.destination(report)?;
        let there = report.need(host.networks.as_ref(), "/destination/networks")?;
        let found = there.iter().find(|network| network.name == card.source).map(|network| network.active);
        look(report, card, at, found);
    }
    Some(())
}

/// What is known of a network device of the destination.
enum Device {
    There {
        active: Option<bool>,
        mtu: Option<u32>,
    },
    Absent,
    /// It was not seen, and the list of devices is incomplete.
    NotKnown,
}

/// Searches for a device of the destination. Where the list of links is incomplete, those seen are attributes.
fn device(case: &Case<'_>, host: &Host, name: &str) -> Device {
    if let Some(links) = &host.links {
        let link = links.iter().find(|link| link.name == name);
        return link.map_or(Device::Absent, |link| Device::There { active: link.active, mtu: link.mtu });
    }
    match case.attribute(&format!("destination.seen-links.{name}")) {
        Some(Scalar::Text(state)) => {
            let active = match state.as_str() {
                "up" => Some(true),
                "down" => Some(false),
                _ => None,
            };
            Device::There { active, mtu: None }
        }
        _ => Device::NotKnown,
    }
}

fn links(case: &Case<'_>, report: &mut Report, kind: &str) -> Option<()> {
    let guest = case.arriving(report)?;
    for (at, card) in guest.network_cards.iter().enumerate() {
        let is_asked = card.kind == kind || kind == "bridge" && card.kind == "network";
        if !is_asked {
            continue;
        }
        let pointer = format!("{}/network-cards/{at}/source", case.arriving_at());
        let host = case.destination(report)?;
        let Some(name) = carrier(card, host) else { continue };
        match device(case, host, name) {
            Device::Absent => report.fail(pointer, format!("the destination has no device `{name}`")),
            Device::NotKnown => {
                let message = format!(
                    "whether the destination has `{name}` is not known: its libvirt does not list all network devices; \
                     its interface driver does (package `libvirt-daemon-driver-interface`)"
                );
                report.unknown("/destination/links", message);
            }
            // A bridge without an active port is down, and comes up with the guest's own port.
            Device::There { active: Some(false), .. } if kind == "bridge" => {
                report.warn(pointer, format!("no port of the destination's bridge `{name}` is up"));
            }
            Device::There { active: Some(false), .. } => {
                report.fail(pointer, format!("the device `{name}` of the destination is down"));
            }
            Device::There { .. } => {}
        }
    }
    Some(())
}

/// The device of the host that a card is connected to; none for a network that has none or is inactive, which other
/// rules report.
fn carrier<'a>(card: &'a NetworkCard, host: &'a Host) -> Option<&'a str> {
    if card.kind != "network" {
        return Some(&card.source);
    }
    let network = host.networks.as_ref()?.iter().find(|network| network.name == card.source)?;
    (network.active && !network.bridge.is_empty()).then_some(network.bridge.as_str())
}

fn mtu(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.arriving(report)?;
    for (at, card) in guest.network_cards.iter().enumerate() {
        let Some(wanted) = card.mtu else { continue };
        let destination = case.destination(report)?;
        if card.kind == "network" {
            report.need(destination.networks.as_ref(), "/destination/networks")?;
        }
        let there = match carrier(card, destination).map(|name| device(case, destination, name)) {
            Some(Device::There { mtu, .. }) => mtu,
            Some(Device::Absent | Device::NotKnown) | None => None,
        };
        let there = report.need(there, "/destination/links")?;
        if there < wanted {
            let message =
                format!("the card {} sends packets of {wanted} bytes, the device takes {there}", card.mac);
            report.warn(format!("{}/network-cards/{at}/mtu", case.arriving_at()), message);
        }
    }
    Some(())
}
