//! The documents of adjustments (`reactions` in the API): the request and its result. Only the result `done` is a success.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{
    AdditionalProperties, KnownFormat, OneOfBuilder, SchemaFormat, SchemaType, Type,
};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use whimbrel_core::{Adjustment, AdjustmentResult};

use super::integer;
use super::problem::Problem;
use super::serialize::word;

/// A requested adjustment: a document with exactly one of the known names.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "Fields")]
pub(super) struct ReactionWanted(pub(super) Adjustment);

/// The document before the check that it names exactly one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    downtime_limit: Option<DowntimeLimit>,
    bandwidth_limit: Option<BandwidthLimit>,
    pause: Option<Nothing>,
    postcopy: Option<Nothing>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DowntimeLimit {
    #[serde(deserialize_with = "integer::required")]
    ms: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BandwidthLimit {
    #[serde(deserialize_with = "integer::required")]
    bytes_per_second: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

impl TryFrom<Fields> for ReactionWanted {
    type Error = &'static str;

    fn try_from(fields: Fields) -> Result<Self, &'static str> {
        let named = [
            fields.downtime_limit.map(|limit| Adjustment::DowntimeLimitMs(limit.ms)),
            fields
                .bandwidth_limit
                .map(|limit| Adjustment::BandwidthLimitBytesPerSecond(limit.bytes_per_second)),
            fields.pause.map(|Nothing {}| Adjustment::Pause),
            fields.postcopy.map(|Nothing {}| Adjustment::Postcopy),
        ];
        let mut named = named.into_iter().flatten();
        match (named.next(), named.next()) {
            (Some(wish), None) => Ok(Self(wish)),
            _ => Err("expected exactly one of `downtime_limit`, `bandwidth_limit`, `pause` and `postcopy`"),
        }
    }
}

/// Written by hand: a derived schema would allow several names in one document, which are refused.
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
            .description(Some("A requested adjustment: a document with exactly one of these names."))
            .item(
                limit("downtime_limit", "ms", 1.0, 2_000_000.0).description(Some("Maximum downtime, in ms.")),
            )
            .item(
                limit("bandwidth_limit", "bytes_per_second", rates.0, rates.1)
                    .description(Some("Bandwidth limit, at least 1 MiB/s.")),
            )
            .item(plain("pause").description(Some("Pause the guest until it is on the destination.")))
            .item(plain("postcopy").description(Some(
                "Switch to post-copy: the guest runs on the destination before all of its memory is there.",
            )))
            .into()
    }
}

impl ToSchema for ReactionWanted {}

fn closed() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::Object))
        .additional_properties(Some(AdditionalProperties::FreeForm(false)))
}

/// The result of an adjustment.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct ReactionAnswer {
    /// `done` (200) or `not_known` (202).
    result: String,
    /// The same in plain English.
    description: String,
}

/// An adjustment that was not made: a problem whose code is the result.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct ReactionRefused {
    /// With `code`: `refused`, `not_allowed`, `out_of_bounds`, `busy`, `too_early` or `too_late`.
    #[serde(flatten)]
    problem: Problem,
    /// The same as `code`.
    result: String,
    /// The same in plain English.
    description: String,
}

/// The answer: 200 when it was done, 202 when the hypervisor's answer is overdue, 409 when it was not made.
pub(super) fn respond(result: AdjustmentResult) -> Response {
    let (name, description) = (word(&result), result.to_string());
    let refused = |code, remedy| {
        let problem = Problem::new(StatusCode::CONFLICT, code, "the adjustment was not made", remedy)
            .detail(format!("{description}; the migration continues unchanged"));
        let refused = ReactionRefused { problem, result: name.clone(), description: description.clone() };
        (StatusCode::CONFLICT, [(header::CONTENT_TYPE, "application/problem+json")], Json(refused))
            .into_response()
    };
    match result {
        AdjustmentResult::Done => {
            (StatusCode::OK, Json(ReactionAnswer { result: name, description })).into_response()
        }
        AdjustmentResult::NotKnown => {
            (StatusCode::ACCEPTED, Json(ReactionAnswer { result: name, description })).into_response()
        }
        AdjustmentResult::Refused => refused("refused", "read the hypervisor's log on the source"),
        AdjustmentResult::NotAllowed => {
            refused("not_allowed", "start the migration with it allowed, or choose another adjustment")
        }
        AdjustmentResult::OutOfBounds => {
            refused("out_of_bounds", "choose a value that the hypervisor accepts")
        }
        AdjustmentResult::Busy => refused("busy", "wait until the previous adjustment has been answered"),
        AdjustmentResult::TooEarly => refused("too_early", "wait until memory is being copied"),
        AdjustmentResult::TooLate => refused("too_late", "read the migration's outcome"),
    }
}
