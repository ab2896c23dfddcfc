//! The catalog file, `plans.toml`: read strictly, with all that is wrong in it said at once, one line each.
//!
//! The file is written for people, so its form differs from the stored one ([`tenantry_domain::plan`]): `included`
//! and `unlimited` stand beside each other, a single rate needs no tiers, `per` and `mode` have defaults.

mod definitions;
mod plans;
mod table;
mod terms;

use std::fmt;
use std::path::{Path, PathBuf};

use tenantry_domain::plan::Catalog;
use toml::de::DeTable;

use self::table::{Problems, Table};

/// Bytes that a catalog file may have: far more than any catalog, far less than hurts.
const MAX_BYTES: u64 = 1024 * 1024;

/// Something that is wrong in a catalog file. Shows as one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, as the caller named it.
    pub file: String,
    /// Line, from 1; none where it is about the file as a whole.
    pub line: Option<usize>,
    /// Plan and key; empty where it is about the file as a whole.
    pub place: String,
    /// What is wrong and what to write instead.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.place.is_empty() {
            write!(f, ": {}", self.place)?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// Why a catalog file gives no catalog.
#[derive(Debug, thiserror::Error)]
pub enum CatalogFileError {
    /// It cannot be read.
    #[error("cannot read the plan catalog {}: {source}; name another file with --plans", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// It is larger than any catalog.
    #[error("the plan catalog {} has {bytes} bytes, more than {MAX_BYTES}: is it the right file?", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// Its content is wrong; one line for each problem, in the order of the file.
    #[error("{}", lines(.0))]
    Invalid(Vec<Problem>),
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Reads a catalog from a file.
pub fn read(path: &Path) -> Result<Catalog, CatalogFileError> {
    let failed = |source| CatalogFileError::Read { path: path.to_owned(), source };
    let bytes = std::fs::metadata(path).map_err(failed)?.len();
    if bytes > MAX_BYTES {
        return Err(CatalogFileError::TooLarge { path: path.to_owned(), bytes });
    }
    parse(&std::fs::read_to_string(path).map_err(failed)?, &path.display().to_string())
}

/// Reads a catalog from its text. `name` is what errors call the file.
pub fn parse(text: &str, name: &str) -> Result<Catalog, CatalogFileError> {
    let mut problems = Problems::new(text, name);
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        problems.add(error.span().map(|span| span.start), "", &error.message());
    }
    // What was recovered from broken syntax would only make follow-up errors.
    let catalog = if errors.is_empty() {
        plans::catalog(Table::new(String::new(), 0, document.get_ref()), &mut problems)
    } else {
        None
    };
    match (catalog, problems.into_sorted()) {
        (Some(catalog), problems) if problems.is_empty() => Ok(catalog),
        (_, problems) => Err(CatalogFileError::Invalid(problems)),
    }
}
