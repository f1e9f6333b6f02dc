//! SQL for searches of the log in PostgreSQL and SQLite. A [`LogDialect`] supplies the parts that differ. User input is always
//! bound as a parameter.

use jiff::Timestamp;

use super::is_recordable;
use super::search::{PageRequest, Search, SortOrder};
use super::search_columns::{COLUMNS, CaseFolding, MatchMode};
use crate::db::{Database, SqlValue, Statement};

/// The differences between the log's tables in PostgreSQL and in SQLite.
#[derive(Clone, Copy)]
pub(super) struct LogDialect {
    /// The prefix of table names: the schema with a full stop, or nothing.
    pub(super) schema: &'static str,
    /// Whether time columns are `timestamptz`; otherwise they are integers, microseconds since 1970.
    has_time_type: bool,
    /// An SQL expression for the event time. In SQLite, the expression keeps the planner from using the index on the key
    /// (time, id), so that reads by batch use the index on batch and place.
    pub(super) time_without_key_index: &'static str,
    /// The operator that matches a text against a regular expression.
    regex_operator: &'static str,
    /// The function that returns the index of a text in another, from 1, and 0 if it is not there.
    pub(super) index_of_text: &'static str,
    /// An SQL expression for an event's resources as one text.
    pub(super) resources_text: &'static str,
    /// Whether a filtered read also returns the number of events that it scanned. The caller uses the number to notice missing
    /// events in PostgreSQL, where a session may miss a partition that another session has just created.
    pub(super) returns_scanned_count: bool,
}

impl LogDialect {
    pub(super) const POSTGRES: Self = Self {
        schema: "hookbridge.",
        has_time_type: true,
        time_without_key_index: "time",
        regex_operator: "~",
        index_of_text: "strpos",
        resources_text: "array_to_string(resources, ' ')",
        returns_scanned_count: true,
    };
    #[cfg(feature = "command")]
    pub(super) const SQLITE: Self = Self {
        schema: "",
        has_time_type: false,
        // The unary plus keeps the planner from using the key index.
        time_without_key_index: "+time",
        regex_operator: "regexp",
        index_of_text: "instr",
        resources_text: "resources",
        returns_scanned_count: false,
    };

    /// The dialect of a database.
    pub(super) fn of(db: &Database) -> Self {
        #[cfg(feature = "command")]
        if db.is_embedded() {
            return Self::SQLITE;
        }
        let _ = db;
        Self::POSTGRES
    }

    /// Returns SQL that converts a time column to microseconds since 1970.
    pub(super) fn micros_of(self, column: &str) -> String {
        if self.has_time_type {
            format!("(extract(epoch from {column}) * 1000000)::bigint")
        } else {
            column.to_owned()
        }
    }

    /// Returns a time as an SQL literal. The planner can compare a literal with the bounds of partitions, but not a bound value.
    pub(super) fn time_literal(self, time: Timestamp) -> String {
        if !self.has_time_type {
            time.as_microsecond().to_string()
        } else if is_recordable(time) {
            format!("timestamptz '{time:.6}'")
        } else {
            // PostgreSQL writes times before the year 1 in another format. The log has no such events, so `-infinity` is
            // equivalent.
            "timestamptz '-infinity'".into()
        }
    }
}

/// SQL text with the values that are bound to it.
pub(super) struct SqlBuilder {
    text: String,
    values: Vec<SqlValue>,
}

impl SqlBuilder {
    pub(super) fn new(text: String) -> Self {
        Self { text, values: Vec::new() }
    }

    pub(super) fn push(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Binds a value and appends its parameter to the text.
    pub(super) fn push_bind(&mut self, value: &str) -> &mut Self {
        self.values.push(value.into());
        self.text.push_str(&format!("${}", self.values.len()));
        self
    }

    /// Appends ` and column in (...)` with the values bound; appends nothing if `values` is empty.
    pub(super) fn push_in_list(&mut self, column: &str, values: &[String]) {
        for (index, value) in values.iter().enumerate() {
            self.push(&if index == 0 { format!(" and {column} in (") } else { ", ".into() }).push_bind(value);
        }
        if !values.is_empty() {
            self.push(")");
        }
    }

    pub(super) fn build(self) -> Statement {
        Statement::new(self.text, self.values)
    }
}

/// Where the events that match a search may be, if that is known: only in SQLite.
pub(super) struct Candidates {
    /// The batch and the place of events, of which some may not match.
    pub(super) places: Vec<(i64, i64)>,
    /// Events of later batches may match, too.
    pub(super) last_batch: i64,
}

/// Appends ` from ... where true` for the events of a search. The caller appends conditions, each of which begins with ` and `.
fn push_from(dialect: LogDialect, query: &mut SqlBuilder, candidates: Option<&Candidates>) {
    let Some(Candidates { places, last_batch }) = candidates else {
        query.push(&format!(" from {}events where true", dialect.schema));
        return;
    };
    query.push(" from (select value ->> 0 as found_batch, value ->> 1 as found_place from json_each(");
    let places: Vec<_> = places.iter().map(|(batch, place)| serde_json::json!([batch, place])).collect();
    query.push_bind(&serde_json::Value::from(places).to_string());
    query.push(&format!(
        ") union select batch, place from events where batch > {last_batch})
         cross join events indexed by events_order on batch = found_batch and place = found_place where true"
    ));
}

/// Builds the query for one page of a search.
pub(super) fn search_query(
    dialect: LogDialect,
    search: &Search,
    candidates: Option<&Candidates>,
    page: &PageRequest,
) -> SqlBuilder {
    // The columns are those that `StoredEvent::from_row` reads.
    let mut query = SqlBuilder::new(format!(
        "select {} as micros, id, source, type, account, region, resources, detail",
        dialect.micros_of("time")
    ));
    push_from(dialect, &mut query, candidates);
    push_conditions(dialect, &mut query, search);
    let (comparison, direction) = match page.order {
        SortOrder::NewestFirst => ("<", "desc"),
        SortOrder::OldestFirst => (">", "asc"),
    };
    if let Some(key) = &page.after {
        query.push(&format!(" and (time, id) {comparison} ({}, ", dialect.time_literal(key.time)));
        query.push_bind(&key.id).push(")");
    }
    query.push(&format!(
        " order by time {direction}, id {direction} limit {} offset {}",
        page.limit, page.offset
    ));
    query
}

/// Builds the query that counts the events that match a search.
pub(super) fn count_query(
    dialect: LogDialect,
    search: &Search,
    candidates: Option<&Candidates>,
) -> SqlBuilder {
    let mut query = SqlBuilder::new("select count(*) as events".into());
    push_from(dialect, &mut query, candidates);
    push_conditions(dialect, &mut query, search);
    query
}

/// Appends the conditions of the search to the query.
fn push_conditions(dialect: LogDialect, query: &mut SqlBuilder, search: &Search) {
    query.push(&format!(
        " and time >= {} and time < {}",
        dialect.time_literal(search.from),
        dialect.time_literal(search.to)
    ));
    query.push_in_list("source", &search.sources);
    query.push_in_list("id", &search.ids);
    query.push_in_list("type", &search.types);
    for (index, values) in &search.columns {
        let column = &COLUMNS[*index];
        let values: Vec<String> = match column.case_folding {
            CaseFolding::Lowercase => values.iter().map(|value| value.to_lowercase()).collect(),
            CaseFolding::Preserve => values.clone(),
        };
        match column.match_mode {
            MatchMode::Exact => query.push_in_list(column.name, &values),
            MatchMode::Words => {
                query
                    .push(&format!(" and {} {} ", column.name, dialect.regex_operator))
                    .push_bind(&whole_words_pattern(&values));
            }
        }
    }
    if let Some(text) = &search.reason_contains {
        let pattern = format!("(?i){}", escape_regex(text));
        query.push(&format!(" and reason {} ", dialect.regex_operator)).push_bind(&pattern);
    }
}

/// Builds a case-insensitive regular expression that finds any of these texts as a whole word or a sequence of whole words.
/// PostgreSQL and Rust's `regex` interpret the expression in the same way.
fn whole_words_pattern(values: &[String]) -> String {
    let alternatives: Vec<_> = values.iter().map(|value| escape_regex(value)).collect();
    format!(r"(?i)(^|\W)({})(\W|$)", alternatives.join("|"))
}

/// Escapes a text, so that a regular expression matches it literally. Removes NUL characters, which PostgreSQL rejects.
fn escape_regex(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 8);
    for char in text.chars().filter(|char| *char != '\0') {
        // Do not escape `<` and `>`: in Rust's `regex`, `\<` and `\>` are word boundaries.
        if char.is_ascii_punctuation() && !matches!(char, '_' | '<' | '>') {
            pattern.push('\\');
        }
        pattern.push(char);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_pattern_is_escaped() {
        let values = ["a.b".to_owned(), "50% (off)".to_owned(), "x_y".to_owned(), "a<b".to_owned()];
        insta::assert_snapshot!(whole_words_pattern(&values), @r"(?i)(^|\W)(a\.b|50\% \(off\)|x_y|a<b)(\W|$)");
    }
}
