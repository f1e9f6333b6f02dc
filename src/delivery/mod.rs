//! Delivery: sends events to subscribers as signed webhooks, at least once, and records every attempt.
//!
//! [`DeliveryWorker`] creates, claims and attempts deliveries. [`DeliveryStore`] stores them in the log's database.
//! [`SubscriberService`] manages subscribers for the commands and for the HTTP API.

mod client;
mod concurrency;
mod connection;
mod encryption;
mod environment;
mod function;
mod health;
mod schedule;
mod signature;
mod signer;
mod ssrf;
mod store;
mod subscriber;
mod subscriber_service;
pub mod view;
mod wake_queue;
mod worker;

pub use client::DeliveryClient;
#[cfg(feature = "command")]
pub use encryption::KeyFileError;
pub use encryption::{KeyError, KeyRing, KeySource, KeySourceError};
pub use environment::{DispatcherEnvironment, SubscribersEnvironment};
pub use function::{DispatcherFunction, DispatcherInvocationError};
pub use schedule::RETRY_SCHEDULE;
pub use signature::{InvalidSecretError, SIGNATURE_HEADERS, SigningSecret};
pub use signer::DeliverySignature;
pub use ssrf::{BlockedUrlError, SsrfGuard};
pub use store::{
    AttemptView, DeliveryFilter, DeliveryHistory, DeliveryState, DeliveryStore, DeliveryView, PageClaim,
    SubscriberStore,
};
pub use subscriber::{Envelope, PauseReason, SettingsError, SignerError, Subscriber, SubscriberSettings};
pub use subscriber_service::{MAX_OVERLAP, SubscriberService, SubscriberServiceError, SubscriberUpdate};
pub use wake_queue::{WakeMessage, WakeQueue};
pub use worker::{
    ArrivedEvent, AttemptOutcome, AttemptRunner, ClaimedPage, Clock, DeliveryWorker, FinishedAttempt,
    InFlightDelivery, SweepReport, WorkerError,
};
