//! Connections: how long a sender may take, and how the server ends.

use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tracing::warn;

/// How long a request's header may take to come, on a new connection and on one that is kept open.
const HEADER_TIME: Duration = Duration::from_secs(10);
/// The most that a header may hold, in bytes.
const HEADER_BYTES: usize = 64 * 1024;
/// How long the webhooks in hand may take when the server is told to end.
const DRAIN_TIME: Duration = Duration::from_secs(15);

/// Accepts connections until `end` becomes true, then waits for the requests in hand.
pub async fn serve(listener: TcpListener, router: Router, mut end: watch::Receiver<bool>) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_TIME).max_buf_size(HEADER_BYTES);
    let open = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // An end that can no longer be told has come.
            _ = end.wait_for(|ended| *ended) => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, most likely: those in use come back, so going on is right.
                warn!(%error, "no connection accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        // Small answers go out at once.
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(router.clone());
        let connection = open.watch(http.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            // What goes wrong on one connection (cut off, no HTTP) is its sender's affair.
            let _ = connection.await;
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN_TIME, open.shutdown()).await.is_err() {
        warn!("some webhooks were not answered in {} s", DRAIN_TIME.as_secs());
    }
}
