//! Page claims: a worker claims a page of the log, and with it all deliveries of the page's events. The worker stores these
//! deliveries when their first attempts have ended, and then ends the claim. If the claim expires, another worker takes the page
//! over and creates the deliveries that are missing.

use std::collections::HashSet;
use std::ops::Range;

use jiff::Timestamp;

use super::{ClaimLease, DeliveryStore};
use crate::db::{DatabaseError, InputRows, MAX_INPUT_ROWS, SqlDialect, Statement};
use crate::delivery::subscriber::SubscriberId;
use crate::log::Position;

/// A page of the log that a worker has claimed until its lease expires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageClaim {
    pub(in crate::delivery) positions: Range<Position>,
    pub(in crate::delivery) lease: ClaimLease,
}

impl PageClaim {
    /// The positions of the page's events in the log.
    pub fn positions(&self) -> Range<Position> {
        self.positions.clone()
    }
}

impl DeliveryStore {
    /// Returns the position of the first event in the log that no worker has claimed; `None` if there is no stored position.
    pub async fn position(&self) -> Result<Option<Position>, DatabaseError> {
        let SqlDialect { schema, .. } = self.db.dialect();
        let rows = self.db.query(format!("select position from {schema}dispatch"), vec![]).await?;
        rows.first().map_or(Ok(None), |row| row.get("position"))
    }

    /// Moves the stored position forward to `position`: the events before it have no deliveries to create.
    pub async fn advance_position(&self, position: Position) -> Result<(), DatabaseError> {
        let SqlDialect { schema, .. } = self.db.dialect();
        let sql =
            format!("update {schema}dispatch set position = $1 where position is null or position < $1");
        self.db.execute(sql, vec![position.into()]).await.map(drop)
    }

    /// Claims a page that begins at the stored position, and moves the stored position to the page's end. Returns false if the
    /// page does not begin there, because another worker has claimed events.
    pub async fn claim_page(
        &self,
        PageClaim { positions, lease }: &PageClaim,
    ) -> Result<bool, DatabaseError> {
        let SqlDialect { schema, .. } = self.db.dialect();
        let statements = vec![
            // The update locks the row, so only one of several workers finds the position unchanged.
            Statement::new(
                format!(
                    "update {schema}dispatch set position = $1, held = $2 where position = $3 returning position"
                ),
                vec![positions.end.into(), lease.token.as_str().into(), positions.start.into()],
            ),
            Statement::new(
                format!(
                    "insert into {schema}page_claims (held, first_position, end_position, held_until)
                     select held, $1, position, $2 from {schema}dispatch where held = $3"
                ),
                vec![positions.start.into(), lease.until.into(), lease.token.as_str().into()],
            ),
        ];
        Ok(self.db.execute_transaction(statements).await?.first().is_some_and(|rows| !rows.is_empty()))
    }

    /// Claims a page whose claim has expired; `None` if there is no such page.
    pub async fn take_over_page(
        &self,
        lease: ClaimLease,
        now: Timestamp,
    ) -> Result<Option<PageClaim>, DatabaseError> {
        let SqlDialect { schema, skip_locked, .. } = self.db.dialect();
        let sql = format!(
            "update {schema}page_claims set held = $1, held_until = $2 where held in (
               select held from {schema}page_claims where held_until <= $3 order by first_position limit 1 {skip_locked})
             returning first_position, end_position"
        );
        let values = vec![lease.token.as_str().into(), lease.until.into(), now.into()];
        let rows = self.db.execute(sql, values).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        Ok(Some(PageClaim { positions: row.get("first_position")?..row.get("end_position")?, lease }))
    }

    /// Ends a claim: all deliveries of the page's events are stored.
    pub async fn end_page_claim(&self, page: &PageClaim) -> Result<(), DatabaseError> {
        let statements = self.end_page_claims(std::slice::from_ref(&page.lease.token));
        self.db.execute_transaction(statements).await.map(drop)
    }

    /// The statements that end claims.
    pub(super) fn end_page_claims(&self, lease_tokens: &[String]) -> Vec<Statement> {
        let SqlDialect { schema, .. } = self.db.dialect();
        let end = |batch: &[String]| {
            let rows = InputRows::default().with_text_column("held", batch.iter().cloned().map(Some));
            let sql = format!("delete from {schema}page_claims where held in (select held from v)");
            Statement::with_rows(rows, sql)
        };
        lease_tokens.chunks(MAX_INPUT_ROWS).map(end).collect()
    }

    /// Returns those of the `pairs` of an event's id and a subscriber that have a stored delivery.
    pub async fn stored_deliveries(
        &self,
        pairs: &[(&str, SubscriberId)],
    ) -> Result<HashSet<(String, SubscriberId)>, DatabaseError> {
        let SqlDialect { schema, .. } = self.db.dialect();
        let mut stored = HashSet::new();
        for batch in pairs.chunks(MAX_INPUT_ROWS) {
            let rows = InputRows::default()
                .with_text_column("event", batch.iter().map(|(event, _)| Some((*event).to_owned())))
                .with_number_column("subscriber", batch.iter().map(|(_, subscriber)| Some(*subscriber)));
            let sql = format!(
                "select event, subscriber from v where (
                   select d.id from {schema}deliveries d where d.event = v.event and d.subscriber = v.subscriber) is not null"
            );
            for row in self.db.query_with_rows(rows, sql).await? {
                stored.insert((row.get("event")?, row.get("subscriber")?));
            }
        }
        Ok(stored)
    }
}
