//! `hookbridge serve`: everything in one process on one machine.
//!
//! [`http`] accepts webhooks and serves the API and the console; `background` records, polls and delivers; all report to
//! `reporter`. [`config`] holds the settings from
//! flags, environment variables and the configuration file; [`test_webhook`] signs and sends webhooks as a provider does.

mod activity;
mod background;
pub mod config;
pub mod development_secrets;
mod endpoints;
mod greeting;
mod health;
pub mod http;
mod metrics;
mod reporter;
mod runtime;
mod spans;
mod terminal;
pub mod test_webhook;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tracing::info;

use crate::archive::Archive;
use crate::bus::OpenBusError;
use crate::db::{Database, DatabaseError};
use crate::delivery::KeyFileError;
use crate::log::EventLog;
use crate::recorder::Recorder;
use crate::util::files::create_private_folder;
use background::demo::Demo;
use background::{deliver, lag, poll, record, tail};
use config::ServeSettings;
use development_secrets::DevelopmentSecretsError;
use endpoints::WebhookEndpoints;
use greeting::Greeting;
use health::Health;
use http::server_api::ServerResources;
use http::{api, listener, operations, webhooks};
use reporter::Reporter;
use spans::{Spans, SpansError};
use terminal::Terminal;

pub use runtime::build_runtime;

/// The maximum number of connections to the log's database.
const MAX_DATABASE_CONNECTIONS: u32 = 8;

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("{path}: {error}; choose a folder you can write to with --data")]
    DataFolder { path: PathBuf, error: std::io::Error },
    #[error("{path}: {error}; choose a folder you can write to with --archive")]
    Archive { path: PathBuf, error: std::io::Error },
    #[error("the log {log}: {error}; choose another with --database")]
    Log { log: String, error: DatabaseError },
    #[error("cannot listen on {address}: {error}; choose another with --listen")]
    Listen { address: SocketAddr, error: std::io::Error },
    #[error(transparent)]
    Key(#[from] KeyFileError),
    #[error("cannot create the HTTP client for deliveries: {0}")]
    Client(#[from] std::io::Error),
    #[error(transparent)]
    Bus(#[from] OpenBusError),
    #[error(transparent)]
    Spans(#[from] SpansError),
    #[error(transparent)]
    Secrets(#[from] DevelopmentSecretsError),
}

/// Serves until `shutdown` becomes true, then finishes the requests in flight.
///
/// # Errors
/// The server could not start.
pub async fn run(settings: ServeSettings, shutdown: watch::Receiver<bool>) -> Result<(), ServeError> {
    // The address is bound first, so that a second server that is started by mistake fails before it changes anything.
    let address = settings.listen;
    let listen_error = |error| ServeError::Listen { address, error };
    let listener = TcpListener::bind(address).await.map_err(listen_error)?;
    let address = listener.local_addr().map_err(listen_error)?;
    create_private_folder(&settings.data)
        .map_err(|error| ServeError::DataFolder { path: settings.data.clone(), error })?;
    let (batch_sender, new_batches) = mpsc::unbounded_channel();
    let archive = endpoints::open_archive(&settings).await?;
    let notifying_archive = Archive::Notifying(Box::new(archive.clone()), batch_sender);
    let spans = Spans::from_environment()?;
    let endpoints = WebhookEndpoints::open(&settings, &notifying_archive).await?;
    let pollers = poll::create_pollers(&settings, &notifying_archive)?;
    let redeliverers = poll::create_redeliverers(&settings)?;
    let log_error = |error| ServeError::Log { log: settings.database.to_string(), error };
    let db = Database::open(&settings.database, MAX_DATABASE_CONNECTIONS).await.map_err(log_error)?;
    let log = EventLog::new(db.clone());
    log.listen_for_appends().await.map_err(log_error)?;
    // The terminal has not started yet, and an upgrade of a large log takes a minute.
    let report = |events| info!("upgrading the log: {events} keys are written");
    log.finish_upgrade(report).await.map_err(log_error)?;
    let (worker, subscriber_service) = deliver::create_worker(&settings, db, endpoints.bus())?;
    let terminal = Terminal::start(settings.json, settings.quiet, endpoints.subscribe_to_events());
    terminal.print_greeting(&settings, address, &endpoints);
    let reporter = Reporter::new(terminal.clone(), spans);
    let recorder = Recorder { archive, log: log.clone(), bus: None };
    let recorder_task = tokio::spawn(record::run(recorder, new_batches, reporter.clone(), shutdown.clone()));
    let delivery_task = tokio::spawn(deliver::run(worker, log.clone(), reporter.clone(), shutdown.clone()));
    tokio::spawn(lag::run(log.clone(), reporter.clone(), shutdown.clone()));
    for (poller, key) in pollers {
        tokio::spawn(poll::run(poller, key, reporter.clone(), shutdown.clone()));
    }
    for (redeliverer, token) in redeliverers {
        tokio::spawn(poll::run_redeliverer(redeliverer, token, reporter.clone(), shutdown.clone()));
    }
    let tail_task = endpoints.event_file().zip(endpoints.watch_file_length()).map(|(file, length)| {
        tokio::spawn(tail::run(file, log.clone(), length, reporter.clone(), shutdown.clone()))
    });
    let deliveries = &subscriber_service.store;
    let health = Health::new(&settings, reporter.clone(), log.clone(), deliveries, endpoints.bus());
    let (health, demo_log) = (Arc::new(health), log.clone());
    let server = ServerResources {
        health: health.clone(),
        endpoints: endpoints.iter().cloned().collect(),
        address,
        public_url: settings.public_url.clone(),
    };
    let router = webhooks::router(&endpoints, &settings, &reporter)
        .merge(operations::router(&settings, health))
        .merge(api::router(&settings, log, subscriber_service, server, shutdown.clone()));
    let listener_task = tokio::spawn(listener::serve(listener, router, shutdown));
    if settings.demo {
        let greeting = Greeting { settings: &settings, address, endpoints: &endpoints };
        Demo { greeting, log: demo_log, terminal: &terminal }.run().await;
    }
    // A task fails only by a panic, which has been printed already, so the results are ignored.
    let _ = listener_task.await;
    let _ = recorder_task.await;
    let _ = delivery_task.await;
    if let Some(tail_task) = tail_task {
        let _ = tail_task.await;
    }
    terminal.flush().await;
    if let Some(spans) = &reporter.spans {
        spans.shut_down().await;
    }
    Ok(())
}
