//! `migrate` dies, and `adopt` goes on from its journal, in a world that outlives both.

#![cfg(test)]

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_whimbrel");
const LONG: Duration = Duration::from_mins(1);

/// A folder of this test's own, and a world in it; both go with it.
struct Place {
    folder: PathBuf,
    world: Child,
}

impl Place {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("whimbrel-adopt-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let socket = folder.join("world");
        let world =
            Command::new(PROGRAM).arg("sim-server").arg(&socket).args(["--sim-guests", "1"]).spawn().unwrap();
        let place = Self { folder, world };
        wait_for(|| socket.exists());
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(PROGRAM);
        command.arg(verb).arg("--sim-server").arg(self.path("world"));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// A migration that takes its time, once its copy is under way.
    fn migrate(&self, journal: &Path) -> Child {
        let mut command = self.command("migrate");
        command.args([
            "guest-001",
            "sim://beta",
            "--source",
            "sim://alpha",
            "--bandwidth",
            "100",
            "--journal",
        ]);
        let child = command.arg(journal).spawn().unwrap();
        wait_for(|| fs::read_to_string(journal).is_ok_and(|text| text.contains("\"iteration\":1")));
        child
    }

    fn adopt(&self, journal: &Path) -> Output {
        self.command("adopt").arg(journal).output().unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.world.kill();
        let _ = self.world.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn wait_for(condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < LONG, "it never happened");
        thread::sleep(Duration::from_millis(2));
    }
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_migration_goes_on_from_the_journal_of_one_that_was_killed() {
    let place = Place::new("killed");
    let journal = place.path("journal");
    let driver = place.migrate(&journal);
    let refused = place.adopt(&journal);
    assert_eq!(refused.status.code(), Some(2), "{}", err(&refused));
    assert!(err(&refused).contains("kept by another process"), "{}", err(&refused));

    kill(driver);
    // A write that was cut short must not be continued in the middle of its line.
    OpenOptions::new().append(true).open(&journal).unwrap().write_all(b"{\"at_ns\":7,\"inp").unwrap();
    let adopted = place.adopt(&journal);
    assert_eq!(adopted.status.code(), Some(0), "{}", err(&adopted));
    let text = String::from_utf8_lossy(&adopted.stdout).into_owned();
    assert!(text.contains("Completed: `guest-001` runs on beta."), "{text}");

    let replayed = Command::new(PROGRAM).arg("replay").arg(&journal).output().unwrap();
    assert_eq!(replayed.status.code(), Some(0), "{}", err(&replayed));
    assert!(err(&replayed).contains("every state is the one that was recorded"), "{}", err(&replayed));
    let again = place.adopt(&journal);
    assert_eq!(again.status.code(), Some(0));
    assert!(err(&again).contains("had ended already"), "{}", err(&again));
}

#[test]
fn an_adopted_migration_can_be_left_by_its_driver_again_and_again() {
    let place = Place::new("again");
    let journal = place.path("journal");
    kill(place.migrate(&journal));
    for _ in 0..3 {
        let before = fs::metadata(&journal).unwrap().len();
        let driver = place.command("adopt").arg(&journal).spawn().unwrap();
        wait_for(|| fs::metadata(&journal).unwrap().len() > before);
        kill(driver);
    }
    let adopted = place.adopt(&journal);
    assert_eq!(adopted.status.code(), Some(0), "{}", err(&adopted));
}

/// What ended otherwise than in doubt leaves nothing to examine.
#[test]
fn only_a_doubt_is_resolved() {
    let place = Place::new("resolve");
    let journal = place.path("journal");
    let mut driver = place.migrate(&journal);
    assert!(driver.wait().unwrap().success());
    let refused = place.command("resolve").arg(&journal).output().unwrap();
    assert_eq!(refused.status.code(), Some(2), "{}", err(&refused));
    assert!(err(&refused).contains("did not end in doubt"), "{}", err(&refused));
}

#[test]
fn what_cannot_be_adopted_is_told_why() {
    let place = Place::new("refused");
    let missing = place.adopt(&place.path("nothing"));
    assert_eq!(missing.status.code(), Some(2));
    assert!(err(&missing).contains("cannot read"), "{}", err(&missing));
    assert!(!place.path("nothing").exists(), "nothing is made");

    let simulated = place.path("simulated");
    let _ =
        Command::new(PROGRAM).args(["simulate", "converges", "--journal"]).arg(&simulated).output().unwrap();
    let foreign = place.adopt(&simulated);
    assert_eq!(foreign.status.code(), Some(2));
    assert!(err(&foreign).contains("only a journal of `migrate`"), "{}", err(&foreign));
}

/// A file can be no longer than this, as on a disk that is full from there on: the system refuses the rest of the write
/// that crosses it.
fn with_files_of(kib: u32, verb: &Command) -> Output {
    let mut limited = Command::new("bash");
    // Without the trap, a write that is refused would end the program.
    limited.args(["-c", &format!("trap '' XFSZ; ulimit -f {kib}; exec \"$0\" \"$@\"")]);
    limited.arg(verb.get_program()).args(verb.get_args());
    limited.stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap()
}

#[test]
fn a_journal_that_the_disk_cannot_hold_ends_with_a_whole_line_and_its_gap_is_reported() {
    let place = Place::new("full");
    let journal = place.path("journal");
    let mut migrate = place.command("migrate");
    migrate.args(["guest-001", "sim://beta", "--source", "sim://alpha", "--journal"]).arg(&journal);
    // The limit is for every file, that of compiled rules too: they are compiled before.
    let mut check = place.command("check");
    let checked = check.args(["guest-001", "sim://beta", "--source", "sim://alpha"]).output().unwrap();
    assert!(checked.status.success(), "{}", err(&checked));
    let output = with_files_of(8, &migrate);
    // A full disk does not keep the guest from arriving.
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let said = err(&output);
    assert!(said.contains("lacks the last records: "), "{said}");
    assert!(said.contains("guest:   `guest-001` runs on beta."), "{said}");
    assert!(said.contains("to do:   keep this output"), "{said}");
    let text = fs::read_to_string(&journal).unwrap();
    assert!(text.len() <= 8 << 10 && text.ends_with("}\n"), "{text}");
    let lines: Vec<_> = text.lines().collect();
    assert!(
        lines.len() > 1 && lines.iter().all(|line| line.starts_with('{') && line.ends_with('}')),
        "{text}"
    );
}
