//! Two real libvirt hosts on one machine, to try migrations on and to break them.
//!
//! [`Lab::build`] makes hosts `alpha` and `beta`, each with a libvirt daemon of its own, and an operator's
//! place beside them, all in namespaces; [`Lab::start_guest`] starts a guest that dirties its memory in a known
//! pattern and bears witness on its console to what a migration did to it; the rest are faults. Everything
//! vanishes with the [`Lab`]. It must never reach into the machine's own network, daemons or configuration:
//! empty mount points such as `/var/lib/libvirt`, where they were missing, are all that stays.
//!
//! Each host has a bridge for its guests ([`GUEST_BRIDGE`], joined to the other host's) and a folder of storage that only
//! it sees ([`STORAGE`]), both under the same names on either host, as production hosts have them.

mod cleanup;
mod console;
mod error;
mod files;
mod guest;
mod host;
mod mounts;
mod namespaces;
mod network;
mod pace;
mod processes;
mod programs;
pub mod record;
pub mod roots;
pub mod scenario;
mod shell;
pub mod soak;
mod ssh;
mod storage;
pub mod testing;
mod versions;
mod witness;

use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub use cleanup::say_if_interrupted;
pub use error::LabError;
pub use files::PASSWORD as SSH_PASSWORD;
pub use guest::{Guest, GuestSpec, Phase};
pub use host::{Host, OccupiedPort};
pub use network::GUEST_BRIDGE;
pub use pace::Pace;
pub use storage::{GuestDisk, ImageFormat, STORAGE};
pub use versions::HostVersions;
pub use witness::{CopyRecord, Snapshot};

use cleanup::Cleanup;
use files::HostIdentity;
use guest::GuestFiles;
use namespaces::Holder;
use network::{Network, Port};
use programs::Program;
use roots::Root;

const ALPHA: HostIdentity =
    HostIdentity { name: "alpha", address: "10.77.0.11", uuid: "a1fa0000-77ab-4b1e-8a11-00000000000a" };
const BETA: HostIdentity =
    HostIdentity { name: "beta", address: "10.77.0.12", uuid: "be7a0000-77ab-4b1e-8b22-00000000000b" };
/// How long a daemon may take to notice that a guest is gone.
const GUEST_GONE_WITHIN: Duration = Duration::from_secs(4);
const OPERATOR_ADDRESS: &str = "10.77.0.10";

/// How the lab is built.
#[derive(Clone, Debug)]
pub struct LabOptions {
    /// Whether the hosts can resolve each other's names.
    pub names_resolve: bool,
    /// Seconds between the daemons' keep-alive messages, in both configuration files.
    pub keepalive_interval_s: u32,
    /// Keep-alive messages without an answer after which a connection is given up.
    pub keepalive_count: u32,
    /// TCP ports that a destination takes migrations on; libvirt wants at least two.
    pub migration_ports: RangeInclusive<u16>,
    /// The system that `alpha` has instead of the machine's. The operator's clients are always the machine's.
    pub alpha_root: Option<Root>,
    /// The system that `beta` has instead of the machine's.
    pub beta_root: Option<Root>,
    /// Whether SIGINT and SIGTERM remove the lab before they end the process. It holds for the whole
    /// process once any lab requested it.
    pub remove_on_signal: bool,
}

impl Default for LabOptions {
    fn default() -> Self {
        Self {
            names_resolve: true,
            keepalive_interval_s: 2,
            keepalive_count: 3,
            migration_ports: 49152..=49215,
            alpha_root: None,
            beta_root: None,
            remove_on_signal: true,
        }
    }
}

/// The two hosts, their network and the operator's place.
#[derive(Debug)]
pub struct Lab {
    alpha: Host,
    beta: Host,
    network: Network,
    operator: u32,
    guest_program: PathBuf,
    consoles: AtomicU32,
    migration_ports: RangeInclusive<u16>,
    cleanup: Arc<Cleanup>,
}

impl Lab {
    /// Builds the lab and waits until both daemons answer. Labs of dead owners are removed first.
    ///
    /// # Errors
    /// [`LabError::NotRoot`], [`LabError::BadOptions`], [`LabError::MissingPrograms`], or whatever did not work; nothing is left then.
    pub fn build(options: &LabOptions) -> Result<Self, LabError> {
        if !rustix::process::geteuid().is_root() {
            return Err(LabError::NotRoot);
        }
        if options.migration_ports.start() >= options.migration_ports.end() {
            return Err(LabError::BadOptions("give a range of at least two migration ports"));
        }
        shell::require_programs()?;
        Self::remove_stale()?;
        let cleanup = Cleanup::create(options.remove_on_signal)?;
        let guest_program = programs::compile(Program::Witness, &cleanup.folder)?;
        let switch = cleanup.keep(Holder::network(&cleanup.keeper)?)?;
        let operator = cleanup.keep(Holder::network(&cleanup.keeper)?)?;
        let alpha = build_host(&cleanup, ALPHA, operator, options, options.alpha_root.as_ref())?;
        let beta = build_host(&cleanup, BETA, operator, options, options.beta_root.as_ref())?;
        let place = Port { name: "operator", address: OPERATOR_ADDRESS, inside: operator };
        let network = Network::wire(switch, [alpha.1, beta.1], place)?;
        let (alpha, beta) = (alpha.0, beta.0);
        alpha.start_daemon()?;
        beta.start_daemon()?;
        let migration_ports = options.migration_ports.clone();
        let consoles = AtomicU32::new(0);
        Ok(Self { alpha, beta, network, operator, guest_program, consoles, migration_ports, cleanup })
    }

    /// The host that guests start on.
    #[must_use]
    pub fn alpha(&self) -> &Host {
        &self.alpha
    }

    /// The host that guests migrate to.
    #[must_use]
    pub fn beta(&self) -> &Host {
        &self.beta
    }

    /// A program that will run at the operator's: it sees the lab's network instead of the machine's,
    /// and is otherwise as usual.
    #[must_use]
    pub fn operator_command(&self, program: &str) -> Command {
        namespaces::enter(self.operator, false, program)
    }

    /// Moves the calling thread, and threads that it starts from now on, into the operator's network,
    /// for good: a test can then use a libvirt client of its own instead of a program.
    ///
    /// # Errors
    /// [`LabError::Io`] when the system refuses.
    pub fn enter_operator(&self) -> Result<(), LabError> {
        host::enter_network(self.operator).map_err(LabError::io("enter the operator's network"))
    }

    /// Starts a guest on `alpha` and waits for its first tick, unless it is to be paused.
    ///
    /// # Errors
    /// [`LabError::BadGuest`] for a guest that cannot run, [`LabError::Command`] with libvirt's message,
    /// [`LabError::Witness`] when it does not tick.
    pub fn start_guest(&self, spec: &GuestSpec) -> Result<Guest, LabError> {
        self.start_guest_on(&self.alpha, spec)
    }

    /// As [`Lab::start_guest`], on either host.
    ///
    /// # Errors
    /// As [`Lab::start_guest`].
    pub fn start_guest_on(&self, host: &Host, spec: &GuestSpec) -> Result<Guest, LabError> {
        guest::start(host, spec, &self.guest_files())
    }

    /// Defines a guest on a host without starting it. Its console is listened to, for `virsh start`.
    ///
    /// # Errors
    /// [`LabError::BadGuest`] for a guest that cannot run, [`LabError::Command`] with libvirt's message.
    pub fn define_guest_on(&self, host: &Host, spec: &GuestSpec) -> Result<Guest, LabError> {
        guest::define(host, spec, &self.guest_files())
    }

    fn guest_files(&self) -> GuestFiles<'_> {
        let number = self.consoles.fetch_add(1, Ordering::Relaxed);
        let file = |kind: &str| self.cleanup.folder.join(format!("guest-{number}.{kind}"));
        GuestFiles { program: &self.guest_program, socket: file("socket"), xml: file("xml") }
    }

    /// Cuts the path between the hosts. Both can still be reached by the operator.
    ///
    /// # Errors
    /// [`LabError::Command`] when the system refuses.
    pub fn cut_link(&self) -> Result<(), LabError> {
        self.network.set_cut(true)
    }

    /// Takes back [`Lab::cut_link`].
    ///
    /// # Errors
    /// [`LabError::Command`] when the system refuses.
    pub fn restore_link(&self) -> Result<(), LabError> {
        self.network.set_cut(false)
    }

    /// Requests of `alpha`'s daemon reach `beta`'s, and the answers to them are lost. The operator's connections and the
    /// migration's own are not concerned. It takes away what [`Lab::shape_link`] limits from `beta` to `alpha`.
    ///
    /// # Errors
    /// [`LabError::Command`] when the system refuses, as a kernel without `htb` or `u32` does.
    pub fn lose_answers(&self) -> Result<(), LabError> {
        self.network.lose_answers(true)
    }

    /// Takes back [`Lab::lose_answers`].
    ///
    /// # Errors
    /// [`LabError::Command`] when the system refuses.
    pub fn restore_answers(&self) -> Result<(), LabError> {
        self.network.lose_answers(false)
    }

    /// Breaks the connections over which `alpha`'s QEMU sends, at once and for both ends.
    ///
    /// # Errors
    /// [`LabError::Command`] when the system refuses.
    pub fn break_stream(&self) -> Result<(), LabError> {
        self.break_stream_of(&self.alpha)
    }

    /// As [`Lab::break_stream`], for the host that sends.
    ///
    /// # Errors
    /// As [`Lab::break_stream`].
    pub fn break_stream_of(&self, source: &Host) -> Result<(), LabError> {
        self.network.break_connections(source.address(), &self.migration_ports)
    }

    /// A host loses its power: it falls silent, and its daemon and the guest's QEMU are gone, without any notification.
    ///
    /// # Errors
    /// What the system or the processes refuse.
    pub fn lose_host(&self, host: &Host, guest: &str) -> Result<(), LabError> {
        self.network.set_silent(host.name(), true)?;
        for killed in [host.kill_daemon(), host.kill_qemu(guest)] {
            match killed {
                // Either may be gone already.
                Ok(()) | Err(LabError::NotRunning { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Takes back [`Lab::lose_host`], but for the guest.
    ///
    /// # Errors
    /// As for [`Host::start_daemon`].
    pub fn start_host(&self, host: &Host) -> Result<(), LabError> {
        self.network.set_silent(host.name(), false)?;
        host.start_daemon()
    }

    /// Takes back every fault: the network is whole, and both daemons run. Guests stay as they are.
    ///
    /// # Errors
    /// As for [`Host::start_daemon`].
    pub fn clear_faults(&self) -> Result<(), LabError> {
        self.restore_link()?;
        self.shape_link(None)?;
        for host in [&self.alpha, &self.beta] {
            self.network.set_silent(host.name(), false)?;
            if host.daemon_pid().is_err() {
                host.start_daemon()?;
            }
        }
        Ok(())
    }

    /// Ends a guest on both hosts and drops its definitions; one that is not there is gone already.
    ///
    /// # Errors
    /// [`LabError::Command`] when a daemon does not answer.
    pub fn remove_guest(&self, guest: &str) -> Result<(), LabError> {
        for host in [&self.alpha, &self.beta] {
            // A QEMU that is stuck does not hear its daemon.
            match host.kill_qemu(guest) {
                Ok(()) | Err(LabError::NotRunning { .. }) => {}
                Err(error) => return Err(error),
            }
            let mut begun = Instant::now();
            while host.domain_state(guest)?.is_some() {
                // It has no definition, or is still being taken off.
                let _ = host.virsh(&["undefine", guest]);
                if begun.elapsed() > GUEST_GONE_WITHIN {
                    // A daemon that is still busy with a migration of the guest forgets it so.
                    host.restart_daemon()?;
                    begun = Instant::now();
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        Ok(())
    }

    /// Limits what each host sends to the other, in bits a second; `None` takes the limit away.
    ///
    /// # Errors
    /// [`LabError::Command`] when the system refuses, as a kernel without `htb` or `u32` does.
    pub fn shape_link(&self, bits_per_second: Option<u64>) -> Result<(), LabError> {
        self.network.shape(bits_per_second)
    }

    /// The folder with everything that the lab keeps on disk.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.cleanup.folder
    }

    /// Removes everything and says when something could not be. Dropping does the same in silence.
    ///
    /// # Errors
    /// [`LabError::LeftBehind`] with what is left and where.
    pub fn remove(self) -> Result<(), LabError> {
        self.cleanup.remove()
    }

    /// Removes what labs left whose owners were killed, and gives how many there were.
    ///
    /// # Errors
    /// [`LabError::LeftBehind`] with what is left and where.
    pub fn remove_stale() -> Result<usize, LabError> {
        cleanup::remove_stale()
    }
}

fn build_host(
    cleanup: &Cleanup,
    identity: HostIdentity,
    operator: u32,
    options: &LabOptions,
    root: Option<&Root>,
) -> Result<(Host, Port), LabError> {
    let folder = cleanup.folder.join(identity.name);
    fs::create_dir_all(&folder).map_err(LabError::io(format!("create `{}`", folder.display())))?;
    let path = root.map(Root::path);
    files::write(&folder, &identity, options, path.unwrap_or(Path::new("/")))?;
    let inside = cleanup.keep(Holder::host(&cleanup.keeper, identity.name, &folder, path)?)?;
    let port = Port { name: identity.name, address: identity.address, inside };
    Ok((Host::new(identity, inside, operator, folder, root.cloned()), port))
}
