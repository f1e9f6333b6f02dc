//! Event positions and ordered reads in PostgreSQL.
//!
//! A batch gets its positions after its commit. If a batch took positions before its commit, a slow transaction could insert
//! events before events that a reader has already seen. The SQL function `hookbridge.sequence` (`0002_order.sql`) assigns
//! positions to every committed batch, one caller at a time. Recorders call the function after their commit and readers before
//! they read, so the transaction of a recorder never waits for its positions.

#[cfg(feature = "command")]
use std::sync::Weak;

use sqlx::postgres::PgConnection;
#[cfg(feature = "command")]
use sqlx::postgres::PgListener;
use sqlx::{Connection as _, Row as _};
use tokio::time::timeout;
#[cfg(feature = "command")]
use tracing::warn;

use super::PostgresLog;
use crate::db::{CancelSafeConnection, DATABASE_TIMEOUT, DatabaseError, Session};
#[cfg(feature = "command")]
use crate::log::event_log::LogState;
use crate::log::order::{Position, PositionedEvent};
use crate::log::page::{self, RangeRead};
use crate::log::sql::LogDialect;

#[cfg(feature = "command")]
/// The PostgreSQL channel on which `hookbridge.sequence` sends the new end of the log to listeners (`NOTIFY`).
const CHANNEL: &str = "hookbridge_log";

/// Listens for appends by other processes until the log is dropped. If listening fails, readers poll instead.
#[cfg(feature = "command")]
pub(in crate::log) fn listen_for_appends(pool: crate::db::PostgresPool, state: Weak<LogState>) {
    tokio::spawn(async move {
        let listen_loop = async {
            let mut listener = PgListener::connect_with(&pool).await?;
            listener.listen(CHANNEL).await?;
            loop {
                let notification = listener.recv().await?;
                let Some(state) = state.upgrade() else { return Ok::<_, sqlx::Error>(()) };
                state.append_watch.advance_to(notification.payload().parse().unwrap_or_default());
            }
        };
        if let Err(error) = listen_loop.await {
            let error = DatabaseError::from(error).to_string();
            warn!(error, "LISTEN failed; polling the end of the log instead");
        }
    });
}

impl PostgresLog<'_> {
    /// Reads the events at the positions `read.window`; `None` if some of the requested positions have expired. Reads the
    /// events again in a new session if the first session does not see every partition.
    pub(in crate::log) async fn read_range(
        &self,
        read: RangeRead<'_>,
    ) -> Result<Option<Vec<PositionedEvent>>, DatabaseError> {
        let mut guard = CancelSafeConnection::acquire(&self.pool).await?;
        let mut result = read_once(&mut guard.connection, read).await?;
        guard.is_reusable = result.missing_count <= 0;
        // This session's catalog cache may miss a partition that another session has just attached. A new session reads the
        // catalogs again. If the new session misses as many events, the events were deleted by hand.
        while result.missing_count > 0 {
            let options = self.pool.connect_options();
            let connection = timeout(DATABASE_TIMEOUT, PgConnection::connect_with(&options)).await;
            let mut connection = connection.map_err(|_| sqlx::Error::PoolTimedOut)??;
            let retry = read_once(&mut connection, read).await?;
            connection.close().await?;
            let is_unchanged = retry.missing_count == result.missing_count;
            result = retry;
            if is_unchanged {
                guard.is_reusable = true;
                break;
            }
        }
        Ok(result.events)
    }

    pub(in crate::log) async fn assign_positions(&self) -> Result<Position, DatabaseError> {
        let mut guard = CancelSafeConnection::acquire(&self.pool).await?;
        let connection = &mut *guard.connection;
        loop {
            let query = sqlx::query("select ended, is_more from hookbridge.sequence()");
            let row = query.fetch_one(&mut *connection).await?;
            let (end, is_more): (Position, bool) = (row.try_get(0)?, row.try_get(1)?);
            if !is_more {
                guard.is_reusable = true;
                self.state.append_watch.advance_to(end);
                return Ok(end);
            }
        }
    }
}

async fn read_once(
    connection: &mut PgConnection,
    read: RangeRead<'_>,
) -> Result<page::RangeReadResult, DatabaseError> {
    let mut session = Session::Postgres(connection);
    page::read_range(&mut session, LogDialect::POSTGRES, read).await
}
