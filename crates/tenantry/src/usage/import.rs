//! Reading usage from files: CSV with a header, or one JSON object a line.
//!
//! A row without a key of its own gets one from the file's content and its position: a digest that runs over all
//! rows up to it. The same file again, whole, cut short or grown at its end, names its rows by the same keys, so
//! that nothing counts twice.

use std::io::{BufRead, BufReader, Read};

use jiff::Timestamp;
use jiff::civil::DateTime;
use sha2::{Digest, Sha256};
use tenantry_domain::quantity::Quantity;
use uuid::Uuid;

use super::event::{Content, NewEvent, check_key};

/// Which columns mean what.
#[derive(Debug, Clone)]
pub struct Mapping {
    /// The tenant that the usage counts for.
    pub tenant_id: Uuid,
    /// Column of the timestamp: RFC 3339, or date and time in UTC.
    pub timestamp: String,
    /// (metric, column of its amount); each makes an event of a row.
    pub metrics: Vec<(String, String)>,
    /// Column of the idempotency key, if the file has one. With several metrics the metric's name is added to it.
    pub key: Option<String>,
    /// Column of the user's id, if the file has one.
    pub user: Option<String>,
}

/// The form of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated with a header line.
    Csv,
    /// One JSON object a line.
    Ndjson,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be read.
    #[error("cannot read the file: {0}")]
    Read(#[from] std::io::Error),
    /// A column that was asked for is not there.
    #[error("the file has no column {column:?}; it has {found}")]
    NoColumn {
        /// The column that was asked for.
        column: String,
        /// Those that are there.
        found: String,
    },
    /// A value cannot be used.
    #[error("line {line}, column {column:?}: {reason}")]
    Value {
        /// Line, from 1.
        line: u64,
        /// The column.
        column: String,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// A line is no row.
    #[error("line {line}: {reason}")]
    Line {
        /// Line, from 1.
        line: u64,
        /// What is wrong.
        reason: String,
    },
}

/// One row of a file, as the events it makes. An amount of 0 makes none.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its line in the file, from 1.
    pub line: u64,
    /// Its events.
    pub events: Vec<NewEvent>,
}

/// Reads the rows of a file. `received_at` is when the import began.
pub fn rows<'a>(
    input: impl Read + 'a,
    format: Format,
    mapping: &'a Mapping,
    received_at: Timestamp,
) -> Result<Box<dyn Iterator<Item = Result<Row, ImportError>> + 'a>, ImportError> {
    let mut chain = Chain::new(mapping);
    match format {
        Format::Csv => {
            let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(input);
            let columns = Columns::find(reader.headers().map_err(|error| broken_line(&error))?, mapping)?;
            Ok(Box::new(reader.into_records().map(move |record| {
                let record = record.map_err(|error| broken_line(&error))?;
                let line = record.position().map_or(0, csv::Position::line);
                let cell = |index: usize| record.get(index).map(str::to_owned);
                row(line, &columns.read(cell), mapping, &mut chain, received_at)
            })))
        }
        Format::Ndjson => {
            let lines = BufReader::new(input).lines().enumerate();
            Ok(Box::new(lines.filter(|(_, line)| !line.as_ref().is_ok_and(|text| text.trim().is_empty())).map(
                move |(index, text)| {
                    let line = index as u64 + 1;
                    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text?)
                        .map_err(|error| ImportError::Line { line, reason: format!("not a JSON object: {error}") })?;
                    row(line, &json_cells(&object, mapping), mapping, &mut chain, received_at)
                },
            )))
        }
    }
}

fn broken_line(error: &csv::Error) -> ImportError {
    ImportError::Line { line: error.position().map_or(1, csv::Position::line), reason: error.to_string() }
}

/// Cells of a row in the order timestamp, amounts, key, user; none where the row has no such cell.
type Cells = Vec<Option<String>>;

/// The columns that the mapping names, in the order of [`Cells`].
fn names(mapping: &Mapping) -> impl Iterator<Item = &String> {
    std::iter::once(&mapping.timestamp)
        .chain(mapping.metrics.iter().map(|(_, column)| column))
        .chain(&mapping.key)
        .chain(&mapping.user)
}

struct Columns(Vec<usize>);

impl Columns {
    fn find(header: &csv::StringRecord, mapping: &Mapping) -> Result<Self, ImportError> {
        names(mapping)
            .map(|column| {
                header.iter().position(|name| name == column).ok_or_else(|| ImportError::NoColumn {
                    column: column.clone(),
                    found: header.iter().collect::<Vec<_>>().join(", "),
                })
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    fn read(&self, cell: impl Fn(usize) -> Option<String>) -> Cells {
        self.0.iter().map(|index| cell(*index)).collect()
    }
}

fn json_cells(object: &serde_json::Map<String, serde_json::Value>, mapping: &Mapping) -> Cells {
    names(mapping)
        .map(|column| match object.get(column) {
            None | Some(serde_json::Value::Null) => None,
            Some(serde_json::Value::String(text)) => Some(text.clone()),
            Some(other) => Some(other.to_string()),
        })
        .collect()
}

fn row(
    line: u64,
    cells: &Cells,
    mapping: &Mapping,
    chain: &mut Chain,
    received_at: Timestamp,
) -> Result<Row, ImportError> {
    let wrong = |column: &str, reason: String| ImportError::Value { line, column: column.to_owned(), reason };
    let mut cell = names(mapping).zip(cells);
    let mut next =
        || cell.next().map_or((mapping.timestamp.as_str(), None), |(name, cell)| (name.as_str(), cell.as_deref()));
    let (column, text) = next();
    let timestamp = text.and_then(parse_timestamp).ok_or_else(|| {
        wrong(column, format!("{:?} is no timestamp; give RFC 3339 or UTC date and time", text.unwrap_or("")))
    })?;
    let mut amounts = Vec::with_capacity(mapping.metrics.len());
    for (metric, _) in &mapping.metrics {
        let (column, text) = next();
        let text = text.ok_or_else(|| wrong(column, "the cell is empty; give an amount, 0 for none".to_owned()))?;
        let is_zero = !text.is_empty() && text.chars().all(|digit| digit == '0' || digit == '.');
        let amount = (!is_zero)
            .then(|| Quantity::parse_amount(text).map_err(|error| wrong(column, error.to_string())))
            .transpose()?;
        amounts.push((metric, amount));
    }
    let key = if mapping.key.is_some() {
        let (column, text) = next();
        let text = text.filter(|text| !text.is_empty());
        Some((column, text.ok_or_else(|| wrong(column, "the cell is empty; each row needs its key".to_owned()))?))
    } else {
        None
    };
    let user_id = if mapping.user.is_some() {
        let (column, text) = next();
        let parse = |text: &str| Uuid::try_parse(text).map_err(|_| wrong(column, format!("{text:?} is no UUID")));
        text.filter(|text| !text.is_empty()).map(parse).transpose()?
    } else {
        None
    };
    let derived = chain.next(cells);
    let several = mapping.metrics.len() > 1;
    let used = amounts.into_iter().filter_map(|(metric, amount)| amount.map(|amount| (metric, amount)));
    let events = used.map(|(metric, amount)| {
        let key = match key {
            Some((column, key)) => own_key(key, several.then_some(metric)).map_err(|reason| wrong(column, reason))?,
            None => format!("import:{derived}:{metric}"),
        };
        Ok(NewEvent {
            team_id: None,
            tenant_id: mapping.tenant_id,
            key,
            content: Content::Usage { metric: metric.clone(), amount },
            timestamp: Some(timestamp),
            received_at,
            user_id,
            metadata: serde_json::Map::new(),
        })
    });
    let events = events.collect::<Result<_, ImportError>>()?;
    Ok(Row { line, events })
}

/// The key of a row's event: the cell, with the metric where a row makes several.
fn own_key(cell: &str, metric: Option<&String>) -> Result<String, String> {
    let key = metric.map_or_else(|| cell.to_owned(), |metric| format!("{cell}:{metric}"));
    match (check_key(&key), metric) {
        (Ok(()), _) => Ok(key),
        (Err(reason), None) => Err(format!("the key {reason}")),
        (Err(reason), Some(metric)) => Err(format!("the key {reason}, with \":{metric}\" at its end")),
    }
}

/// RFC 3339, or a date and time that is taken as UTC.
fn parse_timestamp(text: &str) -> Option<Timestamp> {
    text.parse::<Timestamp>().ok().or_else(|| {
        let civil: DateTime = text.parse().ok()?;
        civil.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
    })
}

/// The running digest that names rows.
struct Chain([u8; 32]);

impl Chain {
    /// Begins with what the columns mean: the same file under another mapping is another import.
    fn new(mapping: &Mapping) -> Self {
        let mut digest = Sha256::new();
        for name in names(mapping) {
            digest.update((name.len() as u64).to_be_bytes());
            digest.update(name.as_bytes());
        }
        Self(digest.finalize().into())
    }

    /// Name of the next row.
    fn next(&mut self, cells: &Cells) -> Uuid {
        let mut digest = Sha256::new();
        digest.update(self.0);
        for cell in cells {
            let text = cell.as_deref().unwrap_or("");
            digest.update((text.len() as u64).to_be_bytes());
            digest.update(text.as_bytes());
        }
        self.0 = digest.finalize().into();
        let mut first = [0; 16];
        first.copy_from_slice(&self.0[..16]);
        Uuid::from_bytes(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(key: Option<&str>) -> Mapping {
        Mapping {
            tenant_id: Uuid::from_u128(7),
            timestamp: "TIMESTAMP".to_owned(),
            metrics: vec![("in".to_owned(), "A".to_owned()), ("out".to_owned(), "B".to_owned())],
            key: key.map(str::to_owned),
            user: None,
        }
    }

    fn read(text: &str, format: Format, mapping: &Mapping) -> Result<Vec<Row>, ImportError> {
        rows(text.as_bytes(), format, mapping, Timestamp::UNIX_EPOCH)?.collect()
    }

    #[test]
    fn a_row_makes_one_event_of_each_metric_that_is_not_zero() {
        let csv = "TIMESTAMP,A,B\n2023-11-16 18:17:03.9799600,4808,10\n2023-11-16T18:17:04Z,1.5,0\n";
        let rows = read(csv, Format::Csv, &mapping(None)).unwrap();
        assert_eq!(rows.iter().map(|row| row.events.len()).collect::<Vec<_>>(), [2, 1]);
        let first = &rows[0].events[0];
        assert_eq!(first.timestamp, Some("2023-11-16T18:17:03.97996Z".parse().unwrap()));
        assert!(
            matches!(&first.content, Content::Usage { metric, amount } if metric == "in" && amount.to_string() == "4808")
        );
    }

    #[test]
    fn a_file_that_grew_names_its_old_rows_as_before_and_equal_rows_apart() {
        let short = "TIMESTAMP,A,B\n2023-11-16T18:17:04Z,1,2\n2023-11-16T18:17:04Z,1,2\n";
        let long = format!("{short}2023-11-16T18:17:04Z,1,2\n");
        let keys = |text: &str| -> Vec<String> {
            read(text, Format::Csv, &mapping(None)).unwrap().into_iter().map(|row| row.events[0].key.clone()).collect()
        };
        assert_eq!(keys(short), keys(&long)[..2]);
        let mut all = keys(&long);
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 3);
    }

    #[test]
    fn json_lines_carry_numbers_or_strings() {
        let text = "{\"TIMESTAMP\":\"2023-11-16T18:17:04Z\",\"A\":\"3\",\"B\":4,\"id\":\"k1\"}\n\n";
        let rows = read(text, Format::Ndjson, &mapping(Some("id"))).unwrap();
        assert_eq!(rows[0].events.iter().map(|event| event.key.as_str()).collect::<Vec<_>>(), ["k1:in", "k1:out"]);
    }

    #[test]
    fn what_is_wrong_is_named_with_line_and_column() {
        for (text, says) in [
            ("TIMESTAMP,A\n", "the file has no column \"B\"; it has TIMESTAMP, A"),
            ("TIMESTAMP,A,B\nyesterday,1,2\n", "line 2, column \"TIMESTAMP\": \"yesterday\" is no timestamp"),
            ("TIMESTAMP,A,B\n2023-11-16T18:17:04Z,-1,2\n", "line 2, column \"A\""),
            ("TIMESTAMP,A,B\n2023-11-16T18:17:04Z,1\n", "line 2"),
        ] {
            let error = read(text, Format::Csv, &mapping(None)).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        let with_key = |key: &str| {
            let text = format!("TIMESTAMP,A,B,id\n2023-11-16T18:17:04Z,1,2,{key}\n");
            read(&text, Format::Csv, &mapping(Some("id"))).map_err(|error| error.to_string())
        };
        // 251 bytes and ":out" are 255.
        assert!(with_key(&"k".repeat(251)).is_ok());
        for key in ["k".repeat(252), "k".repeat(300), "a\0b".to_owned()] {
            let error = with_key(&key).unwrap_err();
            assert!(error.contains("line 2, column \"id\": the key must"), "{error}");
        }
    }
}
