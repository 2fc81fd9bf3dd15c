//! Verbs and options that were renamed. Each former name is an error that names its replacement, so that a script written for
//! an earlier release stops with the remedy and not with a guess at a similar name.

use clap::CommandFactory as _;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::args::Arguments;

/// A former name, and the present one.
const RENAMED: [(&str, &str); 8] = [
    ("react", "tune"),
    ("world", "sim-server"),
    ("--doubt-patience", "--resolve-timeout"),
    ("--recovery-patience", "--postcopy-recovery-timeout"),
    ("--sim-world", "--sim-server"),
    ("--only", "--no-builtin-packs"),
    ("--largest", "--max-pack-size"),
    // `policy compare` has an option of this name, for convergence policies.
    ("--policy", "--rule-settings"),
];

/// The error as it is, or, for a former name, one that names the replacement. Its exit code is 2 in both cases.
pub(super) fn explained(error: clap::Error) -> clap::Error {
    let kind = match error.kind() {
        ErrorKind::UnknownArgument => ContextKind::InvalidArg,
        ErrorKind::InvalidSubcommand => ContextKind::InvalidSubcommand,
        _ => return error,
    };
    let Some(ContextValue::String(given)) = error.get(kind) else { return error };
    match RENAMED.into_iter().find(|(old, _)| old == given) {
        Some((old, new)) => Arguments::command().error(error.kind(), message(old, new)),
        None => error,
    }
}

fn message(old: &str, new: &str) -> String {
    let verb = if old.starts_with('-') { "" } else { "whimbrel " };
    format!("`{old}` was renamed: use `{verb}{new}`")
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    /// The names of each command below this one: of its verbs and of its options.
    fn names(command: &clap::Command) -> Vec<Vec<String>> {
        let verbs = command.get_subcommands().map(|verb| verb.get_name().to_owned());
        let options = command
            .get_arguments()
            .filter_map(|argument| argument.get_long().map(|long| format!("--{long}")));
        let own = verbs.chain(options).collect();
        std::iter::once(own).chain(command.get_subcommands().flat_map(names)).collect()
    }

    #[test]
    fn each_former_name_is_an_error_that_names_its_replacement() {
        for (old, new) in RENAMED {
            let is_option = old.starts_with('-');
            // Every verb reports an unknown option alike; `simulate` is part of every build.
            let arguments =
                if is_option { vec!["whimbrel", "simulate", old, "1"] } else { vec!["whimbrel", old] };
            let error = explained(Arguments::try_parse_from(arguments).unwrap_err());
            assert!(error.to_string().contains(&message(old, new)), "{error}");
            assert_eq!(error.exit_code(), 2, "{old}");
        }
    }

    #[test]
    fn other_errors_stay_as_they_are() {
        let error = explained(Arguments::try_parse_from(["whimbrel", "simulat"]).unwrap_err());
        assert!(error.to_string().contains("similar subcommand"), "{error}");
    }

    #[test]
    fn no_command_has_a_former_name_beside_its_replacement_and_every_replacement_is_in_use() {
        let commands = names(&Arguments::command());
        for (old, new) in RENAMED {
            let having: Vec<_> =
                commands.iter().filter(|names| names.iter().any(|name| name == new)).collect();
            assert!(!having.iter().any(|names| names.iter().any(|name| name == old)), "{old}");
            // Without the feature `service`, most verbs have no options of their own.
            if cfg!(feature = "service") {
                assert!(!having.is_empty(), "{new}");
            }
        }
    }
}
