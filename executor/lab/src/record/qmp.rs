//! QEMU's monitor protocol: commands with their answers, and events between them.
//!
//! It must never lose an event while it waits for an answer.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::RecordError;
use super::lines::Lines;
use crate::LabError;

/// How long QEMU may take to answer: its main loop may be held up by a switchover.
const ANSWER_ALLOWED: Duration = Duration::from_secs(30);

/// What QEMU said by itself.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Event {
    pub(super) name: String,
    pub(super) data: Value,
}

/// A monitor.
#[derive(Debug)]
pub(super) struct Qmp {
    lines: Lines,
    events: VecDeque<Event>,
    version: String,
}

impl Qmp {
    /// Reads the greeting of a new connection, and enters the command mode.
    pub(super) fn greet(mut lines: Lines) -> Result<Self, RecordError> {
        let deadline = Instant::now() + ANSWER_ALLOWED;
        let greeting = document(&mut lines, deadline)?.ok_or_else(|| late("QEMU's greeting"))?;
        let version = version(&greeting)
            .ok_or_else(|| RecordError::Answer(format!("this greeting of QEMU: {greeting}")))?;
        let mut qmp = Self { lines, events: VecDeque::new(), version };
        qmp.execute("qmp_capabilities", &json!({}))?;
        Ok(qmp)
    }

    /// QEMU's version, and its packager's in parentheses.
    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// Gives a command and waits for what it returns.
    pub(super) fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value, RecordError> {
        let line = format!("{}\n", json!({"execute": command, "arguments": arguments}));
        self.lines.send(line.as_bytes())?;
        let deadline = Instant::now() + ANSWER_ALLOWED;
        loop {
            let Some(mut answer) = document(&mut self.lines, deadline)? else {
                return Err(late(&format!("QEMU's answer to `{command}`")));
            };
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
            if let Some(error) = answer.get("error") {
                let message = error.get("desc").and_then(Value::as_str).unwrap_or("no reason").to_owned();
                return Err(RecordError::Refused { command: command.to_owned(), message });
            }
            self.events.extend(event(&answer));
        }
    }

    /// The next event; none when there is none by then.
    pub(super) fn event(&mut self, deadline: Instant) -> Result<Option<Event>, RecordError> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            match document(&mut self.lines, deadline)? {
                Some(said) => self.events.extend(event(&said)),
                None => return Ok(None),
            }
        }
    }
}

fn document(lines: &mut Lines, deadline: Instant) -> Result<Option<Value>, RecordError> {
    let Some(line) = lines.next(deadline)? else { return Ok(None) };
    serde_json::from_str(&line).map(Some).map_err(|error| RecordError::Answer(format!("`{line}`: {error}")))
}

fn event(said: &Value) -> Option<Event> {
    let name = said.get("event")?.as_str()?.to_owned();
    Some(Event { name, data: said.get("data").cloned().unwrap_or(Value::Null) })
}

fn version(greeting: &Value) -> Option<String> {
    let version = greeting.get("QMP")?.get("version")?;
    let part = |name: &str| version.get("qemu")?.get(name)?.as_u64();
    let number = format!("{}.{}.{}", part("major")?, part("minor")?, part("micro")?);
    match version.get("package").and_then(Value::as_str) {
        Some(package) if !package.is_empty() => Some(format!("{number} ({package})")),
        _ => Some(number),
    }
}

fn late(what: &str) -> RecordError {
    LabError::Timeout { what: what.to_owned(), allowed: ANSWER_ALLOWED }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greeting_names_the_version() {
        let greeting = json!({"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian 1"}}});
        assert_eq!(version(&greeting).as_deref(), Some("7.2.22 (Debian 1)"));
        assert_eq!(version(&json!({"QMP": {}})), None);
    }

    #[test]
    fn an_event_is_no_answer() {
        let said = json!({"timestamp": {}, "event": "MIGRATION", "data": {"status": "active"}});
        assert_eq!(event(&said), Some(Event { name: "MIGRATION".into(), data: json!({"status": "active"}) }));
        assert_eq!(event(&json!({"return": {}})), None);
    }
}
