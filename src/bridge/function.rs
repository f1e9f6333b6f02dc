//! The Lambda function `bridge`: a [`WebhookHandler`] behind a front door (Function URL, API Gateway or load balancer).
//!
//! Every request gets a response with a status that `docs/reference/status-codes.md` documents.

use http::{HeaderName, Method, StatusCode};

use super::metrics::{HANDSHAKE, LogContext, format_omitted_line};
use super::{Outcome, RefusalLogLimiter, RequestLog, WebhookHandler, WebhookResponse, format_emf_line};
use crate::bus::Bus;
use crate::lambda::{HttpRequest, HttpResponse, Invocation, PayloadFormat, handling_deadline};
use crate::providers::{PublicUrl, RawWebhook, UrlSpellings, VerificationError};
use crate::secrets::SigningSecrets;

/// The function `bridge`: its webhook handler and its settings.
pub struct BridgeFunction<S, B> {
    /// Verify the webhooks and publish or archive them. A single handler gets every request; of several, each gets the requests
    /// whose path ends with the name of its provider.
    pub handlers: Vec<WebhookHandler<S, B>>,
    /// The URL that is configured at the provider; `None` if the URL that the function receives is used.
    pub public_url: Option<PublicUrl>,
    /// The function's name, a dimension of the metrics.
    pub function_name: String,
    /// Limits the log lines of refused requests.
    pub refusal_log_limiter: RefusalLogLimiter,
}

impl<S: SigningSecrets, B: Bus> BridgeFunction<S, B> {
    /// Handles one invocation before its deadline, and returns the response and the log line. There is no line for
    /// a health check of a load balancer, or for a refused request above the limit of `refusal_log_limiter`.
    pub async fn invoke(&self, event: &str, invocation: &Invocation<'_>) -> (HttpResponse, Option<String>) {
        let deadline = handling_deadline(invocation.deadline);
        let Some(first) = self.handlers.first() else {
            let response =
                HttpResponse::new(PayloadFormat::V2, StatusCode::INTERNAL_SERVER_ERROR, [], Vec::new());
            return (response, None);
        };
        let rejected = |provider, outcome| RequestLog { outcome, ..RequestLog::new(provider, event.len()) };
        let (payload_format, request_log) = match HttpRequest::parse(event) {
            Ok(request) if request.is_health_check() => {
                let response = HttpResponse::new(request.payload_format, StatusCode::OK, [], b"OK".to_vec());
                return (response, None);
            }
            Ok(request) => {
                let payload_format = request.payload_format;
                let request_log = match self.find_handler(&request.url.path) {
                    None => rejected(first.provider, Outcome::UnknownPath),
                    Some(handler) => match webhook_from_http_request(request, self.public_url.as_ref()) {
                        Ok(webhook) => handler.handle(webhook, invocation.trace_header, deadline).await,
                        Err(error) => rejected(handler.provider, Outcome::VerificationFailed(error)),
                    },
                };
                (payload_format, request_log)
            }
            Err(_) => (PayloadFormat::V2, rejected(first.provider, Outcome::InvalidInvocation)),
        };
        let omitted = match request_log.outcome.as_str() {
            "refused" => {
                self.refusal_log_limiter.admit_line(request_log.outcome.reason().unwrap_or_default())
            }
            // Anybody can send an unsigned handshake, too.
            HANDSHAKE => self.refusal_log_limiter.admit_line(HANDSHAKE),
            _ => Some(0),
        };
        let line = omitted.map(|omitted| {
            let context = LogContext {
                function: &self.function_name,
                request_id: invocation.request_id,
                omitted,
                shows_provider: self.handlers.len() > 1,
            };
            format_emf_line(&request_log, &context)
        });
        let WebhookResponse { status, media_type, headers, body } = request_log.response();
        let headers = [("content-type", media_type.to_owned())].into_iter().chain(headers);
        let headers = headers.map(|(name, value)| (HeaderName::from_static(name), value));
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (HttpResponse::new(payload_format, status, headers, body.into_owned().into_bytes()), line)
    }

    /// The handler of the requests with this path.
    fn find_handler(&self, path: &str) -> Option<&WebhookHandler<S, B>> {
        if let [handler] = &self.handlers[..] {
            return Some(handler);
        }
        let name = path.trim_end_matches('/').rsplit('/').next();
        self.handlers.iter().find(|handler| Some(handler.provider.name) == name)
    }

    /// Waits until log lines were omitted, and returns lines that count the omitted refusals.
    pub async fn next_omitted_lines(&self) -> Vec<String> {
        let omitted = self.refusal_log_limiter.next_omitted().await;
        omitted
            .into_iter()
            .map(|(reason, count)| format_omitted_line(&self.function_name, reason, count))
            .collect()
    }
}

/// The webhook in an HTTP request; `public_url` is the URL that is configured at the provider, if it is known.
///
/// # Errors
/// When the body of a POST is invalid base64.
pub fn webhook_from_http_request(
    request: HttpRequest,
    public_url: Option<&PublicUrl>,
) -> Result<RawWebhook, VerificationError> {
    let body = match request.body() {
        Ok(body) => body,
        // Invalid base64 encodes no body, so the signature cannot cover the body.
        Err(_) if request.method == Method::POST => return Err(VerificationError::BodyNotSigned),
        Err(_) => Vec::new(),
    };
    let urls = UrlSpellings::new(request.url, public_url);
    Ok(RawWebhook::new(request.method, urls, request.headers, body.into()))
}
