//! Tables of TOML that are read key by key: what is missing, of a wrong type or left over is a problem with a line.

use std::fmt;

use tenantry_domain::money::Rate;
use tenantry_domain::quantity::Quantity;
use toml::de::{DeTable, DeValue};

use super::Problem;

/// The longest part of a value that a problem repeats, in characters.
const SHOWN: usize = 40;

/// Collects what is wrong.
pub(super) struct Problems<'t> {
    text: &'t str,
    file: &'t str,
    found: Vec<(usize, Problem)>,
}

impl<'t> Problems<'t> {
    pub(super) fn new(text: &'t str, file: &'t str) -> Self {
        Self { text, file, found: Vec::new() }
    }

    /// Notes a problem at a byte of the text; none is the file as a whole.
    pub(super) fn add(&mut self, at: Option<usize>, place: &str, reason: &dyn fmt::Display) {
        let line = at.map(|at| self.line(at));
        let reason = reason.to_string();
        let problem = Problem { file: self.file.to_owned(), line, place: place.to_owned(), reason };
        if !self.found.iter().any(|(_, other)| *other == problem) {
            self.found.push((at.unwrap_or(0), problem));
        }
    }

    /// The line of a byte, from 1.
    pub(super) fn line(&self, at: usize) -> usize {
        1 + self.text.bytes().take(at).filter(|byte| *byte == b'\n').count()
    }

    pub(super) fn count(&self) -> usize {
        self.found.len()
    }

    /// What was found, in the order of the file.
    pub(super) fn into_sorted(mut self) -> Vec<Problem> {
        self.found.sort_by_key(|(at, _)| *at);
        self.found.into_iter().map(|(_, problem)| problem).collect()
    }
}

/// A table of which keys are taken one by one.
pub(super) struct Table<'d> {
    /// Plan and key, as in `plan "pro": metrics.tokens`.
    pub(super) place: String,
    /// Where it begins, in bytes.
    pub(super) at: usize,
    left: Vec<(&'d str, Field<'d>)>,
    known: Vec<&'static str>,
}

impl<'d> Table<'d> {
    pub(super) fn new(place: String, at: usize, table: &'d DeTable<'d>) -> Self {
        let field = |(key, value): (&'d toml::Spanned<toml::de::DeString<'d>>, &'d toml::Spanned<DeValue<'d>>)| {
            let name: &'d str = key.get_ref();
            (name, Field { place: join(&place, name), at: key.span().start, value: value.get_ref() })
        };
        let left = table.iter().map(field).collect();
        Self { place, at, left, known: Vec::new() }
    }

    /// Names the table in problems from here on.
    pub(super) fn rename(&mut self, place: String) {
        for (name, field) in &mut self.left {
            field.place = join(&place, name);
        }
        self.place = place;
    }

    /// A key that may be missing.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Field<'d>> {
        self.known.push(key);
        let position = self.left.iter().position(|(name, _)| *name == key)?;
        Some(self.left.remove(position).1)
    }

    /// A key that must be there; `example` is what could be written.
    pub(super) fn require(
        &mut self,
        key: &'static str,
        example: &str,
        problems: &mut Problems<'_>,
    ) -> Option<Field<'d>> {
        let field = self.take(key);
        if field.is_none() {
            problems.add(
                Some(self.at),
                &join(&self.place, key),
                &format_args!("is missing; write for instance {example}"),
            );
        }
        field
    }

    /// All that is left, for tables whose keys are names.
    pub(super) fn into_fields(self) -> Vec<(&'d str, Field<'d>)> {
        self.left
    }

    /// Ends the reading: what was not taken is unknown.
    pub(super) fn finish(self, problems: &mut Problems<'_>) {
        let known = self.known.join(", ");
        for (_, field) in self.left {
            problems.add(Some(field.at), &field.place, &format_args!("unknown key; known here: {known}"));
        }
    }
}

fn join(place: &str, key: &str) -> String {
    let key: String = key.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    match place {
        "" => key,
        plan if plan.ends_with('"') || plan.ends_with(')') => format!("{plan}: {key}"),
        path => format!("{path}.{key}"),
    }
}

/// A value of a table.
#[derive(Clone)]
pub(super) struct Field<'d> {
    /// Plan and key.
    pub(super) place: String,
    /// Where its key begins, in bytes.
    pub(super) at: usize,
    value: &'d DeValue<'d>,
}

impl<'d> Field<'d> {
    /// Notes a problem with it.
    pub(super) fn wrong(&self, reason: impl fmt::Display, problems: &mut Problems<'_>) {
        problems.add(Some(self.at), &self.place, &reason);
    }

    fn expected<T>(&self, what: &str, problems: &mut Problems<'_>) -> Option<T> {
        let found = match self.value {
            DeValue::String(text) => format!("{:?}", text.chars().take(SHOWN).collect::<String>()),
            DeValue::Integer(number) => number.to_string(),
            DeValue::Float(number) => format!("the float {}", number.as_str()),
            DeValue::Boolean(value) => value.to_string(),
            other => format!("a {}", other.type_str()),
        };
        self.wrong(format_args!("must be {what}, not {found}"), problems);
        None
    }

    pub(super) fn text(&self, problems: &mut Problems<'_>) -> Option<&'d str> {
        self.value.as_str().or_else(|| self.expected("a text in quotes", problems))
    }

    /// A text that is parsed further; its error is the problem.
    pub(super) fn parsed<T>(&self, problems: &mut Problems<'_>) -> Option<T>
    where
        T: std::str::FromStr<Err: fmt::Display>,
    {
        self.text(problems)?.parse().map_err(|error: T::Err| self.wrong(error, problems)).ok()
    }

    pub(super) fn boolean(&self, problems: &mut Problems<'_>) -> Option<bool> {
        self.value.as_bool().or_else(|| self.expected("true or false", problems))
    }

    fn integer(&self) -> Option<i128> {
        let number = self.value.as_integer()?;
        i128::from_str_radix(number.as_str(), number.radix()).ok()
    }

    /// A whole number between bounds.
    pub(super) fn whole(&self, least: i64, most: i64, problems: &mut Problems<'_>) -> Option<i64> {
        let inside = self.integer().filter(|number| (i128::from(least)..=i128::from(most)).contains(number));
        match inside.and_then(|number| i64::try_from(number).ok()) {
            Some(number) => Some(number),
            None => self.expected(&format!("a whole number from {least} to {most}"), problems),
        }
    }

    /// A quantity of at least 0: a whole number, or a decimal in quotes.
    pub(super) fn quantity(&self, problems: &mut Problems<'_>) -> Option<Quantity> {
        let text = match (self.integer(), self.value.as_str()) {
            (Some(number), _) => number.to_string(),
            (None, Some(text)) => text.to_owned(),
            (None, None) => {
                return self.expected("a whole number, or an exact decimal in quotes", problems);
            }
        };
        match text.parse::<Quantity>() {
            Ok(quantity) if quantity >= Quantity::ZERO => Some(quantity),
            Ok(_) => {
                self.wrong("must not be negative", problems);
                None
            }
            Err(error) => {
                self.wrong(error, problems);
                None
            }
        }
    }

    /// A rate: an exact decimal in quotes, or a whole number.
    pub(super) fn rate(&self, problems: &mut Problems<'_>) -> Option<Rate> {
        let text = match (self.integer(), self.value.as_str()) {
            (Some(number), _) => number.to_string(),
            (None, Some(text)) => text.to_owned(),
            (None, None) => {
                return self.expected("an exact decimal in quotes, such as \"2.5\"", problems);
            }
        };
        text.parse().map_err(|error: tenantry_domain::money::RateError| self.wrong(error, problems)).ok()
    }

    /// A list of texts that are parsed further; none where one of them is wrong.
    pub(super) fn list<T>(&self, problems: &mut Problems<'_>) -> Option<Vec<T>>
    where
        T: std::str::FromStr<Err: fmt::Display>,
    {
        let DeValue::Array(values) = self.value else {
            return self.expected("a list of texts in quotes", problems);
        };
        let field = |value: &'d toml::Spanned<DeValue<'d>>| Field {
            place: self.place.clone(),
            at: value.span().start,
            value: value.get_ref(),
        };
        let read: Vec<Option<T>> = values.iter().map(|value| field(value).parsed(problems)).collect();
        read.into_iter().collect()
    }

    pub(super) fn table(&self, problems: &mut Problems<'_>) -> Option<Table<'d>> {
        match self.value {
            DeValue::Table(table) => Some(Table::new(self.place.clone(), self.at, table)),
            _ => self.expected("a table", problems),
        }
    }

    /// The tables of an array, each with its number from 1 in its place.
    pub(super) fn tables(&self, problems: &mut Problems<'_>) -> Option<Vec<Table<'d>>> {
        let DeValue::Array(values) = self.value else {
            return self.expected("an array of tables", problems);
        };
        let mut tables = Vec::new();
        for (number, value) in (1..).zip(values.iter()) {
            let place = format!("{}[{number}]", self.place);
            let field = Field { place, at: value.span().start, value: value.get_ref() };
            tables.push(field.table(problems)?);
        }
        Some(tables)
    }
}
