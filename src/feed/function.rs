//! The Lambda function `feed`: the feed behind a Function URL, buffered or streaming.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderName, StatusCode};
use lambda_runtime::streaming::{Body, channel};
use lambda_runtime::{FunctionResponse, MetadataPrelude, StreamResponse};
use tokio::time::{Instant, timeout_at};

use super::{EventStream, Feed, FeedRequest, FeedResponse, STREAM_HEADERS, is_stream_request};
use crate::lambda::{FunctionUrlEventError, FunctionUrlRequest, FunctionUrlResponse, handling_deadline};

/// The part of a request's time that a long poll leaves for reading the log.
const LOG_READ_MARGIN: Duration = Duration::from_secs(3);

pub struct FeedFunction {
    pub feed: Arc<Feed>,
    /// Whether its URL streams (`InvokeMode: RESPONSE_STREAM`); then every response has the streaming format.
    pub is_streaming: bool,
}

impl FeedFunction {
    /// Handles one request before `invocation_deadline`.
    ///
    /// # Errors
    /// The event is not from a Function URL.
    pub async fn invoke(
        &self,
        event: &str,
        invocation_deadline: SystemTime,
    ) -> Result<FunctionResponse<FunctionUrlResponse, Body>, FunctionUrlEventError> {
        let url_request = FunctionUrlRequest::parse(event)?;
        // The body is decoded only for a client that has been authenticated.
        let scope = self.feed.authenticate(&url_request.headers, url_request.iam_user_arn.is_some()).await;
        let scope_and_body = scope.and_then(|scope| match url_request.body() {
            Ok(body) => Ok((scope, body)),
            Err(FunctionUrlEventError) => {
                Err(FeedResponse::error(StatusCode::BAD_REQUEST, "The body is not valid base64."))
            }
        });
        let (scope, body) = match scope_and_body {
            Ok(scope_and_body) => scope_and_body,
            Err(response) => return Ok(self.response(response)),
        };
        let FunctionUrlRequest { method, path, query, headers, .. } = url_request;
        let deadline = handling_deadline(invocation_deadline);
        let request = FeedRequest {
            method: &method,
            path: &path,
            query: &query,
            headers: &headers,
            body: &body,
            max_wait: deadline.saturating_duration_since(Instant::now()).saturating_sub(LOG_READ_MARGIN),
        };
        if !self.is_streaming || !is_stream_request(&request) {
            return Ok(self.response(self.feed.handle(request, &scope).await));
        }
        Ok(match self.feed.open_stream(request, scope).await {
            Ok((first_chunk, events)) => {
                let headers = STREAM_HEADERS.map(|(name, value)| (name, value.to_owned())).into();
                streaming_response(StatusCode::OK, headers, stream_body(first_chunk, events, deadline))
            }
            Err(response) => self.response(response),
        })
    }

    fn response(&self, response: FeedResponse) -> FunctionResponse<FunctionUrlResponse, Body> {
        let FeedResponse { status, headers, body, .. } = response;
        if self.is_streaming {
            streaming_response(status, headers, body.into())
        } else {
            FunctionResponse::BufferedResponse(FunctionUrlResponse::new(status, headers, body))
        }
    }
}

fn streaming_response(
    status_code: StatusCode,
    headers: Vec<(HeaderName, String)>,
    stream: Body,
) -> FunctionResponse<FunctionUrlResponse, Body> {
    let headers = headers.into_iter().filter_map(|(name, value)| Some((name, value.try_into().ok()?)));
    let metadata_prelude = MetadataPrelude { status_code, headers: headers.collect(), cookies: Vec::new() };
    FunctionResponse::StreamingResponse(StreamResponse { metadata_prelude, stream })
}

/// Streams the log until `deadline`; then the client reconnects with its `Last-Event-ID`. The deadline also ends the stream of a
/// client that has disconnected, which Lambda does not report.
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
