//! What is owed to whom, and every try at it, in the tables of the log's database.

mod audit;
mod deliveries;
mod subscribers;

pub use audit::{DeliveryFilter, DeliveryView, State, TriedView};
pub(super) use deliveries::{Attempted, Claimed, Hold, Made, Message, Owed, Ready};
pub(super) use subscribers::Failing;

use crate::log::Value;

/// The store, in a database that runs its statements.
#[derive(Clone)]
pub struct Store<S> {
    db: S,
}

impl<S> Store<S> {
    /// The one in this database.
    pub fn new(db: S) -> Self {
        Self { db }
    }
}

/// Rows that a statement is given, as a table of the name `v`: `with v(...) as (values ...)`.
struct Rows {
    columns: &'static [(&'static str, &'static str)],
    values: Vec<Value>,
}

impl Rows {
    /// Of columns with their types.
    fn of(columns: &'static [(&'static str, &'static str)]) -> Self {
        Self { columns, values: Vec::new() }
    }

    fn push<const N: usize>(&mut self, row: [Value; N]) {
        self.values.extend(row);
    }

    /// The text of it.
    fn sql(&self) -> String {
        let names: Vec<_> = self.columns.iter().map(|(name, _)| *name).collect();
        let width = self.columns.len();
        let cell =
            |row: usize, at: usize| format!("cast(${} as {})", row * width + at + 1, self.columns[at].1);
        let row = |row| format!("({})", (0..width).map(|at| cell(row, at)).collect::<Vec<_>>().join(", "));
        let rows: Vec<_> = (0..self.values.len() / width).map(row).collect();
        format!("with v({}) as (values {})", names.join(", "), rows.join(", "))
    }
}
