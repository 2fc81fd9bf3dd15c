//! A plan as a test to paste: a violation that was found once stays covered.

use std::fmt::Write as _;

use whimbrel_core::Request;

use super::plan::{Plan, What, When};

/// `max_width` of `rustfmt.toml`.
const LINE_WIDTH: usize = 110;

/// The source of a test that fails for as long as this plan breaks a promise.
#[must_use]
pub fn as_test(plan: &Plan) -> String {
    let mut test = String::from("#[test]\n");
    // Writing into a string does not fail.
    let _ = writeln!(test, "fn seed_{}_keeps_every_promise() {{", plan.seed);
    let _ = writeln!(test, "    let plan = Plan {{");
    let _ = writeln!(test, "        seed: {},", plan.seed);
    let _ = writeln!(test, "        writes_per_second: {},", plan.writes_per_second);
    let _ = writeln!(test, "        is_persistent: {},", plan.is_persistent);
    let _ = writeln!(test, "        postcopy: {},", plan.postcopy);
    let _ = writeln!(test, "        limits: {},", plan.limits);
    let _ = writeln!(test, "        timeout_ms: {:?},", plan.timeout_ms);
    let _ = writeln!(test, "        poll_interval_ms: {},", plan.poll_interval_ms);
    let _ = writeln!(test, "        troubles: vec![");
    for trouble in &plan.troubles {
        let (when, what) = (moment(trouble.when), kind(trouble.what));
        let after_ms = trouble.after_ms;
        let line = format!("            Trouble {{ when: {when}, after_ms: {after_ms}, what: {what} }},");
        // As rustfmt writes it, so that the pasted test is formatted already.
        let _ = if line.len() <= LINE_WIDTH {
            writeln!(test, "{line}")
        } else {
            let fields =
                [format!("when: {when},"), format!("after_ms: {after_ms},"), format!("what: {what},")]
                    .map(|field| format!("                {field}\n"));
            writeln!(test, "            Trouble {{\n{}            }},", fields.concat())
        };
    }
    let _ = writeln!(test, "        ],");
    let _ = writeln!(test, "    }};\n    assert_eq!(run_with_oracle(&plan, false).broken, None);\n}}");
    test
}

fn moment(when: When) -> String {
    match when {
        When::Begin => "When::Begin".to_owned(),
        When::At(milestone) => format!("When::At(Milestone::{milestone:?})"),
    }
}

fn kind(what: What) -> String {
    match what {
        What::Request(Request::React(adjustment)) => {
            format!("What::Request(Request::React(Adjustment::{adjustment:?}))")
        }
        What::Request(request) => format!("What::Request(Request::{request:?})"),
        other => format!("What::{other:?}"),
    }
}
