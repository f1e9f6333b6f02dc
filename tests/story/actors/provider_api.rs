//! A local server with the event list APIs of Stripe and SparkPost.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

pub const API_KEY: &str = "rk_test_secret";
const PAGE_SIZE: usize = 2;

#[derive(Clone, Copy, PartialEq)]
pub enum ApiKind {
    Stripe,
    SparkPost,
}

/// A running API. It stops with the test.
#[derive(Clone)]
pub struct ProviderApi {
    pub address: SocketAddr,
    kind: ApiKind,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    /// The time in seconds and the event, the newest last.
    events: Vec<(i64, Value)>,
    /// The queries received.
    requests: Vec<String>,
    /// Responses to the next requests; `None` for a page.
    next_responses: Vec<Option<(StatusCode, String)>>,
}

impl ProviderApi {
    pub async fn start(kind: ApiKind) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api = Self { address: listener.local_addr().unwrap(), kind, inner: Arc::default() };
        let router = Router::new().fallback(handle_request).with_state(api.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        api
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn add_event(&self, time: i64, event: Value) {
        let mut inner = self.inner.lock().unwrap();
        inner.events.push((time, event));
        inner.events.sort_by_key(|(time, _)| *time);
    }

    /// Sets the next responses; `None` for a page.
    pub fn next(&self, responses: impl IntoIterator<Item = Option<(u16, &'static str)>>) {
        let status = |status| StatusCode::from_u16(status).unwrap();
        let responses = responses
            .into_iter()
            .map(|response| response.map(|(code, body)| (status(code), body.to_owned())));
        self.inner.lock().unwrap().next_responses = responses.collect();
    }

    /// The queries since the last call.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.inner.lock().unwrap().requests)
    }

    fn page(&self, inner: &Inner, query: &[(String, String)]) -> Option<Value> {
        let value = |name: &str| query.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
        match self.kind {
            ApiKind::Stripe => {
                let limit: usize = value("limit")?.parse().ok()?;
                let (from, until): (i64, i64) =
                    (value("created[gte]")?.parse().ok()?, value("created[lt]")?.parse().ok()?);
                let mut events: Vec<_> =
                    inner.events.iter().rev().map(|(time, event)| (*time, event)).collect();
                if let Some(id) = value("starting_after") {
                    let index = events.iter().position(|(_, event)| event["id"] == id)?;
                    events.drain(..=index);
                }
                events.retain(|(time, _)| (from..until).contains(time));
                let data: Vec<_> = events.iter().take(limit).map(|(_, event)| (*event).clone()).collect();
                Some(
                    json!({"object": "list", "url": "/v1/events", "has_more": events.len() > limit, "data": data}),
                )
            }
            ApiKind::SparkPost => {
                let seconds = |name: &str| Some(value(name)?.parse::<jiff::Timestamp>().ok()?.as_second());
                let (from, until, offset) = match value("cursor")? {
                    "initial" => (seconds("from")?, seconds("to")?, 0),
                    cursor => {
                        let mut parts = cursor.split('_').map(|part| part.parse::<i64>().ok());
                        (parts.next()??, parts.next()??, usize::try_from(parts.next()??).ok()?)
                    }
                };
                let events = inner.events.iter().rev().filter(|(time, _)| (from..until).contains(time));
                let events: Vec<_> = events.map(|(_, event)| event.clone()).collect();
                let links = if events.len() > offset + PAGE_SIZE {
                    // A link to another host, to which the key must not be sent.
                    json!({"next": format!("http://127.0.0.1:1/api/v1/events/message?cursor={from}_{until}_{}", offset + PAGE_SIZE)})
                } else {
                    json!({})
                };
                let results: Vec<_> = events.iter().skip(offset).take(PAGE_SIZE).cloned().collect();
                Some(json!({"results": results, "total_count": events.len(), "links": links}))
            }
        }
    }
}

async fn handle_request(State(api): State<ProviderApi>, request: Request) -> Response {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let mut inner = api.inner.lock().unwrap();
    inner.requests.push(query.clone());
    let (path, key) = match api.kind {
        ApiKind::Stripe => ("/v1/events", format!("Bearer {API_KEY}")),
        ApiKind::SparkPost => ("/api/v1/events/message", API_KEY.to_owned()),
    };
    let override_response =
        if inner.next_responses.is_empty() { None } else { inner.next_responses.remove(0) };
    if let Some((status, body)) = override_response {
        return (status, [("location", "http://127.0.0.1:1/")], body).into_response();
    }
    if request.headers().get("authorization").is_none_or(|value| value != key.as_str()) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let pairs = query.split('&').filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let decoded =
            |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        Some((decoded(name), decoded(value)))
    });
    let page = if request.uri().path() == path { api.page(&inner, &pairs.collect::<Vec<_>>()) } else { None };
    match page {
        // Pretty-printed, like Stripe's responses.
        Some(page) => (StatusCode::OK, serde_json::to_string_pretty(&page).unwrap()).into_response(),
        None => (StatusCode::BAD_REQUEST, "invalid query").into_response(),
    }
}
