//! What a network card needs of the destination's networks beyond their name: port groups, the kind of a bridge, filters.

use alloc::format;

use whimbrel_facts::Scalar;

use crate::case::{Case, called};
use crate::pack::{Rule, rule};
use crate::report::Report;

pub(super) const RULES: &[Rule] = &[
    rule(
        "network.portgroup",
        "the destination's networks have the port groups that the guest's cards name",
        "a card without its port group is refused, or loses its VLAN and its limits",
        "define the port group on the destination: `virsh net-update NETWORK add portgroup`",
        portgroup,
    ),
    rule(
        "network.bridge-kind",
        "each bridge of the destination is of the kind that the guest's cards need",
        "a port of Open vSwitch cannot be added to a Linux bridge, nor the reverse; a VLAN tag of the card is lost",
        "create the bridge with the same program on both hosts (`ovs-vsctl br-exists BRIDGE` tests it), or give a definition \
         for the destination",
        bridge_kind,
    ),
    rule(
        "network.filter",
        "the destination has the network filters that the guest's cards name",
        "libvirt refuses to start a guest whose network filter it does not have",
        "copy the filter to the destination: `virsh nwfilter-dumpxml` here, `virsh nwfilter-define` there",
        filter,
    ),
];

fn portgroup(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.arriving(report)?;
    let definition = case.expected(report)?;
    for value in definition.all("devices/interface/source/@portgroup") {
        let host = called(case.destination(report)?);
        let network = guest.network_cards.get(value.number()).map_or("", |card| card.source.as_str());
        let below = format!("destination/networks/{network}");
        if case.attribute(&format!("{below}/portgroups/{}", value.text)).is_some() {
            continue;
        }
        if case.attribute(&format!("{below}/forward-mode")).is_some() {
            let message = format!("the network `{network}` of {host} has no port group `{}`", value.text);
            report.fail(value.subject(), message);
        } else {
            let message = format!(
                "whether the network `{network}` of {host} has the port group `{}` is not known",
                value.text
            );
            report.unknown(value.subject(), message);
        }
    }
    Some(())
}

fn bridge_kind(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.arriving(report)?;
    let definition = case.expected(report)?;
    for value in
        definition.all("devices/interface/virtualport/@type").filter(|value| value.text == "openvswitch")
    {
        let Some(card) = guest.network_cards.get(value.number()) else { continue };
        let host = called(case.destination(report)?);
        // A network that has such ports itself is on a bridge of Open vSwitch.
        let of_network = case.attribute(&format!("destination/networks/{}/virtualport", card.source));
        if card.kind == "network" && matches!(of_network, Some(Scalar::Text(kind)) if kind == "openvswitch") {
            continue;
        }
        match case.attribute(&format!("destination/bridges/{}", card.source)) {
            Some(Scalar::Text(kind)) if kind == "openvswitch" => {}
            Some(Scalar::Text(kind)) => report.fail(
                value.subject(),
                format!("the card {} is a port of Open vSwitch, and `{}` on {host} is a bridge of the kind `{kind}`", card.mac, card.source),
            ),
            _ => report.unknown(
                value.subject(),
                format!(
                    "the card {} is a port of Open vSwitch; whether `{}` on {host} is a bridge of Open vSwitch is not known",
                    card.mac, card.source
                ),
            ),
        }
    }
    Some(())
}

fn filter(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let definition = case.expected(report)?;
    for value in definition.all("devices/interface/filterref/@filter") {
        let host = called(case.destination(report)?);
        if case.attribute(&format!("destination/nwfilters/{}", value.text)).is_some() {
            continue;
        }
        // The number of all filters: with it the list is complete.
        if case.attribute("destination/nwfilters").is_some() {
            report.fail(value.subject(), format!("{host} has no network filter `{}`", value.text));
        } else {
            report.unknown(
                value.subject(),
                format!("whether {host} has the network filter `{}` is not known", value.text),
            );
        }
    }
    Some(())
}
