//! What a webhook passes before anything of it is read: there is a place for it in hand, and its body comes whole, in time and
//! within the limit.

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

/// The largest body that is read, in bytes: what a Function URL takes.
const MAX_BODY: usize = 6_291_456;

/// The gate of a server, which all of its endpoints share.
pub struct Gate(Semaphore);

/// Why a request was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnedAway {
    /// As many as the server takes are in hand.
    TooMany,
    /// Its body is too large.
    TooLarge,
    /// Its body did not come as a whole.
    Broken,
    /// Its body did not come in time.
    TooSlow,
}

impl TurnedAway {
    /// The status of the answer.
    pub fn status(self) -> StatusCode {
        match self {
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Broken => StatusCode::BAD_REQUEST,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
        }
    }

    /// The answer.
    pub fn answer(self) -> Response {
        let why = match self {
            // As Lambda says it.
            Self::TooMany => "TooManyRequestsException",
            Self::TooLarge => "Payload Too Large",
            Self::Broken => "Bad Request",
            Self::TooSlow => "Request Timeout",
        };
        (self.status(), format!("{why}\n")).into_response()
    }
}

impl Gate {
    /// One that lets in so many at once.
    pub fn new(concurrency: usize) -> Self {
        Self(Semaphore::new(concurrency))
    }

    /// The body of a request, and its place, which it has until that is dropped.
    ///
    /// # Errors
    /// [`TurnedAway`].
    pub async fn admit(
        &self,
        body: Body,
        deadline: Instant,
    ) -> Result<(Bytes, SemaphorePermit<'_>), TurnedAway> {
        let place = self.0.try_acquire().map_err(|_| TurnedAway::TooMany)?;
        match timeout_at(deadline, Limited::new(body, MAX_BODY).collect()).await {
            Ok(Ok(body)) => Ok((body.to_bytes(), place)),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(TurnedAway::TooLarge),
            Ok(Err(_)) => Err(TurnedAway::Broken),
            Err(_) => Err(TurnedAway::TooSlow),
        }
    }
}
