//! Hostile documents of a host, among the others that it gives: they say nothing, and the rest is read.

use super::identity::names_of;
use super::links::Links;
use crate::ListedInterface;
use crate::documents::hostile;

const STORAGE: &str = "<device><name>d</name><devnode type='dev'>/dev/sdb</devnode>\
    <devnode type='link'>/dev/disk/by-id/wwn-0x1</devnode><capability type='storage'><block>/dev/sdb</block>\
    </capability>@</device>";
const CARD: &str = "<device><capability type='net'><interface>eth0</interface></capability>@</device>";
const BRIDGE: &str =
    "<interface name='br0'><bridge><interface name='eth1'/></bridge><mtu size='9000'/>@</interface>";

fn harmless(document: &str) -> String {
    document.replace('@', "")
}

#[test]
fn a_node_device_that_is_refused_has_no_names() {
    assert_eq!(names_of(&[harmless(STORAGE)], "/dev/sdb").len(), 4);
    for (kind, xml) in hostile(STORAGE) {
        assert_eq!(names_of(&[xml], "/dev/sdb"), ["/dev/sdb"], "{kind}");
    }
}

#[test]
fn a_network_device_that_is_refused_is_not_seen() {
    assert_eq!(Links::from_lists(Vec::new(), &[harmless(CARD)]).attributes().len(), 1);
    for (kind, xml) in hostile(CARD) {
        assert_eq!(Links::from_lists(Vec::new(), &[xml]), Links::default(), "{kind}");
    }
}

#[test]
fn an_interface_that_is_refused_leaves_the_list_incomplete() {
    let listed = |xml| vec![ListedInterface { name: "br0".to_owned(), xml: Some(xml), is_active: true }];
    assert_eq!(Links::from_lists(listed(harmless(BRIDGE)), &[]).all().map(|all| all.len()), Some(2));
    for (kind, xml) in hostile(BRIDGE) {
        let links = Links::from_lists(listed(xml), &[]);
        assert_eq!((links.all(), links.attributes().len()), (None, 1), "{kind}");
    }
}
