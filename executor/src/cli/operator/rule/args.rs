//! The arguments of the rules' verbs.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// What is done with rules.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum RuleVerb {
    /// List the rules with their titles.
    List(List),
    /// Make a folder with a new rule that builds and passes its tests.
    New(New),
    /// Build a pack from its source into a component.
    Build(Build),
    /// Ask a pack about facts in files, and compare with the expected findings.
    Test(Test),
    /// Look through a component without running it.
    Inspect(Inspect),
    /// Ask the rules about facts in a file.
    Check(Check),
    /// Explain what a rule is for, which verdicts it can give, which facts it needs, and how to fix what it finds.
    Explain(Explain),
    /// Measure what the rules take, in fuel and time.
    Bench(Bench),
    /// Write the JSON Schema of all settings.
    Schema(Set),
    /// Write a lock file that pins the packs by digest.
    Lock(Lock),
    /// Compare packs with a lock file, or a pack with its signature.
    Verify(Verify),
}

/// Which packs, and how they are asked.
#[derive(Clone, Debug, Default, Args)]
pub(in crate::cli) struct Set {
    /// A pack beside the shipped ones; may be given several times.
    #[arg(long = "pack", value_name = "FILE")]
    pub(in crate::cli) packs: Vec<PathBuf>,
    /// Leave out the shipped packs.
    #[arg(long, requires = "packs")]
    pub(in crate::cli) no_builtin_packs: bool,
    /// The operator's decisions: settings, severities, waivers.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) policy: Option<PathBuf>,
    /// Refuse packs that this lock file does not pin.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) locked: Option<PathBuf>,
    /// Most bytes of a component; engines of other languages are large.
    #[arg(long, value_name = "MIB", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(in crate::cli) max_pack_size: u16,
    /// Compile packs anew, and keep nothing.
    #[arg(long)]
    pub(in crate::cli) no_cache: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    pub(in crate::cli) set: Set,
    /// How results are written.
    #[arg(long, value_enum, default_value_t)]
    pub(in crate::cli) format: Form,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct New {
    /// The pack's name, which is also the folder's: lower-case letters, digits and hyphens.
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
    /// The folder of the package.
    #[arg(default_value = ".")]
    pub(in crate::cli) folder: PathBuf,
    /// Features of the package to build with.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(in crate::cli) features: String,
    /// Where the component is written; without it, to pack.wasm in the folder.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Test {
    /// A folder with pack.wasm and, below cases/, pairs NAME.facts.json and NAME.expected.json.
    #[arg(default_value = ".")]
    pub(in crate::cli) folder: PathBuf,
    /// The component, if it is another than pack.wasm.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) pack: Option<PathBuf>,
    /// Write what the pack says now as what is expected.
    #[arg(long)]
    pub(in crate::cli) bless: bool,
    /// Most bytes of a component.
    #[arg(long, value_name = "MIB", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(in crate::cli) max_pack_size: u16,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Inspect {
    /// The component. It may be anybody's: nothing of it is run.
    pub(in crate::cli) file: PathBuf,
    /// How results are written.
    #[arg(long, value_enum, default_value_t)]
    pub(in crate::cli) format: Form,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Check {
    /// The facts, as `whimbrel facts` writes them.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) facts: PathBuf,
    #[command(flatten)]
    pub(in crate::cli) set: Set,
    /// How results are written.
    #[arg(long, value_enum, default_value_t)]
    pub(in crate::cli) format: Form,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Bench {
    /// Ask this rule alone.
    #[arg(long, value_name = "CODE")]
    pub(in crate::cli) rule: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) of: Check,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Explain {
    /// The rule's code, for example storage.identity.
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
    /// Where it is written; without it, to standard output.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Verify {
    /// The lock file.
    #[arg(long, value_name = "FILE", required_unless_present = "signature")]
    pub(in crate::cli) lock: Option<PathBuf>,
    /// A signature of the one pack given, as minisign writes it.
    #[arg(long, value_name = "FILE", requires = "keys")]
    pub(in crate::cli) signature: Option<PathBuf>,
    /// A public key that may have made the signature; may be given several times.
    #[arg(long = "key", value_name = "FILE")]
    pub(in crate::cli) keys: Vec<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) set: Set,
}

/// In which form results are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Form {
    /// For people.
    #[default]
    Text,
    /// One JSON document.
    Json,
}
