//! The tables of versions: from both sides of every boundary, and against what real versions answered.

#![cfg(test)]

use std::collections::BTreeSet;

use whimbrel_sim::versions::{Kind, Offer, State, Version, VersionError, libvirt, qemu};

/// A line of either table.
struct Line {
    name: &'static str,
    kind: Kind,
    offers: Box<dyn Fn(Version) -> Offer>,
}

fn tables() -> [Vec<Line>; 2] {
    let libvirt = libvirt::Feature::ALL.iter().map(|feature| Line {
        name: feature.name(),
        kind: feature.kind(),
        offers: Box::new(|version| libvirt::offers(version, *feature)),
    });
    let qemu = qemu::Feature::ALL.iter().map(|feature| Line {
        name: feature.name(),
        kind: feature.kind(),
        offers: Box::new(|version| qemu::offers(version, *feature)),
    });
    [libvirt.collect(), qemu.collect()]
}

fn version(text: &str) -> Version {
    text.parse().unwrap()
}

/// The last version before another, were there all numbers: where parts are zero, those before are lowered.
fn before(version: Version) -> Version {
    let Version { major, minor, micro } = version;
    match (minor, micro) {
        (0, 0) => Version::new(major - 1, 999, 999),
        (_, 0) => Version::new(major, minor - 1, 999),
        _ => Version::new(major, minor, micro - 1),
    }
}

fn names(table: &[Line], kind: Kind, version: Version) -> BTreeSet<&'static str> {
    let offered = table.iter().filter(|line| line.kind == kind && (line.offers)(version).is_offered());
    offered.map(|line| line.name).collect()
}

fn words(text: &str) -> BTreeSet<&str> {
    text.split_whitespace().collect()
}

fn both<'a>(one: &'a str, other: &'a str) -> BTreeSet<&'a str> {
    one.split_whitespace().chain(other.split_whitespace()).collect()
}

#[test]
fn every_boundary_holds_from_both_sides() {
    for Line { name, offers, .. } in tables().iter().flatten() {
        let Offer { since, deprecated, until, .. } = offers(Version::new(0, 0, 0));
        let state = |version| offers(version).state;
        assert_eq!((state(before(since)), state(since)), (State::NotYet, State::Offered), "{name}");
        let mut last = State::Offered;
        for (boundary, then) in [(deprecated, State::Deprecated), (until, State::Removed)] {
            let Some(boundary) = boundary else { continue };
            assert_eq!((state(before(boundary)), state(boundary)), (last, then), "{name}");
            last = then;
        }
        assert_eq!(state(Version::new(u32::MAX, 0, 0)), last, "{name}");
        assert_eq!(offers(since).is_offered(), offers(since).state == State::Offered, "{name}");
    }
}

#[test]
fn the_tables_are_in_order_and_name_their_sources() {
    for table in tables() {
        let first = |line: &Line| (line.offers)(Version::new(0, 0, 0));
        assert!(table.is_sorted_by_key(|line| first(line).since));
        let named: BTreeSet<(Kind, &str)> = table.iter().map(|line| (line.kind, line.name)).collect();
        assert_eq!(named.len(), table.len());
        for line in &table {
            let Offer { since, deprecated, until, source, .. } = first(line);
            let process_state: Vec<Version> =
                [Some(since), deprecated, until].into_iter().flatten().collect();
            assert!(process_state.is_sorted_by(|a, b| a < b), "{}", line.name);
            assert!(source.starts_with("QEMU, ") || source.starts_with("libvirt"), "{}", line.name);
        }
    }
}

/// What a QEMU 7.2.22 answered to query-migrate-capabilities and query-migrate-parameters.
#[test]
fn qemu_in_use_here_offers_what_it_says() {
    let [_, table] = tables();
    let in_use = version("7.2.22");
    let capabilities = "xbzrle rdma-pin-all auto-converge zero-blocks compress events postcopy-ram release-ram \
        block return-path pause-before-switchover multifd dirty-bitmaps postcopy-blocktime late-block-activate \
        validate-uuid background-snapshot zero-copy-send postcopy-preempt";
    assert_eq!(names(&table, Kind::Capability, in_use), words(capabilities));
    // The mapping of bitmaps is only reported once it is set; the command's schema has it.
    let parameters = "cpu-throttle-tailslow xbzrle-cache-size cpu-throttle-initial announce-max \
        decompress-threads compress-threads compress-level multifd-channels multifd-zstd-level announce-initial \
        block-incremental compress-wait-thread downtime-limit tls-authz multifd-compression announce-rounds \
        announce-step tls-creds multifd-zlib-level max-cpu-throttle max-postcopy-bandwidth tls-hostname \
        throttle-trigger-threshold max-bandwidth cpu-throttle-increment block-bitmap-mapping";
    assert_eq!(names(&table, Kind::Parameter, in_use), words(parameters));
    assert_eq!(
        names(&table, Kind::Value, in_use),
        words("multifd-compression=zlib multifd-compression=zstd")
    );
    let calls = "migrate-start-postcopy migrate-continue migrate-pause migrate-recover calc-dirty-rate \
        set-vcpu-dirty-limit";
    assert_eq!(names(&table, Kind::Call, in_use), words(calls));
    assert_eq!(names(&table, Kind::State, in_use), words("wait-unplug"));
    assert_eq!(qemu::default_max_bandwidth_bytes_per_second(in_use), 134_217_728);
}

/// The enumerations in qapi/migration.json as they were in the development of 8.2, in 9.1, and in 11.0's.
#[test]
fn qemu_offers_what_its_schema_lists() {
    let [_, table] = tables();
    let basic = "xbzrle rdma-pin-all auto-converge events postcopy-ram release-ram return-path \
        pause-before-switchover multifd dirty-bitmaps postcopy-blocktime late-block-activate validate-uuid \
        background-snapshot zero-copy-send postcopy-preempt switchover-ack dirty-limit";
    let old = "zero-blocks compress block";
    assert_eq!(names(&table, Kind::Capability, version("8.1")), both(basic, old));
    assert_eq!(names(&table, Kind::Capability, version("9.1")), both(basic, "zero-blocks mapped-ram"));
    assert_eq!(names(&table, Kind::Capability, version("11.0")), both(basic, "mapped-ram"));
    let basic = "announce-initial announce-max announce-rounds announce-step throttle-trigger-threshold \
        cpu-throttle-initial cpu-throttle-increment cpu-throttle-tailslow tls-creds tls-hostname tls-authz \
        max-bandwidth downtime-limit multifd-channels xbzrle-cache-size max-postcopy-bandwidth max-cpu-throttle \
        multifd-compression multifd-zlib-level multifd-zstd-level block-bitmap-mapping vcpu-dirty-limit";
    let old = "compress-level compress-threads decompress-threads compress-wait-thread block-incremental";
    assert_eq!(names(&table, Kind::Parameter, version("8.1")), both(basic, old));
    let new = "avail-switchover-bandwidth mode zero-page-detection direct-io";
    assert_eq!(names(&table, Kind::Parameter, version("9.1")), both(basic, new));
    let newest =
        "avail-switchover-bandwidth mode zero-page-detection direct-io multifd-qatzip-level cpr-exec-command";
    assert_eq!(names(&table, Kind::Parameter, version("11.0")), both(basic, newest));
    let of = |text| -> BTreeSet<&str> {
        let values = names(&table, Kind::Value, version(text));
        values.into_iter().filter_map(|value| value.strip_prefix("multifd-compression=")).collect()
    };
    assert_eq!(of("4.2"), words(""));
    assert_eq!(of("9.0"), words("zlib zstd"));
    assert_eq!(of("9.1"), words("zlib zstd qpl uadk"));
    assert_eq!(of("11.0"), words("zlib zstd qatzip qpl uadk"));
}

/// The oldest version that the table is for: what came later is not there, what was there before is.
#[test]
fn qemu_4_0_offers_what_was_there_then() {
    let [_, table] = tables();
    let capabilities = "xbzrle rdma-pin-all auto-converge zero-blocks compress events postcopy-ram release-ram \
        block return-path pause-before-switchover multifd dirty-bitmaps postcopy-blocktime late-block-activate";
    assert_eq!(names(&table, Kind::Capability, version("4.0")), words(capabilities));
    assert_eq!(names(&table, Kind::Behaviour, version("4.0")), BTreeSet::new());
    let calls = "migrate_set_speed migrate_set_downtime migrate-start-postcopy migrate-continue migrate-pause \
        migrate-recover";
    assert_eq!(names(&table, Kind::Call, version("4.0")), words(calls));
    assert!(!names(&table, Kind::Capability, version("3.1.99")).contains("multifd"));
    // A release candidate is not its release: 9.1.90 becomes 9.2.
    let qatzip = |text| qemu::offers(version(text), qemu::Feature::MultifdQatzip).is_offered();
    assert_eq!(["9.1.90", "9.2.0"].map(qatzip), [false, true]);
}

#[test]
fn qemus_default_bandwidth_grew() {
    let mib = |text| qemu::default_max_bandwidth_bytes_per_second(version(text)) >> 20;
    assert_eq!(["4.0", "5.1", "5.1.99", "5.2", "10.2"].map(mib), [32, 32, 32, 128, 128]);
}

/// The flags and parameters in the API description of libvirt 9.0.0.
#[test]
fn libvirt_in_use_here_offers_what_its_header_lists() {
    let [table, _] = tables();
    let in_use = Version::from_number(9_000_000).unwrap();
    let flags = "LIVE PEER2PEER TUNNELLED PERSIST_DEST UNDEFINE_SOURCE PAUSED NON_SHARED_DISK NON_SHARED_INC \
        CHANGE_PROTECTION UNSAFE OFFLINE COMPRESSED ABORT_ON_ERROR AUTO_CONVERGE RDMA_PIN_ALL POSTCOPY TLS \
        PARALLEL NON_SHARED_SYNCHRONOUS_WRITES POSTCOPY_RESUME ZEROCOPY";
    let offered = names(&table, Kind::Flag, in_use);
    let stripped: BTreeSet<&str> =
        offered.iter().filter_map(|name| name.strip_prefix("VIR_MIGRATE_")).collect();
    assert_eq!((stripped, offered.len()), (words(flags), 21));
    let parameters = "migrate_uri destination_name destination_xml persistent_xml bandwidth bandwidth.postcopy \
        graphics_uri listen_address migrate_disks disks_port disks_uri compression compression.mt.level \
        compression.mt.threads compression.mt.dthreads compression.xbzrle.cache auto_converge.initial \
        auto_converge.increment parallel.connections tls.destination";
    assert_eq!(names(&table, Kind::Parameter, in_use), words(parameters));
    // What 11.2 has more.
    let newer: BTreeSet<&str> = names(&table, Kind::Parameter, libvirt::READ_THROUGH)
        .difference(&words(parameters))
        .copied()
        .collect();
    let added = "compression.zlib.level compression.zstd.level migrate_disks_detect_zeroes \
        bandwidth.avail.switchover";
    assert_eq!(newer, words(added));
    assert_eq!(names(&table, Kind::Flag, libvirt::READ_THROUGH), offered);
}

/// The oldest version that the table is for.
#[test]
fn libvirt_6_0_lacks_what_came_later() {
    let [table, _] = tables();
    let oldest = version("6.0.0");
    let later = |kind| -> BTreeSet<&str> {
        names(&table, kind, version("9.0.0")).difference(&names(&table, kind, oldest)).copied().collect()
    };
    let flags = "VIR_MIGRATE_NON_SHARED_SYNCHRONOUS_WRITES VIR_MIGRATE_POSTCOPY_RESUME VIR_MIGRATE_ZEROCOPY";
    assert_eq!(later(Kind::Flag), words(flags));
    assert_eq!(later(Kind::Parameter), words("disks_uri"));
    let calls = "virDomainGetMessages virDomainStartDirtyRateCalc virDomainAbortJobFlags";
    assert_eq!(later(Kind::Call), words(calls));
    assert_eq!(later(Kind::State), words("VIR_DOMAIN_RUNNING_POSTCOPY_FAILED"));
    assert!(names(&table, Kind::Parameter, oldest).contains("tls.destination"));
    assert!(!names(&table, Kind::Parameter, version("5.10.0")).contains("tls.destination"));
}

#[test]
fn versions_are_read_as_both_write_them() {
    assert_eq!(Version::from_number(9_000_000), Ok(Version::new(9, 0, 0)));
    assert_eq!(Version::from_number(7_002_022), Ok(version("7.2.22")));
    assert_eq!(version("7.2.22").to_number(), 7_002_022);
    assert_eq!(Version::new(u32::MAX, 999, 999).to_number(), 4_294_967_295_999_999);
    assert_eq!(Version::from_number(1_002_017).unwrap().to_string(), "1.2.17");
    assert_eq!(Version::from_number(0), Ok(Version::new(0, 0, 0)));
    assert_eq!(Version::from_number(u64::MAX), Err(VersionError::Number(u64::MAX)));
    assert_eq!(version("9.2"), Version::new(9, 2, 0));
    assert!(version("9.10") > version("9.9.99") && version("10.0") > version("9.10"));
    for text in ["", "9", "9.", "9.2.0.1", "9.2-rc1", "9.-2", "+9.2", "9. 2", "9.4294967296", "neun.zwei"] {
        assert_eq!(text.parse::<Version>(), Err(VersionError::Text(text.to_owned())));
    }
    let told = VersionError::Text("9.2-rc1".to_owned()).to_string();
    assert_eq!(told, "\"9.2-rc1\" is no version; write two or three numbers, as in 7.2.22");
}
