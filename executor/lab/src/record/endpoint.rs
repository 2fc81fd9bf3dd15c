//! One QEMU as the recorder sees it: its monitor, the guest's serial line, its process.
//!
//! Both sockets are listened at before the process starts, which connects to them; the same arguments serve on every
//! host, because the paths are below a folder that each has for itself.

use std::path::Path;
use std::time::Duration;

use super::RecordError;
use super::lines::{Lines, Post};
use super::qmp::Qmp;
use super::trace::EVENTS;
use crate::{LabError, processes};

/// How long a QEMU may take from its start until it connects.
const START_ALLOWED: Duration = Duration::from_secs(30);

/// Where one QEMU will connect.
#[derive(Debug)]
pub(super) struct Posts {
    monitor: Post,
    serial: Post,
}

/// A QEMU that has connected.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) qmp: Qmp,
    pub(super) serial: Lines,
    /// As seen from outside all namespaces.
    pub(super) pid: u32,
}

impl Posts {
    /// Listens at `NAME.monitor` and `NAME.serial` in a folder.
    pub(super) fn open(folder: &Path, name: &str) -> Result<Self, RecordError> {
        Ok(Self {
            monitor: Post::open("QEMU's monitor", &folder.join(format!("{name}.monitor")))?,
            serial: Post::open("the guest's serial line", &folder.join(format!("{name}.serial")))?,
        })
    }

    /// QEMU's arguments to connect; `folder` is where it sees the sockets.
    pub(super) fn arguments(folder: &Path, name: &str) -> Vec<String> {
        let socket = |id: &str, kind: &str| {
            format!("socket,id={id},path={}", folder.join(format!("{name}.{kind}")).display())
        };
        let mut words = vec!["-chardev".to_owned(), socket("recorder-monitor", "monitor")];
        words.extend(["-mon", "chardev=recorder-monitor,mode=control", "-chardev"].map(str::to_owned));
        words.push(socket("recorder-serial", "serial"));
        words.extend(["-serial", "chardev:recorder-serial"].map(str::to_owned));
        words
    }

    /// Waits until the process has connected; `last_words` is what it said if it ends instead.
    pub(super) fn accept(self, pid: u32, last_words: &dyn Fn() -> String) -> Result<Endpoint, RecordError> {
        let mut alive = || {
            if processes::is_alive(pid) { Ok(()) } else { Err(RecordError::NotStarted(last_words())) }
        };
        let monitor = self.monitor.accept(START_ALLOWED, &mut alive)?;
        let serial = self.serial.accept(START_ALLOWED, &mut alive)?;
        Ok(Endpoint { qmp: Qmp::greet(monitor)?, serial, pid })
    }
}

/// What makes QEMU trace a migration.
pub(super) fn trace_arguments() -> Vec<String> {
    EVENTS.iter().flat_map(|event| ["-trace".to_owned(), format!("enable={event}")]).collect()
}

/// The text of a log that QEMU is still writing to, up to its last whole line.
pub(super) fn log_text(path: &Path) -> Result<String, RecordError> {
    let bytes = std::fs::read(path).map_err(LabError::io(format!("read `{}`", path.display())))?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.rsplit_once('\n').map_or_else(String::new, |(whole, _)| format!("{whole}\n")))
}
