//! `whimbrel rule test`: facts in files, and the findings that are expected of them.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use whimbrel_plugins::host::Cache;
use whimbrel_plugins::policy::Policy;
use whimbrel_plugins::{Judgement, RuleSet};

use super::args::Test;
use super::set::host;
use super::{CliError, Exit, OperatorError, facts, print, read, text, write};

/// Waivers do not matter to a test, so neither does the day.
const NO_DAY: &str = "1970-01-01";

pub(super) fn run(arguments: &Test) -> Result<Exit, CliError> {
    let path = arguments.pack.clone().unwrap_or_else(|| arguments.folder.join("pack.wasm"));
    let pack = host(arguments.max_pack_size, Cache::usual())?
        .load(&read(&path)?)
        .map_err(|error| OperatorError::Pack { path, reason: error.to_string() })?;
    let fuel_most = pack.limits().fuel;
    let set = RuleSet::new(vec![pack], Policy::default())
        .map_err(|error| OperatorError::Rules(error.to_string()))?;
    let cases = cases(&arguments.folder.join("cases"))?;
    let (mut passed, mut failed) = (0, 0);
    for (name, path) in &cases {
        let judgement = set.judge(&facts(path)?, NO_DAY);
        let expected = path.with_file_name(format!("{name}.expected.json"));
        let found = findings(&judgement);
        if arguments.bless {
            let text = serde_json::to_string_pretty(&found).unwrap_or_default();
            write(&expected, (text + "\n").as_bytes())?;
        }
        let wanted: Value = serde_json::from_str(&text(&expected)?)
            .map_err(|error| OperatorError::Facts { path: expected, reason: error.to_string() })?;
        let share = judgement.fuel.saturating_mul(100) / fuel_most.max(1);
        if wanted == found {
            passed += 1;
            print(&format!("pass  {name}  {} fuel ({share} % of its limit)\n", judgement.fuel))?;
        } else {
            failed += 1;
            print(&format!("FAIL  {name}\n  expected {wanted}\n  found    {found}\n"))?;
        }
    }
    print(&format!("{passed} passed, {failed} failed\n"))?;
    Ok(if failed == 0 && passed > 0 { Exit::Done } else { Exit::Unexpected })
}

/// The compared part of findings: rule, verdict and subject. Messages can be improved without breaking a test.
fn findings(judgement: &Judgement) -> Value {
    let of = |one: &whimbrel_plugins::Judged| {
        let finding = &one.finding;
        serde_json::json!({ "code": finding.code, "verdict": finding.verdict, "subject": finding.subject })
    };
    Value::Array(judgement.findings.iter().map(of).collect())
}

fn cases(folder: &Path) -> Result<Vec<(String, PathBuf)>, CliError> {
    let unreadable = |source| CliError::Unreadable { path: folder.to_owned(), source };
    let mut cases = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if let Some(name) = name.and_then(|name| name.strip_suffix(".facts.json")) {
            cases.push((name.to_owned(), path.clone()));
        }
    }
    cases.sort();
    Ok(cases)
}
