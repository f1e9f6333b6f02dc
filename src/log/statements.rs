//! A portable SQL executor for PostgreSQL and SQLite.

use std::sync::Arc;

use jiff::Timestamp;

use super::{LogError, timestamp_from_micros};

/// A parameter or a column value.
#[derive(Clone, PartialEq, Eq)]
pub enum SqlValue {
    /// Text or null.
    Text(Option<String>),
    /// An integer or null.
    Number(Option<i64>),
    /// Bytes or null.
    Bytes(Option<Vec<u8>>),
}

impl From<&str> for SqlValue {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<String> for SqlValue {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<Option<String>> for SqlValue {
    fn from(text: Option<String>) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for SqlValue {
    fn from(number: i64) -> Self {
        Self::Number(Some(number))
    }
}

impl From<Option<i64>> for SqlValue {
    fn from(number: Option<i64>) -> Self {
        Self::Number(number)
    }
}

/// Stored as microseconds since 1970.
impl From<Timestamp> for SqlValue {
    fn from(time: Timestamp) -> Self {
        Self::Number(Some(time.as_microsecond()))
    }
}

/// Stored as microseconds since 1970.
impl From<Option<Timestamp>> for SqlValue {
    fn from(time: Option<Timestamp>) -> Self {
        Self::Number(time.map(Timestamp::as_microsecond))
    }
}

impl From<Vec<u8>> for SqlValue {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(Some(bytes))
    }
}

/// The values of one column of [`InputRows`].
#[derive(Clone)]
pub(super) enum ColumnValues {
    Texts(Vec<Option<String>>),
    Numbers(Vec<Option<i64>>),
}

/// Input rows of a statement, stored column by column.
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

    /// The column names, separated by commas.
    pub fn column_names(&self) -> String {
        self.columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    }
}

/// A statement and its parameters, `$1`, `$2` and so on. The text may contain three placeholders: `{log}` before a
/// table name is the schema prefix; `{now}` is the current time in microseconds since 1970, by the database's clock in
/// PostgreSQL; `{skip_locked}` at the end of a `select` skips rows that another transaction has locked.
#[derive(Clone)]
pub struct Statement {
    /// The SQL text.
    pub sql: String,
    /// The parameters.
    pub values: Vec<SqlValue>,
    /// Input rows, available as the table `v`; used instead of parameters.
    pub rows: Option<Arc<InputRows>>,
}

impl Statement {
    /// Creates a statement with parameters.
    pub fn new(sql: impl Into<String>, values: Vec<SqlValue>) -> Self {
        Self { sql: sql.into(), values, rows: None }
    }

    /// Creates a statement that reads these rows from the table `v`.
    pub fn with_rows(rows: &Arc<InputRows>, sql: impl Into<String>) -> Self {
        Self { sql: sql.into(), values: Vec::new(), rows: Some(rows.clone()) }
    }
}

/// A result row.
pub struct Row(pub(super) Vec<SqlValue>);

impl Row {
    /// Takes the text of a column; columns count from 0.
    ///
    /// # Errors
    /// The value is null or not text.
    pub fn text(&mut self, index: usize) -> Result<String, LogError> {
        self.optional_text(index)?.ok_or_else(unexpected_column_type)
    }

    /// Takes the text of a column; `None` for null.
    ///
    /// # Errors
    /// The value is not text.
    pub fn optional_text(&mut self, index: usize) -> Result<Option<String>, LogError> {
        match self.0.get_mut(index) {
            Some(SqlValue::Text(text)) => Ok(text.take()),
            Some(SqlValue::Number(None) | SqlValue::Bytes(None)) => Ok(None),
            _ => Err(unexpected_column_type()),
        }
    }

    /// Returns the integer of a column.
    ///
    /// # Errors
    /// The value is null or not an integer.
    pub fn number(&self, index: usize) -> Result<i64, LogError> {
        self.optional_number(index)?.ok_or_else(unexpected_column_type)
    }

    /// Returns the integer of a column; `None` for null.
    ///
    /// # Errors
    /// The value is not an integer.
    pub fn optional_number(&self, index: usize) -> Result<Option<i64>, LogError> {
        match self.0.get(index) {
            Some(SqlValue::Number(number)) => Ok(*number),
            Some(SqlValue::Text(None) | SqlValue::Bytes(None)) => Ok(None),
            _ => Err(unexpected_column_type()),
        }
    }

    /// Returns the time of a column of microseconds since 1970.
    ///
    /// # Errors
    /// The value is null or not an integer.
    pub fn time(&self, index: usize) -> Result<Timestamp, LogError> {
        self.number(index).map(timestamp_from_micros)
    }

    /// Returns the time of a column of microseconds since 1970; `None` for null.
    ///
    /// # Errors
    /// The value is not an integer.
    pub fn optional_time(&self, index: usize) -> Result<Option<Timestamp>, LogError> {
        Ok(self.optional_number(index)?.map(timestamp_from_micros))
    }

    /// Takes the bytes of a column; empty for null.
    ///
    /// # Errors
    /// The value is not bytes.
    pub fn bytes(&mut self, index: usize) -> Result<Vec<u8>, LogError> {
        match self.0.get_mut(index) {
            Some(SqlValue::Bytes(bytes)) => Ok(bytes.take().unwrap_or_default()),
            Some(SqlValue::Number(None) | SqlValue::Text(None)) => Ok(Vec::new()),
            _ => Err(unexpected_column_type()),
        }
    }
}

pub(super) fn unexpected_column_type() -> LogError {
    LogError::Rejected("the database returned an unexpected column type".into())
}

/// Runs SQL statements that both databases understand.
pub trait SqlExecutor: Send + Sync + 'static {
    /// Runs the statements in one transaction and returns the rows of each.
    ///
    /// # Errors
    /// The database failed, see [`LogError`].
    fn execute_transaction(
        &self,
        statements: Vec<Statement>,
    ) -> impl Future<Output = Result<Vec<Vec<Row>>, LogError>> + Send;

    /// Creates upcoming weekly partitions of a table by its column `started`, and drops those that ended by `oldest`.
    /// SQLite has no partitions: there it does nothing.
    ///
    /// # Errors
    /// The database failed, see [`LogError`].
    fn maintain_partitions(
        &self,
        table: &'static str,
        oldest: Timestamp,
    ) -> impl Future<Output = Result<(), LogError>> + Send;

    /// Runs one statement and returns its rows.
    ///
    /// # Errors
    /// The database failed, see [`LogError`].
    fn query(
        &self,
        sql: &str,
        values: Vec<SqlValue>,
    ) -> impl Future<Output = Result<Vec<Row>, LogError>> + Send {
        async move {
            let mut results = self.execute_transaction(vec![Statement::new(sql, values)]).await?;
            Ok(results.pop().unwrap_or_default())
        }
    }
}
