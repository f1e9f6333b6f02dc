//! `hookbridge serve`: everything in one process on one machine.
//!
//! Here the parts are chosen and put together; each of the rest has a file of its own: [`settings`] (what it is told),
//! [`development`] (secrets for trying things), `endpoints` (one bridge a provider), `routes` (HTTP paths of webhooks), [`gate`]
//! (how many of them, how large and how slow), `feed` (the paths of the log), `management` (those of subscribers and deliveries),
//! `door` (who is let in to these), `recording` (from the archive into the log), `tailing` (from the bus into the log), `polling`
//! (providers are asked for more), `dispatching` (from the log to subscribers), [`listener`] (connections, limits, the end),
//! `threads`, `terminal` (what a person sees), `demo`.

mod demo;
pub mod development;
mod dispatching;
mod door;
mod endpoints;
mod feed;
pub mod gate;
pub mod listener;
mod management;
mod polling;
mod recording;
mod routes;
pub mod settings;
mod tailing;
mod terminal;
mod threads;

use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use crate::archive::Archive;
use crate::bus::OpenBusError;
use crate::dispatch::KeyFileError;
use crate::files::make_private;
use crate::log::{AnyLog, LogError};
use crate::recorder::Recorder;
use development::DevelopmentSecretsError;
use endpoints::Endpoints;
use settings::Settings;
use terminal::Terminal;

pub use threads::runtime;

/// Connections to the log, where it is a database.
const LOG_CONNECTIONS: u32 = 8;

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The data folder cannot be made.
    #[error("{path}: {error}; choose a folder you can write to with --data")]
    Data {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The archive's folder cannot be used.
    #[error("{path}: {error}; choose a folder you can write to with --archive")]
    Archive {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The log cannot be used.
    #[error("the log {log}: {error}; choose another with --database")]
    Log {
        /// Its address.
        log: String,
        /// What happened.
        error: LogError,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {error}; choose another with --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: std::io::Error,
    },
    /// The key of subscribers' secrets cannot be used.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// There is no HTTP client.
    #[error("no subscriber can be sent to: {0}")]
    Client(#[from] reqwest::Error),
    /// The embedded bus cannot be used.
    #[error(transparent)]
    Bus(#[from] OpenBusError),
    /// The development secrets cannot be used.
    #[error(transparent)]
    Secrets(#[from] DevelopmentSecretsError),
}

/// Serves until `end` says so, and then until the webhooks in hand are answered.
///
/// # Errors
/// [`ServeError`] when it cannot start.
pub async fn run(settings: Settings, end: watch::Receiver<bool>) -> Result<(), ServeError> {
    // Bind first, so that an accidental second start has no side effects.
    let address = settings.listen;
    let failed = |error| ServeError::Listen { address, error };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    make_private(&settings.data).map_err(|error| ServeError::Data { path: settings.data.clone(), error })?;
    let (tell, kept) = mpsc::unbounded_channel();
    let archive = endpoints::archive(&settings).await?;
    let watched = Archive::Notifying(Box::new(archive.clone()), tell);
    let endpoints = Endpoints::open(&settings, &watched).await?;
    let pollers = polling::pollers(&settings, &watched)?;
    let failed = |error| ServeError::Log { log: settings.database.to_string(), error };
    let log = AnyLog::open(&settings.database, LOG_CONNECTIONS).await.map_err(failed)?;
    log.listen_for_appends();
    let (dispatcher, manager) = dispatching::dispatcher(&settings, log.clone(), endpoints.bus())?;
    let terminal = Terminal::start(settings.json, settings.quiet, endpoints.watch());
    terminal.greet(&settings, address, &endpoints);
    let recorder = Recorder { archive, log: log.clone(), bus: None };
    let recording = tokio::spawn(recording::run(recorder, kept, terminal.clone(), end.clone()));
    let dispatching = tokio::spawn(dispatching::run(dispatcher, log.clone(), terminal.clone(), end.clone()));
    for (poller, key) in pollers {
        tokio::spawn(polling::run(poller, key, terminal.clone(), end.clone()));
    }
    let tailing = endpoints
        .file()
        .zip(endpoints.length())
        .map(|(file, length)| tokio::spawn(tailing::run(file, log.clone(), length, end.clone())));
    let router = routes::router(&endpoints, &settings, &terminal)
        .merge(management::router(&settings, manager))
        .merge(feed::router(&settings, log, end.clone()));
    let serving = tokio::spawn(listener::serve(listener, router, end));
    if settings.demo {
        demo::run(address, settings.public_url.as_ref(), &endpoints, &terminal).await;
    }
    // The listener ends when it is told to; a panic in it has been shown already.
    let _ = serving.await;
    let _ = recording.await;
    let _ = dispatching.await;
    if let Some(tailing) = tailing {
        let _ = tailing.await;
    }
    terminal.finish().await;
    Ok(())
}
