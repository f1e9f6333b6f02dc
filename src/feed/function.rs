//! The feed behind a Lambda Function URL, one that answers when all is there, or one that streams.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderName, StatusCode};
use lambda_runtime::streaming::{Body, channel};
use lambda_runtime::{FunctionResponse, MetadataPrelude, StreamResponse};
use tokio::time::{Instant, timeout_at};

use super::{Answer, Feed, Follower, Request, STREAM_HEADERS, is_for_stream};
use crate::invocation::{NotARequest, UrlAnswer, UrlRequest, time_to_answer};
use crate::log::{ConsumerStore, EventReader};

/// Time that is kept to read the log in, of that which a request may be held.
const TO_READ: Duration = Duration::from_secs(3);

/// The function: a feed.
pub struct FeedFunction<L> {
    /// What it does.
    pub feed: Arc<Feed<L>>,
    /// Whether its URL streams (`InvokeMode: RESPONSE_STREAM`): then every answer has the form of a stream.
    pub streams: bool,
}

impl<L: EventReader + ConsumerStore> FeedFunction<L> {
    /// Answers one invocation, before `deadline`.
    ///
    /// # Errors
    /// When it was not a Function URL that called.
    pub async fn invoke(
        &self,
        event: &str,
        deadline: SystemTime,
    ) -> Result<FunctionResponse<UrlAnswer, Body>, NotARequest> {
        let url_request = UrlRequest::read(event)?;
        // The body is decoded only for a client that has been authenticated.
        let authenticated =
            self.feed.authenticate(&url_request.headers, url_request.signed_by.is_some()).await;
        let checked = authenticated.and_then(|scope| match url_request.body() {
            Ok(body) => Ok((scope, body)),
            Err(NotARequest) => Err(Answer::error(StatusCode::BAD_REQUEST, "The body is not valid base64.")),
        });
        let (scope, body) = match checked {
            Ok(checked) => checked,
            Err(refused) => return Ok(self.response(refused)),
        };
        let UrlRequest { method, path, query, headers, .. } = url_request;
        let end = time_to_answer(deadline);
        let request = Request {
            method: &method,
            path: &path,
            query: &query,
            headers: &headers,
            body: &body,
            patience: end.saturating_duration_since(Instant::now()).saturating_sub(TO_READ),
        };
        if !self.streams || !is_for_stream(&request) {
            return Ok(self.response(self.feed.answer(request, &scope).await));
        }
        Ok(match self.feed.follow(request, scope).await {
            Ok((first, follower)) => {
                let headers = STREAM_HEADERS.map(|(name, value)| (name, value.to_owned())).into();
                streamed(StatusCode::OK, headers, followed(first, follower, end))
            }
            Err(answer) => self.response(answer),
        })
    }

    fn response(&self, answer: Answer) -> FunctionResponse<UrlAnswer, Body> {
        let Answer { status, headers, body, .. } = answer;
        if self.streams {
            streamed(status, headers, body.into())
        } else {
            FunctionResponse::BufferedResponse(UrlAnswer::new(status, headers, body))
        }
    }
}

/// An answer of a URL that streams.
fn streamed(
    status_code: StatusCode,
    headers: Vec<(HeaderName, String)>,
    stream: Body,
) -> FunctionResponse<UrlAnswer, Body> {
    let headers = headers.into_iter().filter_map(|(name, value)| Some((name, value.try_into().ok()?)));
    let metadata_prelude = MetadataPrelude { status_code, headers: headers.collect(), cookies: Vec::new() };
    FunctionResponse::StreamingResponse(StreamResponse { metadata_prelude, stream })
}

/// The log from a place on, until `end`: then the client comes again, with the `Last-Event-ID` that it has seen. Nobody tells a
/// function that its client has gone away, which is another reason not to go on for longer.
fn followed<L: EventReader + ConsumerStore>(first: String, mut follower: Follower<L>, end: Instant) -> Body {
    let (mut give, take) = channel();
    tokio::spawn(async move {
        let mut text = Some(first);
        while let Some(chunk) = text {
            if give.send_data(chunk.into()).await.is_err() {
                return;
            }
            text = timeout_at(end, follower.next()).await.unwrap_or_default();
        }
    });
    take
}
