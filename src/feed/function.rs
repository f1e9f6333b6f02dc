//! The Lambda function `feed`: the feed behind a Function URL, buffered or streaming.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderName, StatusCode};
use lambda_runtime::streaming::{Body, channel};
use lambda_runtime::{FunctionResponse, MetadataPrelude, StreamResponse};
use tokio::time::{Instant, timeout_at};

use super::{EventStream, Feed, FeedRequest, FeedResponse, STREAM_HEADERS, is_stream_request};
use crate::lambda::{FunctionUrlEventError, FunctionUrlRequest, FunctionUrlResponse, handling_deadline};
use crate::log::{ConsumerStore, EventReader};

/// Time for reading the log, within the time that a request may take.
const READ_TIMEOUT: Duration = Duration::from_secs(3);

pub struct FeedFunction<L> {
    pub feed: Arc<Feed<L>>,
    /// Whether its URL streams (`InvokeMode: RESPONSE_STREAM`); then every response has the streaming format.
    pub is_streaming: bool,
}

impl<L: EventReader + ConsumerStore> FeedFunction<L> {
    /// Handles one request before `deadline`.
    ///
    /// # Errors
    /// The event is not from a Function URL.
    pub async fn invoke(
        &self,
        event: &str,
        deadline: SystemTime,
    ) -> Result<FunctionResponse<FunctionUrlResponse, Body>, FunctionUrlEventError> {
        let url_request = FunctionUrlRequest::parse(event)?;
        // The body is decoded only for a client that has been authenticated.
        let authenticated =
            self.feed.authenticate(&url_request.headers, url_request.iam_user_arn.is_some()).await;
        let checked = authenticated.and_then(|scope| match url_request.body() {
            Ok(body) => Ok((scope, body)),
            Err(FunctionUrlEventError) => {
                Err(FeedResponse::error(StatusCode::BAD_REQUEST, "The body is not valid base64."))
            }
        });
        let (scope, body) = match checked {
            Ok(checked) => checked,
            Err(refused) => return Ok(self.response(refused)),
        };
        let FunctionUrlRequest { method, path, query, headers, .. } = url_request;
        let end = handling_deadline(deadline);
        let request = FeedRequest {
            method: &method,
            path: &path,
            query: &query,
            headers: &headers,
            body: &body,
            max_wait: end.saturating_duration_since(Instant::now()).saturating_sub(READ_TIMEOUT),
        };
        if !self.is_streaming || !is_stream_request(&request) {
            return Ok(self.response(self.feed.handle(request, &scope).await));
        }
        Ok(match self.feed.open_stream(request, scope).await {
            Ok((first, follower)) => {
                let headers = STREAM_HEADERS.map(|(name, value)| (name, value.to_owned())).into();
                streaming_response(StatusCode::OK, headers, stream_body(first, follower, end))
            }
            Err(answer) => self.response(answer),
        })
    }

    fn response(&self, answer: FeedResponse) -> FunctionResponse<FunctionUrlResponse, Body> {
        let FeedResponse { status, headers, body, .. } = answer;
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

/// Streams the log until `end`; then the client reconnects with its `Last-Event-ID`. Lambda does not report that a client has
/// disconnected, which also bounds how long a stream should last.
fn stream_body<L: EventReader + ConsumerStore>(
    first: String,
    mut follower: EventStream<L>,
    end: Instant,
) -> Body {
    let (mut give, take) = channel();
    tokio::spawn(async move {
        let mut text = Some(first);
        while let Some(chunk) = text {
            if give.send_data(chunk.into()).await.is_err() {
                return;
            }
            text = timeout_at(end, follower.next_chunk()).await.unwrap_or_default();
        }
    });
    take
}
