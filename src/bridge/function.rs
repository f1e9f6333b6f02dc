//! The bridge behind a Lambda Function URL.
//!
//! The event is read here and not by `lambda_http`, which ends the process on a body that is not the base64 it
//! is said to be, fails the invocation on a header with a control character, and rewrites the URL that Twilio
//! signs. Whatever the internet sends, the answer is one of the status table.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::Method;
use serde::{Deserialize, Serialize};

use super::{Bridge, Outcome, Record, Request, log_line};
use crate::bus::Bus;
use crate::invocation::time_to_answer;
use crate::providers::{PublicUrl, Refusal, RequestUrl, Webhook};
use crate::secrets::Keys;

/// The function: a bridge, and what it needs to know of its URL.
pub struct Function<K, B> {
    /// What it does.
    pub bridge: Bridge<K, B>,
    /// Where a custom domain stands in front of it.
    pub public_url: Option<PublicUrl>,
    /// Its name, for the metrics.
    pub name: String,
}

/// The answer in the form a Function URL wants.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionAnswer {
    status_code: u16,
    headers: HashMap<&'static str, &'static str>,
    body: Cow<'static, str>,
    is_base64_encoded: bool,
}

/// The parts of a Function URL event (payload format 2.0) that are used. What is missing is empty, so that no
/// request fails before it is looked at.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FunctionUrlEvent<'a> {
    #[serde(default, borrow)]
    raw_path: Cow<'a, str>,
    #[serde(default, borrow)]
    raw_query_string: Cow<'a, str>,
    #[serde(default)]
    headers: Option<HashMap<String, String>>,
    #[serde(borrow)]
    request_context: RequestContext<'a>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestContext<'a> {
    #[serde(default, borrow)]
    domain_name: Cow<'a, str>,
    #[serde(borrow)]
    http: Http<'a>,
}

#[derive(Deserialize)]
struct Http<'a> {
    #[serde(borrow)]
    method: Cow<'a, str>,
}

impl<K: Keys, B: Bus> Function<K, B> {
    /// Answers one invocation before `deadline`, and returns the answer with the line to log.
    pub async fn invoke(
        &self,
        event: &str,
        request_id: &str,
        deadline: SystemTime,
    ) -> (FunctionAnswer, String) {
        let deadline = time_to_answer(deadline);
        let record = match Request::of_function_url(event, self.public_url.as_ref()) {
            Ok(request) => self.bridge.handle(request, deadline).await,
            Err(outcome) => Record { outcome, ..Record::of(self.bridge.provider, event.len()) },
        };
        let answer = record.answer();
        let headers =
            [("content-type", "text/plain; charset=utf-8")].into_iter().chain(answer.header).collect();
        let line = log_line(&record, &self.name, request_id);
        let (status_code, body) = (answer.status, answer.body);
        (FunctionAnswer { status_code, headers, body, is_base64_encoded: false }, line)
    }
}

impl Request {
    /// The HTTP request that a Function URL event (payload format 2.0) describes.
    ///
    /// # Errors
    /// What becomes of it at once, when it describes none.
    pub fn of_function_url(event: &str, public_url: Option<&PublicUrl>) -> Result<Self, Outcome> {
        let event: FunctionUrlEvent<'_> = serde_json::from_str(event).map_err(|_| Outcome::NotARequest)?;
        let url = RequestUrl {
            scheme: "https",
            authority: event.request_context.domain_name.into_owned(),
            path: if event.raw_path.is_empty() { "/".into() } else { event.raw_path.into_owned() },
            query: Some(event.raw_query_string.into_owned()).filter(|query| !query.is_empty()),
        };
        let method = Method::from_bytes(event.request_context.http.method.as_bytes());
        let method = method.map_err(|_| Outcome::NotARequest)?;
        let body = event.body.unwrap_or_default();
        let body = match event.is_base64_encoded.then(|| BASE64.decode(&body)) {
            Some(Ok(decoded)) => decoded,
            // Not the base64 it is said to be: nobody has signed what nobody can read.
            Some(Err(_)) if method == Method::POST => return Err(Outcome::Refused(Refusal::BodyNotCovered)),
            Some(Err(_)) => Vec::new(),
            None => body.into_bytes(),
        };
        Ok(Request {
            method,
            webhook: Webhook::new(
                public_url.map_or(url.clone(), |public| public.seen_from_outside(url)),
                Webhook::headers(event.headers.unwrap_or_default()),
                Bytes::from(body),
            ),
        })
    }
}
