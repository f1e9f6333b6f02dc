//! The Lambda functions `feed` and `subscribers`. Each serves a part of the API behind a front door (Function URL, API Gateway or
//! load balancer), with buffered or, behind a Function URL, streamed responses.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderName, Method, StatusCode};
use lambda_runtime::streaming::{Body, channel};
use lambda_runtime::{Error, FunctionResponse, LambdaEvent, MetadataPrelude, StreamResponse, service_fn};
use serde_json::json;
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout_at};

use super::error::ApiError;
use super::{
    Api, ApiRequest, ApiResponse, AuthenticatedToken, EventStream, STREAM_HEADERS, is_stream_request,
};
use crate::console;
use crate::lambda::{HttpRequest, HttpResponse, PayloadFormat, handling_deadline};
use crate::util::output;

/// How long before the deadline a long poll stops waiting, so that enough time is left to read the log.
const LOG_READ_MARGIN: Duration = Duration::from_secs(3);

type Response = FunctionResponse<HttpResponse, Body>;

pub struct ApiFunction {
    pub api: Api,
    /// Whether the Function URL streams responses (`InvokeMode: RESPONSE_STREAM`). If so, every response has Lambda's streaming
    /// format.
    pub is_streaming: bool,
    /// The function's name in the audit log, which has one line for each request except those for the console's files; `None` writes
    /// no audit log.
    pub audit_name: Option<String>,
}

impl ApiFunction {
    /// Handles the function's invocations until the process ends.
    ///
    /// # Errors
    /// Lambda's Runtime API is unreachable.
    pub async fn run(self) -> Result<(), Error> {
        let function = Arc::new(self);
        lambda_runtime::run(service_fn(move |event: LambdaEvent<Box<RawValue>>| {
            let function = function.clone();
            Box::pin(async move {
                let context = event.context;
                let response = function.invoke(event.payload.get(), &context.request_id, context.deadline());
                Ok::<_, Error>(response.await)
            })
        }))
        .await
    }

    /// Authenticates and handles one HTTP request, and prints its line of the audit log. A health check of a load balancer has no
    /// line. Returns the response before `invocation_deadline`.
    async fn invoke(&self, event: &str, request_id: &str, invocation_deadline: SystemTime) -> Response {
        let Ok(request) = HttpRequest::parse(event) else {
            let error = ApiError::BadRequest("The event is not an HTTP request.".into());
            return self.to_response(PayloadFormat::V2, error.into_response()).1;
        };
        if request.is_health_check() {
            let response = HttpResponse::new(request.payload_format, StatusCode::OK, [], b"OK".to_vec());
            return FunctionResponse::BufferedResponse(response);
        }
        if let Some(response) = self.console_file(&request) {
            return response;
        }
        let is_signed = request.iam_user_arn.is_some();
        let token = self.api.authenticate(&request.headers, &request.url.path, is_signed).await;
        let mut audit_line = json!({"function": self.audit_name, "request_id": request_id});
        let (status, response) = match token {
            Ok(token) => {
                audit_line["token"] = token.name.as_deref().into();
                audit_line["caller"] = request.iam_user_arn.as_deref().into();
                audit_line["method"] = request.method.as_str().into();
                audit_line["path"] = request.url.path.as_str().into();
                self.respond(&request, &token, handling_deadline(invocation_deadline)).await
            }
            // The path of an unauthenticated request is not logged, because anybody can send any text as a path.
            Err(rejection) => self.to_response(request.payload_format, rejection),
        };
        if self.audit_name.is_some() {
            audit_line["status"] = status.as_u16().into();
            output::print_line(&audit_line.to_string());
        }
        response
    }

    /// The file of the console that a request without a token may read; `None` if it requests something else, or if this function
    /// does not serve the log.
    fn console_file(&self, request: &HttpRequest) -> Option<Response> {
        let path = request.url.path.strip_prefix("/console")?;
        let file = if path.is_empty() { console::page() } else { console::find(path.strip_prefix('/')?)? };
        if request.method != Method::GET || self.api.find_group("/events").is_none() {
            return None;
        }
        let headers = [("content-type", file.media_type)].into_iter().chain(console::HEADERS);
        let headers = headers.map(|(name, value)| (HeaderName::from_static(name), value.to_owned()));
        let response = ApiResponse::with_headers(headers.collect(), file.text);
        Some(self.to_response(request.payload_format, response).1)
    }

    /// Handles a request of an authenticated client.
    async fn respond(
        &self,
        http_request: &HttpRequest,
        token: &AuthenticatedToken,
        deadline: Instant,
    ) -> (StatusCode, Response) {
        // The body is decoded only for a client that has been authenticated.
        let to_response = |response| self.to_response(http_request.payload_format, response);
        let Ok(body) = http_request.body() else {
            return to_response(ApiError::BadRequest("The body is not valid base64.".into()).into_response());
        };
        let query = http_request.url.query.to_string();
        let request = ApiRequest {
            method: &http_request.method,
            path: &http_request.url.path,
            query: &query,
            headers: &http_request.headers,
            body: &body,
            needs_event_urns: false,
            max_wait: deadline.saturating_duration_since(Instant::now()).saturating_sub(LOG_READ_MARGIN),
        };
        if self.streams(http_request.payload_format) && is_stream_request(&request) {
            return match self.api.open_stream(request, token).await {
                Ok((first_chunk, events)) => {
                    let headers = STREAM_HEADERS.map(|(name, value)| (name, value.to_owned())).into();
                    let body = stream_body(first_chunk, events, deadline);
                    (StatusCode::OK, streaming_response(StatusCode::OK, headers, body))
                }
                Err(response) => to_response(response),
            };
        }
        let response = timeout_at(deadline, self.api.handle(request, token)).await;
        to_response(response.unwrap_or_else(|_| ApiError::TimedOut.into_response()))
    }

    /// Whether the response to a request in this format has Lambda's streaming format. REST APIs and load balancers never get it. An
    /// HTTP API with payload format 2.0 cannot be told apart from a Function URL, which streams.
    fn streams(&self, payload_format: PayloadFormat) -> bool {
        self.is_streaming && payload_format == PayloadFormat::V2
    }

    fn to_response(&self, payload_format: PayloadFormat, response: ApiResponse) -> (StatusCode, Response) {
        let ApiResponse { status, headers, body, .. } = response;
        let response = if self.streams(payload_format) {
            streaming_response(status, headers, body.into())
        } else {
            FunctionResponse::BufferedResponse(HttpResponse::new(payload_format, status, headers, body))
        };
        (status, response)
    }
}

fn streaming_response(status_code: StatusCode, headers: Vec<(HeaderName, String)>, stream: Body) -> Response {
    let headers = headers.into_iter().filter_map(|(name, value)| Some((name, value.try_into().ok()?)));
    let metadata_prelude = MetadataPrelude { status_code, headers: headers.collect(), cookies: Vec::new() };
    FunctionResponse::StreamingResponse(StreamResponse { metadata_prelude, stream })
}

/// Streams the log until `deadline`; then the client reconnects with its `Last-Event-ID`. Lambda does not report that a client
/// has disconnected, so the stream of a disconnected client, too, runs until `deadline`.
fn stream_body(first_chunk: String, mut events: EventStream, deadline: Instant) -> Body {
    let (mut sender, body) = channel();
    tokio::spawn(async move {
        let mut next_chunk = Some(first_chunk);
        while let Some(chunk) = next_chunk {
            if sender.send_data(chunk.into()).await.is_err() {
                return;
            }
            next_chunk = timeout_at(deadline, events.next_chunk()).await.unwrap_or_default();
        }
    });
    body
}
