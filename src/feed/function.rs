//! The feed behind a Lambda Function URL.

use std::borrow::Cow;
use std::collections::BTreeMap;

use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Answer, Feed, Request};
use crate::log::Log;

/// The function: a feed.
pub struct FeedFunction<L> {
    /// What it does.
    pub feed: Feed<L>,
}

/// The answer in the form a Function URL wants.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FeedAnswer {
    status_code: u16,
    headers: BTreeMap<&'static str, &'static str>,
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

impl<L: Log> FeedFunction<L> {
    /// Answers one invocation.
    ///
    /// # Errors
    /// When it was not a Function URL that called.
    pub async fn invoke(&self, event: &str) -> Result<FeedAnswer, serde_json::Error> {
        let event: UrlEvent<'_> = serde_json::from_str(event)?;
        let method = Method::from_bytes(event.request_context.http.method.as_bytes()).unwrap_or_default();
        let signed = event.request_context.authorizer.and_then(|authorizer| authorizer.iam);
        let Answer { status, headers, body } = self
            .feed
            .answer(Request {
                method: &method,
                path: &event.raw_path,
                query: &event.raw_query_string,
                authorization: event.headers.get("authorization").map(String::as_str),
                is_signed: signed.is_some_and(|iam| iam.get() != "null"),
            })
            .await;
        let content_type = [("content-type", "application/json"), ("cache-control", "no-store")];
        let headers = content_type.into_iter().chain(headers).collect();
        Ok(FeedAnswer { status_code: status.as_u16(), headers, body, is_base64_encoded: false })
    }
}
