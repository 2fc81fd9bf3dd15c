//! `whimbrel list`, `show`, `watch`, `cancel` and `tune`: clients of a service.
//!
//! With `--json` they print the service's own document.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use ureq::Agent;
use ureq::http::StatusCode;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use super::args::{AdjustmentName, OneMigration, ServiceAddress, Tune};
use super::{CliError, Exit, OperatorError, give, input, say, unix};
use whimbrel_core::{CopyState, GuestLocation};
use whimbrel_observe::names::clean;
use whimbrel_observe::units::mib;
use whimbrel_service::UNIX;

/// The document for a guest that runs twice, or whose location is unknown.
const IN_DOUBT: &str = "docs/in-doubt.md";
/// Longer than the service waits for the result of a cancel.
const PATIENCE: Duration = Duration::from_secs(40);
/// Between two attempts to continue following.
const PAUSE: Duration = Duration::from_millis(500);
/// Attempts before a service counts as gone: a restarted one is back by then.
const MOST_ATTEMPTS: u32 = 60;

pub(super) fn list(address: &ServiceAddress) -> Result<Exit, CliError> {
    let document = Client::new(address)?.get("/api/v1/migrations?limit=200")?;
    if address.json {
        return print(&document.to_string());
    }
    let migrations = field(&document, "migrations").as_array();
    if migrations.is_none_or(Vec::is_empty) {
        say("the service has no migrations");
    }
    for one in migrations.into_iter().flatten() {
        print(&line(one))?;
    }
    Ok(Exit::Done)
}

pub(super) fn show(arguments: &OneMigration) -> Result<Exit, CliError> {
    let path = format!("/api/v1/migrations/{}", arguments.migration);
    let document = Client::new(&arguments.service)?.get(&path)?;
    if arguments.service.json {
        return print(&document.to_string());
    }
    print(&line(&document))?;
    let account = field(&document, "account");
    let numbers = field(account, "statistics");
    let is_measured = field(numbers, "memory_total_bytes").as_u64().is_some_and(|bytes| bytes > 0);
    let left = field(numbers, "memory_remaining_bytes").as_u64().filter(|_| is_measured);
    print(&format!(
        "phase {}, guest owned by {}; {}, {} regressions in {} syncs",
        text(field(account, "phase")).replace('_', " "),
        text(field(account, "owner")).replace('_', " "),
        left.map_or("remaining memory not measured yet".to_owned(), |bytes| format!(
            "{} MiB of memory remaining",
            mib(bytes)
        )),
        field(account, "regressions"),
        syncs_seen(account)
    ))?;
    for words in seen(account).into_iter().chain(forecast(&document)) {
        print(&words)?;
    }
    for words in
        [field(&document, "description"), field(&document, "trouble")].into_iter().filter_map(Value::as_str)
    {
        for line in words.lines() {
            print(&clean(line))?;
        }
    }
    Ok(Exit::Done)
}

/// The number of syncs; a service of an earlier release only lists the last ones.
fn syncs_seen(account: &Value) -> u64 {
    let listed = || field(account, "syncs").as_array().map_or(0, Vec::len);
    field(account, "syncs_seen").as_u64().unwrap_or_else(|| listed() as u64)
}

/// The verdict of the last forecast, while memory is copied.
fn forecast(document: &Value) -> Option<String> {
    let forecast = field(document, "forecast");
    let [why, conclusion] = ["why", "conclusion"].map(|name| field(forecast, name).as_str().map(clean));
    Some(format!("forecast: {}: {}", why?, conclusion?))
}

/// The last observation of each host; and the consequence where both copies ran.
fn seen(account: &Value) -> Vec<String> {
    let [source, destination] = ["seen_on_source", "seen_on_destination"]
        .map(|name| serde_json::from_value::<CopyState>(field(account, name).clone()).ok());
    let said = |state: Option<CopyState>| state.map_or("not queried".to_owned(), |state| state.to_string());
    if source.or(destination).is_none() {
        return Vec::new();
    }
    let mut lines =
        vec![format!("seen on the source: {}; on the destination: {}", said(source), said(destination))];
    // A migration that still works on the source's copy is no second guest.
    if (source, destination) == (Some(CopyState::Running), Some(CopyState::Running)) {
        lines.push(format!("two copies run: destroy neither before reading {IN_DOUBT}"));
    }
    lines
}

pub(super) fn cancel(arguments: &OneMigration) -> Result<Exit, CliError> {
    let path = format!("/api/v1/migrations/{}/cancel", arguments.migration);
    let document = Client::new(&arguments.service)?.command(&path, &json!({}), "answer")?;
    if arguments.service.json {
        print(&document.to_string())?;
    } else {
        print(&text(field(&document, "description")))?;
        for done in field(&document, "recovery").as_array().into_iter().flatten() {
            print(&format!("restored: {}", text(done)))?;
        }
    }
    Ok(match field(&document, "answer").as_str() {
        Some("cancelled") => Exit::Done,
        Some("too_late" | "refused") => Exit::Unexpected,
        _ => Exit::InDoubt,
    })
}

pub(super) fn tune(arguments: &Tune) -> Result<Exit, CliError> {
    let wanted = match (arguments.adjustment, arguments.value) {
        (AdjustmentName::Downtime, Some(ms)) => json!({"downtime_limit": {"ms": ms}}),
        (AdjustmentName::Bandwidth, Some(mib)) => {
            json!({"bandwidth_limit": {"bytes_per_second": mib.saturating_mul(1 << 20)}})
        }
        (AdjustmentName::Pause, None) => json!({"pause": {}}),
        (AdjustmentName::Postcopy, None) => json!({"postcopy": {}}),
        (AdjustmentName::Downtime | AdjustmentName::Bandwidth, None) => {
            return Err(OperatorError::Adjustment("this adjustment needs a value: ms, or MiB/s").into());
        }
        (AdjustmentName::Pause | AdjustmentName::Postcopy, Some(_)) => {
            return Err(OperatorError::Adjustment("this adjustment takes no value").into());
        }
    };
    let path = format!("/api/v1/migrations/{}/reactions", arguments.migration);
    let document = Client::new(&arguments.service)?.command(&path, &wanted, "result")?;
    let words =
        if arguments.service.json { document.to_string() } else { text(field(&document, "description")) };
    print(&words)?;
    Ok(if field(&document, "result") == "done" { Exit::Done } else { Exit::Unexpected })
}

/// Follows a migration to its end, with one line of JSON per event. It reconnects to a service that restarts.
pub(super) fn watch(arguments: &OneMigration) -> Result<Exit, CliError> {
    let client = Client::new(&arguments.service)?;
    let path = format!("/api/v1/migrations/{}/events", arguments.migration);
    let (mut last, mut attempts) = (None, 0);
    loop {
        let seen = last.clone();
        match client.follow(&path, &mut last) {
            Ok(Some(ending)) => return Ok(exit_of(&ending)),
            Err(error @ CliError::Operator(OperatorError::Refused { .. })) => return Err(error),
            Err(error) if attempts >= MOST_ATTEMPTS => return Err(error),
            Err(error) if attempts == 0 => say(&format!("{}; retrying", error.with_causes())),
            Ok(None) | Err(_) => {}
        }
        attempts = if last == seen { attempts + 1 } else { 0 };
        std::thread::sleep(PAUSE);
    }
}

fn exit_of(outcome: &Value) -> Exit {
    match field(outcome, "ending").as_str() {
        Some("completed") => Exit::Done,
        Some("cancelled") => Exit::Cancelled,
        Some("arrived_stopped") => Exit::ArrivedStopped,
        // As after `migrate`: a guest that is lost is not on the source.
        Some("failed") if !is_lost(outcome) => Exit::StayedOnSource,
        _ => Exit::InDoubt,
    }
}

fn is_lost(outcome: &Value) -> bool {
    serde_json::from_value::<GuestLocation>(field(outcome, "guest").clone()).is_ok_and(GuestLocation::is_lost)
}

fn line(one: &Value) -> String {
    let [id, state, guest, source, destination] =
        ["id", "state", "guest", "source", "destination"].map(|name| text(field(one, name)));
    format!("{id:>6}  {state:<15} {guest} from {source} to {destination}")
}

/// A field; null where there is none.
fn field<'a>(document: &'a Value, name: &str) -> &'a Value {
    document.get(name).unwrap_or(&Value::Null)
}

/// A field as text, without control characters: a service must not be able to control the terminal.
fn text(value: &Value) -> String {
    clean(value.as_str().unwrap_or("none"))
}

fn print(words: &str) -> Result<Exit, CliError> {
    give(&format!("{words}\n")).map(|()| Exit::Done)
}

/// The certificate authorities that verify a service.
fn roots(path: &Path) -> Result<Vec<Certificate<'static>>, CliError> {
    let pem = input::bytes(path)?;
    let certificate = |item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        // Other items of the file verify no service.
        Ok(_) | Err(_) => None,
    };
    Ok(parse_pem(&pem).filter_map(certificate).collect())
}

fn document(mut body: ureq::Body) -> Result<Value, CliError> {
    let unanswered =
        |error: &dyn std::error::Error| CliError::from(OperatorError::Unanswered(error.to_string()));
    let text = body.read_to_string().map_err(|error| unanswered(&error))?;
    serde_json::from_str(&text).map_err(|error| unanswered(&error))
}

fn refused(status: StatusCode, problem: &Value) -> CliError {
    let text = |name: &str| field(problem, name).as_str().map(clean);
    let what = text("detail").or_else(|| text("title")).unwrap_or_else(|| status.to_string());
    OperatorError::Refused { what, remedy: text("remedy").unwrap_or_default() }.into()
}

struct Client {
    agent: Agent,
    address: String,
    token: Option<String>,
}

impl Client {
    fn new(address: &ServiceAddress) -> Result<Self, CliError> {
        if !["http://", "https://", UNIX].iter().any(|scheme| address.service.starts_with(scheme)) {
            return Err(OperatorError::NoAddress(address.service.clone()).into());
        }
        // Fails only when one is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let roots = if address.service.starts_with("https:") { roots(&address.ca)? } else { Vec::new() };
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .tls_config(TlsConfig::builder().root_certs(RootCerts::from(roots)).build())
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE));
        let token = address.token_file.as_ref().map(|path| input::secret(path)).transpose()?;
        let (agent, address) = match address.service.strip_prefix(UNIX) {
            Some(socket) => (unix::agent(config.build(), socket.into()), unix::ADDRESS),
            None => (config.build().into(), address.service.trim_end_matches('/')),
        };
        Ok(Self { agent, address: address.to_owned(), token: token.map(|token| token.trim().to_owned()) })
    }

    fn send(&self, method: &str, path: &str, last: Option<&str>) -> Result<ureq::Body, CliError> {
        let (status, body) = self.exchange(method, path, last, None)?;
        if status.is_success() { Ok(body) } else { Err(refused(status, &document(body).unwrap_or_default())) }
    }

    fn exchange(
        &self,
        method: &str,
        path: &str,
        last: Option<&str>,
        body: Option<&Value>,
    ) -> Result<(StatusCode, ureq::Body), CliError> {
        let mut request =
            ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.address));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let unreachable = |error: ureq::Error| OperatorError::Unanswered(error.to_string());
        let malformed = |error: ureq::http::Error| OperatorError::Unanswered(error.to_string());
        let response = match body {
            Some(body) => {
                let request = request.header("content-type", "application/json");
                self.agent.run(request.body(body.to_string()).map_err(malformed)?)
            }
            None => self.agent.run(request.body(()).map_err(malformed)?),
        }
        .map_err(unreachable)?;
        Ok((response.status(), response.into_body()))
    }

    fn get(&self, path: &str) -> Result<Value, CliError> {
        document(self.send("GET", path, None)?)
    }

    /// Sends a command. A document with the field `result` is its result, also with an error status.
    fn command(&self, path: &str, body: &Value, result: &str) -> Result<Value, CliError> {
        let (status, body) = self.exchange("POST", path, None, Some(body))?;
        let document = document(body);
        match document {
            Ok(document) if status.is_success() || document.get(result).is_some() => Ok(document),
            Err(error) if status.is_success() => Err(error),
            problem => Err(refused(status, &problem.unwrap_or_default())),
        }
    }

    /// Writes events until the migration or the connection ends; the outcome, if it is the migration.
    fn follow(&self, path: &str, last: &mut Option<String>) -> Result<Option<Value>, CliError> {
        let body = self.send("GET", path, last.as_deref())?;
        let mut id = None;
        for line in BufReader::new(body.into_reader()).lines() {
            let Ok(line) = line else { return Ok(None) };
            if let Some(rest) = line.strip_prefix("id: ") {
                id = Some(rest.to_owned());
            } else if let Some(rest) = line.strip_prefix("data: ") {
                // An incomplete line is sent again after the next connection.
                let Ok(data) = serde_json::from_str::<Value>(rest) else { return Ok(None) };
                last.clone_from(&id);
                print(rest)?;
                if let Some(outcome) = field(&data, "event").get("ended") {
                    return Ok(Some(outcome.clone()));
                }
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use whimbrel_core::{Advice, Ending, GuestRun, Outcome};

    use super::super::migrate;
    use super::*;

    #[test]
    fn a_migration_of_a_service_has_the_exit_code_of_a_local_one() {
        for ending in Ending::ALL {
            for guest in GuestLocation::ALL {
                let outcome = Outcome {
                    ending,
                    guest,
                    cause: None,
                    failure: None,
                    unsettled: None,
                    recovered: Vec::new(),
                    not_undone: Vec::new(),
                    disks_left: Vec::new(),
                    total_ms: 1,
                    downtime_ms: None,
                    hypervisor_downtime_ms: None,
                    advice: Advice::on(guest, GuestRun::Running, None, None, None),
                };
                let document = serde_json::to_value(&outcome).unwrap();
                assert_eq!(exit_of(&document), migrate::exit_of(&outcome), "{ending}, {guest}");
            }
        }
    }
}
