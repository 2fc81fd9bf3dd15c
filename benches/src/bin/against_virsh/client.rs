//! One migration by one client program: how it is called, and what it cost.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};
use whimbrel_lab::{Host, Lab};

use crate::{BenchError, Options};

/// A migration that takes longer is given up: with the limits of this program none does.
const ALLOWED: Duration = Duration::from_mins(2);
const GUEST: &str = "guest";

/// Who migrates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Client {
    /// libvirt's own command line.
    Virsh,
    /// Ours.
    Whimbrel,
}

/// What a call cost.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// From its start until it had ended.
    pub(crate) wall: Duration,
    /// User and system time of the process.
    pub(crate) cpu: Duration,
    /// How fast it answered events, where it reports that.
    pub(crate) reactions: Option<Reactions>,
    /// When it entered which phase, where it reports that.
    pub(crate) phases: Vec<PhaseEntered>,
}

/// Times from an event's arrival to the command that it caused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Reactions {
    /// How many.
    pub(crate) count: u64,
    /// Half of them were as fast.
    pub(crate) p50_us: u64,
    /// All but a hundredth were.
    pub(crate) p99_us: u64,
}

/// A phase of Whimbrel's migration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PhaseEntered {
    /// Since the migration began.
    pub(crate) at_ns: u64,
    /// Its name.
    #[serde(rename = "what")]
    pub(crate) phase: String,
}

impl Client {
    /// Both.
    pub(crate) const BOTH: [Self; 2] = [Self::Virsh, Self::Whimbrel];

    /// Migrates the guest and waits for the program's end.
    pub(crate) fn migrate(
        self,
        lab: &Lab,
        options: &Options,
        from: &Host,
        to: &Host,
    ) -> Result<Call, BenchError> {
        let file = |kind: &str| lab.folder().join(format!("client.{kind}"));
        let (out, err, journal) = (file("out"), file("err"), file("journal"));
        let _ = fs::remove_file(&journal);
        let mut command = self.command(lab, options, (from, to), &journal);
        command.stdin(Stdio::null()).stdout(create(&out)?).stderr(create(&err)?);
        let cpu_before = cpu_of_children()?;
        let started = Instant::now();
        let mut child = command.spawn().map_err(io_error(format!("start `{self}`")))?;
        let in_time = ended_within(&child, ALLOWED);
        let wall = started.elapsed();
        if !matches!(in_time, Ok(true)) {
            // It may have ended meanwhile: that is as good.
            let _ = child.kill();
        }
        let status = child.wait().map_err(io_error(format!("wait for `{self}`")))?;
        let cpu = cpu_of_children()?.saturating_sub(cpu_before);
        let said = fs::read_to_string(&err).unwrap_or_default();
        if !in_time? || !status.success() {
            return Err(BenchError::Client { client: self, status: status.to_string(), said });
        }
        let report = fs::read_to_string(&out).unwrap_or_default();
        Ok(Call { wall, cpu, reactions: reactions(&said), phases: phases(&report) })
    }

    /// The same migration for both: live, peer to peer, the guest's definition goes along.
    fn command(self, lab: &Lab, options: &Options, (from, to): (&Host, &Host), journal: &Path) -> Command {
        let memory_uri = format!("tcp://{}", to.address());
        let bandwidth = options.bandwidth.to_string();
        match self {
            Self::Virsh => {
                let mut command = lab.operator_command("virsh");
                command.args(["--quiet", "--connect", &from.uri(), "migrate", "--live", "--p2p"]);
                command.args(["--persistent", "--undefinesource", "--bandwidth", &bandwidth]);
                command.args([GUEST, &to.uri(), &memory_uri]);
                command
            }
            Self::Whimbrel => {
                let mut command = lab.operator_command(&options.program.to_string_lossy());
                command.args(["migrate", GUEST, &to.uri(), "--source", &from.uri()]);
                command.args(["--migrate-uri", &memory_uri, "--bandwidth", &bandwidth]);
                command.args(["--format", "json", "--journal"]).arg(journal);
                command
            }
        }
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Virsh => "virsh",
            Self::Whimbrel => "whimbrel",
        })
    }
}

fn create(path: &Path) -> Result<File, BenchError> {
    File::create(path).map_err(io_error(format!("create `{}`", path.display())))
}

fn io_error(what: String) -> impl FnOnce(io::Error) -> BenchError {
    move |source| BenchError::Io { what, source }
}

/// Whether the child ended in time. Sleeps until it has: looking again and again would blur the measurement.
fn ended_within(child: &Child, allowed: Duration) -> Result<bool, BenchError> {
    let wait = || {
        let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let id = id.ok_or_else(|| io::Error::other("the process id is out of range"))?;
        let process = pidfd_open(id, PidfdFlags::empty())?;
        let allowed = Timespec::try_from(allowed).map_err(io::Error::other)?;
        Ok(poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&allowed))? > 0)
    };
    wait().map_err(io_error("wait for a client".into()))
}

/// CPU time of all children that were waited for. One client runs at a time, so a difference is that client's.
fn cpu_of_children() -> Result<Duration, BenchError> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)
        .map_err(|errno| io_error("read the CPU time of a client".into())(errno.into()))?;
    let spent = usage.user_time() + usage.system_time();
    Ok(Duration::from_micros(u64::try_from(spent.num_microseconds()).unwrap_or(0)))
}

/// Reads `reactions to libvirt's events: N, p50 X µs, p99 Y µs`.
fn reactions(said: &str) -> Option<Reactions> {
    let rest = said.lines().find_map(|line| line.strip_prefix("reactions to libvirt's events: "))?;
    let mut words = rest.split(' ');
    let count = words.next()?.strip_suffix(',')?.parse().ok()?;
    let p50_us = words.nth(1)?.parse().ok()?;
    let p99_us = words.nth(2)?.parse().ok()?;
    Some(Reactions { count, p50_us, p99_us })
}

/// The phases in Whimbrel's report; none in `virsh`'s silence.
fn phases(report: &str) -> Vec<PhaseEntered> {
    #[derive(Deserialize)]
    struct Document {
        phases: Vec<PhaseEntered>,
    }
    serde_json::from_str::<Document>(report).map(|document| document.phases).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_whimbrel_says_is_understood() {
        let said = "journal: a.journal\nreactions to libvirt's events: 12, p50 31 µs, p99 420 µs\n";
        assert_eq!(reactions(said), Some(Reactions { count: 12, p50_us: 31, p99_us: 420 }));
        assert_eq!(reactions("Migration: [100 %]"), None);
        let report = r#"{"schema":"x","phases":[{"at_ns":7,"what":"precopy"}]}"#;
        assert_eq!(phases(report), [PhaseEntered { at_ns: 7, phase: "precopy".into() }]);
        assert_eq!(phases(""), []);
    }

    #[test]
    fn a_child_is_waited_for_and_its_time_is_its_own() {
        let before = cpu_of_children().unwrap();
        let mut child = Command::new("sh")
            .args(["-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"])
            .spawn()
            .unwrap();
        assert!(ended_within(&child, Duration::from_mins(2)).unwrap());
        child.wait().unwrap();
        assert!(cpu_of_children().unwrap() > before);

        let mut sleeper = Command::new("sleep").arg("600").spawn().unwrap();
        assert!(!ended_within(&sleeper, Duration::from_millis(1)).unwrap());
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
    }
}
