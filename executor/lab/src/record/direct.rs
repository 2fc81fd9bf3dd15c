//! Two QEMU processes side by side, driven through their monitors.
//!
//! Both end with the recorder, however it ends. Nothing of them must touch the machine's own network but the loopback
//! device, on a port that the system chose.

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use serde_json::{Value, json};

use super::RecordError;
use super::case::{Case, Transport};
use super::driver::{Driver, Machine};
use super::emulator::Emulator;
use super::endpoint::{Endpoint, Posts, log_text, trace_arguments};
use crate::LabError;
use crate::cleanup::Cleanup;
use crate::namespaces::Holder;

/// What "no limit" is set to: more than any machine can send, and still far from QEMU's own arithmetic limits.
const UNLIMITED_BYTES_PER_SECOND: u64 = 1 << 40;
const TRACE: &str = "source.trace";

/// The two processes, and the folder with their sockets and logs.
#[derive(Debug)]
pub(super) struct Direct {
    source: Endpoint,
    destination: Endpoint,
    uri: String,
    /// Removes everything when dropped.
    cleanup: Arc<Cleanup>,
}

impl Direct {
    /// Starts both, sets all that the case says, and has the destination listen.
    pub(super) fn start(case: &Case, machine: &Machine, emulator: &Emulator) -> Result<Self, RecordError> {
        let cleanup = Cleanup::create(true)?;
        let source = start_one(&cleanup, "source", case, machine, emulator)?;
        let destination = start_one(&cleanup, "destination", case, machine, emulator)?;
        let mut direct = Self { source, destination, uri: String::new(), cleanup };
        direct.set_up(case)?;
        Ok(direct)
    }

    fn set_up(&mut self, case: &Case) -> Result<(), RecordError> {
        // Events are how the recorder learns of the end; they change nothing about the migration.
        let named = case.capabilities.iter().map(String::as_str).chain(["events"]);
        let capabilities: Vec<Value> = named.map(|name| json!({"capability": name, "state": true})).collect();
        let capabilities = json!({"capabilities": capabilities});
        let parameters = json!(case.parameters);
        for end in [&mut self.source, &mut self.destination] {
            end.qmp.execute("migrate-set-capabilities", &capabilities)?;
            if !case.parameters.is_empty() {
                end.qmp.execute("migrate-set-parameters", &parameters)?;
            }
        }
        self.limit(Some(case.bandwidth_bytes_per_second), Some(case.downtime_limit_ms))?;
        let asked = match case.transport {
            Transport::Unix => format!("unix:{}", self.cleanup.folder.join("migration").display()),
            Transport::Tcp => "tcp:127.0.0.1:0".to_owned(),
        };
        self.destination.qmp.execute("migrate-incoming", &json!({"uri": asked}))?;
        self.uri = match case.transport {
            Transport::Unix => asked,
            Transport::Tcp => {
                let status = self.destination.qmp.execute("query-migrate", &json!({}))?;
                let port = status.pointer("/socket-address/0/port").and_then(Value::as_str);
                let port = port.ok_or_else(|| RecordError::Answer(format!("where it listens: {status}")))?;
                format!("tcp:127.0.0.1:{port}")
            }
        };
        Ok(())
    }
}

impl Driver for Direct {
    fn source(&mut self) -> &mut Endpoint {
        &mut self.source
    }

    fn destination(&mut self) -> Result<&mut Endpoint, RecordError> {
        Ok(&mut self.destination)
    }

    fn begin(&mut self) -> Result<(), RecordError> {
        self.source.qmp.execute("migrate", &json!({"uri": self.uri})).map(drop)
    }

    fn goes_on(&mut self) -> Result<(), RecordError> {
        Ok(())
    }

    fn limit(&mut self, bytes_per_second: Option<u64>, downtime_ms: Option<u64>) -> Result<(), RecordError> {
        let mut parameters = serde_json::Map::new();
        if let Some(bytes) = bytes_per_second {
            let bytes = if bytes == 0 { UNLIMITED_BYTES_PER_SECOND } else { bytes };
            parameters.insert("max-bandwidth".into(), bytes.into());
        }
        if let Some(ms) = downtime_ms {
            parameters.insert("downtime-limit".into(), ms.into());
        }
        self.source.qmp.execute("migrate-set-parameters", &Value::Object(parameters)).map(drop)
    }

    fn post_copy(&mut self) -> Result<(), RecordError> {
        self.source.qmp.execute("migrate-start-postcopy", &json!({})).map(drop)
    }

    fn cancel(&mut self) -> Result<(), RecordError> {
        self.source.qmp.execute("migrate_cancel", &json!({})).map(drop)
    }

    fn settle(&mut self) -> Result<(), RecordError> {
        Ok(())
    }

    fn trace(&self) -> Result<String, RecordError> {
        log_text(&self.cleanup.folder.join(TRACE))
    }

    fn processes(&self) -> Vec<u32> {
        vec![self.source.pid, self.destination.pid]
    }
}

fn start_one(
    cleanup: &Cleanup,
    name: &str,
    case: &Case,
    machine: &Machine,
    emulator: &Emulator,
) -> Result<Endpoint, RecordError> {
    let folder = &cleanup.folder;
    let posts = Posts::open(folder, name)?;
    let said = folder.join(format!("{name}.log"));
    let log = File::create(&said).map_err(LabError::io(format!("create `{}`", said.display())))?;
    let mut program = emulator.command(folder);
    add_arguments(&mut program, folder, name, case, machine);
    let holder = Holder::program(&cleanup.keeper, &program, &log)?;
    let pid = cleanup.keep(holder)?;
    posts.accept(pid, &|| std::fs::read_to_string(&said).unwrap_or_default().trim().to_owned())
}

fn add_arguments(command: &mut Command, folder: &Path, name: &str, case: &Case, machine: &Machine) {
    let mut kind = "pc,accel=tcg".to_owned();
    if name == "destination" {
        command.args(["-incoming", "defer"]);
        if case.prealloc {
            // The block has the name that it has without, or the stream would not find it.
            let memory = format!("memory-backend-ram,id=pc.ram,size={}M,prealloc=on", case.ram_mib);
            command.args(["-object", &memory]);
            kind.push_str(",memory-backend=pc.ram");
        }
    } else {
        command.args(["-msg", "timestamp=on", "-D"]).arg(folder.join(TRACE)).args(trace_arguments());
    }
    command.args(["-machine", &kind, "-m", &format!("{}M", case.ram_mib)]);
    command.args([
        "-smp",
        &case.processors().to_string(),
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
    ]);
    command.arg("-kernel").arg(&machine.kernel).args(["-append", &machine.append]);
    if let Some(initrd) = &machine.initrd {
        command.arg("-initrd").arg(initrd);
    }
    command.args(Posts::arguments(folder, name));
}
