//! SQL statements that PostgreSQL and SQLite both understand.

use std::sync::Arc;

use jiff::Timestamp;

/// The maximum number of rows in the [`InputRows`] of one statement. SQLite binds at most 32,766 values.
pub const MAX_INPUT_ROWS: usize = 2000;

/// The parts of a statement's text that differ between the databases.
#[derive(Clone, Copy, Debug)]
pub struct SqlDialect {
    /// The prefix of table names: the schema with a full stop, or nothing.
    pub schema: &'static str,
    /// An SQL expression for the current time in microseconds since 1970, by the database's clock.
    pub now: &'static str,
    /// The clause at the end of a `select` that locks the selected rows and skips rows that another transaction has locked. Empty
    /// for SQLite, which has one writer at a time.
    pub skip_locked: &'static str,
}

impl SqlDialect {
    pub(super) const POSTGRES: Self = Self {
        schema: "hookbridge.",
        now: "(extract(epoch from clock_timestamp()) * 1000000)::bigint",
        skip_locked: "for update skip locked",
    };
    #[cfg(feature = "command")]
    pub(super) const SQLITE: Self =
        Self { schema: "", now: "cast(unixepoch('subsec') * 1000000 as integer)", skip_locked: "" };
}

/// The value of a statement's parameter.
#[derive(Clone, PartialEq, Eq)]
pub enum SqlValue {
    Text(String),
    Number(i64),
}

impl From<&str> for SqlValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for SqlValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for SqlValue {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

/// Converts a time to microseconds since 1970, as the database stores it.
impl From<Timestamp> for SqlValue {
    fn from(time: Timestamp) -> Self {
        Self::Number(time.as_microsecond())
    }
}

/// The values of one column of [`InputRows`].
#[derive(Clone)]
pub(super) enum ColumnValues {
    Texts(Vec<Option<String>>),
    Numbers(Vec<Option<i64>>),
}

/// Rows that are sent with a statement, which reads the rows as the table `v`. The rows are stored column by column.
#[derive(Clone, Default)]
pub struct InputRows {
    pub(super) columns: Vec<(&'static str, ColumnValues)>,
}

impl InputRows {
    /// Adds a text column.
    #[must_use]
    pub fn with_text_column(
        mut self,
        name: &'static str,
        cells: impl Iterator<Item = Option<String>>,
    ) -> Self {
        self.columns.push((name, ColumnValues::Texts(cells.collect())));
        self
    }

    /// Adds an integer column.
    #[must_use]
    pub fn with_number_column(
        mut self,
        name: &'static str,
        cells: impl Iterator<Item = Option<i64>>,
    ) -> Self {
        self.columns.push((name, ColumnValues::Numbers(cells.collect())));
        self
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.columns.first().map_or(0, |(_, cells)| match cells {
            ColumnValues::Texts(texts) => texts.len(),
            ColumnValues::Numbers(numbers) => numbers.len(),
        })
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The column names, separated by commas.
    pub fn column_names(&self) -> String {
        self.columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    }
}

/// A statement: SQL text with the parameters `$1`, `$2` and so on, and their values. The text consists of constants, and of
/// numbers and times that this crate formats. Text from users is always bound as a value.
#[derive(Clone)]
pub struct Statement {
    pub(super) sql: String,
    pub(super) values: Vec<SqlValue>,
    /// The rows of the table `v`; `None` without such a table. A statement with input rows has no other parameters.
    pub(super) input_rows: Option<Arc<InputRows>>,
    /// `None` for a statement without limits.
    pub(super) read_limits: Option<ReadLimits>,
}

/// The limits of a statement that may read much data. PostgreSQL aborts a statement with limits after `DATABASE_TIMEOUT`. Limits
/// have no effect in SQLite.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimits {
    /// Whether PostgreSQL's planner must avoid sequential scans of whole tables.
    pub avoids_table_scans: bool,
}

impl Statement {
    /// Creates a statement with parameters.
    pub fn new(sql: impl Into<String>, values: Vec<SqlValue>) -> Self {
        Self { sql: sql.into(), values, input_rows: None, read_limits: None }
    }

    /// Sets the limits of the statement, which must only read.
    #[must_use]
    pub fn with_read_limits(self, limits: ReadLimits) -> Self {
        Self { read_limits: Some(limits), ..self }
    }

    /// Creates a statement that reads `input_rows` from the table `v`.
    pub fn with_rows(input_rows: InputRows, sql: impl Into<String>) -> Self {
        Self { sql: sql.into(), values: Vec::new(), input_rows: Some(input_rows.into()), read_limits: None }
    }
}
