//! Whether each requested number is within the range that the hypervisor accepts.

use alloc::format;
use alloc::vec::Vec;
use core::ops::RangeInclusive;

use whimbrel_facts::Request;

use super::coherence::is_rdma;
use crate::case::Case;
use crate::pack::{Rule, rule};
use crate::report::Report;

/// QEMU's smallest cache of XBZRLE: one page.
const PAGE_BYTES: u64 = 4096;
/// The first QEMU without compression by threads.
const WITHOUT_THREADS: u64 = 9_001_000;
/// libvirt multiplies the limit to bytes in a signed 64-bit number. Source: libvirt, `QEMU_DOMAIN_MIG_BANDWIDTH_MAX`.
const BANDWIDTH_MOST_MIB: u64 = i64::MAX.cast_unsigned() >> 20;
const COMPRESSIONS: [&str; 4] = ["xbzrle", "mt", "zlib", "zstd"];

pub(super) const RULES: &[Rule] = &[
    rule(
        "request.compression",
        "the requested compression exists and fits the connections",
        "zlib and zstd work on parallel connections alone, mt on one connection alone and in no QEMU since 9.1, and libvirt \
         refuses a method that is given twice",
        "choose one method: xbzrle on one connection, or zlib or zstd on parallel ones",
        compression,
    ),
    rule(
        "request.zlib-level",
        "the level of zlib is from 0 to 9, and zlib is used",
        "libvirt refuses a level out of range, or without its method",
        "omit the level, or set it from 0 to 9",
        |case, report| level(case, report, "zlib", |r| r.zlib_level, 0..=9, "/request/zlib-level"),
    ),
    rule(
        "request.zstd-level",
        "the level of zstd is from 0 to 20, and zstd is used",
        "libvirt refuses a level out of range, or without its method",
        "omit the level, or set it from 0 to 20",
        |case, report| level(case, report, "zstd", |r| r.zstd_level, 0..=20, "/request/zstd-level"),
    ),
    rule(
        "request.xbzrle-cache",
        "the cache of XBZRLE is a power of two of at least a page",
        "QEMU rounds or refuses other sizes",
        "choose a power of two, such as 64 MiB",
        xbzrle_cache,
    ),
    rule(
        "request.throttle",
        "throttling is from 1 to 99 %, and auto-converge is requested",
        "QEMU refuses other values, and libvirt refuses them without auto-converge",
        "request auto-converge, and set both values from 1 to 99",
        throttle,
    ),
    rule(
        "request.downtime",
        "the downtime limit is from 1 to 2,000,000 ms",
        "QEMU refuses other limits",
        "choose a limit such as 300 ms",
        |case, report| {
            let value = |r: &Request| r.downtime_limit_ms;
            range(case, report, value, 1..=2_000_000, "/request/downtime-limit-ms")
        },
    ),
    rule(
        "request.parallel",
        "the number of parallel connections is from 1 to 255",
        "QEMU refuses other numbers",
        "choose 2 to 8 connections",
        |case, report| {
            let value = |r: &Request| r.parallel_connections.map(u64::from);
            range(case, report, value, 1..=255, "/request/parallel-connections")
        },
    ),
    rule(
        "request.bandwidth",
        "the bandwidth is from 1 to 8,796,093,022,207 MiB/s",
        "some versions treat 0 as unlimited, and others stop the transfer; libvirt refuses larger values, because \
         the bytes overflow",
        "omit the limit",
        |case, report| {
            let value = |r: &Request| r.bandwidth_mib_per_second;
            range(case, report, value, 1..=BANDWIDTH_MOST_MIB, "/request/bandwidth-mib-per-second")
        },
    ),
    rule(
        "request.dirty-limit",
        "the dirty limit has a period from 1 to 1000 ms and a KVM guest",
        "the limit uses KVM's dirty ring, over periods of that range",
        "use auto-converge instead",
        dirty_limit,
    ),
    rule(
        "request.rdma",
        "a guest that is migrated by RDMA has a hard memory limit",
        "RDMA locks the guest's memory, and libvirt requires `<hard_limit>` for that",
        "set `<memtune><hard_limit>` a little above the guest's memory",
        rdma,
    ),
];

fn compression(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let request = case.request(report)?;
    for name in request.compression.iter().filter(|name| !COMPRESSIONS.contains(&name.as_str())) {
        report.fail("/request/compression", format!("the compression method `{name}` does not exist"));
    }
    for (at, name) in request.compression.iter().enumerate() {
        if request.compression.iter().take(at).any(|before| before == name) {
            report.fail("/request/compression", format!("{name} is given twice"));
        }
    }
    threads(case, report)?;
    let streamed: Vec<&str> = request
        .compression
        .iter()
        .map(alloc::string::String::as_str)
        .filter(|name| matches!(*name, "zlib" | "zstd"))
        .collect();
    if !streamed.is_empty() && request.parallel_connections.is_none() {
        report.fail("/request/compression", format!("{} needs parallel connections", streamed.join(" and ")));
    }
    if streamed.len() > 1 {
        report.fail("/request/compression", "zlib and zstd cannot be used together");
    }
    Some(())
}

/// Compression by threads, `mt`. Sources: QEMU, "Removed features" (9.1); `migrate_caps_check` for combinations.
fn threads(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let request = case.request(report)?;
    if !request.compression.iter().any(|name| name == "mt") {
        return Some(());
    }
    for (is_used, other) in
        [(request.parallel_connections.is_some(), "parallel connections"), (request.postcopy, "post-copy")]
    {
        if is_used {
            report.fail("/request/compression", format!("mt and {other} cannot be used together"));
        }
    }
    for (host, pointer) in [
        (case.source(report)?, "/source/hypervisor-version"),
        (case.destination(report)?, "/destination/hypervisor-version"),
    ] {
        report.need((host.hypervisor_version > 0).then_some(()), pointer)?;
        if host.hypervisor_version >= WITHOUT_THREADS {
            report.fail(
                pointer,
                format!("the hypervisor of {} has no compression by threads (mt) any more", host.name),
            );
        }
    }
    Some(())
}

fn level(
    case: &Case<'_>,
    report: &mut Report,
    method: &str,
    value: impl Fn(&Request) -> Option<u32>,
    allowed: RangeInclusive<u64>,
    pointer: &'static str,
) -> Option<()> {
    let request = case.request(report)?;
    if value(request).is_some() && !request.compression.iter().any(|name| name == method) {
        report.fail(pointer, format!("a level of {method} is set, and {method} is not used"));
    }
    range(case, report, |r| value(r).map(u64::from), allowed, pointer)
}

fn range(
    case: &Case<'_>,
    report: &mut Report,
    value: impl Fn(&Request) -> Option<u64>,
    allowed: RangeInclusive<u64>,
    pointer: &'static str,
) -> Option<()> {
    if let Some(value) = value(case.request(report)?)
        && !allowed.contains(&value)
    {
        report.fail(pointer, format!("{value} is not from {} to {}", allowed.start(), allowed.end()));
    }
    Some(())
}

fn xbzrle_cache(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let request = case.request(report)?;
    let Some(bytes) = request.xbzrle_cache_bytes else { return Some(()) };
    let pointer = "/request/xbzrle-cache-bytes";
    if !request.compression.iter().any(|name| name == "xbzrle") {
        report.fail(pointer, "a cache of XBZRLE is set, and XBZRLE is not used");
    }
    if !bytes.is_power_of_two() || bytes < PAGE_BYTES {
        report.fail(pointer, format!("{bytes} is not a power of two of at least {PAGE_BYTES}"));
    }
    Some(())
}

fn throttle(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let request = case.request(report)?;
    let values = [
        (request.throttle_initial_percent, "/request/throttle-initial-percent"),
        (request.throttle_increment_percent, "/request/throttle-increment-percent"),
    ];
    for (value, pointer) in values {
        let Some(percent) = value else { continue };
        if !request.auto_converge {
            report.fail(pointer, "throttling is set, and auto-converge is not used");
        }
        if !(1..=99).contains(&percent) {
            report.fail(pointer, format!("{percent} is not from 1 to 99"));
        }
    }
    Some(())
}

fn dirty_limit(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let request = case.request(report)?;
    let period = |r: &Request| r.dirty_limit_period_ms.map(u64::from);
    range(case, report, period, 1..=1000, "/request/dirty-limit-period-ms")?;
    if request.dirty_limit && case.guest(report)?.accelerator != "kvm" {
        report.fail("/request/dirty-limit", "a dirty limit needs a guest of KVM");
    }
    Some(())
}

fn rdma(case: &Case<'_>, report: &mut Report) -> Option<()> {
    if is_rdma(case.request(report)?) && case.guest(report)?.hard_limit_kib.is_none() {
        report.fail("/guest/hard-limit-kib", "the guest has no hard memory limit");
    }
    Some(())
}
