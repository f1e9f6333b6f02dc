//! The errors of the API, with their status and body.

use http::{StatusCode, header};
use jiff::Timestamp;
use serde_json::json;
use tracing::error;

use super::ApiResponse;
use crate::db::DatabaseError;
use crate::delivery::{SignerError, SubscriberServiceError};

pub(crate) enum ApiError {
    BadRequest(String),
    Unauthorized,
    Forbidden(&'static str),
    NotFound(String),
    /// Contains the allowed methods, for example `GET, POST`.
    MethodNotAllowed(&'static str),
    /// The client requested a stream of events from a server that returns only pages of events.
    StreamUnavailable,
    Conflict(&'static str),
    /// Another reader holds the consumer's lease. The time is the lease's expiry; `None` if the expiry is unknown.
    Leased(Option<Timestamp>),
    /// The acknowledged lease is not the consumer's current lease, for example because the acknowledged lease has expired.
    NotLeased,
    /// Retention has deleted events after the cursor.
    CursorExpired,
    /// The cursor is beyond the end of the log.
    CursorAhead,
    BodyTooLarge,
    /// The token secret cannot be read, so requests cannot be authenticated.
    Unavailable,
    /// A sample webhook could not be signed or sent.
    #[cfg(feature = "command")]
    SampleNotSent(String),
    /// The Lambda invocation's deadline passed before the response was complete.
    TimedOut,
    /// The log's database failed.
    Log(DatabaseError),
    /// An operation on subscribers or deliveries failed.
    Service(SubscriberServiceError),
}

impl From<DatabaseError> for ApiError {
    fn from(error: DatabaseError) -> Self {
        Self::Log(error)
    }
}

impl From<SubscriberServiceError> for ApiError {
    fn from(error: SubscriberServiceError) -> Self {
        Self::Service(error)
    }
}

impl ApiError {
    pub(super) fn into_response(self) -> ApiResponse {
        let status = self.status();
        let code = match self {
            Self::Leased(_) => Some("leased"),
            Self::NotLeased => Some("not_leased"),
            Self::CursorExpired => Some("cursor_expired"),
            Self::CursorAhead => Some("cursor_ahead"),
            _ => None,
        };
        let message = self.message();
        let object = match code {
            Some(code) => json!({"code": code, "message": message}),
            None => json!({"message": message}),
        };
        let body = json!({"errors": [object]}).to_string();
        let response = ApiResponse::json(status, body);
        match self {
            Self::Unauthorized => response.with_header(header::WWW_AUTHENTICATE, "Bearer"),
            Self::MethodNotAllowed(methods) => response.with_header(header::ALLOW, methods),
            Self::Leased(_) => response.with_header(header::RETRY_AFTER, "1"),
            Self::Log(_) => response.with_header(header::RETRY_AFTER, "5"),
            _ if status == StatusCode::SERVICE_UNAVAILABLE => response.with_header(header::RETRY_AFTER, "5"),
            _ => response,
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::StreamUnavailable => StatusCode::NOT_ACCEPTABLE,
            Self::Conflict(_) | Self::Leased(_) | Self::NotLeased => StatusCode::CONFLICT,
            Self::CursorExpired | Self::CursorAhead => StatusCode::GONE,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unavailable | Self::TimedOut | Self::Log(DatabaseError::Unavailable(_)) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            #[cfg(feature = "command")]
            Self::SampleNotSent(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Log(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Service(error) => service_status(error),
        }
    }

    /// The message for the client. If the database or the source of the encryption keys fails, the error is logged, and the
    /// client receives a general message instead.
    fn message(&self) -> String {
        match self {
            Self::BadRequest(message) | Self::NotFound(message) => message.clone(),
            Self::Unauthorized => "Unauthorized.".into(),
            Self::Forbidden(message) | Self::Conflict(message) => (*message).into(),
            Self::MethodNotAllowed(methods) => format!("Use {methods}."),
            Self::StreamUnavailable => "Streaming is not supported here; use long polling (wait=25).".into(),
            Self::Leased(until) => {
                let until = until.map(|until| format!(" until {until:.0}")).unwrap_or_default();
                format!("Another reader holds the lease of this consumer{until}.")
            }
            Self::NotLeased => {
                "The lease has expired, or the consumer was moved. Read the events again; they may repeat.".into()
            }
            Self::CursorExpired => {
                "Retention has deleted events after this cursor. Continue with after=start, the oldest event kept, and get the missing events from their source.".into()
            }
            Self::CursorAhead => {
                "The log ends before this cursor, for example because an older backup was restored. Continue with after=start, or with a time: after=2026-11-22T10:00:00Z. Events may repeat.".into()
            }
            Self::BodyTooLarge => "The body is larger than 64 KB.".into(),
            Self::Unavailable => "Try again later.".into(),
            #[cfg(feature = "command")]
            Self::SampleNotSent(error) => format!("The sample was not sent: {error}."),
            Self::TimedOut => "The request timed out; it may still have completed.".into(),
            Self::Log(error) => {
                error!(error = error.to_string(), "cannot read the log");
                "The log is unavailable. Try again later.".into()
            }
            Self::Service(error) if service_status(error) == StatusCode::SERVICE_UNAVAILABLE => {
                error!(error = error.to_string(), "subscriber request failed");
                "Service unavailable; try again later.".into()
            }
            Self::Service(error) => error.to_string(),
        }
    }
}

fn service_status(error: &SubscriberServiceError) -> StatusCode {
    match error {
        SubscriberServiceError::NotFound(_) => StatusCode::NOT_FOUND,
        SubscriberServiceError::NameTaken(_)
        | SubscriberServiceError::Conflict(_)
        | SubscriberServiceError::UnchangedState(..) => StatusCode::CONFLICT,
        SubscriberServiceError::MissingUrl
        | SubscriberServiceError::Settings(_)
        | SubscriberServiceError::BlockedUrl(_)
        | SubscriberServiceError::InvalidSecret(_)
        | SubscriberServiceError::ShortSecret
        | SubscriberServiceError::Filter(_)
        | SubscriberServiceError::Signer(SignerError::Secret(_)) => StatusCode::BAD_REQUEST,
        SubscriberServiceError::Key(_)
        | SubscriberServiceError::Reencrypt(..)
        | SubscriberServiceError::Signer(SignerError::Key(_)) => StatusCode::INTERNAL_SERVER_ERROR,
        SubscriberServiceError::Keys(_) | SubscriberServiceError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}
