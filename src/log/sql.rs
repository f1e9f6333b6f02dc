//! SQL for searches in both databases.
//!
//! A [`Dialect`] supplies the parts that differ. User input is always bound as a parameter.

use jiff::Timestamp;
use sqlx::{Database, Encode, QueryBuilder, Type};

use super::search::{PageRequest, Search, SortOrder};
use super::search_columns::{COLUMNS, CaseFolding, MatchMode};

/// The SQL differences between PostgreSQL and SQLite.
pub(super) trait Dialect: Database {
    /// The table of events.
    const EVENTS_TABLE: &'static str;
    /// The table of batches.
    const BATCHES_TABLE: &'static str;
    /// The event time as an expression that keeps the planner away from the key index, for reads by batch.
    const TIME_WITHOUT_KEY_INDEX: &'static str;
    /// The operator that matches a text against a regular expression.
    const REGEX_OPERATOR: &'static str;

    /// Whether a session may miss partitions that another session has just created. Then a filtered read also returns
    /// the number of events that it scanned, so that a gap is noticed.
    const RETURNS_SCANNED_COUNT: bool;

    /// The value of a time column in microseconds since 1970.
    fn epoch_micros(column: &str) -> String;

    /// A time as a literal, which the planner compares with partition bounds.
    fn timestamp_literal(time: Timestamp) -> String;
}

/// Selects one page of a search: time, id, source, type, account, region, resources, detail.
pub(super) fn search_query<DB>(search: &Search, page: &PageRequest) -> QueryBuilder<DB>
where
    DB: Dialect,
    for<'q> String: Encode<'q, DB> + Type<DB>,
{
    let mut query = QueryBuilder::new(format!(
        "select {}, id, source, type, account, region, resources, detail from {}",
        DB::epoch_micros("time"),
        DB::EVENTS_TABLE
    ));
    push_conditions(&mut query, search);
    let (comparison, direction) = match page.order {
        SortOrder::NewestFirst => ("<", "desc"),
        SortOrder::OldestFirst => (">", "asc"),
    };
    if let Some(key) = &page.after {
        query.push(format!(" and (time, id) {comparison} ({}, ", DB::timestamp_literal(key.time)));
        query.push_bind(key.id.clone()).push(")");
    }
    query.push(format!(
        " order by time {direction}, id {direction} limit {} offset {}",
        page.limit, page.offset
    ));
    query
}

/// Counts the events that match a search.
pub(super) fn count_query<DB>(search: &Search) -> QueryBuilder<DB>
where
    DB: Dialect,
    for<'q> String: Encode<'q, DB> + Type<DB>,
{
    let mut query = QueryBuilder::new(format!("select count(*) from {}", DB::EVENTS_TABLE));
    push_conditions(&mut query, search);
    query
}

fn push_conditions<DB>(query: &mut QueryBuilder<DB>, search: &Search)
where
    DB: Dialect,
    for<'q> String: Encode<'q, DB> + Type<DB>,
{
    query.push(format!(
        " where time >= {} and time < {}",
        DB::timestamp_literal(search.from),
        DB::timestamp_literal(search.to)
    ));
    push_in_list(query, "source", &search.sources);
    push_in_list(query, "id", &search.ids);
    push_in_list(query, "type", &search.types);
    for (index, values) in &search.columns {
        let column = &COLUMNS[*index];
        let values: Vec<String> = match column.case_folding {
            CaseFolding::Lowercase => values.iter().map(|value| value.to_lowercase()).collect(),
            CaseFolding::Preserve => values.clone(),
        };
        match column.match_mode {
            MatchMode::Exact => push_in_list(query, column.name, &values),
            MatchMode::Words => {
                query
                    .push(format!(" and {} {} ", column.name, DB::REGEX_OPERATOR))
                    .push_bind(whole_words_pattern(&values));
            }
        }
    }
    if let Some(text) = &search.reason_contains {
        let pattern = format!("(?i){}", escape_regex(text));
        query.push(format!(" and reason {} ", DB::REGEX_OPERATOR)).push_bind(pattern);
    }
}

pub(super) fn push_in_list<DB>(query: &mut QueryBuilder<DB>, column: &str, values: &[String])
where
    DB: Dialect,
    for<'q> String: Encode<'q, DB> + Type<DB>,
{
    if values.is_empty() {
        return;
    }
    query.push(format!(" and {column} in ("));
    let mut list = query.separated(", ");
    for value in values {
        list.push_bind(value.clone());
    }
    query.push(")");
}

/// A case-insensitive pattern that matches any of these texts as whole words. PostgreSQL and Rust's `regex` interpret
/// it in the same way.
fn whole_words_pattern(values: &[String]) -> String {
    let alternatives: Vec<_> = values.iter().map(|value| escape_regex(value)).collect();
    format!(r"(?i)(^|\W)({})(\W|$)", alternatives.join("|"))
}

fn escape_regex(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 8);
    for char in text.chars().filter(|char| *char != '\0') {
        // `\<` and `\>` are word boundaries in one of the two engines.
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
