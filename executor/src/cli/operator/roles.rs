//! The roles of the service as an argument.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use whimbrel_service::access::Role;

/// Every role, with what it allows.
pub(super) fn roles() -> impl TypedValueParser<Value = Role> {
    let values = Role::ALL.map(|role| {
        PossibleValue::new(role.name()).help(match role {
            Role::Look => "Look at everything but the audit record",
            Role::Operate => "Begin, cancel and react to migrations",
            Role::Define => {
                "Give definitions for the destination as well, which name any file and network there"
            }
            Role::Administer => "Everything",
        })
    });
    PossibleValuesParser::new(values).try_map(|name| name.parse::<Role>())
}
