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

use super::{Outcome, RequestLog, WebhookHandler, WebhookRequest, format_emf_line};
use crate::bus::Bus;
use crate::invocation::time_to_answer;
use crate::providers::{PublicUrl, RawWebhook, RequestUrl, VerificationError};
use crate::secrets::SigningSecrets;

/// The function: a bridge, and what it needs to know of its URL.
pub struct BridgeFunction<K, B> {
    /// What it does.
    pub handler: WebhookHandler<K, B>,
    /// Where a custom domain stands in front of it.
    pub public_url: Option<PublicUrl>,
    /// Its name, for the metrics.
    pub function_name: String,
}

/// The answer in the form a Function URL wants.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionUrlResponse {
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

impl<K: SigningSecrets, B: Bus> BridgeFunction<K, B> {
    /// Answers one invocation before `deadline`, and returns the answer with the line to log.
    pub async fn invoke(
        &self,
        event: &str,
        request_id: &str,
        deadline: SystemTime,
    ) -> (FunctionUrlResponse, String) {
        let deadline = time_to_answer(deadline);
        let record = match WebhookRequest::from_function_url_event(event, self.public_url.as_ref()) {
            Ok(request) => self.handler.handle(request, deadline).await,
            Err(outcome) => RequestLog { outcome, ..RequestLog::new(self.handler.provider, event.len()) },
        };
        let answer = record.response();
        let headers =
            [("content-type", "text/plain; charset=utf-8")].into_iter().chain(answer.extra_header).collect();
        let line = format_emf_line(&record, &self.function_name, request_id);
        let (status_code, body) = (answer.status, answer.body);
        (FunctionUrlResponse { status_code, headers, body, is_base64_encoded: false }, line)
    }
}

impl WebhookRequest {
    /// The HTTP request that a Function URL event (payload format 2.0) describes.
    ///
    /// # Errors
    /// What becomes of it at once, when it describes none.
    pub fn from_function_url_event(event: &str, public_url: Option<&PublicUrl>) -> Result<Self, Outcome> {
        let event: FunctionUrlEvent<'_> =
            serde_json::from_str(event).map_err(|_| Outcome::InvalidInvocation)?;
        let url = RequestUrl {
            scheme: "https",
            authority: event.request_context.domain_name.into_owned(),
            path: if event.raw_path.is_empty() { "/".into() } else { event.raw_path.into_owned() },
            query: Some(event.raw_query_string.into_owned()).filter(|query| !query.is_empty()),
        };
        let method = Method::from_bytes(event.request_context.http.method.as_bytes());
        let method = method.map_err(|_| Outcome::InvalidInvocation)?;
        let body = event.body.unwrap_or_default();
        let body = match event.is_base64_encoded.then(|| BASE64.decode(&body)) {
            Some(Ok(decoded)) => decoded,
            // Not the base64 it is said to be: nobody has signed what nobody can read.
            Some(Err(_)) if method == Method::POST => {
                return Err(Outcome::VerificationFailed(VerificationError::BodyNotSigned));
            }
            Some(Err(_)) => Vec::new(),
            None => body.into_bytes(),
        };
        Ok(WebhookRequest {
            method,
            webhook: RawWebhook::new(
                public_url.map_or(url.clone(), |public| public.rewrite(url)),
                RawWebhook::header_map(event.headers.unwrap_or_default()),
                Bytes::from(body),
            ),
        })
    }
}
