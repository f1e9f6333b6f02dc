//! An HTTP API of Amazon API Gateway in front of a function: an HTTP server that makes an event of each request to its stage `prod`.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;
use tokio::net::TcpListener;

use super::front_door::{FrontDoor, Request};
use super::runtime_api::RunningFunction;

const STAGE: &str = "/prod";

/// Serves the function until the runtime ends, one request at a time. Returns the URL of the stage.
pub async fn serve(function: RunningFunction) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let function = Arc::new(Mutex::new(function));
    let router = Router::new().route(&format!("{STAGE}/{{*path}}"), any(handle)).with_state(function);
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}{STAGE}")
}

async fn handle(
    State(function): State<Arc<Mutex<RunningFunction>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let response = tokio::task::spawn_blocking(move || {
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        let event = FrontDoor::HttpApiV2.event(&Request {
            method: method.as_str(),
            path: uri.path().strip_prefix(STAGE).unwrap(),
            query: uri.query().unwrap_or_default(),
            headers: &headers,
            body: &body,
        });
        let deadline = SystemTime::now() + Duration::from_secs(29);
        let response = function.lock().unwrap().invoke(&event, deadline).read_to_end();
        serde_json::from_slice::<Value>(&response).unwrap()
    });
    let response = response.await.unwrap();
    let text = response["body"].as_str().unwrap();
    // A body that the function has compressed is base64-encoded.
    let is_base64 = response["isBase64Encoded"].as_bool().unwrap();
    let body = if is_base64 { BASE64.decode(text).unwrap() } else { text.as_bytes().to_vec() };
    let status = response["statusCode"].as_u64().unwrap().try_into().unwrap();
    let mut answer = (StatusCode::from_u16(status).unwrap(), body).into_response();
    answer.headers_mut().clear();
    for (name, value) in response["headers"].as_object().unwrap() {
        let name: HeaderName = name.parse().unwrap();
        answer.headers_mut().insert(name, value.as_str().unwrap().parse().unwrap());
    }
    answer
}
