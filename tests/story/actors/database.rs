//! PostgreSQL, with a new database for each test.

use hookbridge::db::DatabaseError;
use hookbridge::log::EventLog;
use sqlx::postgres::{PgPool, PgPoolOptions};

use super::aws::name;

pub async fn open_postgres(url: &str, connections: u32) -> Result<EventLog, DatabaseError> {
    hookbridge::db::Database::open(&url.parse().unwrap(), connections).await.map(EventLog::new)
}

pub struct Database {
    pub url: String,
    pub pool: PgPool,
}

impl Database {
    pub async fn new() -> Self {
        let server = super::test_environment("HOOKBRIDGE_TEST_DATABASE");
        let name = name("test").replace('-', "_");
        let admin = PgPoolOptions::new().max_connections(1).connect(&server).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("create database {name}"))).execute(&admin).await.unwrap();
        admin.close().await;
        let (server, parameters) = server.split_once('?').unwrap_or((&server, ""));
        let url = format!("{}/{name}?{parameters}", server.rsplit_once('/').unwrap().0);
        let pool = PgPoolOptions::new().max_connections(2).connect(&url).await.unwrap();
        Self { url, pool }
    }

    pub async fn log(&self) -> EventLog {
        open_postgres(&self.url, 8).await.unwrap()
    }

    /// The first column of a query's result, as text.
    pub async fn texts(&self, sql: &str) -> Vec<String> {
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_all(&self.pool).await.unwrap()
    }

    /// The single number that a query returns.
    pub async fn number(&self, sql: &str) -> i64 {
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&self.pool).await.unwrap()
    }

    pub async fn run(&self, sql: &str) {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&self.pool).await.unwrap();
    }
}
