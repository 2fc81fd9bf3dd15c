//! Whether a directory of one host is a directory of the other, found out through libvirt alone: a file with a name that
//! cannot be guessed is made in it on the source, and the destination is looked through for it.
//!
//! libvirt sees a directory through a storage pool. Where there is none, one is started that is forgotten when it is
//! stopped. The file is removed and the pool stopped in every outcome; what a connection that broke off left behind is
//! removed by the next probe. No file of anybody else is ever touched.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use whimbrel_facts::Sharing;
use whimbrel_facts::xml;

use crate::xml_text::escaped;
use crate::{Connection, ErrorCode, LibvirtError, StoragePool};

/// Pools and files of probes begin so; the seconds since 1970 follow.
const MARK: &str = "whimbrel-probe-";
/// No probe takes as long.
const STALE_S: u64 = 600;
/// A network file system may tell of a new file a little later.
const LOOKS: u32 = 5;
const BETWEEN_LOOKS: Duration = Duration::from_millis(300);
/// Another probe of the same directory may stop its pool under this one.
const ATTEMPTS: u32 = 3;
/// Of so many files the ones that were left behind are sought.
const NAMES_MOST: u16 = 10_000;

/// A directory of one host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) connection: &'a Connection,
    pub(super) directory: &'a str,
}

/// A host's facts about a directory; all unknown when no pool is there.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Whether there is such a directory.
    pub(super) exists: Option<bool>,
    /// The pool that is there, if it is not a probe's.
    pub(super) pool: String,
    pub(super) free_bytes: Option<u64>,
    /// The kind of the pool's file system; empty where its definition names none.
    pub(super) filesystem: String,
    /// The size of each queried file, or none when it is not there; empty without a query.
    pub(super) files: Vec<Option<u64>>,
}

/// What both tell.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) here: Seen,
    pub(super) there: Seen,
    pub(super) sharing: Sharing,
    pub(super) evidence: String,
}

/// Looks at a directory on both hosts, each with the files that are sought there. `make` allows what a probe makes.
pub(super) fn look(places: [(Place<'_>, &[String]); 2], make: bool) -> Found {
    let mut attempt = 1;
    loop {
        match once(places, make) {
            Ok(found) => return found,
            Err(error) if attempt == ATTEMPTS => return unknown(&error),
            Err(_) => attempt += 1,
        }
        thread::sleep(BETWEEN_LOOKS);
    }
}

fn unknown(error: &LibvirtError) -> Found {
    let evidence = format!("the probe could not be made: {}", error.message);
    Found { here: Seen::default(), there: Seen::default(), sharing: Sharing::Unknown, evidence }
}

fn once(places: [(Place<'_>, &[String]); 2], make: bool) -> Result<Found, LibvirtError> {
    let [(source, files), (destination, others)] = places;
    let here = Opened::open(source, make)?;
    let there = match Opened::open(destination, make) {
        Ok(there) => there,
        Err(error) => {
            here.close(source)?;
            return Err(error);
        }
    };
    let result = both(source, &here, &there, make).and_then(|(sharing, evidence)| {
        Ok(Found { here: here.seen(files)?, there: there.seen(others)?, sharing, evidence })
    });
    // Both are closed in every case, and before any error is returned.
    let closed = [here.close(source), there.close(destination)];
    let found = result?;
    for closed in closed {
        closed?;
    }
    Ok(found)
}

fn both(
    source: Place<'_>,
    here: &Opened,
    there: &Opened,
    make: bool,
) -> Result<(Sharing, String), LibvirtError> {
    let unknown = |why: &str| Ok((Sharing::Unknown, why.to_owned()));
    match (here, there) {
        _ if !make => unknown("no probe was requested"),
        (Opened::Missing, _) => unknown("the source's libvirt sees no such directory"),
        (Opened::Pool { .. }, Opened::Missing) => {
            Ok((Sharing::Disproven, "the destination has no such directory".to_owned()))
        }
        (Opened::Pool { pool, .. }, Opened::Pool { pool: other, .. }) => prove(source, pool, other),
        (Opened::Nothing, _) | (_, Opened::Nothing) => unknown("no storage pool is there"),
    }
}

/// Makes the file, looks for it, and removes it.
fn prove(
    source: Place<'_>,
    pool: &StoragePool,
    other: &StoragePool,
) -> Result<(Sharing, String), LibvirtError> {
    let name = unguessable();
    let directory = source.directory;
    let xml = format!(
        "<volume><name>{name}</name><capacity unit='bytes'>4096</capacity><allocation>0</allocation>\
         <target><format type='raw'/></target></volume>"
    );
    let file = match pool.create_volume(&xml) {
        Ok(file) => file,
        // Nothing was made, so nothing is known: the directory may be read-only for libvirt alone.
        Err(error) if error.code != ErrorCode::NoStoragePool => {
            let why = format!("no file can be made in `{directory}` of the source: {}", error.message);
            return Ok((Sharing::Unknown, why));
        }
        Err(error) => return Err(error),
    };
    let seen = sought(other, &name);
    if file.delete().is_err() {
        // Another probe may have stopped the pool meanwhile.
        remove(source, &name)?;
    }
    Ok(if seen? {
        (Sharing::Proven, format!("a file made in `{directory}` on the source was seen on the destination"))
    } else {
        (Sharing::Disproven, format!("a file made in `{directory}` on the source is not on the destination"))
    })
}

fn sought(pool: &StoragePool, name: &str) -> Result<bool, LibvirtError> {
    for look in 0..LOOKS {
        if look > 0 {
            thread::sleep(BETWEEN_LOOKS);
        }
        pool.refresh()?;
        if pool.volume(name)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn remove(place: Place<'_>, name: &str) -> Result<(), LibvirtError> {
    let opened = Opened::open(place, true)?;
    let removed = match &opened {
        Opened::Pool { pool, .. } => match pool.volume(name)? {
            Some(file) => file.delete(),
            None => Ok(()),
        },
        Opened::Missing | Opened::Nothing => Ok(()),
    };
    opened.close(place)?;
    removed
}

/// A directory as libvirt has it open.
enum Opened {
    /// There is no such directory.
    Missing,
    /// No pool is there, and none was to be made.
    Nothing,
    Pool {
        pool: StoragePool,
        name: String,
        free_bytes: Option<u64>,
        filesystem: String,
        /// It was made here, or a probe that broke off left it behind.
        is_ours: bool,
    },
}

impl Opened {
    fn open(place: Place<'_>, make: bool) -> Result<Self, LibvirtError> {
        let found = place.connection.pool_at(place.directory)?;
        let (pool, is_new) = match found {
            Some(pool) => (pool, false),
            None if !make => return Ok(Self::Nothing),
            None => match place.connection.create_pool(&pool_xml(place.directory)) {
                Ok(pool) => (pool, true),
                Err(error) if error.message.contains("No such file or directory") => {
                    return Ok(Self::Missing);
                }
                Err(error) => return Err(error),
            },
        };
        pool.refresh()?;
        let description = pool.xml()?;
        let described = xml::pool(&description).unwrap_or_default();
        let filesystem = xml::pool_filesystem(&description).unwrap_or_default();
        let is_ours = is_new || is_left_behind(&described.name);
        let opened = Self::Pool {
            pool,
            name: described.name,
            free_bytes: described.available_bytes,
            filesystem,
            is_ours,
        };
        if make {
            opened.sweep();
        }
        Ok(opened)
    }

    /// Removes what probes that broke off have left in it.
    fn sweep(&self) {
        let Self::Pool { pool, .. } = self else { return };
        let left = pool.volume_names(NAMES_MOST).unwrap_or_default();
        for name in left.iter().filter(|name| is_left_behind(name)) {
            // A probe without the permission to remove it leaves it to the next one.
            let _ = pool.volume(name).map(|file| file.map(|file| file.delete()));
        }
    }

    fn seen(&self, files: &[String]) -> Result<Seen, LibvirtError> {
        match self {
            Self::Missing => {
                Ok(Seen { exists: Some(false), files: vec![None; files.len()], ..Seen::default() })
            }
            Self::Nothing => Ok(Seen::default()),
            Self::Pool { pool, name, free_bytes, filesystem, .. } => Ok(Seen {
                filesystem: filesystem.clone(),
                exists: Some(true),
                pool: if name.starts_with(MARK) { String::new() } else { name.clone() },
                // A probe's pool is gone before a copy: libvirt would not find the room that it reports.
                free_bytes: if name.starts_with(MARK) { None } else { *free_bytes },
                files: files
                    .iter()
                    .map(|file| pool.volume(file)?.map(|volume| volume.bytes()).transpose())
                    .collect::<Result<_, _>>()?,
            }),
        }
    }

    fn close(self, place: Place<'_>) -> Result<(), LibvirtError> {
        let Self::Pool { pool, is_ours: true, .. } = self else { return Ok(()) };
        match pool.stop() {
            // Another client stopped it already, or the daemon was restarted: it is gone.
            Err(error) if place.connection.pool_at(place.directory)?.is_some() => Err(error),
            _ => Ok(()),
        }
    }
}

fn pool_xml(directory: &str) -> String {
    let path = escaped(directory);
    let name = unguessable();
    format!("<pool type='dir'><name>{name}</name><target><path>{path}</path></target></pool>")
}

/// A name with 128 random bits: the standard library keys each of its hashers at random.
fn unguessable() -> String {
    let random = || RandomState::new().build_hasher().finish();
    format!("{MARK}{}-{:016x}{:016x}", now_s(), random(), random())
}

fn is_left_behind(name: &str) -> bool {
    let made = name.strip_prefix(MARK).and_then(|rest| rest.split('-').next()?.parse::<u64>().ok());
    made.is_some_and(|made| made.saturating_add(STALE_S) < now_s())
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::{is_left_behind, pool_xml, unguessable};

    #[test]
    fn names_differ_and_only_old_ones_are_left_behind() {
        let (one, other) = (unguessable(), unguessable());
        assert_ne!(one, other);
        assert!(!is_left_behind(&one));
        assert!(is_left_behind("whimbrel-probe-1700000000-00"));
        for foreign in ["guest.img", "whimbrel-probe-", "whimbrel-probe-x-1", "1700000000"] {
            assert!(!is_left_behind(foreign), "{foreign}");
        }
    }

    #[test]
    fn a_path_stays_a_path() {
        assert!(pool_xml("/a&b<c").contains("<path>/a&amp;b&lt;c</path>"));
    }
}
