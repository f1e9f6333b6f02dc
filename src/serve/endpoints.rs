//! One bridge for every provider, on the bus that was chosen.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

use super::settings::{BusSetting, Settings};
use super::{ServeError, development};
use crate::archive::{Archive, ArchiveUrl, FolderArchive, S3Archive};
use crate::aws;
use crate::bridge::WebhookHandler;
use crate::bus::{Bus, EventBridge, LocalBus};
use crate::call::CallError;
use crate::event::Event;
use crate::providers;
use crate::secrets::{Secret, StaticSecret};

/// The bus of a server.
pub(super) enum ServedBus {
    Local(LocalBus),
    EventBridge(EventBridge),
}

impl Bus for Arc<ServedBus> {
    async fn publish(&self, event: &Arc<Event>, deadline: Instant) -> Result<(), CallError> {
        match &**self {
            ServedBus::Local(bus) => bus.publish(event, deadline).await,
            // A webhook's way holds room for the longest of its branches: not for the SDK's call where there is none.
            ServedBus::EventBridge(bus) => Box::pin(bus.publish(event, deadline)).await,
        }
    }
}

/// An endpoint: a provider's bridge, and the secret it was given.
pub(super) struct Endpoint {
    pub(super) bridge: WebhookHandler<StaticSecret, Arc<ServedBus>>,
    pub(super) secret: Secret,
    /// Whether the secret is one we made.
    pub(super) development: bool,
}

/// Every endpoint, and the bus they share.
pub(super) struct Endpoints {
    all: Vec<Arc<Endpoint>>,
    bus: Arc<ServedBus>,
}

impl Endpoints {
    pub(super) async fn open(settings: &Settings, archive: &Archive) -> Result<Self, ServeError> {
        let bus = Arc::new(match &settings.bus {
            BusSetting::Local => ServedBus::Local(LocalBus::open(&settings.data)?),
            BusSetting::EventBridge(name) => {
                ServedBus::EventBridge(EventBridge::new(&aws::command_config().await, name.clone()))
            }
        });
        let development = development::ensure(&settings.data)?;
        let endpoint = |provider: &'static providers::Provider| {
            let given = settings.secrets.get(provider.name);
            let secret = given.or_else(|| development.get(provider.name)).cloned().unwrap_or_default();
            let secret = Secret::new(secret);
            let bridge = WebhookHandler {
                provider,
                secrets: StaticSecret::new(secret.clone()),
                bus: bus.clone(),
                max_entry_bytes: settings.max_entry_bytes,
                overflow: None,
                spill: None,
                archive: provider.sends_batches().then(|| archive.clone()),
            };
            Arc::new(Endpoint { bridge, secret, development: given.is_none() })
        };
        Ok(Self { all: providers::ALL.into_iter().map(endpoint).collect(), bus })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.all.iter()
    }

    /// The bus.
    pub(super) fn bus(&self) -> Arc<ServedBus> {
        self.bus.clone()
    }

    /// The file of the embedded bus.
    pub(super) fn file(&self) -> Option<PathBuf> {
        match &*self.bus {
            ServedBus::Local(bus) => Some(bus.path().to_owned()),
            ServedBus::EventBridge(_) => None,
        }
    }

    /// How much of that file is on disk.
    pub(super) fn length(&self) -> Option<watch::Receiver<u64>> {
        match &*self.bus {
            ServedBus::Local(bus) => Some(bus.flushed_length()),
            ServedBus::EventBridge(_) => None,
        }
    }

    /// The events that the embedded bus takes from now on.
    pub(super) fn watch(&self) -> Option<broadcast::Receiver<Arc<str>>> {
        match &*self.bus {
            ServedBus::Local(bus) => Some(bus.subscribe()),
            ServedBus::EventBridge(_) => None,
        }
    }
}

/// The archive that the settings name.
pub(super) async fn archive(settings: &Settings) -> Result<Archive, ServeError> {
    match &settings.archive {
        ArchiveUrl::Folder(folder) => {
            let failed = |error| ServeError::Archive { path: folder.clone(), error };
            Ok(Archive::Folder(FolderArchive::open(folder.clone()).map_err(failed)?))
        }
        ArchiveUrl::S3 { bucket, prefix } => {
            let config = aws::command_config().await;
            Ok(Archive::S3(S3Archive::new(&config, bucket.clone(), prefix.clone())))
        }
    }
}
