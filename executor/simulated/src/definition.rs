//! A simulated guest's definition as XML, so that one given for the destination is compared as on real hosts.
//!
//! It has what the world knows of a guest and no more: a device that the world has no model of is one that the guest does
//! not have.

use std::fmt::Write as _;

use whimbrel_facts::xml::{XmlError, domain, target_attributes};
use whimbrel_facts::{Attribute, Domain};

/// The guest by the definition for the destination, and how that differs from the guest's own.
///
/// # Errors
/// When it is not the XML of a domain.
pub(super) fn compared(guest: &Domain, target: &str) -> Result<(Domain, Vec<Attribute>), XmlError> {
    Ok((domain(target)?, target_attributes(&written(guest), target)?))
}

/// The definition of a simulated guest.
fn written(guest: &Domain) -> String {
    let mut out = format!(
        "<domain type='{}'><name>{}</name><uuid>{}</uuid><memory unit='KiB'>{}</memory><vcpu>{}</vcpu>\
         <os><type arch='{}' machine='{}'>hvm</type></os><cpu mode='{}'><model>{}</model></cpu><devices>",
        escaped(&guest.accelerator),
        escaped(&guest.name),
        escaped(&guest.uuid),
        guest.memory_kib,
        guest.cpus_maximum,
        escaped(&guest.architecture),
        escaped(&guest.machine),
        escaped(&guest.cpu.mode),
        escaped(&guest.cpu.model),
    );
    for disk in &guest.disks {
        let source = if disk.kind == "block" { "dev" } else { "file" };
        // Writing into a string does not fail.
        let _ = write!(
            out,
            "<disk type='{}' device='{}'><driver name='qemu' type='{}' cache='{}'/><source {source}='{}'/>\
             <target dev='{}' bus='{}'/></disk>",
            escaped(&disk.kind),
            escaped(&disk.device),
            escaped(&disk.format),
            escaped(&disk.cache),
            escaped(disk.source.as_deref().unwrap_or_default()),
            escaped(&disk.target),
            escaped(&disk.bus),
        );
    }
    for card in &guest.network_cards {
        let _ = write!(
            out,
            "<interface type='{}'><source network='{}'/><model type='{}'/></interface>",
            escaped(&card.kind),
            escaped(&card.source),
            escaped(&card.model),
        );
    }
    out + "</devices></domain>"
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '\'' => out.push_str("&apos;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use whimbrel_facts::{Disk, NetworkCard};

    #[test]
    fn what_is_written_reads_as_the_guest() {
        let guest = Domain {
            name: "a & 'b' <c>".to_owned(),
            uuid: "u".to_owned(),
            accelerator: "kvm".to_owned(),
            memory_kib: 4096,
            memory_maximum_kib: 4096,
            cpus: 2,
            cpus_maximum: 2,
            disks: vec![Disk {
                target: "vda".to_owned(),
                kind: "file".to_owned(),
                device: "disk".to_owned(),
                source: Some("/srv/a".to_owned()),
                format: "raw".to_owned(),
                ..Disk::default()
            }],
            network_cards: vec![NetworkCard { kind: "network".to_owned(), ..NetworkCard::default() }],
            ..Domain::default()
        };
        let text = written(&guest);
        let read = domain(&text).unwrap();
        assert_eq!((read.name, read.memory_kib, read.cpus), (guest.name.clone(), 4096, 2));
        assert_eq!(read.disks[0].source.as_deref(), Some("/srv/a"));
        // Itself is no difference.
        let (_, attributes) = compared(&guest, &text).unwrap();
        assert!(attributes.iter().all(|one| !one.path.starts_with("definitions/source/")), "{attributes:?}");
    }
}
