//! The webhook endpoints: one handler per provider, and the bus that the handlers share.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

use super::config::{BusSetting, ServeSettings};
use super::{ServeError, development_secrets};
use crate::archive::{Archive, ArchiveUrl, FolderArchive, S3Archive};
use crate::aws;
use crate::aws::AwsError;
use crate::bridge::WebhookHandler;
use crate::bus::{Bus, EventBridge, LocalBus};
use crate::event::Event;
use crate::providers;
use crate::secrets::{Secret, StaticSecret};

/// The bus on which `hookbridge serve` publishes events.
pub(super) enum ServedBus {
    Local(LocalBus),
    EventBridge(EventBridge),
}

impl Bus for Arc<ServedBus> {
    async fn publish(&self, event: &Arc<Event>, deadline: Instant) -> Result<(), AwsError> {
        match &**self {
            ServedBus::Local(bus) => bus.publish(event, deadline).await,
            // Boxed, so that a webhook's future does not reserve space for the SDK call when the bus is local.
            ServedBus::EventBridge(bus) => Box::pin(bus.publish(event, deadline)).await,
        }
    }

    async fn publish_all(
        &self,
        events: &[Arc<Event>],
        max_request_bytes: usize,
        deadline: Instant,
    ) -> Vec<Result<(), AwsError>> {
        match &**self {
            ServedBus::Local(bus) => bus.publish_all(events, max_request_bytes, deadline).await,
            ServedBus::EventBridge(bus) => bus.publish_all(events, max_request_bytes, deadline).await,
        }
    }
}

pub(super) struct WebhookEndpoint {
    pub(super) handler: WebhookHandler<StaticSecret, Arc<ServedBus>>,
    pub(super) secret: Secret,
    pub(super) has_development_secret: bool,
}

pub(super) struct WebhookEndpoints {
    endpoints: Vec<Arc<WebhookEndpoint>>,
    bus: Arc<ServedBus>,
}

impl WebhookEndpoints {
    pub(super) async fn open(settings: &ServeSettings, archive: &Archive) -> Result<Self, ServeError> {
        let bus = Arc::new(match &settings.bus {
            BusSetting::Local => ServedBus::Local(LocalBus::open(&settings.data)?),
            BusSetting::EventBridge(name) => {
                ServedBus::EventBridge(EventBridge::new(&aws::command_config().await, name.clone()))
            }
        });
        let generated_secrets = development_secrets::ensure_secrets(&settings.data, &settings.providers)?;
        let endpoint = |provider: &'static providers::Provider| {
            let configured = settings.secrets.get(provider.name);
            let secret =
                configured.or_else(|| generated_secrets.get(provider.name)).cloned().unwrap_or_default();
            let secret = Secret::new(secret);
            let handler = WebhookHandler {
                provider,
                secrets: StaticSecret::new(secret.clone()),
                next_secrets: None,
                bus: bus.clone(),
                max_entry_bytes: settings.max_entry_bytes,
                overflow_store: None,
                spill_queue: None,
                archive: provider.sends_batches().then(|| archive.clone()),
                repeat_window: None,
                event_group: settings.event_group,
            };
            Arc::new(WebhookEndpoint { handler, secret, has_development_secret: configured.is_none() })
        };
        Ok(Self { endpoints: settings.providers.iter().copied().map(endpoint).collect(), bus })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<WebhookEndpoint>> {
        self.endpoints.iter()
    }

    pub(super) fn bus(&self) -> Arc<ServedBus> {
        self.bus.clone()
    }

    /// The file of the local bus; `None` if the bus is EventBridge.
    pub(super) fn event_file(&self) -> Option<PathBuf> {
        match &*self.bus {
            ServedBus::Local(bus) => Some(bus.path().to_owned()),
            ServedBus::EventBridge(_) => None,
        }
    }

    /// Watches the length of the durable part of the local bus's file; `None` if the bus is EventBridge.
    pub(super) fn watch_file_length(&self) -> Option<watch::Receiver<u64>> {
        match &*self.bus {
            ServedBus::Local(bus) => Some(bus.watch_length()),
            ServedBus::EventBridge(_) => None,
        }
    }

    /// Subscribes to the new events of the local bus; `None` if the bus is EventBridge.
    pub(super) fn subscribe_to_events(&self) -> Option<broadcast::Receiver<Arc<str>>> {
        match &*self.bus {
            ServedBus::Local(bus) => Some(bus.subscribe()),
            ServedBus::EventBridge(_) => None,
        }
    }
}

/// Opens the archive of the settings, a folder or an S3 bucket.
pub(super) async fn open_archive(settings: &ServeSettings) -> Result<Archive, ServeError> {
    match &settings.archive {
        ArchiveUrl::Folder(folder) => {
            let archive_error = |error| ServeError::Archive { path: folder.clone(), error };
            Ok(Archive::Folder(FolderArchive::open(folder.clone()).map_err(archive_error)?))
        }
        ArchiveUrl::S3 { bucket, prefix } => {
            let config = aws::command_config().await;
            Ok(Archive::S3(S3Archive::new(&config, bucket.clone(), prefix.clone())))
        }
    }
}
