//! Hostile documents, to every reader of libvirt's XML: a table with a row for each.
//!
//! The document of a row is read when nothing hostile stands in it, so that no row holds because it reads nothing. What is
//! looked for stands before what is hostile: a parser that gives up late must not have given a value by then.

use whimbrel_facts::{Host, xml};

/// Whether something is taken from a document.
type Takes = fn(&str) -> bool;

const CAPABILITIES: &str = "<capabilities><host><uuid>5a3b9c1e-0000-4000-8000-000000000001</uuid>\
    <cpu><arch>x86_64</arch></cpu></host>@</capabilities>";
const DOMAIN: &str = "<domain type='kvm'><name>web</name><memory unit='KiB'>1024</memory><vcpu>2</vcpu>\
    <cpu mode='custom'><model>EPYC</model></cpu><os><nvram>/srv/web.fd</nvram></os>\
    <devices><disk type='network'><source protocol='rbd' name='p/i'><host name='m' port='1'/></source>\
    <target dev='vda'/></disk><interface><virtualport type='openvswitch'/></interface></devices>@</domain>";
const STORAGE: &str = "<device><name>d</name><devnode type='dev'>/dev/sdb</devnode>\
    <capability type='storage'><block>/dev/sdb</block></capability>@</device>";
const CARD: &str = "<device><capability type='net'><interface>eth0</interface></capability>@</device>";

const READERS: [(&str, &str, Takes); 20] = [
    ("capabilities", CAPABILITIES, |text| {
        let mut host = Host::default();
        xml::capabilities(text, &mut host).is_ok() || host != Host::default()
    }),
    ("domain capabilities", "<domainCapabilities><domain>kvm</domain>@</domainCapabilities>", |text| {
        let mut host = Host::default();
        xml::domain_capabilities(text, &mut host).is_ok() || host != Host::default()
    }),
    ("guest", DOMAIN, |text| xml::domain(text).is_ok()),
    ("leases of a guest", DOMAIN, |text| xml::domain_attributes(text).is_ok()),
    ("two definitions of a guest", DOMAIN, |text| xml::target_attributes("<domain/>", text).is_ok()),
    ("guest without secrets", DOMAIN, |text| xml::without_secrets(text).is_ok()),
    ("ports of a guest", DOMAIN, |text| xml::uses_open_vswitch(text, "domain").is_ok()),
    ("CPU of a guest", DOMAIN, |text| xml::cpu_with_model(text).is_ok()),
    ("network disk of a guest", DOMAIN, |text| xml::network_disk(text, "vda").is_ok()),
    ("storage of a guest", DOMAIN, |text| xml::named_storage(text).is_ok()),
    ("node device", STORAGE, |text| xml::node_device(text).is_ok()),
    ("storage device", STORAGE, |text| xml::storage_device(text).is_ok()),
    ("network device", CARD, |text| xml::network_device(text).is_ok()),
    ("interface", "<interface name='eth0'>@</interface>", |text| xml::interface(text).is_ok()),
    ("pool", "<pool><name>p</name>@</pool>", |text| xml::pool(text).is_ok()),
    ("network", "<network><name>n</name>@</network>", |text| xml::network(text).is_ok()),
    ("rest of a guest", DOMAIN, |text| xml::target_attributes(text, text).is_ok()),
    ("rest of a host", CAPABILITIES, |text| xml::capabilities_attributes(text, "destination").is_ok()),
    ("rest of a network", "<network><name>n</name>@</network>", |text| xml::network_attributes(text).is_ok()),
    ("owner tag", "<owner id='me'>@</owner>", |text| xml::root_attributes(text).is_ok()),
];

fn hostile(document: &str) -> Vec<(&'static str, String)> {
    let with = |inner: &str| document.replace('@', inner);
    let nested = |tag: &str, count| with(&format!("{}{}", tag.repeat(count), "</a>".repeat(count)));
    let declared = |what: &str| format!("<!DOCTYPE d [<!ENTITY a {what}>]>{}", with("&a;"));
    vec![
        ("entity", declared("'aaaa'")),
        ("entity of entities", declared("'aaaa'><!ENTITY b '&a;&a;&a;&a;'")),
        ("entity of a file", declared("SYSTEM 'file:///etc/passwd'")),
        ("document type without an entity", format!("<!DOCTYPE d>{}", with(""))),
        ("entity without a document type", with("&a;")),
        ("deep", nested("<a>", 100_000)),
        ("deep, with ends of tags in values", nested("<a b='>'>", 1_000)),
        ("deep, with ends of empty tags in values", nested("<a b='/>'>", 1_000)),
        ("deep, with the other quotes", nested("<a b=\"'/>\">", 1_000)),
        ("large", with(&"a".repeat(17 << 20))),
        ("large by a comment", with(&format!("<!--{}-->", "a".repeat(17 << 20)))),
        ("cut off", with("<")),
    ]
}

#[test]
fn every_reader_refuses_hostile_documents() {
    let mut taken = Vec::new();
    for (name, document, takes) in READERS {
        assert!(
            takes(&document.replace('@', "")),
            "{name}: the document without anything hostile is not read"
        );
        let read = hostile(document).into_iter().filter(|(_, text)| takes(text));
        taken.extend(read.map(|(kind, _)| format!("{name}: {kind}")));
    }
    assert!(taken.is_empty(), "read in spite of what is hostile:\n{}", taken.join("\n"));
}

#[test]
fn what_only_looks_hostile_is_read() {
    for inner in [
        "<a b='&lt;!DOCTYPE d>'/>".to_owned(),
        "<a b='/>'/>".repeat(1_000),
        "<a b=\"it's />\"/>".repeat(1_000),
        format!("<!--{}-->", "<a>".repeat(1_000)),
        format!("<![CDATA[{}]]>", "<a>".repeat(1_000)),
        format!("{}{}", "<a>".repeat(100), "</a>".repeat(100)),
    ] {
        for (name, document, takes) in READERS {
            assert!(takes(&document.replace('@', &inner)), "{name}: {inner:.40}");
        }
    }
}
