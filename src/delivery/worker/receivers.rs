//! The subscribers with their decrypted secrets, cached until a subscriber changes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;
use tracing::warn;

use super::{Clock, WorkerError};
use crate::delivery::encryption::KeySource;
use crate::delivery::store::SubscriberStore;
use crate::delivery::subscriber::{Receiver, SubscriberId};

/// The shortest time between two refreshes of the keys while a subscriber's secret cannot be decrypted.
const KEY_REFRESH_INTERVAL: Duration = Duration::from_secs(5);

pub(super) type Receivers = HashMap<SubscriberId, Arc<Receiver>>;

pub(super) struct ReceiverCache {
    store: SubscriberStore,
    keys: KeySource,
    clock: Clock,
    cached: Mutex<CachedReceivers>,
}

/// The subscribers as they were at `revision`.
#[derive(Default)]
struct CachedReceivers {
    revision: Option<i64>,
    keys_refreshed_at: Option<Instant>,
    receivers: Receivers,
}

impl ReceiverCache {
    pub(super) fn new(store: SubscriberStore, keys: KeySource, clock: Clock) -> Self {
        Self { store, keys, clock, cached: Mutex::default() }
    }

    pub(super) async fn all(&self) -> Result<Receivers, WorkerError> {
        Ok(self.current().await?.receivers.clone())
    }

    pub(super) async fn find(&self, id: SubscriberId) -> Result<Option<Arc<Receiver>>, WorkerError> {
        Ok(self.current().await?.receivers.get(&id).cloned())
    }

    /// The cached subscribers, read again when the revision has changed or a missing key may have been added.
    async fn current(&self) -> Result<MutexGuard<'_, CachedReceivers>, WorkerError> {
        let revision = self.store.revision().await?;
        let mut cached = self.cached.lock().await;
        let all_decrypted = cached.receivers.values().all(|receiver| receiver.has_decrypted_secrets());
        let is_refresh_due = |refreshed_at: Instant| refreshed_at.elapsed() >= KEY_REFRESH_INTERVAL;
        let needs_refresh = !all_decrypted && cached.keys_refreshed_at.is_none_or(is_refresh_due);
        let may_have_new_keys = needs_refresh && self.keys.refresh().await;
        if needs_refresh {
            cached.keys_refreshed_at = Some(Instant::now());
        }
        if cached.revision != Some(revision) || may_have_new_keys {
            (cached.revision, cached.receivers) = (Some(revision), self.read().await?);
        }
        Ok(cached)
    }

    async fn read(&self) -> Result<Receivers, WorkerError> {
        let keys = self.keys.key_ring().await?;
        let mut receivers = HashMap::new();
        for subscriber in self.store.list(None).await? {
            match Receiver::from_subscriber(&subscriber, &keys, (self.clock)()) {
                Ok(receiver) => {
                    receivers.insert(subscriber.id, Arc::new(receiver));
                }
                Err(error) => {
                    let (subscriber, error) = (subscriber.name, error.to_string());
                    warn!(subscriber, error, "subscriber skipped: its filter pattern is invalid");
                }
            }
        }
        Ok(receivers)
    }
}
