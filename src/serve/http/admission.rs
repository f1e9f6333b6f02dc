//! Admission control for webhooks: limits on concurrency, on the size of a body, and on the time to receive a body. A request
//! that exceeds a limit is rejected before its signature is verified.

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

/// The maximum size of a request body: the limit of a Function URL.
const MAX_BODY_BYTES: usize = 6_291_456;

/// Limits the number of webhooks in flight. All webhook endpoints of a server share one limit.
pub struct AdmissionControl(Semaphore);

/// Why a request was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// The concurrency limit is reached.
    TooManyRequests,
    BodyTooLarge,
    /// The connection broke before the end of the body.
    BodyIncomplete,
    BodyTimeout,
}

impl Rejected {
    pub fn status(self) -> StatusCode {
        match self {
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyIncomplete => StatusCode::BAD_REQUEST,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
        }
    }

    /// The reason as one word, as for the outcome of a webhook.
    pub fn reason(self) -> &'static str {
        match self {
            Self::TooManyRequests => "too-many-in-flight",
            Self::BodyTooLarge => "too-large",
            Self::BodyIncomplete => "incomplete",
            Self::BodyTimeout => "timeout",
        }
    }

    pub fn into_response(self) -> Response {
        let text = match self {
            // The text with which Lambda, too, answers a throttled request.
            Self::TooManyRequests => "TooManyRequestsException",
            Self::BodyTooLarge => "Payload Too Large",
            Self::BodyIncomplete => "Bad Request",
            Self::BodyTimeout => "Request Timeout",
        };
        (self.status(), format!("{text}\n")).into_response()
    }
}

impl AdmissionControl {
    pub fn new(concurrency: usize) -> Self {
        Self(Semaphore::new(concurrency))
    }

    /// Reads the body of a request, and returns it with a permit. The request counts against the concurrency limit until the
    /// permit is dropped.
    pub async fn admit(
        &self,
        body: Body,
        deadline: Instant,
    ) -> Result<(Bytes, SemaphorePermit<'_>), Rejected> {
        let permit = self.0.try_acquire().map_err(|_| Rejected::TooManyRequests)?;
        match timeout_at(deadline, Limited::new(body, MAX_BODY_BYTES).collect()).await {
            Ok(Ok(body)) => Ok((body.to_bytes(), permit)),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Rejected::BodyTooLarge),
            Ok(Err(_)) => Err(Rejected::BodyIncomplete),
            Err(_) => Err(Rejected::BodyTimeout),
        }
    }
}
