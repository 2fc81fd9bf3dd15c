//! The mistakes of a scenario file, each in the line of the file that holds it, as compilers show them.
//!
//! It renders only: which mistakes there are, and what to do about them, is the simulator's business.

use std::env;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use whimbrel_sim::ScenarioError;

/// Every mistake with its line, then their number. In color if standard error is a terminal, unless `NO_COLOR` is set
/// (<https://no-color.org>).
pub(super) fn rendered(error: &ScenarioError, text: &str) -> String {
    let is_colored =
        io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let renderer = if is_colored { Renderer::styled() } else { Renderer::plain() };
    let mut all = String::new();
    for problem in error.problems() {
        let place = AnnotationKind::Primary.span(problem.span.clone());
        let mut group = Level::ERROR
            .primary_title(&problem.message)
            .element(Snippet::source(text).path(error.file_name()).annotation(place));
        if !problem.help.is_empty() {
            group = group.element(Level::HELP.message(&problem.help));
        }
        let _ = writeln!(all, "{}\n", renderer.render(&[group]));
    }
    let count = error.problems().len();
    let plural = if count == 1 { "" } else { "s" };
    let _ = write!(all, "error: {count} mistake{plural} in `{}`", error.file_name());
    all
}
