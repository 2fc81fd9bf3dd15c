//! A driver in a lab: how it is started, waited for and killed, and where its guest is.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use whimbrel_lab::testing::program;
pub(crate) use whimbrel_lab::testing::{LONG, wait_for};
use whimbrel_lab::{Host, Lab};

/// The migration of the guest from alpha to beta with this journal.
pub(crate) fn migrate_command(lab: &Lab, journal: &Path, more: &[&str]) -> Command {
    let (alpha, beta) = (lab.alpha().uri(), lab.beta().uri());
    let mut command = lab.operator_command(&program().to_string_lossy());
    command.args(["migrate", "guest", beta.as_str(), "--source", alpha.as_str(), "--journal"]);
    command.arg(journal).args(more).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub(crate) fn adopt_command(lab: &Lab, journal: &Path) -> Command {
    let mut command = lab.operator_command(&program().to_string_lossy());
    command.arg("adopt").arg(journal).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a command of a driver to its end: its exit code, and what it wrote.
pub(crate) fn run(mut command: Command) -> (Option<i32>, String) {
    finished(command.spawn().unwrap())
}

/// The same for a driver that runs.
pub(crate) fn finished(driver: Child) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = driver.wait_with_output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    println!("{status}\n{text}");
    (status.code(), text)
}

pub(crate) fn kill(mut driver: Child) {
    driver.kill().unwrap();
    driver.wait().unwrap();
}

pub(crate) fn wait_for_copy(journal: &Path) {
    wait_for("the copy is under way", || {
        fs::read_to_string(journal).is_ok_and(|text| text.contains("\"iteration\":1"))
    });
}

/// The state of the guest on a host, as libvirt names it.
pub(crate) fn state(host: &Host) -> String {
    host.domain_state("guest").unwrap().unwrap_or_else(|| "absent".to_owned())
}
