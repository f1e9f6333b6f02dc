//! The OpenTelemetry spans of `serve`: one for each webhook, each attempt to deliver an event, and each page of events. They are
//! exported only if `OTEL_EXPORTER_OTLP_ENDPOINT` is set.
//!
//! Days may lie between a webhook and a delivery of its event, and the log has no column for a span's id. So the ids of a webhook's
//! span are hashes of the event's URN, which the event keeps in the log. The spans of deliveries and pages link to the spans of the
//! webhooks whose events they have.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::pin::Pin;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use opentelemetry::trace::{
    Link, Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
    Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, SdkTracer, SdkTracerProvider};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tokio::runtime::Handle;
use tracing::warn;

use crate::bridge::RequestLog;
use crate::delivery::FinishedAttempt;
use crate::util::error::error_chain;
use crate::util::http_client;

/// The variables that name the collector. Source: "OpenTelemetry Protocol Exporter", OpenTelemetry specification.
const ENDPOINT_VARIABLES: [&str; 2] = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];
/// The variable with the name of the service.
const SERVICE_NAME_VARIABLE: &str = "OTEL_SERVICE_NAME";
const DEFAULT_SERVICE_NAME: &str = "hookbridge";
/// The maximum number of links of a span. Source: "OpenTelemetry SDK environment variables", `OTEL_SPAN_LINK_COUNT_LIMIT`.
pub(super) const MAX_LINKS: usize = 128;
/// The minimum time between two warnings that spans cannot be exported.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);
/// How long the last export may take at shutdown.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(3);

/// The exporter cannot be created from the environment.
#[derive(Debug, thiserror::Error)]
#[error("the variables OTEL_...: {0}")]
pub struct SpansError(String);

pub(super) struct Spans {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

thread_local! {
    /// The ids of the span that this thread starts next; `None` for random ids.
    static NEXT_IDS: Cell<Option<(TraceId, SpanId)>> = const { Cell::new(None) };
}

/// Generates random ids, except for a span whose ids are in [`NEXT_IDS`].
#[derive(Debug, Default)]
struct UrnIdGenerator(RandomIdGenerator);

impl IdGenerator for UrnIdGenerator {
    fn new_trace_id(&self) -> TraceId {
        NEXT_IDS.get().map_or_else(|| self.0.new_trace_id(), |(trace_id, _)| trace_id)
    }

    fn new_span_id(&self) -> SpanId {
        NEXT_IDS.get().map_or_else(|| self.0.new_span_id(), |(_, span_id)| span_id)
    }
}

/// The ids of the span of the webhook with this URN.
fn webhook_ids(urn: &str) -> (TraceId, SpanId) {
    let (mut trace_id, mut span_id) = ([0; 16], [0; 8]);
    let hash = Sha256::digest(urn);
    trace_id.copy_from_slice(&hash[..16]);
    span_id.copy_from_slice(&hash[16..24]);
    (TraceId::from_bytes(trace_id), SpanId::from_bytes(span_id))
}

/// A link to the span of the webhook with this URN; `None` for another URN.
fn webhook_link(urn: &str) -> Option<Link> {
    urn.strip_prefix("urn:webhook:")?;
    let (trace_id, span_id) = webhook_ids(urn);
    let flags = TraceFlags::SAMPLED;
    Some(Link::with_context(SpanContext::new(trace_id, span_id, flags, true, TraceState::default())))
}

impl Spans {
    /// Starts the exporter; `None` if no collector is named.
    ///
    /// # Errors
    /// A variable is not valid.
    pub(super) fn from_environment() -> Result<Option<Self>, SpansError> {
        let is_set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        if !ENDPOINT_VARIABLES.iter().any(is_set) {
            return Ok(None);
        }
        let client = CollectorClient::new().map_err(|error| SpansError(error_chain(&error)))?;
        let exporter = SpanExporter::builder().with_http().with_http_client(client).build();
        let exporter = exporter.map_err(|error| SpansError(error.to_string()))?;
        let mut resource = Resource::builder();
        if !is_set(&SERVICE_NAME_VARIABLE) {
            resource = resource.with_service_name(DEFAULT_SERVICE_NAME);
        }
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let provider = SdkTracerProvider::builder()
            .with_resource(resource.with_attribute(version).build())
            .with_id_generator(UrnIdGenerator::default())
            .with_batch_exporter(exporter)
            .build();
        let tracer = provider.tracer("hookbridge");
        Ok(Some(Self { provider, tracer }))
    }

    /// Exports the span of a webhook that was just answered.
    pub(super) fn webhook(&self, log: &RequestLog) {
        let (status, provider) = (log.response().status, log.provider.name);
        let mut attributes = vec![
            KeyValue::new("http.route", format!("/hooks/{provider}")),
            KeyValue::new("http.response.status_code", i64::from(status)),
            KeyValue::new("http.request.body.size", i64::try_from(log.body_bytes).unwrap_or(i64::MAX)),
            KeyValue::new("hookbridge.provider", provider),
            KeyValue::new("hookbridge.outcome", log.outcome.as_str()),
        ];
        attributes.extend(log.outcome.reason().map(|reason| KeyValue::new("hookbridge.reason", reason)));
        let event_type = log.event_type.clone();
        attributes.extend(event_type.map(|event_type| KeyValue::new("hookbridge.event.type", event_type)));
        let ids = log.delivery_id.as_ref().map(|id| {
            attributes.push(KeyValue::new("hookbridge.delivery_id", id.clone()));
            webhook_ids(&format!("urn:webhook:{provider}:{id}"))
        });
        let error = if status >= 500 { Some(log.outcome.as_str().into()) } else { None };
        let span = FinishedSpan {
            name: format!("webhook {provider}").into(),
            kind: SpanKind::Server,
            duration: log.elapsed,
            attributes,
            links: Vec::new(),
            error,
        };
        self.export(span, ids);
    }

    /// Exports the span of an attempt to deliver an event.
    pub(super) fn attempt(&self, finished: &FinishedAttempt) {
        #[derive(Deserialize)]
        struct Resources<'e> {
            #[serde(borrow, default)]
            resources: Vec<Cow<'e, str>>,
        }
        let ((event, detail_type, subscriber), result) = (finished.labels(), finished.result());
        let mut attributes = vec![
            KeyValue::new("http.request.method", "POST"),
            KeyValue::new("hookbridge.subscriber", subscriber.to_owned()),
            KeyValue::new("hookbridge.event.id", event.to_owned()),
            KeyValue::new("hookbridge.event.type", detail_type.to_owned()),
            KeyValue::new("http.request.resend_count", finished.previous_attempts()),
        ];
        if let Ok(response) = &result.outcome {
            attributes.push(KeyValue::new("http.response.status_code", i64::from(response.status)));
        }
        let resources = serde_json::from_str::<Resources<'_>>(finished.event_json());
        let resources = resources.map(|event| event.resources).unwrap_or_default();
        let span = FinishedSpan {
            name: format!("deliver to {subscriber}").into(),
            kind: SpanKind::Client,
            duration: result.duration,
            attributes,
            links: resources.iter().filter_map(|urn| webhook_link(urn)).collect(),
            error: result.error_text().map(Cow::Owned),
        };
        self.export(span, None);
    }

    /// Exports the span of a page of events that was just read. `resources` are those of its events.
    pub(super) fn page(&self, route: &'static str, status: u16, duration: Duration, resources: &[String]) {
        let attributes = vec![
            KeyValue::new("http.request.method", "GET"),
            KeyValue::new("http.route", route),
            KeyValue::new("http.response.status_code", i64::from(status)),
        ];
        let span = FinishedSpan {
            name: format!("GET {route}").into(),
            kind: SpanKind::Server,
            duration,
            attributes,
            links: resources.iter().filter_map(|urn| webhook_link(urn)).take(MAX_LINKS).collect(),
            error: if status >= 500 { Some("the page could not be read".into()) } else { None },
        };
        self.export(span, None);
    }

    /// Passes a span to the exporter, with these ids or random ones.
    fn export(&self, span: FinishedSpan, ids: Option<(TraceId, SpanId)>) {
        let end = SystemTime::now();
        let builder = SpanBuilder::from_name(span.name)
            .with_kind(span.kind)
            .with_start_time(end.checked_sub(span.duration).unwrap_or(end))
            .with_attributes(span.attributes)
            .with_links(span.links);
        NEXT_IDS.set(ids);
        let mut started = self.tracer.build_with_context(builder, &Context::new());
        NEXT_IDS.set(None);
        if let Some(error) = span.error {
            started.set_status(Status::error(error));
        }
        started.end_with_timestamp(end);
    }

    /// Exports the spans that are left.
    pub(super) async fn shut_down(&self) {
        let provider = self.provider.clone();
        // The exporter's thread needs the runtime meanwhile. A failure has been printed already.
        let _ = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(SHUTDOWN_TIMEOUT)).await;
    }
}

/// A piece of work that has just ended, after `duration`.
struct FinishedSpan {
    name: Cow<'static, str>,
    kind: SpanKind,
    duration: Duration,
    attributes: Vec<KeyValue>,
    links: Vec<Link>,
    /// Why it failed.
    error: Option<Cow<'static, str>>,
}

/// Sends spans to the collector, on the runtime of `serve`, from the exporter's thread.
struct CollectorClient {
    client: reqwest::Client,
    runtime: Handle,
    last_warning: Mutex<Option<Instant>>,
}

impl fmt::Debug for CollectorClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("CollectorClient")
    }
}

impl CollectorClient {
    fn new() -> reqwest::Result<Self> {
        let client = http_client::client_builder().timeout(Duration::from_secs(10)).build()?;
        Ok(Self { client, runtime: Handle::current(), last_warning: Mutex::default() })
    }

    /// Prints why spans were not exported, at most once in [`WARNING_INTERVAL`].
    fn warn(&self, error: &str) {
        let mut last = self.last_warning.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if last.is_none_or(|time| time.elapsed() >= WARNING_INTERVAL) {
            *last = Some(Instant::now());
            warn!(error, "spans cannot be exported to OTEL_EXPORTER_OTLP_ENDPOINT; these are lost");
        }
    }
}

impl HttpClient for CollectorClient {
    fn send_bytes<'life0, 'async_trait>(
        &'life0 self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'async_trait>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async move {
            let client = self.client.clone();
            let sent = self.runtime.spawn(async move {
                let response = client.execute(request.try_into()?).await?;
                let mut builder = Response::builder().status(response.status());
                if let Some(headers) = builder.headers_mut() {
                    headers.clone_from(response.headers());
                }
                Ok::<_, HttpError>(builder.body(response.bytes().await?)?)
            });
            match sent.await.map_err(HttpError::from).flatten() {
                Ok(response) if response.status().is_success() => Ok(response),
                Ok(response) => {
                    self.warn(&format!("the collector answered {}", response.status()));
                    Ok(response)
                }
                Err(error) => {
                    self.warn(&error_chain(&*error));
                    Err(error)
                }
            }
        })
    }
}
