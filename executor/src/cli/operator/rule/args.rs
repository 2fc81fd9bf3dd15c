//! The arguments of the rules' verbs.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::cli::operator::args::heading;

/// Operations on rules.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum RuleVerb {
    /// List the rules with their titles.
    List(List),
    /// Create a folder with a new rule that builds and passes its tests.
    New(New),
    /// Build a pack from its source into a component.
    Build(Build),
    /// Evaluate a pack on facts in files, and compare the result with the expected findings.
    Test(Test),
    /// Show size, digest, imports and exports of a component without running it.
    Inspect(Inspect),
    /// Evaluate the rules on facts in a file.
    Check(Check),
    /// Explain what a rule is for, which verdicts it can give, which facts it needs, and how to fix what it finds.
    Explain(Explain),
    /// Measure the cost of the rules, in fuel and time.
    Bench(Bench),
    /// Print the JSON Schema of all settings.
    Schema(Set),
    /// Write a lock file that pins the packs by digest.
    Lock(Lock),
    /// Compare packs with a lock file, or a pack with its signature.
    Verify(Verify),
}

/// The packs, and the operator's decisions about them.
#[derive(Clone, Debug, Default, Args)]
pub(in crate::cli) struct Set {
    /// Pack to use besides the built-in ones; may be repeated.
    #[arg(long = "pack", value_name = "FILE", help_heading = heading::RULES)]
    pub(in crate::cli) packs: Vec<PathBuf>,
    /// Use only the packs of --pack.
    #[arg(long, requires = "packs", help_heading = heading::RULES)]
    pub(in crate::cli) no_builtin_packs: bool,
    /// The operator's settings of rules: selection, severities, waivers.
    #[arg(long, value_name = "FILE", help_heading = heading::RULES)]
    pub(in crate::cli) rule_settings: Option<PathBuf>,
    /// Lock file; packs that it does not pin are refused.
    #[arg(long, value_name = "FILE", help_heading = heading::RULES)]
    pub(in crate::cli) locked: Option<PathBuf>,
    /// Maximum size of a pack, in MiB; packs that contain a language runtime need more.
    #[arg(long, value_name = "MIB", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256), help_heading = heading::RULES)]
    pub(in crate::cli) max_pack_size: u16,
    /// Compile packs without reading or writing the cache.
    #[arg(long, help_heading = heading::RULES)]
    pub(in crate::cli) no_cache: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    pub(in crate::cli) set: Set,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    pub(in crate::cli) format: Form,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct New {
    /// Name of the pack and of its folder: lower-case letters, digits and hyphens.
    pub(in crate::cli) name: String,
    /// The language of the rule.
    #[arg(long, value_enum, default_value_t)]
    pub(in crate::cli) language: Language,
}

/// A language that a rule can be written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Language {
    /// A small pack, built by a Rust compiler.
    #[default]
    Rust,
    /// A pack with an engine inside, about 12 MB, built by Node.js and npm.
    Javascript,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Build {
    /// Folder of the package.
    #[arg(default_value = ".")]
    pub(in crate::cli) folder: PathBuf,
    /// Cargo features of the package.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(in crate::cli) features: String,
    /// Output file; pack.wasm in the folder by default.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Test {
    /// Folder with pack.wasm and, below cases/, pairs of NAME.facts.json and NAME.expected.json.
    #[arg(default_value = ".")]
    pub(in crate::cli) folder: PathBuf,
    /// Component to test; pack.wasm in the folder by default.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) pack: Option<PathBuf>,
    /// Store the current findings as the expected ones.
    #[arg(long)]
    pub(in crate::cli) bless: bool,
    /// Maximum size of the pack, in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(in crate::cli) max_pack_size: u16,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Inspect {
    /// Component to inspect. It may be untrusted: no part of it is run.
    pub(in crate::cli) file: PathBuf,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    pub(in crate::cli) format: Form,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Check {
    /// Facts, as written by `whimbrel facts`.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) facts: PathBuf,
    #[command(flatten)]
    pub(in crate::cli) set: Set,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    pub(in crate::cli) format: Form,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Bench {
    /// Code of the only rule to measure.
    #[arg(long, value_name = "CODE")]
    pub(in crate::cli) rule: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) of: Check,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Explain {
    /// Code of the rule, for example storage.identity.
    pub(in crate::cli) code: String,
    #[command(flatten)]
    pub(in crate::cli) set: Set,
    /// How the rule is described.
    #[arg(long, value_enum, default_value_t)]
    pub(in crate::cli) format: Form,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Lock {
    #[command(flatten)]
    pub(in crate::cli) set: Set,
    /// Output file; standard output by default.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Verify {
    /// Lock file to compare with.
    #[arg(long, value_name = "FILE", required_unless_present = "signature")]
    pub(in crate::cli) lock: Option<PathBuf>,
    /// Signature of the one pack given, in minisign's format.
    #[arg(long, value_name = "FILE", requires = "keys")]
    pub(in crate::cli) signature: Option<PathBuf>,
    /// Accepted public key of the signer; may be repeated.
    #[arg(long = "key", value_name = "FILE")]
    pub(in crate::cli) keys: Vec<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) set: Set,
}

/// Output formats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Form {
    /// Text for people.
    #[default]
    Text,
    /// One JSON document.
    Json,
}
