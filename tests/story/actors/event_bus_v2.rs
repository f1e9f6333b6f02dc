//! A custom event bus of the newer kind: our own server, because no local double of AWS has one. It reads and writes the protocol
//! smithy-rpc-v2-cbor, deduplicates for 300 s, and fails as a test plans.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use ciborium::Value as Cbor;
use serde_json::{Value, json};

use super::fault_proxy::truncated_body;

const DEDUPLICATION_WINDOW: Duration = Duration::from_secs(300);

/// A failure of a request, planned by a test.
#[derive(Clone, Copy, Debug)]
pub enum BusFault {
    /// An error response of this status and code.
    Error(u16, &'static str),
    /// The entry at this index fails with this code; the others are published.
    EntryFails(usize, &'static str),
    /// The entries are published, and the response states neither success nor error.
    NoResult,
    /// The entries are published, and the connection closes within the response.
    ResponseLost,
}

#[derive(Default)]
struct Shared {
    faults: VecDeque<BusFault>,
    always: Option<BusFault>,
    requests: Vec<Value>,
    published: Vec<Value>,
    deduplication_ids: HashMap<String, Instant>,
}

#[derive(Clone)]
pub struct EventBusV2 {
    pub url: String,
    shared: Arc<Mutex<Shared>>,
}

pub const BUS_ARN: &str =
    "arn:aws:events:us-east-1:000000000000:event-busv2/orders/abcdefghij0123456789abcde";

impl EventBusV2 {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let bus = Self { url, shared: Arc::default() };
        let router = Router::new().fallback(put_events).with_state(bus.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        bus
    }

    /// The next requests get these faults, one each.
    pub fn next(&self, faults: impl IntoIterator<Item = BusFault>) {
        self.shared.lock().unwrap().faults.extend(faults);
    }

    /// All other requests get this fault.
    pub fn always(&self, fault: Option<BusFault>) {
        self.shared.lock().unwrap().always = fault;
    }

    /// The requests, decoded.
    pub fn requests(&self) -> Vec<Value> {
        self.shared.lock().unwrap().requests.clone()
    }

    /// The published entries, without the deduplicated ones.
    pub fn published(&self) -> Vec<Value> {
        self.shared.lock().unwrap().published.clone()
    }
}

async fn put_events(State(bus): State<EventBusV2>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    assert_eq!(uri.path(), "/service/AWSEventsV2/operation/PutEvents");
    assert_eq!(header("smithy-protocol"), "rpc-v2-cbor");
    assert_eq!(header("content-type"), "application/cbor");
    assert!(header("authorization").starts_with("AWS4-HMAC-SHA256 "), "the request is not signed");
    let request = decode(&ciborium::from_reader(&body[..]).unwrap());
    let mut shared = bus.shared.lock().unwrap();
    shared.requests.push(request.clone());
    let entries = request["Entries"].as_array().unwrap().clone();
    if request["EventBusArn"] != BUS_ARN {
        return error(404, "ResourceNotFoundException");
    }
    if entries.is_empty() || entries.len() > 100 || entries.iter().any(has_too_long_id) {
        return error(400, "InvalidInputException");
    }
    let fault = shared.faults.pop_front().or(shared.always);
    if let Some(BusFault::Error(status, code)) = fault {
        return error(status, code);
    }
    let mut results = Vec::new();
    for (index, entry) in entries.into_iter().enumerate() {
        results.push(match fault {
            Some(BusFault::EntryFails(failing, code)) if failing == index => {
                json!({"ErrorCode": code, "ErrorMessage": "made by the bus"})
            }
            _ => shared.publish(entry),
        });
    }
    let failed = results.iter().filter(|result| result.get("ErrorCode").is_some()).count();
    match fault {
        Some(BusFault::ResponseLost) => lost_response(),
        Some(BusFault::NoResult) => response(200, &json!({"FailedEntryCount": 0, "Entries": [{}]})),
        _ => response(200, &json!({"FailedEntryCount": failed, "Entries": results})),
    }
}

impl Shared {
    /// Publishes an entry, and returns its result.
    fn publish(&mut self, entry: Value) -> Value {
        self.deduplication_ids.retain(|_, time| time.elapsed() < DEDUPLICATION_WINDOW);
        let id = entry["SystemMetadata"]["DeduplicationId"].as_str().map(str::to_owned);
        let earlier = id.and_then(|id| self.deduplication_ids.insert(id, Instant::now()));
        let code = if earlier.is_some() { "DEDUPLICATED" } else { "PUBLISHED" };
        if earlier.is_none() {
            self.published.push(entry);
        }
        json!({"EventId": "e", "SuccessCode": code})
    }
}

fn has_too_long_id(entry: &Value) -> bool {
    let is_too_long = |id: &Value| id.as_str().is_some_and(|id| id.is_empty() || id.chars().count() > 128);
    let metadata = &entry["SystemMetadata"];
    is_too_long(&metadata["DeduplicationId"]) || is_too_long(&metadata["EventGroupId"])
}

fn error(status: u16, code: &str) -> Response {
    response(
        status,
        &json!({"__type": format!("com.amazonaws.eventbridgev2#{code}"), "message": "made by the bus"}),
    )
}

fn response(status: u16, body: &Value) -> Response {
    let mut bytes = Vec::new();
    ciborium::into_writer(body, &mut bytes).unwrap();
    let builder = Response::builder().status(status).header("smithy-protocol", "rpc-v2-cbor");
    builder.header("content-type", "application/cbor").body(Body::from(bytes)).unwrap()
}

fn lost_response() -> Response {
    let builder = Response::builder().header("smithy-protocol", "rpc-v2-cbor");
    builder.body(truncated_body(&[0xbf])).unwrap()
}

/// CBOR as JSON. A timestamp is its number of seconds.
fn decode(value: &Cbor) -> Value {
    match value {
        Cbor::Text(text) => json!(text),
        Cbor::Array(items) => items.iter().map(decode).collect(),
        Cbor::Map(fields) => {
            Value::Object(fields.iter().map(|(k, v)| (k.as_text().unwrap().to_owned(), decode(v))).collect())
        }
        Cbor::Tag(1, seconds) => decode(seconds),
        Cbor::Integer(number) => json!(i64::try_from(*number).unwrap()),
        Cbor::Float(number) => json!(number),
        other => panic!("PutEvents has no such value: {other:?}"),
    }
}
