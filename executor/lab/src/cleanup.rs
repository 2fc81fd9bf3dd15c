//! What a lab leaves on the machine while it lives, and how all of it is taken away: by its owner, when
//! its owner is interrupted, or by anybody once its owner is dead.
//!
//! It must never touch a lab whose owner is alive, nor a process that is not provably the lab's.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError, Weak};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::namespaces::{Holder, Keeper};
use crate::{LabError, processes};

/// Labs live here, one folder each, named by the owner's process id and start time and a number.
pub(crate) const LABS: &str = "/run/whimbrel-lab";

static LIVING: Mutex<Vec<Weak<Cleanup>>> = Mutex::new(Vec::new());
static ON_SIGNAL: Once = Once::new();
static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static LAST_WORDS: Mutex<Option<String>> = Mutex::new(None);
static COUNT: AtomicU32 = AtomicU32::new(0);

/// The folder, the holders of all namespaces, and the thread that started them.
#[derive(Debug)]
pub(crate) struct Cleanup {
    pub(crate) folder: PathBuf,
    pub(crate) keeper: Keeper,
    holders: Mutex<Vec<Holder>>,
}

impl Cleanup {
    pub(crate) fn create(on_signal: bool) -> Result<Arc<Self>, LabError> {
        let pid = std::process::id();
        let start = processes::start_time(pid).unwrap_or(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = Path::new(LABS).join(format!("{pid}-{start}-{number}"));
        fs::create_dir_all(&folder).map_err(LabError::io(format!("create `{}`", folder.display())))?;
        let cleanup = Arc::new(Self { folder, keeper: Keeper::start()?, holders: Mutex::new(Vec::new()) });
        lock(&LIVING).push(Arc::downgrade(&cleanup));
        if on_signal {
            ON_SIGNAL.call_once(remove_on_signal);
        }
        Ok(cleanup)
    }

    /// Takes a holder into keeping, writes down who it is for the case that the owner dies, and gives a
    /// process inside its namespaces.
    pub(crate) fn keep(&self, holder: Holder) -> Result<u32, LabError> {
        let inside = holder.inside;
        let line = format!("{inside} {}\n", processes::start_time(inside).unwrap_or(0));
        let mut holders = lock(&self.holders);
        holders.push(holder);
        let path = self.folder.join(format!("holder-{}", holders.len()));
        fs::write(&path, line).map_err(LabError::io(format!("write `{}`", path.display())))?;
        Ok(inside)
    }

    /// Removes everything; a second call finds nothing to do. All is tried, and the first failure is returned.
    pub(crate) fn remove(&self) -> Result<(), LabError> {
        let mut failure = None;
        // Held to the end: two removals at once would find each other's files gone, and both would stop there.
        let mut holders = lock(&self.holders);
        holders.retain_mut(|holder| holder.end().map_err(|error| failure = Some(error)).is_err());
        let reason = match (failure, remove_folder(&self.folder)) {
            (None, Ok(())) => return Ok(()),
            (Some(error), _) => error.to_string(),
            (None, Err(error)) => error.to_string(),
        };
        Err(LabError::LeftBehind { path: self.folder.clone(), reason })
    }
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        // A drop cannot return an error; `remove` does.
        let _ = self.remove();
    }
}

/// Goes no further when the process was interrupted and everything is being removed: whatever fails now fails for that
/// reason, and the removal ends the process.
pub(crate) fn stand_still_if_interrupted() {
    while INTERRUPTED.load(Ordering::SeqCst) {
        std::thread::park();
    }
}

/// Removes the labs of owners that are dead, and gives how many there were.
pub(crate) fn remove_stale() -> Result<usize, LabError> {
    let Ok(entries) = fs::read_dir(LABS) else { return Ok(0) };
    let mut removed = 0;
    for folder in entries.flatten().map(|entry| entry.path()) {
        if owner_is_dead(&folder) {
            for (pid, start) in recorded_holders(&folder) {
                if processes::start_time(pid) == Some(start) {
                    processes::kill_and_wait(pid)?;
                }
            }
            remove_folder(&folder)
                .map_err(|error| LabError::LeftBehind { path: folder.clone(), reason: error.to_string() })?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Whether the folder's name says so; a folder of any other name is not a lab's.
fn owner_is_dead(folder: &Path) -> bool {
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut parts = name.split('-').map(|part| part.parse::<u64>().ok());
    let (Some(Some(pid)), Some(Some(start))) = (parts.next(), parts.next()) else { return false };
    u32::try_from(pid).is_ok_and(|pid| processes::start_time(pid) != Some(start))
}

fn recorded_holders(folder: &Path) -> Vec<(u32, u64)> {
    let files = (1..).map(|number| folder.join(format!("holder-{number}")));
    files
        .map_while(|path| fs::read_to_string(path).ok())
        .filter_map(|line| {
            let (pid, start) = line.trim().split_once(' ')?;
            Some((pid.parse().ok()?, start.parse().ok()?))
        })
        .collect()
}

fn remove_folder(folder: &Path) -> std::io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // The last lab takes the common folder with it; while others live it is not empty, and stays.
    let _ = fs::remove_dir(LABS);
    Ok(())
}

/// Written to standard error when a signal ends this process after its labs are removed; replaces what was there.
pub fn say_if_interrupted(words: String) {
    *lock(&LAST_WORDS) = Some(words);
}

/// One thread for all labs of the process: the first lab to end the process must not leave the others.
fn remove_on_signal() {
    let Ok(mut signals) = Signals::new([SIGINT, SIGTERM]) else { return };
    std::thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            INTERRUPTED.store(true, Ordering::SeqCst);
            for lab in lock(&LIVING).iter().filter_map(Weak::upgrade) {
                let _ = lab.remove();
            }
            if let Some(words) = lock(&LAST_WORDS).take() {
                let _ = writeln!(std::io::stderr(), "{words}");
            }
            let _ = emulate_default_handler(signal);
        }
    });
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
