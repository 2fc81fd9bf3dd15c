//! A simulated world served to other processes through a Unix socket, so that it outlives the drivers of migrations.
//!
//! A connection serves one question. Its first line asks: for the inventory, for facts or for another speed, which is
//! answered with one line; or for a port, over which commands then come in and observations go out, a JSON document a line
//! each.

use std::io::{self, BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant as Clock};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use whimbrel_core::{Command, CommandId, Facts as KnownFacts, Failure, Observation, Request};
use whimbrel_facts::Facts;

use super::SimulatedHosts;
use whimbrel_drive::dirty_rate::DirtyRate;
use whimbrel_drive::hosts::{Inquiry, Route};
use whimbrel_drive::inventory::Inventory;
use whimbrel_drive::{Message, Port};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Question {
    Inventory,
    Facts(Inquiry),
    DirtyRate(Inquiry, u16),
    Port(Route),
    Speed(u32),
}

/// What a client sends over a port.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Instruction {
    CarryOut(Command),
    AbandonCall(CommandId),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Observed(Observation),
    Collected { to: CommandId, known: Box<KnownFacts>, collected: Box<Facts> },
    Asked(Request),
}

/// Serves a world on a new Unix socket until the process ends.
///
/// # Errors
/// When the socket cannot be made, or no connection can be accepted any more.
pub fn serve(hosts: &SimulatedHosts, socket: &Path) -> io::Result<()> {
    let listener = UnixListener::bind(socket)?;
    for stream in listener.incoming() {
        let (stream, hosts) = (stream?, hosts.clone());
        thread::spawn(move || {
            // A client that breaks off, or speaks another language, harms only itself.
            let _ = attend(&hosts, &stream);
        });
    }
    Ok(())
}

pub(super) fn inventory(socket: &Path) -> io::Result<Vec<Inventory>> {
    answer(ask(socket, &Question::Inventory)?)
}

pub(super) fn set_speed(socket: &Path, speed: u32) -> io::Result<()> {
    answer(ask(socket, &Question::Speed(speed))?)
}

pub(super) fn facts(socket: &Path, inquiry: &Inquiry) -> io::Result<Result<Box<Facts>, Failure>> {
    answer(ask(socket, &Question::Facts(inquiry.clone()))?)
}

/// The answer comes when the interval has passed: in simulated time, which is not slower than real time.
pub(super) fn dirty_rate(
    socket: &Path,
    inquiry: &Inquiry,
    seconds: u16,
) -> io::Result<Result<DirtyRate, Failure>> {
    let asked = ask(socket, &Question::DirtyRate(inquiry.clone(), seconds))?;
    answer_within(asked, PATIENCE + Duration::from_secs(u64::from(seconds)))
}

/// The one line that answers a question.
fn answer<T: DeserializeOwned>(stream: UnixStream) -> io::Result<T> {
    answer_within(stream, PATIENCE)
}

fn answer_within<T: DeserializeOwned>(mut stream: UnixStream, patience: Duration) -> io::Result<T> {
    stream.set_read_timeout(Some(patience))?;
    let mut line = String::new();
    BufReader::new(&mut stream).read_line(&mut line)?;
    read(&line)
}

pub(super) fn open(socket: &Path, route: &Route, inbox: Sender<Message>) -> io::Result<RemotePort> {
    let stream = ask(socket, &Question::Port(route.clone()))?;
    let incoming = stream.try_clone()?;
    thread::spawn(move || {
        for line in BufReader::new(incoming).lines() {
            let Ok(word) = line.and_then(|line| read(&line)) else { return };
            let message = match word {
                Word::Observed(observation) => Message::Observed { observation, since: Clock::now() },
                Word::Collected { to, known, collected } => Message::Collected { to, known, collected },
                Word::Asked(request) => Message::Request(request),
            };
            if inbox.send(message).is_err() {
                return;
            }
        }
    });
    Ok(RemotePort { stream })
}

/// A port in a world of another process.
#[derive(Debug)]
pub(super) struct RemotePort {
    stream: UnixStream,
}

impl Port for RemotePort {
    fn execute(&mut self, command: Command) {
        // A world that is gone answers nothing, like a host that is.
        let _ = write(&mut self.stream, &Instruction::CarryOut(command));
    }

    fn abandon_call(&mut self, call: CommandId) {
        let _ = write(&mut self.stream, &Instruction::AbandonCall(call));
    }
}

impl Drop for RemotePort {
    fn drop(&mut self) {
        // The thread that listens has a handle of its own.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

fn ask(socket: &Path, question: &Question) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(socket)?;
    write(&mut stream, question)?;
    Ok(stream)
}

fn attend(hosts: &SimulatedHosts, stream: &UnixStream) -> io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let Some(first) = lines.next() else { return Ok(()) };
    let mut out = stream.try_clone()?;
    match read(&first?)? {
        Question::Inventory => write(&mut out, &hosts.inventories()?),
        Question::Speed(speed) => write(&mut out, &hosts.set_speed(speed)?),
        Question::Facts(inquiry) => write(&mut out, &hosts.facts_of(&inquiry)?),
        Question::DirtyRate(inquiry, seconds) => write(&mut out, &hosts.dirty_rate_of(&inquiry, seconds)?),
        Question::Port(route) => {
            let (inbox, told) = channel();
            let mut port = hosts.open_port(route, inbox)?;
            thread::spawn(move || {
                for message in told {
                    let word = match message {
                        Message::Observed { observation, .. } => Word::Observed(observation),
                        Message::Collected { to, known, collected } => {
                            Word::Collected { to, known, collected }
                        }
                        Message::Request(request) => Word::Asked(request),
                        Message::Leave => continue,
                    };
                    if write(&mut out, &word).is_err() {
                        return;
                    }
                }
            });
            for line in lines {
                match read(&line?)? {
                    Instruction::CarryOut(command) => port.execute(command),
                    Instruction::AbandonCall(call) => port.abandon_call(call),
                }
            }
            Ok(())
        }
    }
}

fn read<T: DeserializeOwned>(line: &str) -> io::Result<T> {
    whimbrel_core::document::from_json(line)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

fn write(out: &mut UnixStream, document: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_string(document)?;
    line.push('\n');
    out.write_all(line.as_bytes())
}
