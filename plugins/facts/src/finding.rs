//! How a pack describes itself, and what its rules conclude. All of it is the pack's own text, cleaned of control
//! characters by the host.

use alloc::string::String;
use alloc::vec::Vec;

use crate::facts::Phase;
use crate::scalar::Attribute;

cases! {
    /// What a rule concludes.
    #[derive(Default)]
    Verdict {
        /// The rule found nothing that speaks against the migration.
        Pass = "pass",
        /// The operator should know it; the migration can begin.
        Warn = "warn",
        /// The migration would fail or harm the guest.
        Fail = "fail",
        /// A fact that the rule needs is unknown. It is never taken for `pass`.
        #[default]
        Unknown = "unknown",
    }
}

cases! {
    /// What a pack may see. Groups that it does not name are absent from its facts.
    FactGroup {
        /// [`Facts::request`](crate::Facts::request).
        Request = "request",
        /// [`Facts::guest`](crate::Facts::guest) and [`Facts::target`](crate::Facts::target).
        Guest = "guest",
        /// [`Facts::source`](crate::Facts::source), the host.
        Source = "source",
        /// [`Facts::destination`](crate::Facts::destination), the host.
        Destination = "destination",
        /// [`Facts::storage`](crate::Facts::storage), of both hosts.
        Storage = "storage",
        /// [`Facts::attributes`](crate::Facts::attributes), all of them.
        Attributes = "attributes",
    }
}

record! {
    /// A pack's answer to `describe`.
    About {
        /// Reverse-domain or plain, stable for ever: `whimbrel.storage`. Lower-case letters, digits, dots and hyphens;
        /// an empty one is refused.
        name: String,
        /// Of the pack, recorded in the lock file. Shipped packs have that of their crate.
        version: String,
        /// One line for the operator: what its rules are about. Empty: none given.
        summary: String,
        /// Where to read more: a path or a URL. Empty: none given.
        documentation: String,
        /// The groups of facts that its rules see. Empty: none but the phase.
        needs: Vec<FactGroup>,
        /// In the order in which they report. A pack without any is refused.
        rules: Vec<Rule>,
    }
}

record! {
    /// One rule of a pack.
    Rule {
        /// Stable for ever, unique in the pack: `storage.identity`. Every finding carries it.
        code: String,
        /// What holds when it passes. Empty: none given.
        title: String,
        /// Why it matters. Empty: none given.
        rationale: String,
        /// What to do when it does not pass. Empty: none given.
        remediation: String,
        /// When it can be evaluated: the host evaluates it for facts of these phases alone. Empty: of every phase.
        phases: Vec<Phase>,
        /// JSON Schema 2020-12 of its settings, as text. Empty: it has none.
        settings_schema = "settings-schema": String,
    }
}

record! {
    /// A rule to evaluate, with the operator's settings for it.
    Activation {
        /// [`Rule::code`] of the rule.
        code: String,
        /// A JSON document, from the operator's policy. Empty: the rule's defaults.
        settings: String,
    }
}

record! {
    /// One thing that is wrong with a rule's settings.
    SettingsError {
        /// JSON pointer into the settings: `/most`. Empty: the whole document.
        pointer: String,
        /// What is wrong, for the operator.
        message: String,
    }
}

record! {
    /// One conclusion of a rule. A rule gives at least one.
    Finding {
        /// [`Rule::code`] of the rule that gives it.
        code: String,
        /// Before the operator's policy changes its severity or waives it.
        verdict: Verdict,
        /// JSON pointer (RFC 6901) into the facts: `/destination/cpu/features`. Of a fact without a field its path with a
        /// slash before it: `/guest/xml/os/kernel`. Empty: the migration as a whole.
        subject: String,
        /// What was found, for the operator.
        message: String,
        /// What to do. Empty: the rule's own text.
        remediation: String,
        /// Values that were observed and expected. Empty: none given.
        evidence: Vec<Attribute>,
    }
}
