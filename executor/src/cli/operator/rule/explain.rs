//! `whimbrel rule list` and `explain`: what a rule is for, which verdicts it can give, and which facts it needs.

use serde::Serialize;
use whimbrel_facts::{About, Rule};
use whimbrel_plugins::near::nearest;
use whimbrel_plugins::shipped::SHIPPED;

use super::args::{Explain, Form, List};
use super::{CliError, Exit, OperatorError, document, load_set, print};

/// A rule as both verbs write it.
#[derive(Serialize)]
struct Described {
    code: String,
    title: String,
    pack: String,
    version: String,
    /// Where the pack comes from: `shipped`, or `file`.
    source: &'static str,
    /// Verdicts that it can give. None: the pack does not say, so it may be any.
    verdicts: Option<Vec<&'static str>>,
    /// JSON pointers to the facts that it cannot do without; for a pack that does not say, the groups that it receives.
    needs: Vec<String>,
    /// Phases in which it is evaluated. Empty: in every one.
    phases: Vec<&'static str>,
}

#[derive(Serialize)]
struct Explained {
    schema: &'static str,
    #[serde(flatten)]
    described: Described,
    rationale: String,
    remediation: String,
    settings: Option<serde_json::Value>,
}

/// Findings of the engine itself, which no rule gives.
const ENGINE: [(&str, &str, &str, &str); 8] = [
    ("engine.fuel", "a pack used up its fuel", "it may not end", "repair the pack, or leave it out"),
    (
        "engine.memory",
        "a pack wanted more memory than it may have",
        "it stopped",
        "repair the pack, or leave it out",
    ),
    ("engine.stack", "a pack used up its stack", "it stopped", "repair the pack, or leave it out"),
    ("engine.output", "a pack's answer is too large", "it is not read", "repair the pack, or leave it out"),
    (
        "engine.compile",
        "a pack's code cannot be used",
        "its rules gave no verdict",
        "install the pack again, or leave it out",
    ),
    ("engine.trap", "a pack broke off", "its rules gave no verdict", "repair the pack, or leave it out"),
    (
        "engine.foreign",
        "a pack answers for a rule that was not evaluated",
        "a pack speaks for its own rules alone",
        "repair the pack, or leave it out",
    ),
    (
        "engine.silent",
        "a rule gave no finding",
        "no answer is not a pass",
        "repair the pack, or leave it out",
    ),
];

pub(super) fn list(arguments: &List) -> Result<Exit, CliError> {
    let set = load_set(&arguments.set)?;
    let all =
        set.packs().flat_map(|pack| pack.about().rules.iter().map(|rule| described(pack.about(), rule)));
    let rules: Vec<Described> = all.collect();
    if arguments.format == Form::Json {
        return document(&serde_json::json!({ "schema": "whimbrel.rules/1", "rules": rules }));
    }
    let width = rules.iter().map(|rule| rule.code.len()).max().unwrap_or(0);
    let verdicts = |rule: &Described| match &rule.verdicts {
        Some(verdicts) => verdicts.join("/"),
        None => "any".to_owned(),
    };
    let entry = |rule: &Described| {
        let Described { code, title, pack, source, needs, .. } = rule;
        let needs = if needs.is_empty() { "nothing".to_owned() } else { needs.join(", ") };
        let verdicts = verdicts(rule);
        format!(
            "{code:<width$}  {verdicts:<17}  {title}\n{:<width$}  needs {needs}; from {pack} ({source})\n",
            ""
        )
    };
    print(&rules.iter().map(entry).collect::<String>())
}

pub(super) fn explain(arguments: &Explain) -> Result<Exit, CliError> {
    // What the shipped rules are for is known without loading them.
    let abouts: Vec<About> = if arguments.set.packs.is_empty() {
        SHIPPED.iter().map(|pack| pack.native.about()).collect()
    } else {
        load_set(&arguments.set)?.packs().map(|pack| pack.about().clone()).collect()
    };
    let rules = || abouts.iter().flat_map(|about| about.rules.iter().map(move |rule| (about, rule)));
    let Some((about, rule)) = rules().find(|(_, rule)| rule.code == arguments.code) else {
        return engine(arguments).unwrap_or_else(|| {
            let codes = rules().map(|(_, rule)| rule.code.as_str()).chain(ENGINE.iter().map(|one| one.0));
            let near = nearest(&arguments.code, codes).map(str::to_owned);
            Err(OperatorError::NoRule { code: arguments.code.clone(), near }.into())
        });
    };
    let settings = serde_json::from_str(&rule.settings_schema).ok();
    let explained = Explained {
        schema: "whimbrel.rule/1",
        described: described(about, rule),
        rationale: rule.rationale.clone(),
        remediation: rule.remediation.clone(),
        settings,
    };
    if arguments.format == Form::Json {
        return document(&explained);
    }
    let Described { pack, version, source, verdicts, needs, phases, .. } = &explained.described;
    let or = |words: Vec<&str>, otherwise: &str| {
        if words.is_empty() { otherwise.to_owned() } else { words.join(", ") }
    };
    let verdicts = or(verdicts.iter().flatten().copied().collect(), "any verdict");
    let needs = or(needs.iter().map(String::as_str).collect(), "nothing");
    let phases = or(phases.clone(), "every phase");
    let settings = if rule.settings_schema.is_empty() { "none" } else { rule.settings_schema.as_str() };
    print(&format!(
        "{}: {}\n\nRationale: {}.\nFix: {}.\nCan give: {verdicts}.\nNeeds: {needs}.\nEvaluated: {phases}.\n\
         Source: {pack} {version} ({source}).\nSettings: {settings}\n",
        rule.code, rule.title, rule.rationale, rule.remediation
    ))
}

fn engine(arguments: &Explain) -> Option<Result<Exit, CliError>> {
    let (code, title, rationale, remediation) = ENGINE.iter().find(|one| one.0 == arguments.code)?;
    if arguments.format == Form::Json {
        return Some(document(&serde_json::json!({
            "schema": "whimbrel.rule/1", "code": code, "title": title, "source": "engine", "verdicts": ["fail"],
            "rationale": rationale, "remediation": remediation,
        })));
    }
    Some(print(&format!(
        "{code}: {title}\n\nRationale: {rationale}.\nFix: {remediation}.\nCan give: fail.\nSource: the engine.\n"
    )))
}

fn described(about: &About, rule: &Rule) -> Described {
    let entry = if SHIPPED.iter().any(|pack| pack.native.name == about.name) {
        whimbrel_plugins::catalogue::of(&rule.code)
    } else {
        None
    };
    let groups = || about.needs.iter().map(|group| group.name().to_owned()).collect();
    Described {
        code: rule.code.clone(),
        title: rule.title.clone(),
        pack: about.name.clone(),
        version: about.version.clone(),
        source: if entry.is_some() { "shipped" } else { "file" },
        needs: entry
            .as_ref()
            .map_or_else(groups, |entry| entry.needs.iter().map(|&one| one.to_owned()).collect()),
        verdicts: entry.map(|entry| entry.verdicts),
        phases: rule.phases.iter().map(|phase| phase.name()).collect(),
    }
}
