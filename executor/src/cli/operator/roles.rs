//! The roles of the service as an argument.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use whimbrel_service::auth::Role;

/// Every role, with its permissions. Former names are accepted by the parser, and refused with the new name afterwards.
pub(super) fn roles() -> impl TypedValueParser<Value = Role> {
    let values = Role::ALL.map(|role| {
        PossibleValue::new(role.name()).help(match role {
            Role::Viewer => "Read everything but the audit record",
            Role::Operator => "Start, cancel and tune migrations",
            Role::Define => {
                "Also supply domain XML for the destination, which can name any file and network there"
            }
            Role::Admin => "Everything, including the audit record and reloading the rules",
        })
    });
    let former = Role::RENAMED.map(|(old, _)| PossibleValue::new(old).hide(true));
    PossibleValuesParser::new(values.into_iter().chain(former)).try_map(|name| name.parse::<Role>())
}
