//! What a pack says of itself, and what its rules conclude.

use alloc::string::String;
use alloc::vec::Vec;

use crate::facts::Phase;
use crate::scalar::Attribute;

cases! {
    /// What a rule concludes.
    #[derive(Default)]
    Verdict {
        /// Pass.
        Pass = "pass",
        /// Warn.
        Warn = "warn",
        /// Fail.
        Fail = "fail",
        /// Unknown.
        #[default]
        Unknown = "unknown",
    }
}

cases! {
    /// What a pack may see. Groups that it does not ask for are absent from its facts.
    FactGroup {
        /// Request.
        Request = "request",
        /// Guest.
        Guest = "guest",
        /// Source.
        Source = "source",
        /// Destination.
        Destination = "destination",
        /// Storage.
        Storage = "storage",
        /// Attributes.
        Attributes = "attributes",
    }
}

record! {
    /// About.
    About {
        /// Reverse-domain or plain, stable for ever: `whimbrel.storage`.
        name: String,
        /// Version.
        version: String,
        /// Summary.
        summary: String,
        /// Documentation.
        documentation: String,
        /// Needs.
        needs: Vec<FactGroup>,
        /// Rules.
        rules: Vec<Rule>,
    }
}

record! {
    /// One rule of a pack.
    Rule {
        /// Stable for ever, unique in the pack: `storage.identity`. Every finding carries it.
        code: String,
        /// Title.
        title: String,
        /// Rationale.
        rationale: String,
        /// Remediation.
        remediation: String,
        /// When it is asked.
        phases: Vec<Phase>,
        /// JSON Schema 2020-12 of its settings, as text; empty when it has none.
        settings_schema = "settings-schema": String,
    }
}

record! {
    /// A rule to be asked, with its settings as a JSON document; empty for the defaults.
    Activation {
        /// Code.
        code: String,
        /// Settings.
        settings: String,
    }
}

record! {
    /// Settings error.
    SettingsError {
        /// Pointer.
        pointer: String,
        /// Message.
        message: String,
    }
}

record! {
    /// Finding.
    Finding {
        /// The rule's code.
        code: String,
        /// Verdict.
        verdict: Verdict,
        /// JSON pointer (RFC 6901) into the facts: `/destination/cpu/features`.
        subject: String,
        /// Message.
        message: String,
        /// What to do; empty for the rule's own text.
        remediation: String,
        /// What was seen and what was wanted.
        evidence: Vec<Attribute>,
    }
}
