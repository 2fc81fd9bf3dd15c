//! A service in a lab, that is killed with its test; and a client for it.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use ureq::Agent;
use whimbrel_lab::Lab;
use whimbrel_lab::testing::{LONG, program};

/// A service with its files in the lab's folder.
pub(crate) struct Service {
    child: RefCell<Child>,
    pub(crate) address: String,
    pub(crate) log: PathBuf,
    agent: Agent,
}

impl Service {
    /// Starts a service by a command that enters some place of the lab first. The calling thread has to be in its network.
    pub(crate) fn start(lab: &Lab, place: Command, number: u32, more: &[&str]) -> Self {
        Self::start_with_store(lab, place, &lab.folder().join("store.sqlite"), number, more)
    }

    /// As [`Service::start`], with its store elsewhere.
    pub(crate) fn start_with_store(
        lab: &Lab,
        mut place: Command,
        store: &Path,
        number: u32,
        more: &[&str],
    ) -> Self {
        let log = lab.folder().join(format!("service-{number}.log"));
        // Entering another place for processes takes a process of its own: the service ends with that one.
        let mut child = place
            .args(["--pdeathsig", "KILL"])
            .arg(program())
            .args(["serve", "--listen", "127.0.0.1:0", "--no-auth", "--store"])
            .arg(store)
            .args(more)
            .env("XDG_RUNTIME_DIR", lab.folder())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + LONG;
        let address = loop {
            let said = fs::read_to_string(&log).unwrap();
            if let Some((_, rest)) = said.split_once("listening at ")
                && let Some((address, _)) = rest.split_once("/;")
            {
                break address.to_owned();
            }
            assert!(child.try_wait().unwrap().is_none(), "the service did not start: {said}");
            assert!(Instant::now() < deadline, "the service says nothing: {said}");
            thread::sleep(Duration::from_millis(10));
        };
        let config = Agent::config_builder().http_status_as_error(false).timeout_global(Some(LONG));
        Self { child: RefCell::new(child), address, log, agent: config.build().into() }
    }

    pub(crate) fn get(&self, path: &str) -> (u16, Value) {
        let (status, text) = self.text(path);
        (status, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}: {text}")))
    }

    pub(crate) fn text(&self, path: &str) -> (u16, String) {
        let response = self.agent.get(format!("{}{path}", self.address)).call();
        let mut response = response.unwrap_or_else(|error| self.unreachable(path, &error));
        let mut text = String::new();
        response.body_mut().as_reader().read_to_string(&mut text).unwrap();
        (response.status().as_u16(), text)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = self.agent.post(format!("{}{path}", self.address));
        let response = request.content_type("application/json").send(body.to_string());
        let mut response = response.unwrap_or_else(|error| self.unreachable(path, &error));
        let mut text = String::new();
        response.body_mut().as_reader().read_to_string(&mut text).unwrap();
        (response.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// Asks until the answer is as wanted.
    pub(crate) fn wait(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + LONG;
        loop {
            let (_, answer) = self.get(path);
            if wanted(&answer) {
                return answer;
            }
            assert!(
                Instant::now() < deadline,
                "{path}: {answer}\n{}",
                fs::read_to_string(&self.log).unwrap()
            );
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Fails, with how the service ended where it did, and with its log.
    fn unreachable(&self, path: &str, error: &ureq::Error) -> ! {
        let ended = self.child.borrow_mut().try_wait().unwrap();
        let log = fs::read_to_string(&self.log).unwrap();
        panic!("{path}: {error}; the service's end: {ended:?}\n{log}")
    }

    pub(crate) fn kill(&mut self) {
        let child = self.child.get_mut();
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
    }
}
