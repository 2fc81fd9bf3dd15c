//! Reads typed values out of a parsed file, and collects a problem for whatever does not fit.
//!
//! It must never stop at the first problem and never guess a value: a key that could not be read is `None`,
//! and the file is refused at the end.

use std::ops::{Range, RangeInclusive};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::Problem;

/// Words less alike than this (Jaro–Winkler, 0 to 1) are no suggestion.
const ALIKE: f64 = 0.8;

/// Entries of any list.
pub(super) const MOST_ENTRIES: usize = 1000;

/// The text and what was found wrong with it so far.
#[derive(Debug)]
pub(super) struct Reader<'t> {
    pub(super) text: &'t str,
    pub(super) problems: Vec<Problem>,
}

/// One table of the file, and the keys it may have.
#[derive(Debug)]
pub(super) struct Section<'a, 't> {
    /// Prefix of its keys in messages, such as `guest.`; empty at the top.
    path: String,
    table: &'a DeTable<'t>,
    span: Range<usize>,
    /// Known keys that a misspelt key stands for: they are not reported as missing too.
    misspelt: Vec<&'static str>,
}

impl<'t> Reader<'t> {
    /// Opens a table: reports every key that is not among `known`.
    pub(super) fn section<'a>(
        &mut self,
        path: &str,
        table: &'a DeTable<'t>,
        span: Range<usize>,
        known: &[&'static str],
    ) -> Section<'a, 't> {
        let mut misspelt = Vec::new();
        for key in table.keys().filter(|key| !known.contains(&key.get_ref().as_ref())) {
            let word = key.get_ref().as_ref();
            let meant = closest(word, known).filter(|meant| !table.contains_key(*meant));
            misspelt.extend(meant);
            let message = format!("unknown key `{path}{}`", shown(word));
            self.report(key.span(), message, suggestion(meant, known));
        }
        Section { path: path.to_owned(), table, span, misspelt }
    }

    /// A whole number within bounds.
    pub(super) fn whole(
        &mut self,
        section: &Section<'_, 't>,
        key: &'static str,
        bounds: RangeInclusive<u64>,
    ) -> Option<u64> {
        let value = section.table.get(key)?;
        self.number(&section.label(key), value, &bounds)
    }

    /// The same, and missing is a problem.
    pub(super) fn required_whole(
        &mut self,
        section: &Section<'_, 't>,
        key: &'static str,
        bounds: RangeInclusive<u64>,
    ) -> Option<u64> {
        self.require(section, key, &whole_in(&bounds));
        self.whole(section, key, bounds)
    }

    /// A whole number from zero to a bound, as narrow as a type is.
    pub(super) fn small<T: TryFrom<u64>>(
        &mut self,
        section: &Section<'_, 't>,
        key: &'static str,
        bounds: RangeInclusive<u64>,
    ) -> Option<T> {
        self.whole(section, key, bounds).and_then(|number| T::try_from(number).ok())
    }

    /// The same, and missing is a problem.
    pub(super) fn required_small<T: TryFrom<u64>>(
        &mut self,
        section: &Section<'_, 't>,
        key: &'static str,
        bounds: RangeInclusive<u64>,
    ) -> Option<T> {
        self.required_whole(section, key, bounds).and_then(|number| T::try_from(number).ok())
    }

    /// Two whole numbers, the least and the most.
    pub(super) fn range(
        &mut self,
        section: &Section<'_, 't>,
        key: &'static str,
        bounds: RangeInclusive<u64>,
    ) -> Option<RangeInclusive<u64>> {
        let value = section.table.get(key)?;
        let label = section.label(key);
        let (least, most) = self.pair(&label, value, &bounds, &bounds)?;
        if least > most {
            let message = format!("`{label}` is from {least} to {most}");
            self.report(
                value.span(),
                message,
                "the first number must not be more than the second".to_owned(),
            );
            return None;
        }
        Some(least..=most)
    }

    /// A list of pairs of whole numbers, each with bounds of its own.
    pub(super) fn pairs(
        &mut self,
        section: &Section<'_, 't>,
        key: &'static str,
        first: RangeInclusive<u64>,
        second: RangeInclusive<u64>,
    ) -> Option<Vec<(u64, u64)>> {
        let entries = self.entries(section, key, "a list of pairs of whole numbers")?;
        let label = section.label(key);
        let pairs: Vec<Option<(u64, u64)>> =
            entries.iter().map(|entry| self.pair(&label, entry, &first, &second)).collect();
        pairs.into_iter().collect()
    }

    /// A list of words of a list.
    pub(super) fn words<T: Copy>(
        &mut self,
        section: &Section<'_, 't>,
        key: &'static str,
        words: &[(&'static str, T)],
    ) -> Option<Vec<T>> {
        let names: Vec<&'static str> = words.iter().map(|(name, _)| *name).collect();
        let allowed = format!("a list of words, each one of {}", listed(&names));
        let entries = self.entries(section, key, &allowed)?;
        let label = section.label(key);
        let found = entries.iter().map(|entry| {
            if let Some(text) = entry.get_ref().as_str() {
                return self.meaning(&label, text, entry.span(), words);
            }
            self.wrong_type(&label, entry, &allowed);
            None
        });
        let found: Vec<Option<T>> = found.collect();
        found.into_iter().collect()
    }

    /// A list of texts.
    pub(super) fn texts(&mut self, section: &Section<'_, 't>, key: &'static str) -> Option<Vec<String>> {
        let allowed = "a list of strings";
        let entries = self.entries(section, key, allowed)?;
        let label = section.label(key);
        for stranger in entries.iter().filter(|entry| !entry.get_ref().is_str()) {
            self.wrong_type(&label, stranger, allowed);
        }
        entries.iter().map(|entry| entry.get_ref().as_str().map(str::to_owned)).collect()
    }

    /// Reports keys that mean nothing here, and why.
    pub(super) fn refuse(&mut self, section: &Section<'_, 't>, keys: &[&'static str], why: &str) {
        for key in keys.iter().filter(|key| section.has(key)) {
            let message = format!("`{}` has no meaning here", section.label(key));
            self.report_at(section, key, message, why.to_owned());
        }
    }

    /// True or false.
    pub(super) fn truth(&mut self, section: &Section<'_, 't>, key: &'static str) -> Option<bool> {
        let value = section.table.get(key)?;
        let truth = value.get_ref().as_bool();
        if truth.is_none() {
            self.wrong_type(&section.label(key), value, "true or false");
        }
        truth
    }

    /// A text and its place.
    pub(super) fn text(
        &mut self,
        section: &Section<'_, 't>,
        key: &'static str,
        allowed: &str,
    ) -> Option<(String, Range<usize>)> {
        let value = section.table.get(key)?;
        let text = value.get_ref().as_str();
        if text.is_none() {
            self.wrong_type(&section.label(key), value, allowed);
        }
        text.map(|text| (text.to_owned(), value.span()))
    }

    /// One of a list of words; missing is a problem.
    pub(super) fn word<T: Copy>(
        &mut self,
        section: &Section<'_, 't>,
        key: &'static str,
        words: &[(&'static str, T)],
    ) -> Option<T> {
        self.require(section, key, &one_of(words));
        self.optional_word(section, key, words)
    }

    /// One of a list of words, or nothing.
    pub(super) fn optional_word<T: Copy>(
        &mut self,
        section: &Section<'_, 't>,
        key: &'static str,
        words: &[(&'static str, T)],
    ) -> Option<T> {
        let (text, span) = self.text(section, key, &one_of(words))?;
        self.meaning(&section.label(key), &text, span, words)
    }

    /// A table within a table.
    pub(super) fn table<'a>(
        &mut self,
        section: &Section<'a, 't>,
        key: &'static str,
    ) -> Option<&'a Spanned<DeValue<'t>>> {
        let value = section.table.get(key)?;
        if !value.get_ref().is_table() {
            self.wrong_type(
                &section.label(key),
                value,
                &format!("a table, written as [{}{key}]", section.path),
            );
            return None;
        }
        Some(value)
    }

    /// An array of tables; anything in it that is not a table is reported and left out.
    pub(super) fn tables<'a>(
        &mut self,
        section: &Section<'a, 't>,
        key: &'static str,
        at_most: usize,
    ) -> Vec<&'a Spanned<DeValue<'t>>> {
        let Some(value) = section.table.get(key) else { return Vec::new() };
        let allowed = format!("at most {at_most} tables, each written as [[{}{key}]]", section.path);
        let DeValue::Array(array) = value.get_ref() else {
            self.wrong_type(&section.label(key), value, &allowed);
            return Vec::new();
        };
        if array.len() > at_most {
            let message = format!("`{}{key}` has {} entries", section.path, array.len());
            self.report(value.span(), message, format!("it may have {allowed}"));
        }
        for stranger in array.iter().filter(|entry| !entry.get_ref().is_table()) {
            self.wrong_type(&section.label(key), stranger, &allowed);
        }
        array.iter().take(at_most).filter(|entry| entry.get_ref().is_table()).collect()
    }

    /// Reports a key that is missing.
    pub(super) fn require(&mut self, section: &Section<'_, 't>, key: &'static str, allowed: &str) {
        if !section.table.contains_key(key) && !section.misspelt.contains(&key) {
            let message = format!("missing key `{}{key}`", section.path);
            self.report(section.span.clone(), message, format!("it must be {allowed}"));
        }
    }

    /// Reports a problem with a key, at its value or, if it has none, at its table.
    pub(super) fn report_at(&mut self, section: &Section<'_, 't>, key: &str, message: String, help: String) {
        let span = section.table.get(key).map_or_else(|| section.span.clone(), Spanned::span);
        self.report(span, message, help);
    }

    /// Reports a problem.
    pub(super) fn report(&mut self, span: Range<usize>, message: String, help: String) {
        self.problems.push(Problem::new(self.text, span, message, help));
    }

    fn number(
        &mut self,
        label: &str,
        value: &Spanned<DeValue<'t>>,
        bounds: &RangeInclusive<u64>,
    ) -> Option<u64> {
        let allowed = whole_in(bounds);
        let DeValue::Integer(integer) = value.get_ref() else {
            self.wrong_type(label, value, &allowed);
            return None;
        };
        let number = i128::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number = number.and_then(|number| u64::try_from(number).ok()).filter(|n| bounds.contains(n));
        if number.is_none() {
            let message = format!("`{label}` is {}", shown(&integer.to_string()));
            self.report(value.span(), message, format!("it must be {allowed}"));
        }
        number
    }

    fn pair(
        &mut self,
        label: &str,
        value: &Spanned<DeValue<'t>>,
        first: &RangeInclusive<u64>,
        second: &RangeInclusive<u64>,
    ) -> Option<(u64, u64)> {
        let entries = value.get_ref().as_array().map_or(&[][..], |array| &array[..]);
        let [one, other] = entries else {
            let message = format!("`{label}` is not a pair of numbers");
            self.report(value.span(), message, "it must be two whole numbers in brackets".to_owned());
            return None;
        };
        let (one, other) = (self.number(label, one, first), self.number(label, other, second));
        Some((one?, other?))
    }

    /// What a word stands for.
    fn meaning<T: Copy>(
        &mut self,
        label: &str,
        text: &str,
        span: Range<usize>,
        words: &[(&'static str, T)],
    ) -> Option<T> {
        let found = words.iter().find(|(name, _)| *name == text).map(|(_, meaning)| *meaning);
        if found.is_none() {
            let names: Vec<&'static str> = words.iter().map(|(name, _)| *name).collect();
            let message = format!("`{label}` is `{}`", shown(text));
            self.report(span, message, suggestion(closest(text, &names), &names));
        }
        found
    }

    /// The entries of a list, at most [`MOST_ENTRIES`].
    fn entries<'a>(
        &mut self,
        section: &Section<'a, 't>,
        key: &'static str,
        allowed: &str,
    ) -> Option<&'a [Spanned<DeValue<'t>>]> {
        let value = section.table.get(key)?;
        let DeValue::Array(array) = value.get_ref() else {
            self.wrong_type(&section.label(key), value, allowed);
            return None;
        };
        if array.len() > MOST_ENTRIES {
            let message = format!("`{}` has {} entries", section.label(key), array.len());
            self.report(value.span(), message, format!("it may have at most {MOST_ENTRIES}"));
            return None;
        }
        Some(array)
    }

    fn wrong_type(&mut self, label: &str, value: &Spanned<DeValue<'t>>, allowed: &str) {
        let message = format!("`{label}` is {}", kind(value.get_ref()));
        self.report(value.span(), message, format!("it must be {allowed}"));
    }
}

impl Section<'_, '_> {
    /// Whether the file gives this key, as true.
    pub(super) fn is_true(&self, key: &str) -> bool {
        self.table.get(key).is_some_and(|value| value.get_ref().as_bool() == Some(true))
    }

    /// The place of a key of a table within; of that table where it has no such key.
    pub(super) fn span_of(&self, table: &str, key: &str) -> Range<usize> {
        let Some(table) = self.table.get(table) else { return self.span.clone() };
        let value = table.get_ref().as_table().and_then(|within| within.get(key));
        value.map_or_else(|| table.span(), Spanned::span)
    }

    /// A key as messages name it.
    pub(super) fn label(&self, key: &str) -> String {
        format!("{}{key}", self.path)
    }

    /// Whether the file gives this key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }
}

fn one_of<T>(words: &[(&'static str, T)]) -> String {
    let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
    format!("one of {}", listed(&names))
}

fn whole_in(bounds: &RangeInclusive<u64>) -> String {
    format!("a whole number from {} to {}", bounds.start(), bounds.end())
}

fn kind(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(_) => "a string".to_owned(),
        DeValue::Integer(_) => "a whole number".to_owned(),
        DeValue::Float(float) => format!("`{}`, a number with a fraction", shown(float.as_str())),
        DeValue::Boolean(truth) => truth.to_string(),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "an array".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

fn closest(word: &str, known: &[&'static str]) -> Option<&'static str> {
    let likeness = |candidate: &&'static str| strsim::jaro_winkler(word, candidate);
    let best = known.iter().copied().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(&best) >= ALIKE).then_some(best)
}

fn suggestion(meant: Option<&str>, known: &[&str]) -> String {
    let allowed = format!("allowed are {}", listed(known));
    meant.map_or_else(|| allowed.clone(), |meant| format!("did you mean `{meant}`? {allowed}"))
}

fn listed(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// The file's own words in a message: on one line, and not endless.
fn shown(word: &str) -> String {
    const LONGEST: usize = 40;
    let mut short: String = word.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if word.chars().nth(LONGEST).is_some() {
        short.push('…');
    }
    short
}
