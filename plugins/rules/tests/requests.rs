//! Requests that libvirt or QEMU refuse, and requests that only look so.

#![allow(
    clippy::allow_attributes,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a failing helper fails the test"
)]

mod common;

use common::{Change, sound};
use whimbrel_facts::{
    Activation, Disk, Facts, Finding, HostDevice, Request, Scalar, Sharing, StorageCopy, Verdict,
};
use whimbrel_rules::PACKS;

fn ask(facts: &Facts) -> Vec<Finding> {
    let rules = PACKS.iter().flat_map(|pack| pack.rules().map(move |rule| (pack, rule)));
    let ask = |(pack, rule): (&whimbrel_rules::Pack, &whimbrel_rules::Rule)| {
        pack.check(facts, &[Activation { code: rule.code.into(), settings: String::new() }])
    };
    rules.flat_map(ask).filter(|finding| finding.verdict != Verdict::Pass).collect()
}

fn of(change: Change) -> Vec<Finding> {
    let mut facts = sound();
    change(&mut facts);
    ask(&facts)
}

fn r(facts: &mut Facts) -> &mut Request {
    facts.request.as_mut().unwrap()
}

fn disk(facts: &mut Facts) -> &mut Disk {
    &mut facts.guest.as_mut().unwrap().disks[0]
}

fn uri(facts: &mut Facts, uri: &str) {
    r(facts).migrate_uri = Some(uri.into());
}

#[test]
fn each_is_refused_by_its_rule_at_its_subject() {
    const URI: &str = "/request/migrate-uri";
    let cases: &[(&str, &str, Change)] = &[
        ("access.address", URI, |f| uri(f, "tcp:localhost")),
        ("access.address", URI, |f| uri(f, "tcp://user@LOCALHOST:49152")),
        ("access.address", URI, |f| uri(f, "tcp://localhost4")),
        ("access.address", URI, |f| uri(f, "tcp://[::ffff:127.0.0.1]")),
        ("access.address", URI, |f| uri(f, "tcp://ALPHA")),
        ("access.uri", URI, |f| uri(f, "192.0.2.12:49152")),
        ("access.uri", URI, |f| uri(f, "tcp://")),
        ("access.uri", URI, |f| uri(f, "tcp://192.0.2.12:70000")),
        ("access.uri", URI, |f| {
            uri(f, "tcp://192.0.2.12");
            r(f).tunnelled = true;
        }),
        ("access.name", "/destination/name", |f| f.destination.as_mut().unwrap().name = "localhost4".into()),
        ("request.rdma-parallel", "/request", |f| {
            (r(f).rdma, r(f).parallel_connections) = (true, Some(2));
            f.guest.as_mut().unwrap().hard_limit_kib = Some(2 << 20);
        }),
        ("request.compression", "/request/compression", |f| {
            (r(f).compression, r(f).parallel_connections) = (vec!["mt".into()], Some(2));
        }),
        ("request.compression", "/request/compression", |f| {
            r(f).compression = vec!["mt".into(), "mt".into()];
        }),
        ("request.compression", "/request/compression", |f| {
            (r(f).compression, r(f).postcopy) = (vec!["mt".into()], true);
        }),
        ("request.compression", "/destination/hypervisor-version", |f| {
            r(f).compression = vec!["mt".into()];
            f.destination.as_mut().unwrap().hypervisor_version = 9_001_000;
        }),
        ("request.bandwidth", "/request/bandwidth-mib-per-second", |f| {
            r(f).bandwidth_mib_per_second = Some(8_796_093_022_208);
        }),
        ("storage.copy-target", "/storage/0/destination/pool", |f| {
            (r(f).storage_copy, r(f).copied_disks) = (StorageCopy::Incremental, vec!["vda".into()]);
            disk(f).kind = "file".into();
            disk(f).backing = vec!["/base".into()];
            f.storage.as_mut().unwrap()[0].destination.exists = Some(false);
        }),
        ("storage.copy-of-shared", "/storage/0/sharing", |f| r(f).storage_copy = StorageCopy::Full),
        ("storage.media", "/storage/0/destination/exists", |f| {
            (disk(f).read_only, disk(f).device) = (true, "cdrom".into());
            f.storage.as_mut().unwrap()[0].destination.exists = Some(false);
        }),
        // Only drives are emptied: a disk that is missing keeps the guest from starting.
        ("storage.missing", "/storage/0/destination/exists", |f| {
            policy(f, "optional");
            f.storage.as_mut().unwrap()[0].destination.exists = Some(false);
        }),
    ];
    for (code, subject, change) in cases {
        let found = of(*change);
        let is_it =
            |one: &Finding| one.code == *code && one.subject == *subject && one.verdict == Verdict::Fail;
        assert!(found.iter().any(is_it), "{code} {subject}: {found:#?}");
    }
}

fn policy(facts: &mut Facts, policy: &str) {
    let path = "guest/xml/devices/disk/0/source/@startupPolicy".to_owned();
    facts.attributes.insert(0, whimbrel_facts::Attribute { path, value: Scalar::from(policy) });
}

#[test]
fn what_libvirt_lets_through_is_not_refused() {
    let cases: &[(&str, Change)] = &[
        ("another address", |f| uri(f, "tcp://127.example.org:49152")),
        ("an IPv6 address", |f| uri(f, "tcp://[2001:db8::1]:49152")),
        ("a socket", |f| uri(f, "unix:///run/migrate.sock")),
        ("the destination's own name", |f| uri(f, "tcp://beta")),
        ("the name in the URI of the connection", |f| f.destination.as_mut().unwrap().name = "BETA".into()),
        ("a full name", |f| f.destination.as_mut().unwrap().name = "gamma.example.org".into()),
        ("one connection and threads", |f| r(f).compression = vec!["mt".into()]),
        ("the largest bandwidth", |f| r(f).bandwidth_mib_per_second = Some(8_796_093_022_207)),
        ("two shareable paths to one disk", |f| {
            let guest = f.guest.as_mut().unwrap();
            guest.disks[1].source = guest.disks[0].source.clone();
            guest.disks.iter_mut().for_each(|disk| disk.shareable = true);
        }),
        ("a cached shareable disk", |f| {
            (disk(f).shareable, disk(f).cache) = (true, "writeback".into());
            f.destination.as_mut().unwrap().hypervisor_version = 7_002_022;
            f.source.as_mut().unwrap().hypervisor_version = 3_001_000;
        }),
        ("one medium in two drives", |f| {
            let guest = f.guest.as_mut().unwrap();
            guest.disks.iter_mut().for_each(|disk| disk.read_only = true);
            let storage = f.storage.as_mut().unwrap();
            storage[1] = whimbrel_facts::DiskStorage { target: "vdb".into(), ..storage[0].clone() };
        }),
        ("two names of one device", |f| {
            let more = whimbrel_facts::Identity { kind: "wwid".into(), value: "eui.1".into() };
            let storage = &mut f.storage.as_mut().unwrap()[0];
            storage.sharing = Sharing::Proven;
            storage.source.identities.push(more.clone());
            storage.destination.identities.insert(0, more);
        }),
        ("a moved definition with devices of the host", |f| {
            (r(f).offline, r(f).live) = (true, false);
            let guest = f.guest.as_mut().unwrap();
            guest.state = whimbrel_facts::RunState::Off;
            guest.hyperv_mode = "passthrough".into();
            guest.host_devices.push(HostDevice { kind: "pci".into(), ..HostDevice::default() });
            guest.filesystems.push(whimbrel_facts::Filesystem::default());
        }),
    ];
    for (what, change) in cases {
        let found = of(*change);
        assert!(
            found.iter().all(|one| one.verdict == Verdict::Warn && one.code.starts_with("device.")),
            "{what}: {found:#?}"
        );
    }
}

#[test]
fn a_medium_that_libvirt_drops_is_a_warning() {
    for (startup, expected) in
        [("optional", Verdict::Warn), ("requisite", Verdict::Warn), ("mandatory", Verdict::Fail)]
    {
        let mut facts = sound();
        policy(&mut facts, startup);
        (disk(&mut facts).read_only, disk(&mut facts).device) = (true, "cdrom".into());
        facts.storage.as_mut().unwrap()[0].destination.exists = Some(false);
        let found = ask(&facts);
        assert!(
            found.iter().any(|one| one.code == "storage.media" && one.verdict == expected),
            "{startup}: {found:#?}"
        );
    }
}

/// An offline move harms a guest all the same if another disk or another guest has its name there.
#[test]
fn an_offline_move_is_still_refused_where_it_does_harm() {
    let off = |change: Change| {
        let mut facts = sound();
        (r(&mut facts).offline, r(&mut facts).live) = (true, false);
        facts.guest.as_mut().unwrap().state = whimbrel_facts::RunState::Off;
        change(&mut facts);
        ask(&facts)
            .into_iter()
            .filter(|one| one.verdict == Verdict::Fail)
            .map(|one| one.code)
            .collect::<Vec<_>>()
    };
    assert_eq!(off(|_| ()), [""; 0]);
    assert_eq!(
        off(|f| f.storage.as_mut().unwrap()[0].destination.identities[0].value = "naa.9".into()),
        ["storage.identity"]
    );
    let stays_behind = |f: &mut Facts| f.storage.as_mut().unwrap()[0].sharing = Sharing::Disproven;
    assert_eq!(off(stays_behind), ["storage.shared"]);
    let other = |f: &mut Facts| {
        let there =
            whimbrel_facts::Namesake { state: whimbrel_facts::RunState::Running, ..Default::default() };
        f.destination.as_mut().unwrap().namesakes = Some(vec![there]);
    };
    assert_eq!(off(other), ["destination.has-guest"]);
}
