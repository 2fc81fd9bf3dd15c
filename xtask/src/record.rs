//! Records migrations of real QEMU as a plan says: `cargo xtask record`.
//!
//! As with the lab, cargo never runs as root: what needs no root is done first, then the program changes its user.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use whimbrel_lab::record::{self, Emulator, Plan, RecordError, Request};
use whimbrel_lab::roots::RootCache;
use xtask::Tree;

use crate::error::Error;
use crate::job::is_root;
use crate::lab::roots;
use crate::packages;
use crate::privilege;
use crate::recheck;
use crate::setup::{self, Purpose};

/// Where a Linux guest's packages are, when all that needs no root has been done; empty when none are needed.
const PREPARED: &str = "WHIMBREL_RECORDER_LINUX";

/// What to record.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// A plan, instead of executor/lab/recordings/plan.toml
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// Only this case; may be given several times
    #[arg(long = "case", value_name = "NAME")]
    cases: Vec<String>,
    /// Repeats of each case, instead of what the plan says
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    repeats: Option<u32>,
    /// Add to this file, and pass over what is in it already [default: target/recordings.jsonl]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Another QEMU than the installed one. Nothing is recorded while the machine is busy
    #[arg(long, value_name = "PATH", conflicts_with_all = ["check", "root"])]
    qemu: Option<PathBuf>,
    /// The QEMU of a root, which `cargo xtask lab roots` makes. Nothing is recorded while the machine is busy
    #[arg(long, value_name = "NAME", conflicts_with = "check")]
    root: Option<String>,
    /// Only name the cases
    #[arg(long)]
    list: bool,
    /// Record the plan's quick cases once, into a new temporary file, and hold the simulator against them
    #[arg(long, conflicts_with_all = ["cases", "repeats", "out", "list"])]
    check: bool,
}

/// Records, and reports the result.
pub(crate) fn run(options: &Options) -> Result<(), Error> {
    let plan = read(options.plan.as_deref())?;
    if options.list {
        print_list(&plan);
        return Ok(());
    }
    let only = if options.check { plan.check_names() } else { &options.cases };
    if let Some(unknown) = plan.unknown(only) {
        return Err(Error::NoCase(unknown.to_owned()));
    }
    let linux = match std::env::var_os(PREPARED) {
        Some(prepared) => prepared.into(),
        None => prepare(&plan, only)?,
    };
    if !is_root() {
        return privilege::again(PREPARED, &linux);
    }
    let out = out(options)?;
    let emulator = emulator(options)?;
    // Recordings of another QEMU have nothing to be compared with: noise would be taken for a difference.
    let refuses_busy = options.check || !matches!(emulator, Emulator::Installed);
    let request = Request {
        only,
        repeats: if options.check { Some(1) } else { options.repeats },
        out: &out,
        emulator: &emulator,
        linux: Some(linux.as_path()).filter(|path| !path.as_os_str().is_empty()),
        quiet_wait_at_most: refuses_busy.then_some(recheck::QUIET_WAIT_AT_MOST),
    };
    let done = record::record(&plan, &request, &mut |line| println!("{line}"))?;
    println!(
        "{} recorded, {} were there, {} failed, {} guests were damaged: {}",
        done.recorded,
        done.skipped,
        done.failed,
        done.damaged,
        out.display()
    );
    if done.failed > 0 {
        return Err(Error::NotRecorded(done.failed));
    }
    if let (Some(percent), false) = (done.too_busy_percent, options.check) {
        return Err(Error::NotRecordedBusy(recheck::QUIET_WAIT_AT_MOST.as_secs() / 60, percent));
    }
    if options.check {
        recheck::run(&plan, &out, &done, &mut |line| println!("{line}"))?;
        println!("{}", out.display());
    }
    Ok(())
}

fn read(path: Option<&Path>) -> Result<Plan, Error> {
    let Some(path) = path else { return Ok(Plan::built_in()?) };
    let unreadable = |source| Error::UnreadablePlan { path: path.to_owned(), source };
    Ok(Plan::parse(&fs::read_to_string(path).map_err(unreadable)?, path)?)
}

fn print_list(plan: &Plan) {
    for (name, repeats, summary) in plan.list() {
        println!("{name:<32} {repeats} x  {summary}");
    }
    println!("for --check: {}", plan.check_names().join(", "));
}

/// Installs and downloads what these cases need; an empty path when they have no Linux guest.
fn prepare(plan: &Plan, only: &[String]) -> Result<PathBuf, Error> {
    setup::run(Purpose::Lab)?;
    if plan.needs_linux(only) {
        packages::extract(&target()?.join("recorder-linux"))
    } else {
        Ok(PathBuf::new())
    }
}

fn out(options: &Options) -> Result<PathBuf, Error> {
    if options.check {
        return Ok(std::env::temp_dir().join(format!("whimbrel-recordings-{}.jsonl", std::process::id())));
    }
    match &options.out {
        Some(path) => Ok(path.clone()),
        None => Ok(target()?.join(file_name(options))),
    }
}

/// A file of its own for each QEMU.
fn file_name(options: &Options) -> String {
    let binary = options.qemu.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy());
    match options.root.as_deref().or(binary.as_deref()) {
        Some(name) => format!("recordings-{name}.jsonl"),
        None => "recordings.jsonl".to_owned(),
    }
}

/// The QEMU that is recorded.
fn emulator(options: &Options) -> Result<Emulator, Error> {
    if let Some(path) = &options.qemu {
        // libvirt and the guest's processes have another current folder.
        let found = fs::canonicalize(path);
        return found.map(Emulator::Binary).map_err(|source| Error::NoQemu { path: path.clone(), source });
    }
    let Some(name) = &options.root else { return Ok(Emulator::Installed) };
    let root = RootCache::of_environment().open(roots::named(name)?);
    Ok(Emulator::Root(root.map_err(RecordError::from)?))
}

fn target() -> Result<PathBuf, Error> {
    let folder = Tree::root()?.join("target");
    fs::create_dir_all(&folder).map_err(|source| Error::Start { job: "mkdir target".to_owned(), source })?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::{Options, emulator, file_name};
    use crate::error::Error;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn options(line: &str) -> Result<Options, clap::Error> {
        Line::try_parse_from(format!("record {line}").split_whitespace()).map(|line| line.options)
    }

    #[test]
    fn each_qemu_has_a_file_of_its_own() {
        for (line, name) in [
            ("", "recordings.jsonl"),
            ("--root trixie", "recordings-trixie.jsonl"),
            ("--qemu /opt/qemu-11/qemu-system-x86_64", "recordings-qemu-system-x86_64.jsonl"),
        ] {
            assert_eq!(file_name(&options(line).unwrap()), name);
        }
    }

    #[test]
    fn a_qemu_that_is_not_there_is_refused() {
        let missing = emulator(&options("--qemu /no/such/qemu").unwrap()).unwrap_err();
        assert!(matches!(missing, Error::NoQemu { .. }), "{missing}");
        let unknown = emulator(&options("--root sid").unwrap()).unwrap_err();
        assert!(matches!(unknown, Error::NoGeneration(..)), "{unknown}");
        assert!(options("--qemu a --root b").is_err() && options("--check --root b").is_err());
    }
}
