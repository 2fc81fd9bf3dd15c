//! The problems of a scenario file, reported so precisely that they can be fixed at once.
//!
//! Spans are kept for a renderer that shows them beside the text; the plain form names file, line and column.

use std::fmt;
use std::ops::Range;

/// A scenario file that was refused, with everything that is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioError {
    file_name: String,
    problems: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong, one fragment.
    pub message: String,
    /// What is allowed, and what was probably meant; may be empty.
    pub help: String,
    /// Bytes of the text that it is about; never outside the text, and may be empty.
    pub span: Range<usize>,
    /// Line of the span's start, from 1.
    pub line: usize,
    /// Column of the span's start in characters, from 1.
    pub column: usize,
}

impl ScenarioError {
    /// Sorts the problems by place. There must be at least one.
    pub(super) fn new(file_name: &str, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| (problem.span.start, problem.span.end));
        Self { file_name: file_name.to_owned(), problems }
    }

    /// The name the file was given.
    #[must_use]
    pub fn file_name(&self) -> &str {
        &self.file_name
    }

    /// Everything that is wrong, in the order of the text; never empty.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl Problem {
    /// A problem at a place in `text`; a span beyond the text or within a character is moved into it.
    pub(super) fn new(text: &str, span: Range<usize>, message: String, help: String) -> Self {
        let start = text.floor_char_boundary(span.start);
        let end = text.floor_char_boundary(span.end).max(start);
        let before = text.get(..start).unwrap_or("");
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            message,
            help,
            span: start..end,
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or("").chars().count() + 1,
        }
    }
}

/// One line a problem.
impl fmt::Display for ScenarioError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, problem) in self.problems.iter().enumerate() {
            let newline = if number == 0 { "" } else { "\n" };
            let Problem { line, column, message, help, .. } = problem;
            write!(out, "{newline}{}:{line}:{column}: {message}", self.file_name)?;
            if !help.is_empty() {
                write!(out, ": {help}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for ScenarioError {}
