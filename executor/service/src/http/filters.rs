//! Filters of Kimchi's collections, with wok's meaning: each query field is a resource's field and must equal its value or
//! match its beginning as a regular expression; several fields must all hold. A filter that cannot be carried out is an
//! error, never ignored: a client that filters acts on everything that it gets back.

use axum::extract::Query;
use axum::http::Uri;
use regex::{Regex, RegexBuilder};

use super::problem::Problem;

/// Conditions in one request at most.
const MOST_CONDITIONS: usize = 16;
/// Bytes of a compiled pattern at most.
const MOST_PATTERN_BYTES: usize = 1 << 20;

/// Filters as they came, all of them on known fields.
#[derive(Debug)]
pub(super) struct Requested(Vec<Condition>);

#[derive(Debug)]
struct Condition {
    field: String,
    /// More than one where the field was given several times: one of them is meant, to the letter.
    values: Vec<String>,
    /// Whether the value is no pattern.
    is_literal: bool,
}

impl Requested {
    /// Reads a request's query.
    ///
    /// # Errors
    /// For a field that is not one of `known`.
    pub(super) fn of(uri: &Uri, known: &[&str]) -> Result<Self, Problem> {
        let Query(pairs): Query<Vec<(String, String)>> =
            Query::try_from_uri(uri).map_err(|error| Problem::bad_request(error.body_text()))?;
        let mut conditions: Vec<Condition> = Vec::new();
        if pairs.len() > MOST_CONDITIONS {
            return Err(Problem::bad_request(format!("at most {MOST_CONDITIONS} filters in one request")));
        }
        for (field, value) in pairs {
            if !known.contains(&field.as_str()) {
                let fields = known.join("`, `");
                let field = field.escape_debug();
                return Err(Problem::bad_request(format!("no filter on `{field}`: filter on `{fields}`")));
            }
            match conditions.iter_mut().find(|known| known.field == field) {
                Some(known) => {
                    known.values.push(value);
                    known.is_literal = true;
                }
                None => conditions.push(Condition { field, values: vec![value], is_literal: false }),
            }
        }
        Ok(Self(conditions))
    }

    /// Takes `^TEXT` on this field literally when one of `texts` is TEXT. Kimchi's client puts a guest's name into a pattern
    /// without quoting it: for a guest `web.1` the pattern would match `web21` as well, and the client may delete what it
    /// gets.
    pub(super) fn prefer_literal<'a>(&mut self, field: &str, mut texts: impl Iterator<Item = &'a str>) {
        for condition in self.0.iter_mut().filter(|one| one.field == field && !one.is_literal) {
            let Some(text) = condition.values.first().and_then(|value| value.strip_prefix('^')) else {
                continue;
            };
            if texts.any(|one| one == text) {
                condition.values = vec![text.to_owned()];
                condition.is_literal = true;
            }
        }
    }

    /// Compiles the patterns.
    ///
    /// # Errors
    /// For a pattern that is not one, or that needs more than linear time.
    pub(super) fn compile(self) -> Result<Filters, Problem> {
        let filter = |Condition { field, values, is_literal }| {
            let pattern = match values.first() {
                Some(value) if !is_literal => Some(pattern(&field, value)?),
                _ => None,
            };
            Ok(Filter { field, values, pattern })
        };
        self.0.into_iter().map(filter).collect::<Result<_, _>>().map(Filters)
    }
}

fn pattern(field: &str, value: &str) -> Result<Regex, Problem> {
    if has_lone_bracket(value) {
        return Err(Problem::bad_request(format!(
            "the filter on `{field}` is not a regular expression: `]` and `}}` stand for themselves only as `\\]` and `\\}}`"
        )));
    }
    RegexBuilder::new(value).size_limit(MOST_PATTERN_BYTES).build().map_err(|error| {
        let whole = error.to_string();
        let reason = whole.lines().last().unwrap_or_default().trim_start_matches("error: ");
        Problem::bad_request(format!(
            "the filter on `{field}` is not a supported regular expression: {reason}"
        ))
    })
}

/// Whether a bracket closes nothing. ECMA-262, which the API's description means by a regular expression, refuses such a
/// pattern; the library takes the bracket for itself.
fn has_lone_bracket(pattern: &str) -> bool {
    let (mut rest, mut closed_by) = (pattern.chars().peekable(), None);
    while let Some(c) = rest.next() {
        match (c, closed_by) {
            // With a class of characters by name: `\p{L}`.
            ('\\', _) => {
                rest.next();
                if closed_by.is_none() && rest.peek() == Some(&'{') {
                    rest.next();
                    closed_by = Some('}');
                }
            }
            (c, Some(end)) if c == end => closed_by = None,
            ('[', None) => closed_by = Some(']'),
            ('{', None) => closed_by = Some('}'),
            (']' | '}', None) => return true,
            _ => {}
        }
    }
    false
}

/// Filters that can be carried out.
#[derive(Debug)]
pub(super) struct Filters(Vec<Filter>);

#[derive(Debug)]
struct Filter {
    field: String,
    values: Vec<String>,
    pattern: Option<Regex>,
}

impl Filters {
    /// Whether a resource passes the filters on these of its fields; filters on others are not asked.
    pub(super) fn pass(&self, fields: &[(&str, &str)]) -> bool {
        self.0.iter().all(|filter| {
            let found = fields.iter().find(|(field, _)| *field == filter.field);
            found.is_none_or(|(_, text)| filter.passes(text))
        })
    }
}

impl Filter {
    fn passes(&self, text: &str) -> bool {
        // The leftmost match is at the beginning if any is.
        let matches = |pattern: &Regex| pattern.find(text).is_some_and(|found| found.start() == 0);
        self.values.iter().any(|value| value == text) || self.pattern.as_ref().is_some_and(matches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: [&str; 2] = ["status", "target_uri"];

    fn requested(query: &str) -> Result<Requested, Problem> {
        Requested::of(&format!("/plugins/kimchi/tasks?{query}").parse().unwrap(), &FIELDS)
    }

    fn passes(query: &str, status: &str, target: &str) -> bool {
        let filters = requested(query).unwrap().compile().unwrap();
        filters.pass(&[("status", status), ("target_uri", target)])
    }

    #[test]
    fn a_bracket_that_closes_nothing_is_refused() {
        for fine in ["a{2}", "[a-z]{1,2}", "\\]", "\\}", "\\p{L}+", "[}]", "\\{2\\}", "[\\]]"] {
            assert!(pattern("status", fine).is_ok(), "{fine}");
        }
        for lone in ["a}", "]", "a]b", "[a]]", "a{2}}", "\\p{L}}"] {
            assert!(pattern("status", lone).is_err(), "{lone}");
        }
    }

    #[test]
    fn a_value_is_equal_or_a_pattern_of_the_beginning() {
        let target = "/plugins/kimchi/vms/web/migrate";
        for (query, wanted) in [
            ("", true),
            ("status=running", true),
            ("status=run", true),
            ("status=unning", false),
            ("status=.*ing", true),
            ("status=finished", false),
            ("status=running&target_uri=%5E%2Fplugins%2Fkimchi%2Fvms%2Fweb%2Fmigrate", true),
            ("status=failed&target_uri=%5E%2Fplugins%2Fkimchi%2Fvms%2Fweb%2Fmigrate", false),
            ("target_uri=%5E%2Fplugins%2Fkimchi%2Fvms%2F%5B%5E%2F%5D%2B%24", false),
            ("target_uri=%5E%2Fplugins%2Fkimchi%2Fvms%2F.%2B%2Fmigrate", true),
            ("target_uri=%5E%2Fplugins%2Fkimchi%2Fvms%2F.%2B%2Fclone", false),
            ("target_uri=web", false),
            // Either alternative may match, as long as it is at the beginning.
            ("target_uri=migrate%7C%2Fplug", true),
            ("status=finished&status=running", true),
            ("status=finished&status=run.*", false),
        ] {
            assert_eq!(passes(query, "running", target), wanted, "{query}");
        }
    }

    #[test]
    fn a_filter_that_cannot_be_carried_out_is_refused() {
        for query in [
            "state=running",
            "_=1",
            "status=a&_persistent=true",
            "status=&status=&status=&status=&status=&status=&status=&status=&status=&status=&status=&status=&status=&status=&status=&status=&status=",
        ] {
            assert_eq!(requested(query).unwrap_err().status(), 400, "{query}");
        }
        for pattern in ["(", "[", "*", "(%3F%3Drun)", "(r)%5C1", "a%7B9999%7D%7B9999%7D", "%5CZ"] {
            let problem = requested(&format!("status={pattern}")).unwrap().compile().unwrap_err();
            assert_eq!(problem.status(), 400, "{pattern}");
            assert!(problem.reason().contains("not a supported regular expression"), "{}", problem.reason());
        }
    }

    #[test]
    fn a_name_that_is_there_is_no_pattern() {
        let of = |name: &str| format!("/plugins/kimchi/vms/{name}/migrate");
        let there = ["web.1", "web21", "a(b", ".+"].map(of);
        for name in ["web.1", "a(b", ".+"] {
            let query = of(name).bytes().fold("%5E".to_owned(), |query, byte| format!("{query}%{byte:02X}"));
            let mut requested = requested(&format!("target_uri={query}")).unwrap();
            requested.prefer_literal("target_uri", there.iter().map(String::as_str));
            let filters = requested.compile().unwrap();
            let passing: Vec<_> =
                there.iter().filter(|target| filters.pass(&[("target_uri", target)])).collect();
            assert_eq!(passing, [&of(name)], "{name}");
        }
    }
}
