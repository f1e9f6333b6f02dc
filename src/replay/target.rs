//! The targets of a replay: an event bus, a URL or an SQS queue.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::config::retry::RetryConfig;
use jiff::Timestamp;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONTENT_TYPE, HeaderName};
use tokio::time::Instant;

use crate::aws;
use crate::aws::{AttemptFailure, AwsError, retry, retry_with_attempt_timeout};
use crate::bus::{Bus, EventBridge};
use crate::delivery::{BlockedUrlError, InvalidSecretError, SIGNATURE_HEADERS, SigningSecret, SsrfGuard};
use crate::log::{NewEvent, SearchColumns, StoredEvent};
use crate::recorder;
use crate::util::error::error_chain;
use crate::util::http_client;

/// The timeout for one HTTP request to the target.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(20);
/// The header by which a receiver recognises a replayed event without parsing the body.
const REPLAY_HEADER: HeaderName = HeaderName::from_static("hookbridge-replay");

/// A destination for replayed events.
pub enum ReplayTarget<B> {
    /// An event bus.
    Bus(B),
    /// An SQS queue, by its URL.
    Queue(Box<aws_sdk_sqs::Client>, String),
    /// An HTTP endpoint. With a secret, the replay signs each request.
    Url(reqwest::Client, reqwest::Url, Option<SigningSecret>),
}

/// Why a target is not valid.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The target URL is not valid.
    #[error("--to-url: '{0}' is not a URL; the format is https://HOST/PATH")]
    Url(String),
    /// The queue URL is not valid.
    #[error(
        "--to-queue: '{0}' is not the URL of an SQS queue; the format is https://sqs.REGION.amazonaws.com/ACCOUNT/NAME"
    )]
    Queue(String),
    /// The signing secret is not valid.
    #[error("invalid --secret")]
    Secret(#[from] InvalidSecretError),
    /// The HTTP client cannot be built.
    #[error("cannot build the HTTP client for the target URL")]
    Client(#[source] reqwest::Error),
    /// The SSRF guard blocked the target URL.
    #[error(transparent)]
    Blocked(#[from] BlockedUrlError),
}

/// Resolves host names through the SSRF guard.
struct GuardedResolver(SsrfGuard);

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.0.clone();
        Box::pin(async move {
            let addresses = guard.resolve_name(name.as_str()).await?;
            // reqwest sets the port.
            let addresses = addresses.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(addresses) as Addrs)
        })
    }
}

impl ReplayTarget<EventBridge> {
    /// An EventBridge bus, by name or ARN.
    pub async fn event_bridge(name: &str) -> Self {
        Self::Bus(EventBridge::new(&aws::command_config().await, name.to_owned()))
    }
}

impl<B: Bus> ReplayTarget<B> {
    /// An SQS queue.
    ///
    /// # Errors
    /// The URL is not valid.
    pub async fn queue(url: &str) -> Result<Self, TargetError> {
        if !["https://", "http://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(TargetError::Queue(url.to_owned()));
        }
        let config = aws::command_config().await;
        let config = aws_sdk_sqs::config::Builder::from(&config).retry_config(RetryConfig::disabled());
        Ok(Self::Queue(Box::new(aws_sdk_sqs::Client::from_conf(config.build())), url.to_owned()))
    }

    /// A URL that the operator has chosen: requests may go to any address, through the proxy of the environment.
    ///
    /// # Errors
    /// The URL or the secret is not valid.
    pub fn url(url: &str, secret: Option<&str>) -> Result<Self, TargetError> {
        let secret = secret.map(str::parse).transpose()?;
        let invalid_url = || TargetError::Url(url.to_owned());
        let parsed = reqwest::Url::parse(url).map_err(|_| invalid_url())?;
        let host = parsed.host_str().filter(|_| ["http", "https"].contains(&parsed.scheme()));
        let client = http_client::client_for(host.ok_or_else(invalid_url)?).map_err(TargetError::Client)?;
        Ok(Self::Url(client, parsed, secret))
    }

    /// A URL that a client of the API has chosen: requests go only to addresses that the SSRF guard permits.
    ///
    /// # Errors
    /// The URL is not valid, or is blocked.
    pub async fn guarded_url(url: &str, guard: &SsrfGuard) -> Result<Self, TargetError> {
        let url = guard.resolve_and_check(url).await?;
        let guard = if url.scheme() == "https" { guard.clone() } else { guard.clone().allowed_only() };
        let client = http_client::client_builder().no_proxy().dns_resolver(Arc::new(GuardedResolver(guard)));
        Ok(Self::Url(client.build().map_err(TargetError::Client)?, url, None))
    }

    /// Sends an event with `replay_urn` as an additional resource, and returns before `deadline`.
    ///
    /// # Errors
    /// The target did not accept the event.
    pub async fn send(
        &self,
        mut event: StoredEvent,
        replay_urn: &str,
        deadline: Instant,
    ) -> Result<(), AwsError> {
        match self {
            Self::Bus(bus) => {
                let mut event = recorder::to_event(&to_new_event(&event)).ok_or(AwsError::TooLarge)?;
                event.resources.push(replay_urn.to_owned());
                bus.publish(&Arc::new(event), deadline).await
            }
            Self::Queue(client, url) => {
                let envelope = envelope(&mut event, replay_urn)?;
                let request = client.send_message().queue_url(url).message_body(envelope);
                retry("SendMessage", deadline, || async {
                    request.clone().send().await.map_err(|error| AttemptFailure::from_sdk_error(&error))?;
                    Ok(())
                })
                .await
            }
            Self::Url(client, url, secret) => {
                let (id, envelope) = (event.key.id.clone(), envelope(&mut event, replay_urn)?);
                retry_with_attempt_timeout("POST", deadline, RESPONSE_TIMEOUT, || async {
                    let request = client.post(url.clone()).header(CONTENT_TYPE, "application/json");
                    let mut request = request.header(REPLAY_HEADER, replay_urn);
                    if let Some(secret) = secret {
                        let signature_values = secret.sign(&id, Timestamp::now(), envelope.as_bytes());
                        for (name, value) in SIGNATURE_HEADERS.into_iter().zip(signature_values) {
                            request = request.header(name, value);
                        }
                    }
                    let response = request.body(envelope.clone()).send().await;
                    let response = response
                        .map_err(|error| AttemptFailure::Transient(error_chain(&error.without_url())))?;
                    match response.status() {
                        status if status.is_success() => Ok(()),
                        status if status.is_server_error() || status.as_u16() == 429 => {
                            Err(AttemptFailure::Transient(format!("the target returned status {status}")))
                        }
                        status => Err(AttemptFailure::Permanent(AwsError::Rejected(format!(
                            "the target returned status {status}"
                        )))),
                    }
                })
                .await
            }
        }
    }
}

/// Writes the EventBridge envelope of an event with `replay_urn` as its last resource.
fn envelope(event: &mut StoredEvent, replay_urn: &str) -> Result<String, AwsError> {
    event.resources.push(replay_urn.to_owned());
    let mut json = Vec::with_capacity(event.detail.len() + 512);
    event.write_json(&mut json);
    String::from_utf8(json).map_err(|error| AwsError::Malformed(error.to_string()))
}

/// Converts a stored event back into a [`NewEvent`], without search columns.
fn to_new_event(event: &StoredEvent) -> NewEvent<'_> {
    NewEvent {
        time: event.key.time,
        id: event.key.id.as_str().into(),
        source: event.source.as_str().into(),
        detail_type: event.detail_type.as_str().into(),
        account: event.account.as_str().into(),
        region: event.region.as_str().into(),
        resources: event.resources.clone(),
        detail: event.detail.as_str().into(),
        search_columns: SearchColumns::default(),
    }
}
