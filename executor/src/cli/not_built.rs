//! The verbs that this build does not have: each reports the one command that enables it.

use std::ffi::OsString;
use std::fmt;

use clap::{Args, Subcommand};

use super::CliError;
use super::error::BUILD_WITH_LIBVIRT;

/// A verb of builds with the feature `service`.
#[derive(Debug, Subcommand)]
pub(super) enum NotBuilt {
    /// Needs the feature `service` or `libvirt`: migrate a guest.
    Migrate(Rest),
    /// Needs the feature `service` or `libvirt`: continue a migration from its journal.
    Adopt(Rest),
    /// Needs the feature `service` or `libvirt`: examine a migration that ended in doubt.
    Resolve(Rest),
    /// Needs the feature `service` or `libvirt`: serve the HTTP API, the page and metrics.
    Serve(Rest),
    /// Needs the feature `service` or `libvirt`: make a token for `serve`.
    Token(Rest),
    /// Needs the feature `service` or `libvirt`: list a service's migrations.
    List(Rest),
    /// Needs the feature `service` or `libvirt`: show a migration of a service.
    Show(Rest),
    /// Needs the feature `service` or `libvirt`: follow a migration of a service.
    Watch(Rest),
    /// Needs the feature `service` or `libvirt`: cancel a migration of a service.
    Cancel(Rest),
    /// Needs the feature `service` or `libvirt`: change the limits of a migration of a service.
    Tune(Rest),
    /// Needs the feature `service` or `libvirt`: check a migration before it starts.
    Check(Rest),
    /// Needs the feature `service` or `libvirt`: collect the facts that the rules evaluate.
    Facts(Rest),
    /// Needs the feature `service` or `libvirt`: write, test, pin and evaluate rules.
    Rule(Rest),
    /// Needs the feature `service` or `libvirt`: run simulated hosts for other processes.
    SimServer(Rest),
}

/// Arguments that only a build with the verb can interpret.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(super) struct Rest {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    arguments: Vec<OsString>,
}

/// A cargo feature of this package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// Rules, service and clients, with simulated hosts.
    Service,
    /// The same, with real hosts.
    Libvirt,
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Service => "service",
            Self::Libvirt => "libvirt",
        })
    }
}

impl Feature {
    /// The command that builds the program with the feature.
    pub(super) const fn command(self) -> &'static str {
        match self {
            Self::Service => {
                "build it with `cargo build --release --features service` (simulated hosts), or with `--features libvirt` for real \
                 ones"
            }
            Self::Libvirt => BUILD_WITH_LIBVIRT,
        }
    }
}

impl NotBuilt {
    pub(super) fn error(&self) -> CliError {
        let (verb, rest) = match self {
            Self::Migrate(rest) => ("migrate", rest),
            Self::Adopt(rest) => ("adopt", rest),
            Self::Resolve(rest) => ("resolve", rest),
            Self::Serve(rest) => ("serve", rest),
            Self::Token(rest) => ("token", rest),
            Self::List(rest) => ("list", rest),
            Self::Show(rest) => ("show", rest),
            Self::Watch(rest) => ("watch", rest),
            Self::Cancel(rest) => ("cancel", rest),
            Self::Tune(rest) => ("tune", rest),
            Self::Check(rest) => ("check", rest),
            Self::Facts(rest) => ("facts", rest),
            Self::Rule(rest) => ("rule", rest),
            Self::SimServer(rest) => ("sim-server", rest),
        };
        CliError::NotBuilt { verb, feature: rest.feature() }
    }
}

impl Rest {
    /// A libvirt URI shows that real hosts are meant; everything else works with simulated ones.
    fn feature(&self) -> Feature {
        let is_real = |argument: &OsString| {
            let text = argument.to_string_lossy();
            let (scheme, _) = text.split_once("://").unwrap_or_default();
            let scheme = scheme.rsplit('=').next().unwrap_or(scheme);
            ["qemu", "xen", "ch", "test"].iter().any(|driver| scheme.split('+').next() == Some(driver))
        };
        if self.arguments.iter().any(is_real) { Feature::Libvirt } else { Feature::Service }
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    struct Light {
        #[command(subcommand)]
        verb: NotBuilt,
    }

    fn rendered(arguments: &[&str]) -> String {
        let all = ["whimbrel"].into_iter().chain(arguments.iter().copied());
        Light::try_parse_from(all).unwrap().verb.error().rendered()
    }

    #[test]
    fn each_verb_names_the_command_that_enables_it_whatever_its_arguments() {
        for verb in Light::command().get_subcommands().map(clap::Command::get_name) {
            let text = rendered(&[verb, "web", "--help", "--any-option", "1"]);
            assert!(text.contains(&format!("this build has no `{verb}`")), "{text}");
            assert!(text.contains("cargo build --release --features service"), "{text}");
        }
    }

    #[test]
    fn a_libvirt_uri_needs_the_libvirt_driver_and_a_simulated_one_does_not() {
        for real in [["serve", "--host=qemu:///system"], ["check", "qemu+ssh://beta/system"]] {
            let text = rendered(&real);
            assert!(text.contains("cargo build --release --features libvirt"), "{text}");
            assert!(text.contains("libvirt-dev"), "{text}");
        }
        assert!(rendered(&["check", "sim://beta"]).contains("--features service"));
    }

    #[cfg(feature = "service")]
    #[test]
    fn the_verbs_are_those_of_the_full_build() {
        #[derive(Debug, Parser)]
        struct Full {
            #[command(subcommand)]
            verb: crate::cli::operator::args::OperatorVerb,
        }

        let names = |command: &clap::Command| -> Vec<String> {
            command.get_subcommands().map(|verb| verb.get_name().to_owned()).collect()
        };
        assert_eq!(names(&Light::command()), names(&Full::command()));
    }
}
