//! The documents of reactions: what is wanted, and what came of it.

use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{
    AdditionalProperties, KnownFormat, OneOfBuilder, SchemaFormat, SchemaType, Type,
};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use whimbrel_core::Wish;

use super::whole;

/// A reaction that is wanted: a document with the reaction's own name, and no other.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum ReactionWanted {
    /// Another downtime limit, 1 to 2,000,000 ms.
    DowntimeLimit {
        #[serde(deserialize_with = "whole::required")]
        ms: u64,
    },
    /// Another bandwidth limit, at least 1 MiB/s.
    BandwidthLimit {
        #[serde(deserialize_with = "whole::required")]
        bytes_per_second: u64,
    },
    /// The guest stands still until it has arrived.
    Pause {},
    /// The guest is moved first, and its memory after it.
    Postcopy {},
}

impl From<ReactionWanted> for Wish {
    fn from(wanted: ReactionWanted) -> Self {
        match wanted {
            ReactionWanted::DowntimeLimit { ms } => Self::DowntimeLimitMs(ms),
            ReactionWanted::BandwidthLimit { bytes_per_second } => {
                Self::BandwidthLimitBytesPerSecond(bytes_per_second)
            }
            ReactionWanted::Pause {} => Self::Pause,
            ReactionWanted::Postcopy {} => Self::Postcopy,
        }
    }
}

/// By hand: what is derived would let other names stand beside the reaction's own, and those are refused.
impl PartialSchema for ReactionWanted {
    fn schema() -> RefOr<Schema> {
        let limit = |name: &str, unit: &str, from: f64, to: f64| {
            let number = ObjectBuilder::new()
                .schema_type(SchemaType::Type(Type::Integer))
                .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
                .minimum(Some(from))
                .maximum(Some(to));
            let limit = closed().property(unit, number).required(unit);
            closed().property(name, limit).required(name)
        };
        let plain = |name: &str| closed().property(name, closed()).required(name);
        let rates = (f64::from(1 << 20), 2.0_f64.powi(50));
        OneOfBuilder::new()
            .description(Some(
                "A reaction that is wanted: a document with the reaction's own name, and no other.",
            ))
            .item(
                limit("downtime_limit", "ms", 1.0, 2_000_000.0)
                    .description(Some("Another downtime limit, in ms.")),
            )
            .item(
                limit("bandwidth_limit", "bytes_per_second", rates.0, rates.1)
                    .description(Some("Another bandwidth limit, at least 1 MiB/s.")),
            )
            .item(plain("pause").description(Some("The guest stands still until it has arrived.")))
            .item(plain("postcopy").description(Some("The guest is moved first, and its memory after it.")))
            .into()
    }
}

impl ToSchema for ReactionWanted {}

fn closed() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::Object))
        .additional_properties(Some(AdditionalProperties::FreeForm(false)))
}

/// What came of a reaction.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct ReactionAnswer {
    /// `done`, `refused`, `not_known`, `not_allowed`, `out_of_bounds`, `busy`, `too_early` or `too_late`.
    pub(super) result: String,
    /// The same in plain English.
    pub(super) description: String,
}
