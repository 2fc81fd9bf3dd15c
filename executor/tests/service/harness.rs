//! A service and a simulated world, each a process of its own, that end with the test; and a client.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use ureq::Agent;

const PROGRAM: &str = env!("CARGO_BIN_EXE_whimbrel");

/// A folder of this test's own, removed with it.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("whimbrel-service-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A process that is killed when the test is done with it, as a crash would.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// Stops it as a service manager does, and waits until it has ended.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        let signalled = Command::new("kill").arg(self.0.id().to_string()).status().unwrap();
        assert!(signalled.success());
        self.end()
    }

    /// How it ended by itself; None while it runs.
    pub(crate) fn has_ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().unwrap()
    }

    /// Waits until it ends by itself.
    pub(crate) fn end(&mut self) -> ExitStatus {
        self.0.wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Starts a simulated world that outlives services.
pub(crate) fn world(socket: &Path, more: &[&str]) -> Process {
    let child = Command::new(PROGRAM).arg("sim-server").arg(socket).args(more).spawn().unwrap();
    let process = Process(child);
    let patience = Instant::now() + Duration::from_secs(20);
    while !socket.exists() {
        assert!(Instant::now() < patience, "the world did not come up");
        thread::sleep(Duration::from_millis(5));
    }
    process
}

/// A service with a client for it.
pub(crate) struct Service {
    pub(crate) process: Process,
    pub(crate) address: String,
    log: Arc<Mutex<String>>,
    agent: Agent,
    token: Option<String>,
}

impl Service {
    /// Starts a service and waits until it listens.
    pub(crate) fn start(store: &Path, more: &[&str]) -> Self {
        Self::run(Command::new(PROGRAM), store, "100000", more)
    }

    /// Starts one that lets an address ask so often.
    pub(crate) fn start_with_rate(store: &Path, per_second: u32) -> Self {
        Self::run(Command::new(PROGRAM), store, &per_second.to_string(), &[])
    }

    /// Starts one that has a single core.
    pub(crate) fn start_on_one_core(store: &Path, more: &[&str]) -> Self {
        let mut pinned = Command::new("taskset");
        pinned.args(["-c", "0", PROGRAM]);
        Self::run(pinned, store, "100000", more)
    }

    fn run(mut program: Command, store: &Path, rate: &str, more: &[&str]) -> Self {
        let mut child = program
            .args(["serve", "--listen", "127.0.0.1:0", "--rate", rate, "--store"])
            .arg(store)
            .args(more)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        let address = loop {
            let mut line = String::new();
            assert!(lines.read_line(&mut line).unwrap() > 0, "the service did not start: {said}");
            said.push_str(&line);
            if let Some((_, rest)) = line.split_once("listening at ") {
                break rest.split("/;").next().unwrap().split("/ and ").next().unwrap().to_owned();
            }
        };
        // What it says later is read, or it would have to wait.
        let log = Arc::new(Mutex::new(said));
        let kept = Arc::clone(&log);
        thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let mut kept = kept.lock().unwrap();
                kept.push_str(&line);
                kept.push('\n');
            }
        });
        let config =
            Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(40)));
        Self { process: Process(child), address, log, agent: config.build().into(), token: None }
    }

    /// What it has said on standard error.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until it has said this.
    pub(crate) fn wait_for_log(&self, wanted: &str) {
        let patience = Instant::now() + Duration::from_mins(1);
        while !self.log().contains(wanted) {
            assert!(Instant::now() < patience, "`{wanted}` was not logged: {}", self.log());
            thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn with_token(&mut self, token: &str) {
        self.token = Some(token.to_owned());
    }

    pub(crate) fn get(&self, path: &str) -> (u16, Value) {
        self.ask("GET", path, &[], None)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.ask("POST", path, &[("content-type", "application/json")], Some(&body.to_string()))
    }

    pub(crate) fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> (u16, Value) {
        let (status, text) = self.text(method, path, headers, body);
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    pub(crate) fn text(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> (u16, String) {
        let mut request =
            ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let mut response = match body {
            Some(body) => self.agent.run(request.body(body.to_owned()).unwrap()).unwrap(),
            None => self.agent.run(request.body(()).unwrap()).unwrap(),
        };
        let mut text = String::new();
        response.body_mut().as_reader().read_to_string(&mut text).unwrap();
        (response.status().as_u16(), text)
    }

    /// Asks until the answer is as wanted.
    pub(crate) fn wait(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let patience = Instant::now() + Duration::from_mins(1);
        loop {
            let (_, answer) = self.get(path);
            if wanted(&answer) {
                return answer;
            }
            assert!(Instant::now() < patience, "{path}: {answer}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The events of one stream, until it ends or breaks: the id and the data of each. `last` goes on behind one.
pub(crate) fn events(
    address: &str,
    path: &str,
    last: Option<&str>,
    mut each: impl FnMut(&str, Value),
) -> u16 {
    let agent: Agent = Agent::config_builder().http_status_as_error(false).build().into();
    let mut request = agent.get(format!("{address}{path}"));
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let Ok(response) = request.call() else { return 0 };
    let status = response.status().as_u16();
    let (mut id, mut lines) = (String::new(), BufReader::new(response.into_body().into_reader()).lines());
    while let Some(Ok(line)) = lines.next() {
        if let Some(rest) = line.strip_prefix("id: ") {
            rest.clone_into(&mut id);
        } else if let Some(rest) = line.strip_prefix("data: ") {
            // A line that a kill cut off is no event: it comes again.
            if let Ok(data) = serde_json::from_str(rest) {
                each(&id, data);
            }
        }
    }
    status
}
