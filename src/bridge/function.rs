//! The Lambda function `bridge`: a [`WebhookHandler`] behind a Function URL.
//!
//! This module parses the invocation event without `lambda_http`. That crate ends the process on a body that is invalid
//! base64, fails the invocation on a header with a control character, and rewrites the URL that Twilio signs. Here
//! every request gets a response with a status that `docs/reference/status-codes.md` documents.

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
use crate::lambda::handling_deadline;
use crate::providers::{PublicUrl, RawWebhook, RequestUrl, VerificationError};
use crate::secrets::SigningSecrets;

/// The function `bridge`: its webhook handler and its settings.
pub struct BridgeFunction<S, B> {
    /// Verifies the webhooks and publishes or archives them.
    pub handler: WebhookHandler<S, B>,
    /// The URL of the custom domain in front of the function, if any.
    pub public_url: Option<PublicUrl>,
    /// The function's name, a dimension of the metrics.
    pub function_name: String,
}

/// A response in the format of a Function URL.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionUrlResponse {
    status_code: u16,
    headers: HashMap<&'static str, &'static str>,
    body: Cow<'static, str>,
    is_base64_encoded: bool,
}

/// The fields of a Function URL event (payload format 2.0) that the function uses. Most default to empty, so that
/// an incomplete event still gets a response.
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

impl<S: SigningSecrets, B: Bus> BridgeFunction<S, B> {
    /// Handles one invocation before `deadline`, and returns the response and the log line.
    pub async fn invoke(
        &self,
        event: &str,
        request_id: &str,
        deadline: SystemTime,
    ) -> (FunctionUrlResponse, String) {
        let deadline = handling_deadline(deadline);
        let request_log = match WebhookRequest::from_function_url_event(event, self.public_url.as_ref()) {
            Ok(request) => self.handler.handle(request, deadline).await,
            Err(outcome) => RequestLog { outcome, ..RequestLog::new(self.handler.provider, event.len()) },
        };
        let response = request_log.response();
        let headers = [("content-type", "text/plain; charset=utf-8")]
            .into_iter()
            .chain(response.extra_header)
            .collect();
        let line = format_emf_line(&request_log, &self.function_name, request_id);
        let (status_code, body) = (response.status, response.body);
        (FunctionUrlResponse { status_code, headers, body, is_base64_encoded: false }, line)
    }
}

impl WebhookRequest {
    /// Parses the HTTP request in a Function URL event (payload format 2.0).
    ///
    /// # Errors
    /// When the event is not an HTTP request, or the body of a POST is invalid base64. The error is the request's
    /// [`Outcome`].
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
            // The provider cannot have signed a body that does not decode.
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
