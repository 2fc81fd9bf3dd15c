//! A loaded pack: its checked description, and its functions.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use wasmtime::StoreLimits;
use wasmtime::component::InstancePre;
use whimbrel_facts::{About, Activation, FactGroup, Facts, Finding, Rule, SettingsError};

use super::engine::{Host, HostError, Limits};
use super::sandbox::{Answer, Stop, call};
use whimbrel_facts::printable;

/// A pack whose rules can be evaluated. Cloning shares it.
#[derive(Clone)]
pub struct Pack {
    code: Arc<Code>,
    about: Arc<About>,
    digest: String,
    limits: Limits,
}

/// A pack's code, which is compiled when a rule of it is evaluated for the first time.
struct Code {
    compiled: OnceLock<Result<InstancePre<StoreLimits>, String>>,
    /// What it is compiled of. None: it was compiled to be described.
    deferred: Option<(Host, &'static [u8])>,
}

impl std::fmt::Debug for Pack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pack")
            .field("name", &self.about.name)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

impl Pack {
    pub(super) fn described(
        pre: InstancePre<StoreLimits>,
        digest: String,
        limits: Limits,
    ) -> Result<Self, HostError> {
        let answer: Answer<About> =
            call(&pre, limits, "describe", ()).map_err(|stop| HostError::Describe(stop.to_string()))?;
        let about = Arc::new(sound(answer.value).map_err(HostError::Describe)?);
        let code = Arc::new(Code { compiled: Ok(pre).into(), deferred: None });
        Ok(Self { code, about, digest, limits })
    }

    /// A pack whose description is known without its code.
    pub(super) fn deferred(
        host: &Host,
        bytes: &'static [u8],
        digest: String,
        about: About,
    ) -> Result<Self, HostError> {
        let about = Arc::new(sound(about).map_err(HostError::Describe)?);
        let code = Arc::new(Code { compiled: OnceLock::new(), deferred: Some((host.clone(), bytes)) });
        Ok(Self { code, about, digest, limits: host.limits() })
    }

    /// Whether its code was compiled, or taken from the cache.
    #[must_use]
    pub fn is_compiled(&self) -> bool {
        self.code.compiled.get().is_some()
    }

    /// Compiles its code, unless that was done.
    ///
    /// # Errors
    /// When it cannot be compiled, or describes itself otherwise than it is known.
    pub fn compile(&self) -> Result<(), Stop> {
        self.compiled().map(|_| ())
    }

    fn compiled(&self) -> Result<&InstancePre<StoreLimits>, Stop> {
        let Code { compiled, deferred } = &*self.code;
        let compiled = compiled.get_or_init(|| {
            let Some((host, bytes)) = deferred else { return Err("it has no code".to_owned()) };
            let own = host.load(bytes).map_err(|error| error.to_string())?;
            if !has_same_rules(&own.about, &self.about) {
                let text =
                    "its rules are not those that this program knows; `cargo xtask rules --write` builds it";
                return Err(text.to_owned());
            }
            own.compiled().cloned().map_err(|stop| stop.to_string())
        });
        compiled.as_ref().map_err(|reason| Stop::Compile(reason.clone()))
    }

    /// Its description, checked.
    #[must_use]
    pub fn about(&self) -> &About {
        &self.about
    }

    /// SHA-256 of the component.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The limits of one call.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Evaluates rules in a new sandbox. The facts are first reduced to the groups that the pack needs.
    ///
    /// # Errors
    /// When it did not answer within its limits.
    pub fn check(&self, facts: &Facts, activations: &[Activation]) -> Result<Answer<Vec<Finding>>, Stop> {
        let facts = self.allowed(facts);
        let mut answer: Answer<Vec<Finding>> =
            call(self.compiled()?, self.limits, "check", (&facts, activations))?;
        if answer.value.len() > self.limits.findings {
            return Err(Stop::Output(self.limits.output_bytes));
        }
        answer.value.iter_mut().for_each(clean);
        Ok(answer)
    }

    /// Validates settings; the result lists all that is wrong with them.
    ///
    /// # Errors
    /// When it did not answer within its limits.
    pub fn validate_settings(&self, activation: &Activation) -> Result<Vec<SettingsError>, Stop> {
        let answer: Answer<Vec<SettingsError>> =
            call(self.compiled()?, self.limits, "validate-settings", (activation,))?;
        let clean = |error: SettingsError| SettingsError {
            pointer: printable(&error.pointer),
            message: printable(&error.message),
        };
        Ok(answer.value.into_iter().map(clean).collect())
    }

    /// Facts as this pack may see them: groups that it does not need are left out.
    #[must_use]
    pub fn allowed(&self, facts: &Facts) -> Facts {
        let needs = |group| self.about.needs.contains(&group);
        Facts {
            phase: facts.phase,
            request: facts.request.clone().filter(|_| needs(FactGroup::Request)),
            guest: facts.guest.clone().filter(|_| needs(FactGroup::Guest)),
            target: facts.target.clone().filter(|_| needs(FactGroup::Guest)),
            source: facts.source.clone().filter(|_| needs(FactGroup::Source)),
            destination: facts.destination.clone().filter(|_| needs(FactGroup::Destination)),
            storage: facts.storage.clone().filter(|_| needs(FactGroup::Storage)),
            attributes: if needs(FactGroup::Attributes) { facts.attributes.clone() } else { Vec::new() },
        }
    }
}

/// Whether two descriptions are of the same rules, whatever their texts are.
fn has_same_rules(one: &About, other: &About) -> bool {
    let same = |(one, other): (&Rule, &Rule)| {
        one.code == other.code && one.phases == other.phases && one.settings_schema == other.settings_schema
    };
    one.name == other.name
        && one.needs == other.needs
        && one.rules.len() == other.rules.len()
        && one.rules.iter().zip(&other.rules).all(same)
}

/// A description that is safe to display and consistent.
fn sound(mut about: About) -> Result<About, String> {
    for text in [&mut about.name, &mut about.version, &mut about.summary, &mut about.documentation] {
        *text = printable(text);
    }
    let is_name = |text: &str| {
        let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-');
        !text.is_empty() && text.len() <= 100 && text.chars().all(known)
    };
    if !is_name(&about.name) {
        return Err(format!(
            "`{}` is not a name: lower-case letters, digits, dots and hyphens make one",
            about.name
        ));
    }
    if about.rules.is_empty() {
        return Err("it has no rules".to_owned());
    }
    let mut codes = BTreeSet::new();
    for rule in &mut about.rules {
        for text in [&mut rule.title, &mut rule.rationale, &mut rule.remediation] {
            *text = printable(text);
        }
        rule.code = printable(&rule.code);
        if !is_name(&rule.code) || rule.code.starts_with("engine.") {
            return Err(format!("`{}` cannot be the code of a rule", rule.code));
        }
        if !codes.insert(rule.code.clone()) {
            return Err(format!("the code `{}` stands for two rules", rule.code));
        }
        if !rule.settings_schema.is_empty() {
            crate::schema::Schema::parse(&rule.settings_schema)
                .map_err(|error| format!("the schema of the settings of `{}`: {error}", rule.code))?;
        }
    }
    Ok(about)
}

fn clean(finding: &mut Finding) {
    for text in [&mut finding.code, &mut finding.subject, &mut finding.message, &mut finding.remediation] {
        *text = printable(text);
    }
    for attribute in &mut finding.evidence {
        attribute.path = printable(&attribute.path);
        if let whimbrel_facts::Scalar::Text(text) = &mut attribute.value {
            *text = printable(text);
        }
    }
}
