//! Delivery: sends events to subscribers as signed webhooks, at least once, and records every attempt.
//!
//! [`Dispatcher`] creates, claims and attempts deliveries. [`DeliveryStore`] stores them in the log's database.
//! [`SubscriberService`] manages subscribers for the commands and for the HTTP API.

mod client;
mod concurrency;
mod dispatcher;
mod environment;
mod function;
mod health_events;
#[cfg(feature = "command")]
mod key_file;
mod key_ring;
mod key_source;
mod queue;
mod schedule;
mod signature;
mod signer;
mod ssrf;
mod store;
mod subscriber;
mod subscriber_service;
pub mod view;

pub use client::DeliveryClient;
pub use dispatcher::{
    ArrivedEvent, AttemptOutcome, Clock, DispatchError, Dispatcher, FinishedAttempt, InFlightDelivery,
    SweepError, SweepReport,
};
pub use environment::{DispatcherEnvironment, SubscribersEnvironment};
pub use function::{DispatcherFunction, DispatcherInvocationError};
#[cfg(feature = "command")]
pub use key_file::KeyFileError;
pub use key_ring::{KeyError, KeyRing};
pub use key_source::{KeySource, KeySourceError};
pub use queue::{RetryMessage, RetryQueue};
pub use schedule::RETRY_SCHEDULE;
pub use signature::{InvalidSecretError, SIGNATURE_HEADERS, SigningSecret};
pub use signer::DeliverySignature;
pub use ssrf::{BlockedUrlError, SsrfGuard};
pub use store::{
    AttemptView, DeliveryFilter, DeliveryHistory, DeliveryState, DeliveryStore, DeliveryView, SubscriberStore,
};
pub use subscriber::{Envelope, PauseReason, SettingsError, SignerError, Subscriber, SubscriberSettings};
pub use subscriber_service::{MAX_OVERLAP, SubscriberService, SubscriberServiceError, SubscriberUpdate};
