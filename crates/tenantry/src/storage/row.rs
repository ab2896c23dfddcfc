//! Reading columns of a row.

use tokio_postgres::Row;
use tokio_postgres::row::RowIndex;
use tokio_postgres::types::FromSql;

use super::StoreError;

/// Reads columns so that a value of another type than expected is an error of the store, never a panic.
pub(super) trait Column {
    /// The value of a column.
    fn col<'a, T: FromSql<'a>>(&'a self, index: impl RowIndex + std::fmt::Display) -> Result<T, StoreError>;
}

impl Column for Row {
    fn col<'a, T: FromSql<'a>>(&'a self, index: impl RowIndex + std::fmt::Display) -> Result<T, StoreError> {
        self.try_get(index).map_err(|error| StoreError::corrupt("row", error))
    }
}

/// A column of bytes that has a fixed length.
pub(super) fn bytes<const N: usize>(row: &Row, index: usize, what: &'static str) -> Result<[u8; N], StoreError> {
    let value: &[u8] = row.col(index)?;
    value.try_into().map_err(|_| StoreError::corrupt(what, format!("{} bytes where {N} are due", value.len())))
}
