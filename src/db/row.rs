//! Result rows of statements that both databases understand.

use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
#[cfg(feature = "command")]
use sqlx::sqlite::SqliteRow;

use super::DatabaseError;

/// A result row, read by column name.
pub enum Row {
    #[doc(hidden)]
    Postgres(PgRow),
    #[cfg(feature = "command")]
    #[doc(hidden)]
    Sqlite(SqliteRow),
}

impl Row {
    /// Returns the value of a column.
    ///
    /// # Errors
    /// The column does not exist, or its value has another type.
    pub fn get<T: FromColumn>(&self, column: &str) -> Result<T, DatabaseError> {
        Ok(T::from_column(self, column)?)
    }
}

/// A type that a column value converts to: `i64`, `String`, bytes (`Vec<u8>`), a time that is stored as microseconds since 1970,
/// an `Option` of one of these for a column that may be null, or a list of strings.
pub trait FromColumn: Sized {
    #[doc(hidden)]
    fn from_column(row: &Row, column: &str) -> sqlx::Result<Self>;
}

macro_rules! from_column {
    ($($type:ty)*) => {$(
        impl FromColumn for $type {
            fn from_column(row: &Row, column: &str) -> sqlx::Result<Self> {
                match row {
                    Row::Postgres(row) => row.try_get(column),
                    #[cfg(feature = "command")]
                    Row::Sqlite(row) => row.try_get(column),
                }
            }
        }
    )*};
}

from_column!(i64 Option<i64> String Option<String> Vec<u8> Option<Vec<u8>>);

/// A list of strings is stored as an array in PostgreSQL, and as a JSON array in SQLite.
impl FromColumn for Vec<String> {
    fn from_column(row: &Row, column: &str) -> sqlx::Result<Self> {
        match row {
            Row::Postgres(row) => row.try_get(column),
            #[cfg(feature = "command")]
            Row::Sqlite(row) => Ok(serde_json::from_str(row.try_get(column)?).unwrap_or_default()),
        }
    }
}

impl FromColumn for Timestamp {
    fn from_column(row: &Row, column: &str) -> sqlx::Result<Self> {
        i64::from_column(row, column).map(timestamp_from_micros)
    }
}

impl FromColumn for Option<Timestamp> {
    fn from_column(row: &Row, column: &str) -> sqlx::Result<Self> {
        Ok(Option::from_column(row, column)?.map(timestamp_from_micros))
    }
}

/// Converts microseconds since 1970 to a time. A value outside the range of [`Timestamp`] becomes 1970-01-01.
pub fn timestamp_from_micros(microseconds: i64) -> Timestamp {
    Timestamp::from_microsecond(microseconds).unwrap_or(Timestamp::UNIX_EPOCH)
}
