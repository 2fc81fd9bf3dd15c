//! The guest's CPU and machine on the destination. Where libvirt compared them, its result decides.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::vec::Vec;

use whimbrel_facts::{CpuComparison, Domain, Host, Machine};

use crate::case::{Case, called};
use crate::pack::{Rule, rule};
use crate::report::Report;

/// How far two clocks may be apart in millionths before KVM refuses to take one for the other.
const TSC_TOLERANCE_PPM: u64 = 250;

pub(super) const RULES: &[Rule] = &[
    rule(
        "cpu.comparison",
        "libvirt on the destination accepts the guest's CPU",
        "a guest that loses CPU features crashes; at the start libvirt's own comparison decides",
        "choose a CPU model that all hosts support: `virsh hypervisor-cpu-baseline`",
        comparison,
    ),
    rule(
        "cpu.features",
        "the destination has every CPU feature that the guest requires",
        "libvirt refuses to start a guest whose required CPU features are missing",
        "remove the feature from the guest's CPU, or name a destination that has it",
        features,
    ),
    rule(
        "cpu.forbidden-features",
        "the destination has no CPU feature that the guest forbids",
        "libvirt refuses to start a guest on a host with a feature that its definition forbids",
        "change the policy of the feature to `disable`",
        forbidden_features,
    ),
    rule(
        "cpu.model",
        "the destination supports the guest's CPU model",
        "libvirt refuses a model that the destination's CPU does not support",
        "choose a model that is usable on all hosts: `virsh domcapabilities` lists them",
        model,
    ),
    rule(
        "cpu.mode",
        "the destination supports the guest's CPU mode",
        "libvirt refuses a mode that the destination's hypervisor does not support",
        "use the mode `custom` with a named model",
        mode,
    ),
    rule(
        "cpu.vendor",
        "the destination's CPU has the required vendor",
        "libvirt refuses a definition that names the vendor of another CPU",
        "remove the vendor from the guest's CPU, or name a destination of that vendor",
        vendor,
    ),
    rule(
        "cpu.passthrough",
        "the CPU is not passed through, or both hosts have the same CPU",
        "a passed-through CPU exposes the host's own features; on another CPU the guest may crash long after the \
         migration",
        "use a named model, or migrate only between identical hosts",
        passthrough,
    ),
    rule(
        "cpu.invariant-tsc",
        "a guest with an invariant TSC has its frequency set",
        "QEMU blocks the migration of an invariant TSC without a frequency",
        "set `<timer name='tsc' frequency='...'/>`, or disable the feature `invtsc`",
        invariant_tsc,
    ),
    rule(
        "cpu.tsc-frequency",
        "the destination's TSC supports the guest's frequency",
        "without TSC scaling, KVM refuses a frequency that differs by more than 250 ppm",
        "name a destination of the same frequency or with TSC scaling",
        tsc_frequency,
    ),
    rule(
        "machine.unknown",
        "the destination supports the guest's machine type",
        "the machine type defines the guest's board; a host without it cannot start the guest",
        "name a destination whose QEMU supports it; newer versions remove old types",
        machine_unknown,
    ),
    rule(
        "machine.deprecated",
        "the destination does not deprecate the guest's machine type",
        "a later version removes a deprecated machine type, and the guest can then be migrated to no new host",
        "plan a restart of the guest with a newer machine type",
        machine_deprecated,
    ),
    rule(
        "machine.cpus",
        "the machine type supports the guest's maximum number of CPUs",
        "libvirt refuses a machine type with fewer CPUs than the guest's maximum",
        "reduce the guest's maximum, or name another destination",
        machine_cpus,
    ),
];

fn comparison(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let destination = case.destination(report)?;
    match report.need(destination.cpu_comparison, "/destination/cpu-comparison")? {
        CpuComparison::Incompatible => {
            let reason = &destination.cpu_comparison_reason;
            let message = format!("libvirt on {} refuses the guest's CPU: {reason}", called(destination));
            report.fail("/destination/cpu-comparison", message);
        }
        CpuComparison::Identical | CpuComparison::Superset => {}
    }
    Some(())
}

fn required(guest: &Domain) -> impl Iterator<Item = &str> {
    let wanted =
        guest.cpu.features.iter().filter(|one| matches!(one.policy.as_str(), "require" | "force" | ""));
    wanted.map(|one| one.name.as_str())
}

fn features(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest(report)?;
    let destination = case.destination(report)?;
    let has: BTreeSet<&str> = destination.cpu.features.iter().map(alloc::string::String::as_str).collect();
    let missing: Vec<&str> = required(guest).filter(|name| !has.contains(name)).collect();
    if missing.is_empty() {
        return Some(());
    }
    let missing = missing.join(", ");
    report.saw("cpu.features.not-listed", missing.as_str());
    match destination.cpu_comparison {
        // Features that a model implies are not listed by name; libvirt's comparison includes them.
        Some(CpuComparison::Identical | CpuComparison::Superset) => {}
        Some(CpuComparison::Incompatible) => {
            let message =
                format!("{} refuses the guest's CPU and does not list: {missing}", called(destination));
            report.fail("/destination/cpu/features", message);
        }
        None => {
            let message =
                format!("{} does not list, and libvirt did not compare: {missing}", called(destination));
            report.unknown("/destination/cpu/features", message);
        }
    }
    Some(())
}

fn forbidden_features(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest(report)?;
    let destination = case.destination(report)?;
    for feature in guest.cpu.features.iter().filter(|one| one.policy == "forbid") {
        report.need((!destination.cpu.features.is_empty()).then_some(()), "/destination/cpu/features")?;
        if destination.cpu.features.contains(&feature.name) {
            let message = format!("{} has `{}`, which the guest forbids", called(destination), feature.name);
            report.fail("/destination/cpu/features", message);
        }
    }
    Some(())
}

fn model(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest(report)?;
    let destination = case.destination(report)?;
    let named = !guest.cpu.model.is_empty();
    if !matches!(guest.cpu.mode.as_str(), "custom" | "") || (guest.cpu.mode.is_empty() && !named) {
        return Some(());
    }
    report.need(named.then_some(()), "/guest/cpu/model")?;
    let models = report.need(destination.cpu_models.as_ref(), "/destination/cpu-models")?;
    let name = &guest.cpu.model;
    match models.iter().find(|one| one.name == *name) {
        None => {
            let message = format!("{} does not know the CPU model `{name}`", called(destination));
            report.fail("/destination/cpu-models", message);
        }
        Some(found) => match (found.usable, destination.cpu_comparison) {
            // The guest's own features may disable just those that the host lacks: libvirt's comparison includes them.
            (Some(true), _) | (Some(false), Some(CpuComparison::Identical | CpuComparison::Superset)) => {}
            (Some(false), None) if guest.cpu.features.iter().any(|one| one.policy == "disable") => {
                let message = format!(
                    "whether `{name}` is usable without the features that the guest leaves out is not known"
                );
                report.unknown("/destination/cpu-models", message);
            }
            (Some(false), _) => {
                let message =
                    format!("the CPU of {} cannot give the model `{name}` in full", called(destination));
                report.fail("/destination/cpu-models", message);
            }
            (None, _) => {
                report.unknown("/destination/cpu-models", format!("whether `{name}` is usable is not known"));
            }
        },
    }
    Some(())
}

fn mode(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest(report)?;
    let destination = case.destination(report)?;
    if guest.cpu.mode.is_empty() {
        return Some(());
    }
    let modes = report.need(destination.cpu_modes.as_ref(), "/destination/cpu-modes")?;
    if !modes.contains(&guest.cpu.mode) {
        let message = format!("{} does not support the CPU mode `{}`", called(destination), guest.cpu.mode);
        report.fail("/destination/cpu-modes", message);
    }
    Some(())
}

fn vendor(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest(report)?;
    if guest.cpu.vendor.is_empty() {
        return Some(());
    }
    let destination = case.destination(report)?;
    let vendor = &destination.cpu.vendor;
    report.need((!vendor.is_empty()).then_some(()), "/destination/cpu/vendor")?;
    if *vendor != guest.cpu.vendor {
        let message = format!(
            "the guest wants a CPU of {}, and {} has {vendor}",
            guest.cpu.vendor,
            called(destination)
        );
        report.fail("/destination/cpu/vendor", message);
    }
    Some(())
}

fn passthrough(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest(report)?;
    if !matches!(guest.cpu.mode.as_str(), "host-passthrough" | "maximum") {
        return Some(());
    }
    let (source, destination) = (case.source(report)?, case.destination(report)?);
    report.need((!source.cpu.model.is_empty()).then_some(()), "/source/cpu/model")?;
    report.need((!destination.cpu.model.is_empty()).then_some(()), "/destination/cpu/model")?;
    report.need((!source.cpu.features.is_empty()).then_some(()), "/source/cpu/features")?;
    report.need((!destination.cpu.features.is_empty()).then_some(()), "/destination/cpu/features")?;
    if is_same_cpu(source, destination) {
        report.warn(
            "/guest/cpu/mode",
            "the CPU is passed through; the hosts' models are equal, their microcode may differ",
        );
    } else {
        let message = format!(
            "the CPU is passed through, and the hosts' differ: {} and {}",
            source.cpu.model, destination.cpu.model
        );
        report.fail("/guest/cpu/mode", message);
    }
    Some(())
}

fn is_same_cpu(source: &Host, destination: &Host) -> bool {
    let sorted = |host: &Host| -> BTreeSet<_> { host.cpu.features.iter().cloned().collect() };
    source.cpu.model == destination.cpu.model
        && source.cpu.vendor == destination.cpu.vendor
        && sorted(source) == sorted(destination)
}

fn invariant_tsc(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let guest = case.guest(report)?;
    if guest.tsc_frequency_hz.is_some() {
        return Some(());
    }
    if required(guest).any(|name| name == "invtsc") {
        report.fail(
            "/guest/tsc-frequency-hz",
            "the guest has an invariant time-stamp counter without a frequency",
        );
    }
    // Then QEMU leaves nothing out of the host's CPU, this counter neither. Source: QEMU, `target/i386/kvm/kvm.c`.
    let is_whole = matches!(guest.cpu.mode.as_str(), "host-passthrough" | "maximum");
    let is_left_out = guest.cpu.features.iter().any(|one| one.name == "invtsc" && one.policy == "disable");
    if is_whole && guest.cpu.migratable == Some(false) && !is_left_out && guest.architecture == "x86_64" {
        let features = &case.source(report)?.cpu.features;
        report.need((!features.is_empty()).then_some(()), "/source/cpu/features")?;
        if features.iter().any(|name| name == "invtsc") {
            report.fail(
                "/guest/cpu/migratable",
                "the CPU is passed through with all that blocks a migration (`migratable='off'`), the host's invariant \
                 time-stamp counter included",
            );
        } else {
            report.unknown(
                "/guest/cpu/migratable",
                "the CPU is passed through with all that blocks a migration (`migratable='off'`): whether the host has \
                 such features is not known",
            );
        }
    }
    Some(())
}

fn tsc_frequency(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let Some(wanted) = case.guest(report)?.tsc_frequency_hz else { return Some(()) };
    let cpu = &case.destination(report)?.cpu;
    if cpu.tsc_scaling == Some(true) {
        return Some(());
    }
    let there = report.need(cpu.tsc_frequency_hz, "/destination/cpu/tsc-frequency-hz")?;
    report.saw("tsc.wanted-hz", wanted);
    report.saw("tsc.destination-hz", there);
    if there.abs_diff(wanted) > wanted / 1_000_000 * TSC_TOLERANCE_PPM {
        let message = format!("the guest's counter runs at {wanted} Hz, the destination's at {there} Hz");
        report.fail("/destination/cpu/tsc-frequency-hz", message);
    }
    Some(())
}

fn machine<'a>(case: &Case<'a>, report: &mut Report) -> Option<(&'a Domain, &'a Host, Option<&'a Machine>)> {
    let guest = case.guest(report)?;
    let destination = case.destination(report)?;
    report.need((!guest.machine.is_empty()).then_some(()), "/guest/machine")?;
    let machines = report.need(destination.machines.as_ref(), "/destination/machines")?;
    Some((guest, destination, machines.iter().find(|one| one.name == guest.machine)))
}

fn machine_unknown(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let (guest, destination, found) = machine(case, report)?;
    match found {
        None => {
            let message = format!("{} has no machine type `{}`", called(destination), guest.machine);
            report.fail("/destination/machines", message);
        }
        // A running guest's definition names the version; an alias stands for the newest version on each host.
        Some(found) if !found.alias_of.is_empty() => {
            let message = format!("`{}` is another name of {} there", found.name, found.alias_of);
            report.warn("/destination/machines", message);
        }
        Some(_) => {}
    }
    Some(())
}

fn machine_deprecated(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let (guest, destination, found) = machine(case, report)?;
    if found.is_some_and(|found| found.deprecated) {
        let message = format!("{} deprecates the machine type `{}`", called(destination), guest.machine);
        report.warn("/destination/machines", message);
    }
    Some(())
}

fn machine_cpus(case: &Case<'_>, report: &mut Report) -> Option<()> {
    let (guest, destination, found) = machine(case, report)?;
    let Some(found) = found else { return Some(()) };
    let most = report.need(found.cpus_maximum, "/destination/machines")?;
    report.need((guest.cpus_maximum > 0).then_some(()), "/guest/cpus-maximum")?;
    if guest.cpus_maximum > most {
        let message = format!(
            "the guest may have {} CPUs, and `{}` on {} takes {most}",
            guest.cpus_maximum,
            guest.machine,
            called(destination)
        );
        report.fail("/destination/machines", message);
    }
    Some(())
}
