//! Rows whose texts are stored as bytes.

use sqlx::{Row, mysql::MySqlRow};

use crate::store::row::Columns;

/// A row of which integers are checked, and texts are taken from columns of any kind: the driver reads no
/// `&str` from VARBINARY by itself. Bytes that are no UTF-8 are an error.
pub(super) struct Stored(MySqlRow);

impl Stored {
    /// All rows of an answer.
    pub(super) fn all(rows: Vec<MySqlRow>) -> Vec<Self> {
        rows.into_iter().map(Self).collect()
    }

    /// Bytes as they are stored.
    pub(super) fn bytes(&self, column: usize) -> sqlx::Result<Option<Vec<u8>>> {
        self.0.try_get(column)
    }
}

impl Columns for Stored {
    fn integer(&self, column: usize) -> sqlx::Result<i64> {
        self.0.try_get(column)
    }

    fn optional_integer(&self, column: usize) -> sqlx::Result<Option<i64>> {
        self.0.try_get(column)
    }

    fn text(&self, column: usize) -> sqlx::Result<&str> {
        self.0.try_get_unchecked(column)
    }

    fn optional_text(&self, column: usize) -> sqlx::Result<Option<&str>> {
        self.0.try_get_unchecked(column)
    }
}
