//! Which guests of a host use a file or a block device, running or not, by their definitions.
//!
//! What no definition names is not seen: layers below an image that libvirt does not list, and files of other programs.
//! A question that fails is an error, never the answer that it is unused.

use std::collections::BTreeSet;

use whimbrel_facts::xml;

use super::identity::names_of;
use crate::documents::unreadable;
use crate::{Connection, ErrorCode, LibvirtError, XmlView};

/// For each path the guests that use it, in the words of a message. The guest of this UUID is left out.
///
/// # Errors
/// When the host does not tell its guests or a definition of one.
pub(crate) fn users(
    connection: &Connection,
    paths: &[String],
    except_uuid: Option<&str>,
) -> Result<Vec<Vec<String>>, LibvirtError> {
    let devices = if paths.iter().any(|path| path.starts_with("/dev/")) {
        connection.node_devices().unwrap_or_default()
    } else {
        Vec::new()
    };
    let sought: Vec<BTreeSet<String>> =
        paths.iter().map(|path| names_of(&devices, path).iter().map(|name| plain(name)).collect()).collect();
    let mut found = vec![Vec::new(); paths.len()];
    for domain in connection.domains()? {
        let read = || {
            let mut used = BTreeSet::new();
            // A running guest may have disks that its stored definition does not have, and the other way round.
            for view in [XmlView::Current, XmlView::Inactive] {
                used.extend(used_paths(connection, &domain.xml(view)?)?);
            }
            Ok((domain.name()?, domain.uuid()?, used))
        };
        let (name, uuid, used) = match read() {
            Ok(read) => read,
            // It ended while it was asked.
            Err(LibvirtError { code: ErrorCode::NoDomain, .. }) => continue,
            Err(error) => return Err(error),
        };
        if except_uuid == Some(uuid.as_str()) {
            continue;
        }
        for (names, users) in sought.iter().zip(&mut found) {
            if !names.is_disjoint(&used) {
                users.push(format!("the guest `{name}`"));
            }
        }
    }
    Ok(found)
}

/// Every path that a definition names anywhere: disks and the layers below them, firmware, kernels. Volumes are looked up.
fn used_paths(connection: &Connection, definition: &str) -> Result<Vec<String>, LibvirtError> {
    let named = xml::named_storage(definition).map_err(|error| unreadable("virDomainGetXMLDesc", &error))?;
    let mut paths: Vec<String> = named.paths.iter().map(|path| plain(path)).collect();
    for (pool, volume) in named.volumes {
        paths.extend(connection.volume_path(&pool, &volume)?.map(|path| plain(&path)));
        paths.push(format!("{pool}/{volume}"));
    }
    Ok(paths)
}

/// A path without empty and `.` parts, and a logical volume by one of its two names.
pub(crate) fn plain(path: &str) -> String {
    if !path.starts_with('/') {
        return path.to_owned();
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    match parts.as_slice() {
        // `/dev/mapper/vg-lv` is `/dev/vg/lv`; a dash in either name is doubled there.
        ["dev", "mapper", name] => match mapped(name) {
            Some((group, volume)) => format!("/dev/{group}/{volume}"),
            None => format!("/dev/mapper/{name}"),
        },
        _ => format!("/{}", parts.join("/")),
    }
}

fn mapped(name: &str) -> Option<(String, String)> {
    let marked = name.replace("--", "\u{0}");
    let (group, volume) = marked.split_once('-')?;
    Some((group.replace('\u{0}', "-"), volume.replace('\u{0}', "-")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_has_one_name() {
        for (named, name) in [
            ("/srv//a/./b.raw", "/srv/a/b.raw"),
            ("/dev/mapper/vg--1-lv", "/dev/vg-1/lv"),
            ("/dev/mapper/mpatha", "/dev/mapper/mpatha"),
            ("pool/volume", "pool/volume"),
        ] {
            assert_eq!(plain(named), name);
        }
    }
}
