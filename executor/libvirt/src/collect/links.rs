//! The network devices of a host, from both of libvirt's drivers that know some.
//!
//! The node device driver leaves out every device of a kind of its own: bridges, bonds, VLANs. The interface driver lists
//! those, but is missing on many hosts. What neither lists may be there all the same: the list of all links is given only
//! when it is complete, and otherwise the links that were seen.

use std::collections::{BTreeMap, BTreeSet};

use whimbrel_facts::xml;
use whimbrel_facts::{Attribute, Link};

use crate::{Connection, ListedInterface};

/// What was seen of a host's links.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Links {
    /// By name.
    seen: BTreeMap<String, Link>,
    /// Names of bridges of the kernel's own. Those of Open vSwitch are listed nowhere.
    bridges: BTreeSet<String>,
    /// Whether a link that was not seen is not there.
    is_complete: bool,
}

impl Links {
    /// Queries the interface driver, and adds the network devices among node devices.
    pub(super) fn of(connection: &Connection, node_devices: &[String]) -> Self {
        // Without the driver libvirt answers with an error.
        Self::from_lists(connection.interfaces().unwrap_or_default(), node_devices)
    }

    pub(super) fn from_lists(interfaces: Vec<ListedInterface>, node_devices: &[String]) -> Self {
        // A host always has a loopback device; none at all means that nothing was listed.
        let mut links = Self { is_complete: !interfaces.is_empty(), ..Self::default() };
        for device in node_devices {
            links.add(xml::network_device(device).ok().flatten());
        }
        for ListedInterface { name, xml, is_active } in interfaces {
            match xml.as_deref().map(xml::interface) {
                Some(Ok(read)) => {
                    links.is_complete &= !read.is_configured;
                    if read.is_bridge {
                        links.bridges.insert(name.clone());
                    }
                    links.add(read.links);
                }
                // Ports of a bridge are named in its XML alone.
                Some(Err(_)) | None => links.is_complete = false,
            }
            // One that is not up may be of an unknown state.
            links.add([Link { name, active: is_active.then_some(true), mtu: None }]);
        }
        links
    }

    /// Every link, where no other can be there.
    pub(super) fn all(&self) -> Option<Vec<Link>> {
        self.is_complete.then(|| self.seen.values().cloned().collect())
    }

    /// Takes the list for incomplete: a guest or a network names devices that no driver lists.
    pub(super) fn forget_completeness(&mut self) {
        self.is_complete = false;
    }

    /// What was seen of an incomplete list, for rules: that a link is there is known, and whether it is up.
    pub(super) fn attributes(&self) -> Vec<Attribute> {
        if self.is_complete {
            return Vec::new();
        }
        let attribute = |link: &Link| Attribute {
            path: format!("destination.seen-links.{}", link.name),
            value: link.active.map_or("unknown", |up| if up { "up" } else { "down" }).into(),
        };
        self.seen.values().map(attribute).collect()
    }

    /// The kind of each bridge whose kind is known.
    pub(super) fn bridges(&self) -> impl Iterator<Item = Attribute> {
        let kind =
            |name: &String| Attribute { path: format!("destination/bridges/{name}"), value: "kernel".into() };
        self.bridges.iter().map(kind)
    }

    /// What an earlier list said of a link stays; what it left open is filled in.
    fn add(&mut self, links: impl IntoIterator<Item = Link>) {
        for link in links {
            let known = self
                .seen
                .entry(link.name.clone())
                .or_insert_with(|| Link { name: link.name.clone(), ..Link::default() });
            known.active = known.active.or(link.active);
            known.mtu = known.mtu.or(link.mtu);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETH0: &str = "<device><name>net_eth0</name><capability type='net'><interface>eth0</interface>\
                        <link state='up'/></capability></device>";

    fn interface(name: &str, xml: Option<&str>) -> ListedInterface {
        ListedInterface { name: name.to_owned(), xml: xml.map(str::to_owned), is_active: false }
    }

    #[test]
    fn node_devices_alone_are_no_complete_list() {
        let links = Links::from_lists(Vec::new(), &[ETH0.to_owned()]);
        assert_eq!(links.all(), None);
        let found: Vec<_> = links.attributes().into_iter().map(|one| (one.path, one.value)).collect();
        assert_eq!(found, [("destination.seen-links.eth0".to_owned(), "up".into())]);
    }

    #[test]
    fn both_lists_make_one() {
        let bridge = "<interface type='bridge' name='br0'><mtu size='9000'/><bridge><interface type='vlan' \
                      name='eth1.5'><link state='down'/></interface></bridge></interface>";
        let eth0 =
            "<interface type='ethernet' name='eth0'><mtu size='1500'/><link state='unknown'/></interface>";
        let listed = vec![interface("br0", Some(bridge)), interface("eth0", Some(eth0))];
        let links = Links::from_lists(listed, &[ETH0.to_owned()]);
        let bridges: Vec<_> = links.bridges().map(|one| (one.path, one.value)).collect();
        assert_eq!(bridges, [("destination/bridges/br0".to_owned(), "kernel".into())]);
        let all = links.all().unwrap();
        let found: Vec<_> = all.iter().map(|link| (link.name.as_str(), link.active, link.mtu)).collect();
        assert_eq!(
            found,
            [("br0", None, Some(9000)), ("eth0", Some(true), Some(1500)), ("eth1.5", Some(false), None)]
        );
    }

    #[test]
    fn a_list_with_a_gap_is_not_complete() {
        // Of a VLAN that is not named after its device, older versions cannot tell the XML.
        let links = Links::from_lists(vec![interface("vlan5", None)], &[]);
        assert_eq!((links.all(), links.attributes().len()), (None, 1));
        // netcf lists what is configured, and nothing else.
        let configured = "<interface type='ethernet' name='eth0'><start mode='onboot'/></interface>";
        let links = Links::from_lists(vec![interface("eth0", Some(configured))], &[]);
        assert_eq!((links.all(), links.attributes().len()), (None, 1));
    }
}
