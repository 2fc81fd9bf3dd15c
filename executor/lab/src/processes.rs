//! Reads `/proc`: who runs in which namespace, and whether a process id still means the same process.
//!
//! It must never kill a process by its id alone: ids are reused, so a remembered id
//! is compared by start time first.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::LabError;

/// A running process as seen from outside the lab's namespaces.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    /// The short name, at most 15 bytes.
    pub(crate) name: String,
    pub(crate) arguments: Vec<String>,
}

/// The id and the start time (clock ticks since boot) name a process uniquely.
pub(crate) fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may itself hold spaces and parentheses.
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(19)?.parse().ok()
}

/// The identity of a process's namespace, such as `pid:[4026532301]`; `kind` is a file of `/proc/PID/ns`.
pub(crate) fn namespace(pid: u32, kind: &str) -> Option<String> {
    let link = fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok()?;
    Some(link.to_string_lossy().into_owned())
}

/// Every live process in a namespace.
pub(crate) fn in_namespace(identity: &str) -> Vec<Process> {
    let Some((kind, _)) = identity.split_once(':') else { return Vec::new() };
    all().filter(|&pid| namespace(pid, kind).as_deref() == Some(identity)).filter_map(read).collect()
}

/// The first child of a process, if it has one.
pub(crate) fn child_of(parent: u32) -> Option<u32> {
    all().find(|pid| {
        status_field(*pid, "PPid:")
            .and_then(|text| text.parse::<u32>().ok())
            .is_some_and(|ppid| ppid == parent)
    })
}

/// Whether the process runs; one that has ended but was not yet waited for does not.
pub(crate) fn is_alive(pid: u32) -> bool {
    read(pid).is_some()
}

/// User and system time that the process has used, in clock ticks.
pub(crate) fn cpu_ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11).map(|field| field.parse::<u64>().ok());
    Some(fields.next()?? + fields.next()??)
}

/// Kills at once, and waits until the process is gone.
pub(crate) fn kill_and_wait(pid: u32) -> Result<(), LabError> {
    let before = start_time(pid);
    kill(pid)?;
    let allowed = Duration::from_secs(20);
    let deadline = Instant::now() + allowed;
    while read(pid).is_some() && start_time(pid) == before {
        if Instant::now() > deadline {
            return Err(LabError::Timeout { what: format!("the end of process {pid}"), allowed });
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

pub(crate) fn kill(pid: u32) -> Result<(), LabError> {
    let Some(target) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(()) };
    match kill_process(target, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(LabError::Io { what: format!("kill process {pid}"), source: error.into() }),
    }
}

fn all() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_string_lossy().parse().ok())
}

/// A process that has ended but was not yet waited for counts as gone. One whose first thread has ended does not, as long as
/// it has others: they have its files, and with them its locks.
fn read(pid: u32) -> Option<Process> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let has_ended = field("State:")?.starts_with(['Z', 'X']);
    if has_ended && field("Threads:")?.parse().is_ok_and(|threads: u32| threads <= 1) {
        return None;
    }
    let name = status_field(pid, "Name:")?;
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let arguments =
        line.split(|&byte| byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    Some(Process { pid, name, arguments })
}

fn status_field(pid: u32, field: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix(field))?;
    Some(value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::process::{Command, Stdio};

    use super::{is_alive, status_field};

    /// A program whose first thread ends, while another waits for the end of the input.
    const LEADERLESS: &str = "import ctypes, sys, threading\n\
        threading.Thread(target=sys.stdin.read).start()\n\
        print('ready', flush=True)\n\
        ctypes.CDLL(None).pthread_exit(None)\n";

    #[test]
    fn a_process_is_alive_until_the_last_of_its_threads_has_ended() {
        let mut command = Command::new("python3");
        command.args(["-c", LEADERLESS]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let pid = child.id();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        while !status_field(pid, "State:").unwrap().starts_with('Z') {
            std::thread::yield_now();
        }
        assert!(is_alive(pid), "its other thread has its files");
        child.kill().unwrap();
        // Not waited for: it stays a zombie, with no thread left.
        while is_alive(pid) {
            std::thread::yield_now();
        }
        child.wait().unwrap();
    }
}
