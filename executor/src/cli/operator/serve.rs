//! `whimbrel serve`, and `whimbrel token`, which creates tokens for its clients.

use std::path::PathBuf;

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::args::{Serve, Token};
use super::rule::load_set;
use super::{CliError, Exit, OperatorError, give, hosts, say, simulated};
use whimbrel_drive::private;
use whimbrel_service::Config;
use whimbrel_service::auth::Tokens;
use whimbrel_simulated::SCHEME;

pub(super) fn run(arguments: &Serve) -> Result<Exit, CliError> {
    log(arguments.log_commands);
    let simulated = arguments.host.is_empty() || arguments.host.iter().any(|uri| uri.starts_with(SCHEME));
    let world = if simulated { Some(simulated::connect(&arguments.simulated)?) } else { None };
    let rules = arguments.rules.clone();
    let config = Config {
        listen: arguments.listen.clone(),
        allow_group: arguments.allow_group.clone(),
        no_auth: arguments.no_auth,
        store: match &arguments.store {
            Some(store) => store.clone(),
            None => usual_store()?,
        },
        hosts: arguments.host.clone(),
        allow_destinations: arguments.allow_destination.clone(),
        transport: arguments.transport.clone(),
        drivers: hosts::registered(world),
        rules: Box::new(move || load_set(&rules).map_err(|error| error.with_causes())),
        tokens: arguments.tokens.clone(),
        tls: arguments.certificate.clone().zip(arguments.key.clone()),
        rate: arguments.rate,
        run_folder: super::run_folder(),
        known_hosts: arguments.ssh_known_hosts.clone(),
        drain: arguments.drain,
    };
    if let Some(folder) = config.store.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        let unwritable = |source| CliError::Unwritable { path: folder.to_owned(), source };
        let make = if super::state_folder().is_ok_and(|usual| usual == folder) {
            private::make_own_folder
        } else {
            private::make_folder
        };
        make(folder).map_err(unwritable)?;
    }
    let drained = whimbrel_service::run(config, |places, adopted| {
        say(&format!("listening at {}; {adopted} migrations adopted", places.join(" and ")));
    })
    .map_err(OperatorError::Service)?;
    if let Some(drained) = drained {
        say(&format!("drained: {drained}"));
    }
    Ok(Exit::Done)
}

pub(super) fn token(arguments: &Token) -> Result<Exit, CliError> {
    let (token, entry) = Tokens::make(&arguments.name, arguments.role).map_err(OperatorError::Token)?;
    say(&format!("the token, which is shown once: {token}"));
    give(&entry)?;
    Ok(Exit::Done)
}

/// Logs to standard error. A command is a span: it is logged when its answer arrives.
fn log(commands: bool) {
    let (level, spans) = if commands { (Level::DEBUG, FmtSpan::CLOSE) } else { (Level::INFO, FmtSpan::NONE) };
    let targets = Targets::new().with_default(Level::INFO).with_target("whimbrel", level);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_span_events(spans);
    tracing_subscriber::registry().with(lines).with(targets).init();
}

/// The default store, in the user's state directory.
fn usual_store() -> Result<PathBuf, CliError> {
    Ok(super::state_folder()?.join("service.sqlite"))
}
