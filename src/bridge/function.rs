//! The Lambda function `bridge`: a [`WebhookHandler`] behind a Function URL.
//!
//! Every request gets a response with a status that `docs/reference/status-codes.md` documents.

use std::time::SystemTime;

use http::{HeaderName, Method, StatusCode};

use super::{Outcome, RequestLog, WebhookHandler, WebhookRequest, WebhookResponse, format_emf_line};
use crate::bus::Bus;
use crate::lambda::{FunctionUrlRequest, FunctionUrlResponse, handling_deadline};
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
        let line = format_emf_line(&request_log, &self.function_name, request_id);
        let WebhookResponse { status, extra_header, body } = request_log.response();
        let headers = [("content-type", "text/plain; charset=utf-8")].into_iter().chain(extra_header);
        let headers = headers.map(|(name, value)| (HeaderName::from_static(name), value.to_owned()));
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (FunctionUrlResponse::new(status, headers, body.into_owned().into_bytes()), line)
    }
}

impl WebhookRequest {
    /// Parses the HTTP request in a Function URL event (payload format 2.0).
    ///
    /// # Errors
    /// When the event is not an HTTP request, or the body of a POST is invalid base64. The error is the request's
    /// [`Outcome`].
    pub fn from_function_url_event(event: &str, public_url: Option<&PublicUrl>) -> Result<Self, Outcome> {
        let request = FunctionUrlRequest::parse(event).map_err(|_| Outcome::InvalidInvocation)?;
        let body = match request.body() {
            Ok(body) => body,
            // Invalid base64 encodes no body, so the signature cannot cover the body.
            Err(_) if request.method == Method::POST => {
                return Err(Outcome::VerificationFailed(VerificationError::BodyNotSigned));
            }
            Err(_) => Vec::new(),
        };
        let url = RequestUrl {
            scheme: "https",
            authority: request.host,
            path: if request.path.is_empty() { "/".into() } else { request.path },
            query: Some(request.query).filter(|query| !query.is_empty()),
        };
        let url = public_url.map_or(url.clone(), |public| public.rewrite(url));
        Ok(WebhookRequest {
            method: request.method,
            webhook: RawWebhook::new(url, request.headers, body.into()),
        })
    }
}
