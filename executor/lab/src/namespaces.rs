//! Namespaces that live exactly as long as the process that made them.
//!
//! Each namespace is held by a process of ours and has no name in the file system, so nothing of it
//! can outlive its holder. A host's holder is the first process of a process-id namespace: when it
//! dies the kernel kills everything that ever ran on that host, daemons and guests that left their
//! parents included. It must never put anything into the machine's own network namespace.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use crate::{LabError, mounts, processes, shell};

/// Reaps what falls to it, which the kernel asks of a first process: a QEMU left as a zombie would
/// look alive to libvirt for ever.
const HOLD: &str = "echo ready; exec >/dev/null 2>&1; while :; do sleep 86400 & wait $!; done";

/// One set of namespaces, and the process that holds them; or a program alone.
#[derive(Debug)]
pub(crate) struct Holder {
    child: Child,
    /// A process inside, for others to enter by; for a host, the first process of its id namespace.
    pub(crate) inside: u32,
}

impl Holder {
    /// A network namespace alone.
    pub(crate) fn network(keeper: &Keeper) -> Result<Self, LabError> {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "unshare", "--net", "/bin/sh", "-c"]);
        // Nothing here has children, and a child of the holder would outlive it.
        command.arg("set -e; ip link set lo up; echo ready; exec sleep infinity >/dev/null 2>&1");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = keeper.spawn(command)?;
        let inside = child.id();
        Self { child, inside }.ready()
    }

    /// A host: its own network, mounts, name and processes, and with `root` its own system.
    pub(crate) fn host(
        keeper: &Keeper,
        name: &str,
        folder: &Path,
        root: Option<&Path>,
    ) -> Result<Self, LabError> {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "unshare", "--net", "--mount", "--uts", "--pid", "--fork"]);
        command.args(["--kill-child", "--mount-proc", "/bin/sh", "-c"]);
        command.arg(mounts::script(root.is_some(), HOLD));
        command.args(["host", name]).arg(folder).args(root);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = keeper.spawn(command)?;
        let inside = child.id();
        let mut holder = Self { child, inside }.ready()?;
        let absent = || LabError::NotRunning { what: "first process".into(), host: name.into() };
        holder.inside = processes::child_of(inside).ok_or_else(absent)?;
        Ok(holder)
    }

    /// A program outside any namespace of its own, that ends with its owner too. What it says goes to `log`.
    pub(crate) fn program(keeper: &Keeper, program: &Command, log: &File) -> Result<Self, LabError> {
        let copy = || log.try_clone().map_err(LabError::io("share a log"));
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(program.get_program()).args(program.get_args());
        command.stdout(copy()?).stderr(copy()?);
        let child = keeper.spawn(command)?;
        let inside = child.id();
        Ok(Self { child, inside })
    }

    /// Ends the holder and with it everything inside, and returns when all of it is gone.
    pub(crate) fn end(&mut self) -> Result<(), LabError> {
        let wait = "wait for a namespace's holder";
        // While the child has not been waited for, neither id can have been reused.
        if self.child.try_wait().map_err(LabError::io(wait))?.is_none() {
            processes::kill(self.inside)?;
            self.child.wait().map_err(LabError::io(wait))?;
        }
        Ok(())
    }

    fn ready(mut self) -> Result<Self, LabError> {
        let mut line = String::new();
        if let Some(stdout) = self.child.stdout.take() {
            BufReader::new(stdout)
                .read_line(&mut line)
                .map_err(LabError::io("read from a namespace's holder"))?;
        }
        let stderr = self.child.stderr.take();
        if line == "ready\n" {
            return Ok(self);
        }
        let mut message = String::new();
        // Whatever it managed to say is better than nothing; a failure to read it changes nothing.
        let _ = stderr.map(|mut stream| stream.read_to_string(&mut message));
        let _ = self.child.kill();
        let _ = self.child.wait();
        Err(LabError::Command { command: "unshare".into(), message: message.trim().to_owned() })
    }
}

/// Starts a command inside the namespaces of a process. `all` enters mounts, name and processes too.
pub(crate) fn enter(inside: u32, all: bool, program: &str) -> Command {
    let mut command = Command::new("nsenter");
    command.args(["--target", &inside.to_string(), "--net"]);
    if all {
        command.args(["--mount", "--uts", "--pid"]);
    }
    command.args(["--", program]);
    command
}

/// A thread that starts the holders and lives as long as the lab. The kernel ties "die with your
/// parent" to the parent's thread: holders started from a caller's short-lived thread would end with it.
#[derive(Debug)]
pub(crate) struct Keeper {
    requests: Sender<(Command, Sender<Result<Child, LabError>>)>,
}

impl Keeper {
    pub(crate) fn start() -> Result<Self, LabError> {
        let (requests, inbox) = channel();
        thread::Builder::new()
            .name("lab-keeper".into())
            .spawn(move || keep(&inbox))
            .map_err(LabError::io("start the lab's keeper thread"))?;
        Ok(Self { requests })
    }

    fn spawn(&self, command: Command) -> Result<Child, LabError> {
        let gone = || LabError::NotRunning { what: "keeper thread".into(), host: "lab".into() };
        let (reply, answer) = channel();
        self.requests.send((command, reply)).map_err(|_| gone())?;
        answer.recv().map_err(|_| gone())?
    }
}

fn keep(inbox: &Receiver<(Command, Sender<Result<Child, LabError>>)>) {
    while let Ok((mut command, reply)) = inbox.recv() {
        use std::os::unix::process::CommandExt;
        // A group of its own: an interrupt typed at the terminal is for the lab's owner, who takes it down in order.
        command.process_group(0).stdin(Stdio::null());
        let child = command
            .spawn()
            .map_err(|source| LabError::Io { what: format!("run `{}`", shell::describe(&command)), source });
        // Without a receiver for the answer, the lab is being dropped.
        let _ = reply.send(child);
    }
}
