//! The connections of deliveries: dials only addresses that the SSRF guard permits, keeps connections open for the next request, and
//! repeats a request if a connection that was kept open turns out to be closed.
//!
//! A subscriber may close an idle connection just as the next request is sent. The request is repeated once, on a new connection, if
//! not a single byte of a response arrived. After the first byte, the subscriber may have handled the request.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Extensions, Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::legacy::connect::{
    Connected, Connection, HttpConnector, HttpInfo, capture_connection,
};
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::timeout;
use tower_service::Service;

use super::ssrf::{BlockedUrlError, SsrfGuard};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an idle connection is kept open.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// The interval of TCP keep-alive probes.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// The number of bytes that one read takes from a connection.
const READ_BYTES: usize = 8 * 1024;

/// An HTTP client whose connections go only to addresses that an SSRF guard permits.
#[derive(Clone)]
pub(super) struct HttpClient {
    /// Keeps connections open.
    pooled: Client<TrackingConnector, Full<Bytes>>,
    /// Opens a new connection for each request.
    unpooled: Client<TrackingConnector, Full<Bytes>>,
}

/// The response to a request.
pub(super) struct ClientResponse {
    pub(super) response: Response<Incoming>,
    connection: Option<TrackedConnection>,
}

impl ClientResponse {
    /// The address to which the request was sent.
    pub(super) fn remote_address(&self) -> Option<std::net::SocketAddr> {
        self.response.extensions().get::<HttpInfo>().map(HttpInfo::remote_addr)
    }

    /// Notes that the response was read to its end, after which the connection may serve another request.
    pub(super) fn finish(&self) {
        if let Some(TrackedConnection(state)) = &self.connection {
            state.bytes_before_request.store(state.bytes_read.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }
}

impl HttpClient {
    /// Creates a client. Its TLS connections trust the system's root certificates.
    ///
    /// # Errors
    /// The system's root certificates cannot be read.
    pub(super) fn new(guard: SsrfGuard) -> io::Result<Self> {
        let mut http = HttpConnector::new_with_resolver(GuardedResolver(guard));
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(CONNECT_TIMEOUT));
        http.set_keepalive(Some(KEEPALIVE_INTERVAL));
        let provider = rustls::crypto::ring::default_provider();
        let https = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(provider)?
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let connector = TrackingConnector(https);
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE_TIMEOUT);
        let pooled = builder.build(connector.clone());
        let unpooled = builder.pool_max_idle_per_host(0).build(connector);
        Ok(Self { pooled, unpooled })
    }

    /// Sends a request. Also returns whether the request was repeated on a new connection.
    pub(super) async fn send(&self, request: Request<Full<Bytes>>) -> (Result<ClientResponse, Error>, bool) {
        match Self::send_with(&self.pooled, request.clone()).await {
            (Err(_), Some(connection)) if connection.was_closed_while_idle() => {
                (Self::send_with(&self.unpooled, request).await.0, true)
            }
            (result, _) => (result, false),
        }
    }

    async fn send_with(
        client: &Client<TrackingConnector, Full<Bytes>>,
        mut request: Request<Full<Bytes>>,
    ) -> (Result<ClientResponse, Error>, Option<TrackedConnection>) {
        let captured = capture_connection(&mut request);
        let result = client.request(request).await;
        let mut extensions = Extensions::new();
        if let Some(connected) = &*captured.connection_metadata() {
            connected.get_extras(&mut extensions);
        }
        let connection = extensions.get::<TrackedConnection>().cloned();
        (result.map(|response| ClientResponse { response, connection: connection.clone() }), connection)
    }
}

/// The state of a connection, shared with the responses that it brings.
#[derive(Clone)]
struct TrackedConnection(Arc<ConnectionState>);

#[derive(Default)]
struct ConnectionState {
    bytes_read: AtomicU64,
    /// The number of bytes read up to the end of the last response; 0 for a connection that has served no request.
    bytes_before_request: AtomicU64,
}

impl TrackedConnection {
    /// Whether the connection had served a request before, and brought no byte of a response to the last one.
    fn was_closed_while_idle(&self) -> bool {
        let before_request = self.0.bytes_before_request.load(Ordering::Relaxed);
        before_request > 0 && self.0.bytes_read.load(Ordering::Relaxed) == before_request
    }
}

/// Resolves host names through the SSRF guard.
#[derive(Clone)]
struct GuardedResolver(SsrfGuard);

impl Service<Name> for GuardedResolver {
    type Response = std::vec::IntoIter<std::net::SocketAddr>;
    type Error = BlockedUrlError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let guard = self.0.clone();
        Box::pin(async move {
            let addresses = guard.resolve_name(name.as_str()).await?;
            Ok(addresses.into_iter().map(|address| (address, 0).into()).collect::<Vec<_>>().into_iter())
        })
    }
}

/// Opens connections that count the bytes they bring.
#[derive(Clone)]
struct TrackingConnector(HttpsConnector<HttpConnector<GuardedResolver>>);

type Stream = <HttpsConnector<HttpConnector<GuardedResolver>> as Service<Uri>>::Response;
type ConnectError = Box<dyn std::error::Error + Send + Sync>;

impl Service<Uri> for TrackingConnector {
    type Response = TrackedStream;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<TrackedStream, ConnectError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.0.call(uri);
        Box::pin(async move {
            let timed_out = |_| io::Error::new(io::ErrorKind::TimedOut, "timed out");
            let stream = timeout(CONNECT_TIMEOUT, connecting).await.map_err(timed_out)??;
            Ok(TrackedStream { stream, connection: TrackedConnection(Arc::default()) })
        })
    }
}

struct TrackedStream {
    stream: Stream,
    connection: TrackedConnection,
}

impl Connection for TrackedStream {
    fn connected(&self) -> Connected {
        self.stream.connected().extra(self.connection.clone())
    }
}

impl Read for TrackedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut target: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut bytes = [0; READ_BYTES];
        let length = READ_BYTES.min(target.remaining());
        let mut buffer = ReadBuf::new(&mut bytes[..length]);
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer.unfilled()))?;
        let filled = buffer.filled();
        self.connection.0.bytes_read.fetch_add(filled.len() as u64, Ordering::Relaxed);
        target.put_slice(filled);
        Poll::Ready(Ok(()))
    }
}

impl Write for TrackedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }
}
