//! The store's schema and statements in Postgres: `cargo xtask postgres`.
//!
//! They are written in the words that it shares with the store's own database. A server of its own, in a folder that goes with it and with no
//! port, makes the schema and prepares every statement; statements that it rejects are reported. No server of the machine is
//! touched.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::job::{Job, is_root};

const STORE: &str = "executor/service/src/store";
/// What holds statements.
const SOURCES: [&str; 2] = ["mod.rs", "database.rs"];
/// A server does not run as root: Debian's package has a user for it.
const USER: &str = "postgres";

/// Makes a server, and lets it judge.
pub(crate) fn run() -> Result<String, Error> {
    let programs = programs().ok_or(Error::NoPostgres)?;
    let folder = std::env::temp_dir().join(format!("whimbrel-postgres-{}", std::process::id()));
    let failed = |source| Error::Start { job: format!("write into {}", folder.display()), source };
    fs::create_dir(&folder).map_err(failed)?;
    let judged = script().map_err(failed).and_then(|(script, count)| {
        fs::write(folder.join("script.sql"), script).map_err(failed)?;
        if is_root() {
            Job::new("chown", USER).argument(&folder).run()?;
        }
        judge(&programs, &folder).map(|()| format!("PostgreSQL takes the schema and {count} statements"))
    });
    let _ = fs::remove_dir_all(&folder);
    judged
}

fn judge(programs: &Path, folder: &Path) -> Result<(), Error> {
    let data = folder.join("data");
    let job = |program: &str, arguments: &str| {
        let program = programs.join(program);
        let job = if is_root() {
            Job::new("runuser", &format!("--user {USER} --")).argument(program)
        } else {
            Job::new(program, "")
        };
        job.arguments(arguments)
    };
    job("initdb", "--auth=trust --no-sync --pgdata").argument(&data).quietly().map_err(Error::Postgres)?;
    let options = format!("-c listen_addresses= -c unix_socket_directories={}", folder.display());
    let start = job("pg_ctl", "--wait --silent --log").argument(folder.join("log")).argument("--pgdata");
    start.argument(&data).argument("--options").argument(options).argument("start").run()?;
    let held = job("psql", "--quiet --no-psqlrc --set=ON_ERROR_STOP=1 --dbname=postgres --host")
        .argument(folder)
        .argument("--file")
        .argument(folder.join("script.sql"))
        .run();
    let stopped =
        job("pg_ctl", "--wait --silent --mode=fast --pgdata").argument(&data).argument("stop").run();
    held.and(stopped)
}

/// The schema, then every statement of the store, prepared under a name of its own.
fn script() -> io::Result<(String, usize)> {
    let store = Path::new(STORE);
    let mut script = fs::read_to_string(store.join("schema-1.sql"))?;
    let mut count = 0;
    for file in SOURCES {
        for statement in statements(&fs::read_to_string(store.join(file))?) {
            count += 1;
            // Writing into a string does not fail.
            let _ = writeln!(script, "PREPARE statement_{count} AS {statement};");
        }
    }
    Ok((script, count))
}

/// Literals in Rust that are statements, with the one condition that several share put in.
fn statements(source: &str) -> Vec<String> {
    let literals: Vec<String> = source
        .split('"')
        .skip(1)
        .step_by(2)
        .map(|text| text.split('\\').map(str::trim_start).collect::<String>())
        .collect();
    let shared = literals.iter().find(|text| text.starts_with("(number")).cloned().unwrap_or_default();
    let verbs = ["SELECT ", "INSERT ", "UPDATE "];
    let is_statement = |text: &&String| verbs.iter().any(|verb| text.starts_with(verb));
    literals.iter().filter(is_statement).map(|text| text.replace("{after}", &shared)).collect()
}

/// Where Debian keeps the programs of its newest server.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten().map(|entry| entry.path().join("bin"));
    versions.filter(|folder| folder.join("initdb").is_file()).max()
}

#[cfg(test)]
mod tests {
    use super::statements;

    #[test]
    fn statements_are_found_in_their_source() {
        let source = "let a = \"SELECT 1 \\\n     WHERE $1\"; let b = \"(number > $1)\"; \
                      let c = \"no statement\"; let d = format!(\"UPDATE x SET y WHERE {after}\");";
        assert_eq!(statements(source), ["SELECT 1 WHERE $1", "UPDATE x SET y WHERE (number > $1)"]);
        let writer = include_str!("../../executor/service/src/store/database.rs");
        assert!(statements(writer).len() >= 8, "{:?}", statements(writer));
    }
}
