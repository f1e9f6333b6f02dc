//! The feed behind a Lambda Function URL, one that answers when all is there, or one that streams.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use lambda_runtime::streaming::{Body, channel};
use lambda_runtime::{FunctionResponse, MetadataPrelude, StreamResponse};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout_at};

use super::{Answer, Feed, Follower, Request, STREAM_HEADERS, is_for_stream};
use crate::invocation::time_to_answer;
use crate::log::{Consumers, Ordered};

/// Time that is kept to read the log in, of that which a request may be held.
const TO_READ: Duration = Duration::from_secs(3);

/// The function: a feed.
pub struct FeedFunction<L> {
    /// What it does.
    pub feed: Arc<Feed<L>>,
    /// Whether its URL streams (`InvokeMode: RESPONSE_STREAM`): then every answer has the form of a stream.
    pub streams: bool,
}

/// The answer in the form a Function URL wants.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FeedAnswer {
    status_code: u16,
    headers: BTreeMap<String, String>,
    body: String,
    is_base64_encoded: bool,
}

/// The fields of payload format 2.0 that are used. Source: "Request payload format", AWS Lambda Developer Guide.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UrlEvent<'a> {
    #[serde(borrow, default)]
    raw_path: Cow<'a, str>,
    #[serde(borrow, default)]
    raw_query_string: Cow<'a, str>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(borrow, default)]
    body: Cow<'a, str>,
    #[serde(default)]
    is_base64_encoded: bool,
    #[serde(borrow)]
    request_context: Context<'a>,
}

#[derive(Deserialize)]
struct Context<'a> {
    #[serde(borrow)]
    http: Http<'a>,
    /// There when AWS has checked a signature, and only then.
    #[serde(borrow)]
    authorizer: Option<Authorizer<'a>>,
}

#[derive(Deserialize)]
struct Http<'a> {
    #[serde(borrow)]
    method: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Authorizer<'a> {
    #[serde(borrow)]
    iam: Option<&'a RawValue>,
}

impl<L: Ordered + Consumers> FeedFunction<L> {
    /// Answers one invocation, before `deadline`.
    ///
    /// # Errors
    /// When it was not a Function URL that called.
    pub async fn invoke(
        &self,
        event: &str,
        deadline: SystemTime,
    ) -> Result<FunctionResponse<FeedAnswer, Body>, serde_json::Error> {
        let event: UrlEvent<'_> = serde_json::from_str(event)?;
        let method = Method::from_bytes(event.request_context.http.method.as_bytes()).unwrap_or_default();
        let signed = event.request_context.authorizer.and_then(|authorizer| authorizer.iam);
        let header = |(name, value): (&String, &String)| {
            Some((HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?))
        };
        let headers: HeaderMap = event.headers.iter().filter_map(header).collect();
        let body = if event.is_base64_encoded {
            // What is not the base64 that it is said to be is no JSON either.
            BASE64.decode(event.body.as_bytes()).unwrap_or_default()
        } else {
            event.body.as_bytes().to_vec()
        };
        let end = time_to_answer(deadline);
        let request = Request {
            method: &method,
            path: &event.raw_path,
            query: &event.raw_query_string,
            headers: &headers,
            body: &body,
            is_signed: signed.is_some_and(|iam| iam.get() != "null"),
            patience: end.saturating_duration_since(Instant::now()).saturating_sub(TO_READ),
        };
        if !self.streams {
            return Ok(FunctionResponse::BufferedResponse(whole(self.feed.answer(request).await)));
        }
        let answer = if is_for_stream(&request) {
            match self.feed.follow(request).await {
                Ok((first, follower)) => {
                    let headers = STREAM_HEADERS.map(|(name, value)| (name, value.to_owned())).into();
                    return Ok(streamed(StatusCode::OK, headers, followed(first, follower, end)));
                }
                Err(answer) => answer,
            }
        } else {
            self.feed.answer(request).await
        };
        Ok(streamed(answer.status, answer.headers, answer.body.into()))
    }
}

/// An answer of a URL that does not stream.
fn whole(answer: Answer) -> FeedAnswer {
    let Answer { status, headers, body, .. } = answer;
    let headers = headers.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
    let (body, is_base64_encoded) = match String::from_utf8(body) {
        Ok(text) => (text, false),
        Err(bytes) => (BASE64.encode(bytes.as_bytes()), true),
    };
    FeedAnswer { status_code: status.as_u16(), headers, body, is_base64_encoded }
}

/// An answer of one that does.
fn streamed(
    status_code: StatusCode,
    headers: Vec<(HeaderName, String)>,
    stream: Body,
) -> FunctionResponse<FeedAnswer, Body> {
    let headers = headers.into_iter().filter_map(|(name, value)| Some((name, value.try_into().ok()?)));
    let metadata_prelude = MetadataPrelude { status_code, headers: headers.collect(), cookies: Vec::new() };
    FunctionResponse::StreamingResponse(StreamResponse { metadata_prelude, stream })
}

/// The log from a place on, until `end`: then the client comes again, with the `Last-Event-ID` that it has seen. Nobody tells a
/// function that its client has gone away, which is another reason not to go on for longer.
fn followed<L: Ordered + Consumers>(first: String, mut follower: Follower<L>, end: Instant) -> Body {
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
