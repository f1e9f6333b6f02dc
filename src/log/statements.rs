//! A portable SQL executor for PostgreSQL and SQLite.

use std::sync::Arc;

use jiff::Timestamp;

use super::{LogError, timestamp_from_micros};

/// A value that a statement is given, or gives.
#[derive(Clone, PartialEq, Eq)]
pub enum SqlValue {
    /// A text.
    Text(Option<String>),
    /// A number.
    Number(Option<i64>),
    /// Bytes.
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

/// As microseconds since 1970.
impl From<Timestamp> for SqlValue {
    fn from(time: Timestamp) -> Self {
        Self::Number(Some(time.as_microsecond()))
    }
}

/// As microseconds since 1970.
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

/// Rows that a statement is given, column by column.
#[derive(Clone, Default)]
pub struct InputRows {
    pub(super) columns: Vec<(&'static str, ColumnValues)>,
}

impl InputRows {
    /// The same, with a column of texts.
    #[must_use]
    pub fn with_text_column(
        mut self,
        name: &'static str,
        cells: impl Iterator<Item = Option<String>>,
    ) -> Self {
        self.columns.push((name, ColumnValues::Texts(cells.collect())));
        self
    }

    /// The same, with a column of numbers.
    #[must_use]
    pub fn with_number_column(
        mut self,
        name: &'static str,
        cells: impl Iterator<Item = Option<i64>>,
    ) -> Self {
        self.columns.push((name, ColumnValues::Numbers(cells.collect())));
        self
    }

    /// The names of the columns, with commas between.
    pub fn column_names(&self) -> String {
        self.columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    }
}

/// A statement with its values, `$1`, `$2`, and so on in its text. There, `{log}` stands before the name of a table, `{now}` for
/// the time in microseconds since 1970 by the clock that all who use the log share, and `{skip_locked}` at the end of a
/// `select` that takes only rows which nobody else is changing.
#[derive(Clone)]
pub struct Statement {
    /// Its text.
    pub sql: String,
    /// Its values.
    pub values: Vec<SqlValue>,
    /// What it knows as the table `v`, instead of values.
    pub rows: Option<Arc<InputRows>>,
}

impl Statement {
    /// A statement.
    pub fn new(sql: impl Into<String>, values: Vec<SqlValue>) -> Self {
        Self { sql: sql.into(), values, rows: None }
    }

    /// A statement that finds these rows in the table `v`.
    pub fn with_rows(rows: &Arc<InputRows>, sql: impl Into<String>) -> Self {
        Self { sql: sql.into(), values: Vec::new(), rows: Some(rows.clone()) }
    }
}

/// A row that a statement returns.
pub struct Row(pub(super) Vec<SqlValue>);

impl Row {
    /// The text of a column, from 0 on.
    ///
    /// # Errors
    /// [`LogError`]: there is none.
    pub fn text(&mut self, at: usize) -> Result<String, LogError> {
        self.optional_text(at)?.ok_or_else(unexpected_column_type)
    }

    /// The text of a column, where there is one.
    ///
    /// # Errors
    /// [`LogError`]: it is something else.
    pub fn optional_text(&mut self, at: usize) -> Result<Option<String>, LogError> {
        match self.0.get_mut(at) {
            Some(SqlValue::Text(text)) => Ok(text.take()),
            Some(SqlValue::Number(None) | SqlValue::Bytes(None)) => Ok(None),
            _ => Err(unexpected_column_type()),
        }
    }

    /// The number of a column.
    ///
    /// # Errors
    /// [`LogError`]: there is none.
    pub fn number(&self, at: usize) -> Result<i64, LogError> {
        self.optional_number(at)?.ok_or_else(unexpected_column_type)
    }

    /// The number of a column, where there is one.
    ///
    /// # Errors
    /// [`LogError`]: it is something else.
    pub fn optional_number(&self, at: usize) -> Result<Option<i64>, LogError> {
        match self.0.get(at) {
            Some(SqlValue::Number(number)) => Ok(*number),
            Some(SqlValue::Text(None) | SqlValue::Bytes(None)) => Ok(None),
            _ => Err(unexpected_column_type()),
        }
    }

    /// The time of a column.
    ///
    /// # Errors
    /// [`LogError`]: there is none.
    pub fn time(&self, at: usize) -> Result<Timestamp, LogError> {
        self.number(at).map(timestamp_from_micros)
    }

    /// The time of a column, where there is one.
    ///
    /// # Errors
    /// [`LogError`]: it is something else.
    pub fn optional_time(&self, at: usize) -> Result<Option<Timestamp>, LogError> {
        Ok(self.optional_number(at)?.map(timestamp_from_micros))
    }

    /// The bytes of a column; none where there are none.
    ///
    /// # Errors
    /// [`LogError`]: it is something else.
    pub fn bytes(&mut self, at: usize) -> Result<Vec<u8>, LogError> {
        match self.0.get_mut(at) {
            Some(SqlValue::Bytes(bytes)) => Ok(bytes.take().unwrap_or_default()),
            Some(SqlValue::Number(None) | SqlValue::Text(None)) => Ok(Vec::new()),
            _ => Err(unexpected_column_type()),
        }
    }
}

pub(super) fn unexpected_column_type() -> LogError {
    LogError::Rejected("its answer has another form than expected".into())
}

/// Runs statements.
pub trait SqlExecutor: Send + Sync + 'static {
    /// The rows that each of these statements returns: all of them take effect, or none.
    ///
    /// # Errors
    /// [`LogError`].
    fn execute_transaction(
        &self,
        statements: Vec<Statement>,
    ) -> impl Future<Output = Result<Vec<Vec<Row>>, LogError>> + Send;

    /// Divides a table by weeks of its column `started`, where the database can: makes the weeks to come, and drops those that were
    /// over at `oldest`.
    ///
    /// # Errors
    /// [`LogError`].
    fn maintain_partitions(
        &self,
        table: &'static str,
        oldest: Timestamp,
    ) -> impl Future<Output = Result<(), LogError>> + Send;

    /// The rows that one statement returns.
    ///
    /// # Errors
    /// [`LogError`].
    fn query(
        &self,
        sql: &str,
        values: Vec<SqlValue>,
    ) -> impl Future<Output = Result<Vec<Row>, LogError>> + Send {
        async move {
            let mut all = self.execute_transaction(vec![Statement::new(sql, values)]).await?;
            Ok(all.pop().unwrap_or_default())
        }
    }
}
