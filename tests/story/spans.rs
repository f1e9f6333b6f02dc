//! The OpenTelemetry spans of `serve`, as a collector receives them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as AttributeValue;
use opentelemetry_proto::tonic::trace::v1::{Span, span, status};
use prost::Message as _;
use serde_json::json;
use tokio::net::TcpListener;

use crate::actors::receiver::Receiver;
use crate::actors::server::Server;
use crate::actors::wait_until;
use crate::deliveries::{LOOPBACK, run_blocking};

/// A collector that keeps the spans that it receives, and the services that they are from.
#[derive(Clone, Default)]
struct Collector {
    spans: Arc<Mutex<Vec<Span>>>,
    services: Arc<Mutex<Vec<String>>>,
    headers: Arc<Mutex<Vec<HeaderMap>>>,
}

impl Collector {
    /// Returns the collector's URL.
    async fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/v1/traces", post(receive)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }

    /// Waits for a span with this name.
    fn span(&self, name: &str) -> Span {
        wait_until(name, || self.spans.lock().unwrap().iter().find(|span| span.name == name).cloned())
    }
}

async fn receive(State(collector): State<Collector>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    for resource_spans in request.resource_spans {
        let resource = resource_spans.resource.unwrap();
        let service = resource.attributes.iter().find(|attribute| attribute.key == "service.name").unwrap();
        collector.services.lock().unwrap().push(format!("{:?}", service.value));
        let spans = resource_spans.scope_spans.into_iter().flat_map(|scope| scope.spans);
        collector.spans.lock().unwrap().extend(spans);
    }
    collector.headers.lock().unwrap().push(headers);
    StatusCode::OK
}

fn attributes(span: &Span) -> BTreeMap<&str, String> {
    let text = |value: &AttributeValue| match value {
        AttributeValue::StringValue(text) => text.clone(),
        AttributeValue::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    };
    let value = |attribute: &'_ opentelemetry_proto::tonic::common::v1::KeyValue| {
        text(attribute.value.as_ref().unwrap().value.as_ref().unwrap())
    };
    span.attributes.iter().map(|attribute| (attribute.key.as_str(), value(attribute))).collect()
}

/// The ids of a span, to compare with a link.
fn ids(span: &Span) -> (Vec<u8>, Vec<u8>) {
    (span.trace_id.clone(), span.span_id.clone())
}

fn links(span: &Span) -> Vec<(Vec<u8>, Vec<u8>)> {
    span.links.iter().map(|link| (link.trace_id.clone(), link.span_id.clone())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_and_a_page_link_to_the_webhook() {
    let (collector, receiver) = (Collector::default(), Receiver::start().await);
    let url = collector.start().await;
    run_blocking(move || {
        let environment = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()),
            ("OTEL_EXPORTER_OTLP_HEADERS", "x-team=hooks"),
            ("OTEL_BSP_SCHEDULE_DELAY", "50"),
        ];
        let server = Server::start_with_environment(&["--allow-to", LOOPBACK], &environment);
        let subscriber = json!({"name": "crm", "url": receiver.url("in")}).to_string();
        assert_eq!(server.request("POST", "/subscribers", &[], subscriber.as_bytes()).status, 201);
        server.push(4);
        let webhook = collector.span("webhook github");
        assert_eq!(webhook.kind, span::SpanKind::Server as i32);
        let facts = attributes(&webhook);
        assert_eq!(
            (&*facts["hookbridge.outcome"], &*facts["http.response.status_code"]),
            ("published", "202")
        );
        assert_eq!(
            (&*facts["hookbridge.event.type"], &*facts["hookbridge.delivery_id"]),
            ("push", "delivery-4")
        );
        assert!(webhook.end_time_unix_nano > webhook.start_time_unix_nano);

        let delivery = collector.span("deliver to crm");
        assert_eq!(delivery.kind, span::SpanKind::Client as i32);
        let facts = attributes(&delivery);
        assert_eq!(
            (&*facts["http.response.status_code"], &*facts["http.request.resend_count"]),
            ("200", "0")
        );
        assert_eq!(links(&delivery), [ids(&webhook)]);

        assert_eq!(server.get("/events?after=start", &[]).0, 200);
        let page = collector.span("GET /events");
        assert_eq!(links(&page), [ids(&webhook)]);
        assert_ne!(page.trace_id, webhook.trace_id);

        // A failed delivery is an error; a forged webhook is not an error of the server.
        receiver.respond_by(|_| (503, vec![], String::new()));
        collector.spans.lock().unwrap().clear();
        server.push(6);
        let failed = collector.span("deliver to crm");
        let status = failed.status.unwrap();
        assert_eq!(status.code, status::StatusCode::Error as i32);
        assert_eq!(status.message, "status: the subscriber answered 503");
        collector.spans.lock().unwrap().clear();
        assert_eq!(server.post("github", &[("x-hub-signature-256", b"sha256=00")], b"{}").status, 401);
        let refused = collector.span("webhook github");
        assert_eq!(attributes(&refused)["hookbridge.reason"], "malformed-signature");
        assert_eq!(refused.status.unwrap_or_default().code, status::StatusCode::Unset as i32);
        let text = format!("{:?}", collector.spans.lock().unwrap());
        assert!(!text.contains("sha256="), "no signature: {text}");

        // The spans that are left are exported at shutdown.
        let mut server = server;
        server.push(8);
        server.signal("TERM");
        assert!(server.wait_for_exit().success());
        let last =
            |span: &Span| attributes(span).get("hookbridge.delivery_id").is_some_and(|id| id == "delivery-8");
        assert!(collector.spans.lock().unwrap().iter().any(last));
        assert!(collector.services.lock().unwrap()[0].contains("\"hookbridge\""));
        assert_eq!(collector.headers.lock().unwrap()[0]["x-team"], "hooks");
    })
    .await;
}

#[test]
fn a_collector_that_does_not_answer_does_not_disturb_the_server() {
    let environment =
        [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"), ("OTEL_BSP_SCHEDULE_DELAY", "50")];
    let mut server = Server::start_with_environment(&[], &environment);
    (0..20).for_each(|n| server.push(n));
    assert_eq!(server.events().len(), 20);
    server.signal("TERM");
    assert!(server.wait_for_exit().success());
}
