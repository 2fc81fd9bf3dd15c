//! Parts of the definition that matter together with the request or with a pair of versions.

use alloc::format;

use whimbrel_facts::Scalar;

use crate::case::{Case, called};
use crate::pack::{Rule, rule};
use crate::report::Report;
use crate::versions::{LIBVIRT_ENDS_ON_RESUME, LIBVIRT_KNOWS_HT, LIBVIRT_LONG_TLS, QEMU_CHANGES_HT, dotted};

pub(super) const RULES: &[Rule] = &[
    rule(
        "guest.memory-backing",
        "post-copy can fetch the guest's memory page by page",
        "post-copy needs memory whose pages the kernel can fetch on demand: anonymous, `memfd`, huge pages, or files \
         in `tmpfs`; QEMU refuses it for files of other file systems",
        "migrate without post-copy, or restart the guest with `<source type='memfd'/>`",
        memory_backing,
    ),
    rule(
        "guest.dirty-ring",
        "a dirty limit is requested only for a guest with a dirty ring",
        "QEMU limits the dirty rate of each CPU with KVM's dirty ring, and refuses without it",
        "use auto-converge, or restart the guest with `<kvm><dirty-ring state='on' size='4096'/></kvm>`",
        dirty_ring,
    ),
    rule(
        "device.tpm-state",
        "the state of the guest's TPM is migrated with it",
        "an external TPM keeps its state in a process that libvirt does not control; for state on storage that both \
         hosts share, swtpm has to release its lock in time, and libvirt does not report whether it can",
        "verify it on both hosts (swtpm 0.8 or later: `swtpm_setup --print-capabilities`), and waive this rule for the guest",
        tpm_state,
    ),
    rule(
        "cpu.physical-bits",
        "the destination's CPU has the physical address bits that the guest sees",
        "a guest with more address bits than the host fails at its first access above the host's limit",
        "set `<maxphysaddr mode='emulate' bits='...'/>` to the lowest number of all hosts, and restart the guest",
        physical_bits,
    ),
    rule(
        "versions.threads",
        "the destination accepts a guest with several threads per core from this version",
        "QEMU 10.0 exposes the feature `ht` to such guests by another rule, and libvirt before 11.10 refuses the \
         guest because of it",
        "update the destination's libvirt to 11.10 or later, or name another destination",
        threads,
    ),
    rule(
        "versions.postcopy-recovery",
        "the destination's libvirt survives the recovery of a failed post-copy",
        "the daemon of libvirt 11.2 and 11.3 crashes when a failed post-copy is resumed; the guest's memory then \
         stays divided between the hosts",
        "update the destination's libvirt to 11.4 or later, or migrate without post-copy",
        postcopy_recovery,
    ),
    rule(
        "versions.long-tls",
        "the source's libvirt supports long encrypted transfers",
        "an error in GnuTLS ends the source's QEMU in long encrypted transfers, unless libvirt avoids it, as libvirt \
         11.6 and later do",
        "update the source's libvirt to 11.6 or later, or encrypt the migration network by other means",
        long_tls,
    ),
];

fn memory_backing(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest(report)?;
    let definition = case.definition(report)?;
    if !case.request(report)?.postcopy || !guest.huge_pages_kib.is_empty() {
        return Some(());
    }
    for value in definition.all("memoryBacking/source/@type").filter(|value| value.text == "file") {
        let message = "the guest's memory is in files of the host: whether they are in a file system that post-copy can use \
                       is not known (`memory_backing_dir` in `qemu.conf`)";
        report.unknown(value.subject(), message);
    }
    Some(())
}

fn dirty_ring(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let definition = case.definition(report)?;
    let has_ring = definition.text("features/kvm/dirty-ring/@state") == Some("on");
    if case.request(report)?.dirty_limit && !has_ring {
        report.fail("/request/dirty-limit", "a dirty limit is requested, and the guest has no dirty ring");
    }
    Some(())
}

fn tpm_state(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest(report)?;
    let definition = case.definition(report)?;
    for (at, _) in guest.tpms.iter().enumerate().filter(|(_, tpm)| tpm.backend == "external") {
        let message = "another process of the source emulates the TPM: whether the destination has one with the same state is \
                       not known";
        report.unknown(format!("/guest/tpms/{at}/backend"), message);
    }
    for value in definition.all("devices/tpm/backend/source/@path") {
        if guest.tpms.get(value.number()).is_some_and(|tpm| tpm.backend == "emulator") {
            let message = format!(
                "the TPM's state is in `{}`: whether the hosts share it, and whether their swtpm can then hand it over, is not \
                 known",
                value.text
            );
            report.unknown(value.subject(), message);
        }
    }
    Some(())
}

fn physical_bits(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let definition = case.expected(report)?;
    let Some(wanted) = definition.all("cpu/maxphysaddr/@bits").next() else { return Some(()) };
    let bits = wanted.text.parse::<i64>().ok();
    let host = called(case.destination(report)?);
    match (bits, case.attribute("destination/physical-bits")) {
        (Some(bits), Some(Scalar::Integer(there))) if bits <= *there => {}
        (Some(bits), Some(Scalar::Integer(there))) => {
            let message =
                format!("the guest sees {bits} physical address bits, and the CPU of {host} has {there}");
            report.fail(wanted.subject(), message);
        }
        _ => {
            let message = format!(
                "the guest sees {} physical address bits: how many the CPU of {host} has is not known",
                wanted.text
            );
            report.unknown(wanted.subject(), message);
        }
    }
    Some(())
}

fn threads(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let definition = case.definition(report)?;
    let threads = definition.text("cpu/topology/@threads").and_then(|text| text.parse::<u32>().ok());
    if threads.is_none_or(|threads| threads < 2) {
        return Some(());
    }
    let (source, destination) = (case.source(report)?, case.destination(report)?);
    let known = |version: u64| (version > 0).then_some(version);
    let here = report.need(known(source.hypervisor_version), "/source/hypervisor-version")?;
    let there = report.need(known(destination.hypervisor_version), "/destination/hypervisor-version")?;
    if here >= QEMU_CHANGES_HT || there < QEMU_CHANGES_HT {
        return Some(());
    }
    let library = report.need(known(destination.library_version), "/destination/library-version")?;
    if library < LIBVIRT_KNOWS_HT {
        let message = format!(
            "the guest has several threads a core and comes from QEMU {} to {}: libvirt {} there may refuse it (`ht`)",
            dotted(here),
            dotted(there),
            dotted(library)
        );
        report.warn("/destination/library-version", message);
    }
    Some(())
}

fn postcopy_recovery(case: &Case<'_>, report: &mut Report) -> Option<()> {
    if !case.request(report)?.postcopy {
        return Some(());
    }
    let destination = case.destination(report)?;
    let library = destination.library_version;
    report.need((library > 0).then_some(()), "/destination/library-version")?;
    if (LIBVIRT_ENDS_ON_RESUME.0..LIBVIRT_ENDS_ON_RESUME.1).contains(&library) {
        let message = format!(
            "libvirt {} on {} ends when a failed post-copy is resumed",
            dotted(library),
            called(destination)
        );
        report.warn("/destination/library-version", message);
    }
    Some(())
}

fn long_tls(case: &Case<'_>, report: &mut Report) -> Option<()> {
    if !case.request(report)?.tls {
        return Some(());
    }
    let library = case.source(report)?.library_version;
    report.need((library > 0).then_some(()), "/source/library-version")?;
    if library < LIBVIRT_LONG_TLS {
        let message = format!(
            "libvirt {} on the source does not avoid GnuTLS's error in long transfers",
            dotted(library)
        );
        report.warn("/source/library-version", message);
    }
    Some(())
}
