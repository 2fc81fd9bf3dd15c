//! One host: its daemon, its guests' processes, and what can be done to either.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::files::HostIdentity;
use crate::namespaces::enter;
use crate::roots::Root;
use crate::{LabError, processes, shell};

/// How long a daemon may take until it answers.
const DAEMON_ALLOWED: Duration = Duration::from_mins(1);

/// The identity of the host that [`Host::start_other_host_here`] starts.
const OTHER_HOST: &str = "0ddba110-77ab-4b1e-8c33-00000000000c";

/// Starts a daemon that sees none of this host's guests, definitions and pools, in mounts of its own.
const OTHER_DAEMON: &str = "set -e; mount --make-rprivate /; mkdir /run/libvirt/other; cd /run/libvirt/other; \
    sed \"s/^host_uuid = .*/host_uuid = \\\"$1\\\"/\" /etc/libvirt/libvirtd.conf > libvirtd.conf; \
    cp /etc/libvirt/qemu.conf .; for d in /var/lib/libvirt /etc/libvirt; do mount -t tmpfs tmpfs $d; done; \
    cp libvirtd.conf qemu.conf /etc/libvirt; cd /; rm -r /run/libvirt/other; mount -t tmpfs tmpfs /run/libvirt; \
    exec libvirtd --daemon --listen --pid-file /run/libvirt/libvirtd.pid";

/// The socket of a guest's own monitor, below each host's root.
pub(crate) const MONITOR: &str = "var/lib/libvirt/monitor";
/// How long a monitor may take to answer.
const MONITOR_ALLOWED: Duration = Duration::from_secs(30);

/// How much of a daemon's log an error quotes.
const LOG_TAIL_LINES: usize = 20;

/// A real libvirt host in namespaces of its own.
pub struct Host {
    identity: HostIdentity,
    inside: u32,
    operator: u32,
    folder: PathBuf,
    root: Option<Root>,
}

/// Keeps a port taken until dropped.
#[derive(Debug)]
pub struct OccupiedPort {
    _listener: TcpListener,
}

impl Host {
    pub(crate) fn new(
        identity: HostIdentity,
        inside: u32,
        operator: u32,
        folder: PathBuf,
        root: Option<Root>,
    ) -> Self {
        Self { identity, inside, operator, folder, root }
    }

    /// The host's name, which is also its hostname.
    #[must_use]
    pub fn name(&self) -> &str {
        self.identity.name
    }

    /// The host's only address.
    #[must_use]
    pub fn address(&self) -> &str {
        self.identity.address
    }

    /// Where the operator finds the daemon, and where one daemon finds the other in a peer-to-peer migration.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("qemu+tcp://{}/system", self.identity.address)
    }

    /// The folder that the host sees as its root's `etc/libvirt`, `var/log/libvirt` and so on: the daemon's
    /// log is `var/log/libvirt/libvirtd.log` below it, a guest's `var/log/libvirt/qemu/NAME.log`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The system that it has instead of the machine's.
    #[must_use]
    pub fn root(&self) -> Option<&Root> {
        self.root.as_ref()
    }

    /// A command that will run inside the host, with its network, files, name and processes.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        enter(self.inside, true, program)
    }

    /// Runs a program inside the host to its end, and gives its standard output.
    ///
    /// # Errors
    /// [`LabError::Command`] with its standard error when it fails.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<String, LabError> {
        shell::run(self.command(program).args(arguments))
    }

    /// `virsh` at the operator's, connected to this host, not yet started.
    #[must_use]
    pub fn virsh_command(&self, arguments: &[&str]) -> Command {
        let mut command = enter(self.operator, false, "virsh");
        command.args(["--quiet", "--connect", &self.uri()]).args(arguments);
        command
    }

    /// Runs `virsh` at the operator's against this host, to its end, and gives its standard output.
    ///
    /// # Errors
    /// [`LabError::Command`] with libvirt's message when it fails.
    pub fn virsh(&self, arguments: &[&str]) -> Result<String, LabError> {
        shell::run(&mut self.virsh_command(arguments))
    }

    /// The guest's state and its reason as libvirt names them, such as `running (migrated)`, or `None`
    /// when the host knows no such guest.
    ///
    /// # Errors
    /// [`LabError::Command`] when the daemon does not answer.
    pub fn domain_state(&self, guest: &str) -> Result<Option<String>, LabError> {
        match self.virsh(&["domstate", "--reason", guest]) {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            // It may end between the two calls that this takes.
            Err(LabError::Command { message, .. })
                if message.contains("failed to get domain") || message.contains("Domain not found") =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Starts the daemon and waits until it answers.
    ///
    /// # Errors
    /// [`LabError::Command`] when it does not start, [`LabError::Daemon`] when it does not answer.
    pub fn start_daemon(&self) -> Result<(), LabError> {
        // The default pid file lies outside the directories that each host has for itself.
        let pid_file = "/run/libvirt/libvirtd.pid";
        shell::run(self.command("libvirtd").args(["--daemon", "--listen", "--pid-file", pid_file]))?;
        self.wait_for_daemon()
    }

    /// Lets another host answer at this host's address: a daemon with another host UUID, which knows no guest of this one.
    /// The own daemon must have been killed; guests go on without it. [`Host::restart_daemon`] takes it back.
    ///
    /// # Errors
    /// As [`Host::start_daemon`].
    pub fn start_other_host_here(&self) -> Result<(), LabError> {
        let mut command = self.command("unshare");
        command.args(["--mount", "/bin/sh", "-c", OTHER_DAEMON, "other", OTHER_HOST]);
        shell::run(&mut command)?;
        self.wait_for_daemon()
    }

    /// The UUID of the host that [`Host::start_other_host_here`] starts.
    #[must_use]
    pub fn other_host(&self) -> &'static str {
        OTHER_HOST
    }

    /// The UUID by which libvirt knows this host.
    #[must_use]
    pub fn uuid(&self) -> &'static str {
        self.identity.uuid
    }

    fn wait_for_daemon(&self) -> Result<(), LabError> {
        let deadline = Instant::now() + DAEMON_ALLOWED;
        while let Err(error) = self.virsh(&["uri"]) {
            if Instant::now() > deadline || self.daemon_pid().is_err() {
                let log = self.log_tail();
                return Err(LabError::Daemon {
                    host: self.name().to_owned(),
                    reason: error.to_string(),
                    log,
                });
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Kills the daemon at once, as a crash would; its guests run on without it.
    ///
    /// # Errors
    /// [`LabError::NotRunning`] when no daemon runs.
    pub fn kill_daemon(&self) -> Result<(), LabError> {
        processes::kill_and_wait(self.daemon_pid()?)
    }

    /// Kills the daemon and starts another, which takes over the running guests.
    ///
    /// # Errors
    /// As [`Host::kill_daemon`] and [`Host::start_daemon`].
    pub fn restart_daemon(&self) -> Result<(), LabError> {
        self.kill_daemon()?;
        self.start_daemon()
    }

    /// The daemon's process id, as seen from outside the host.
    ///
    /// # Errors
    /// [`LabError::NotRunning`] when no daemon runs.
    pub fn daemon_pid(&self) -> Result<u32, LabError> {
        self.find("libvirtd", |process| process.name == "libvirtd")
    }

    /// The process id of the guest's QEMU on this host, as seen from outside. It needs no daemon.
    ///
    /// # Errors
    /// [`LabError::NotRunning`] when this host runs no QEMU for the guest.
    pub fn qemu_pid(&self, guest: &str) -> Result<u32, LabError> {
        let title = format!("guest={guest},");
        self.find(&format!("QEMU of guest `{guest}`"), |process| {
            process.name.starts_with("qemu-system")
                && process.arguments.iter().any(|word| word.starts_with(&title))
        })
    }

    /// Kills the guest's QEMU on this host at once.
    ///
    /// # Errors
    /// [`LabError::NotRunning`] when there is none.
    pub fn kill_qemu(&self, guest: &str) -> Result<(), LabError> {
        processes::kill_and_wait(self.qemu_pid(guest)?)
    }

    /// Gives a command to the monitor of a guest that was started with [`crate::GuestSpec::monitor`], past libvirt, and gives what the
    /// monitor printed. A command that writes to a device's port is to the guest's machine as if the guest had written.
    ///
    /// # Errors
    /// [`LabError::Io`] when the monitor does not answer.
    pub fn monitor(&self, command: &str) -> Result<String, LabError> {
        let ask = || {
            let mut stream = UnixStream::connect(self.folder.join(MONITOR))?;
            stream.set_read_timeout(Some(MONITOR_ALLOWED))?;
            prompt(&mut stream)?;
            stream.write_all(format!("{command}\n").as_bytes())?;
            prompt(&mut stream)
        };
        ask().map_err(LabError::io(format!("give `{command}` to a monitor of `{}`", self.name())))
    }

    /// Listens on a TCP port of this host, so that no other process can, until the answer is dropped.
    ///
    /// # Errors
    /// [`LabError::Io`] when the port is taken already.
    pub fn occupy_port(&self, port: u16) -> Result<OccupiedPort, LabError> {
        let what = || format!("listen on port {port} of `{}`", self.name());
        let inside = self.inside;
        // A socket belongs to the namespace that its thread was in, so this thread may end.
        let attempt = thread::spawn(move || {
            enter_network(inside)?;
            TcpListener::bind(("0.0.0.0", port))
        });
        let bound = attempt.join().map_err(|_| io::Error::other("the listening thread failed"));
        let listener = bound.and_then(|result| result).map_err(LabError::io(what()))?;
        Ok(OccupiedPort { _listener: listener })
    }

    /// Moves the calling thread, and threads that it starts from now on, into this host's network, for good.
    ///
    /// # Errors
    /// [`LabError::Io`] when the system refuses.
    pub fn enter(&self) -> Result<(), LabError> {
        enter_network(self.inside).map_err(LabError::io(format!("enter the network of `{}`", self.name())))
    }

    /// Process ids, as seen from outside, of everything of this name on this host.
    #[must_use]
    pub fn pids_of(&self, program: &str) -> Vec<u32> {
        let space = processes::namespace(self.inside, "pid");
        let all = space.map(|identity| processes::in_namespace(&identity)).unwrap_or_default();
        all.into_iter().filter(|process| process.name == program).map(|process| process.pid).collect()
    }

    /// The end of the daemon's log, for an error that would otherwise leave no trace once the lab is removed.
    fn log_tail(&self) -> String {
        let text = fs::read_to_string(self.folder.join("var/log/libvirt/libvirtd.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(LOG_TAIL_LINES)..).unwrap_or_default().join("\n")
    }

    fn find(&self, what: &str, wanted: impl Fn(&processes::Process) -> bool) -> Result<u32, LabError> {
        let space = processes::namespace(self.inside, "pid");
        let all = space.map(|identity| processes::in_namespace(&identity)).unwrap_or_default();
        let found = all.into_iter().find(wanted).map(|process| process.pid);
        found.ok_or_else(|| LabError::NotRunning { what: what.to_owned(), host: self.name().to_owned() })
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Host")
            .field("name", &self.name())
            .field("uri", &self.uri())
            .finish_non_exhaustive()
    }
}

/// Reads until the monitor waits for a command.
fn prompt(stream: &mut UnixStream) -> io::Result<String> {
    let mut said = Vec::new();
    let mut byte = [0];
    while !said.ends_with(b"(qemu) ") {
        stream.read_exact(&mut byte)?;
        said.extend_from_slice(&byte);
    }
    Ok(String::from_utf8_lossy(&said).into_owned())
}

/// Moves the calling thread for good into the network namespace of a process.
pub(crate) fn enter_network(inside: u32) -> io::Result<()> {
    let space = File::open(format!("/proc/{inside}/ns/net"))?;
    Ok(move_into_link_name_space(space.as_fd(), Some(LinkNameSpaceType::Network))?)
}
