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
use crate::delivery::subscriber::{PreparedSubscriber, SubscriberId};

/// The shortest time between two refreshes of the encryption keys while a subscriber's secret cannot be decrypted.
const KEY_REFRESH_INTERVAL: Duration = Duration::from_secs(5);

pub(super) type PreparedSubscribers = HashMap<SubscriberId, Arc<PreparedSubscriber>>;

pub(super) struct SubscriberCache {
    store: SubscriberStore,
    keys: KeySource,
    clock: Clock,
    cached: Mutex<CachedSubscribers>,
}

/// The subscribers as they were when the store had this `revision`, a number that increases with every change of a subscriber.
/// An unset `revision` or `keys_refreshed_at` means that the subscribers were never read or the keys never refreshed.
#[derive(Default)]
struct CachedSubscribers {
    revision: Option<i64>,
    keys_refreshed_at: Option<Instant>,
    subscribers: PreparedSubscribers,
}

impl SubscriberCache {
    pub(super) fn new(store: SubscriberStore, keys: KeySource, clock: Clock) -> Self {
        Self { store, keys, clock, cached: Mutex::default() }
    }

    pub(super) async fn all(&self) -> Result<PreparedSubscribers, WorkerError> {
        Ok(self.current().await?.subscribers.clone())
    }

    pub(super) async fn find(
        &self,
        id: SubscriberId,
    ) -> Result<Option<Arc<PreparedSubscriber>>, WorkerError> {
        Ok(self.current().await?.subscribers.get(&id).cloned())
    }

    /// Returns the cached subscribers. Reads them from the store first if the store's revision has changed, or if an encryption
    /// key that was missing may have been added.
    async fn current(&self) -> Result<MutexGuard<'_, CachedSubscribers>, WorkerError> {
        let revision = self.store.revision().await?;
        let mut cached = self.cached.lock().await;
        let all_decrypted = cached.subscribers.values().all(|subscriber| subscriber.has_decrypted_secrets());
        let is_refresh_due = |refreshed_at: Instant| refreshed_at.elapsed() >= KEY_REFRESH_INTERVAL;
        let needs_refresh = !all_decrypted && cached.keys_refreshed_at.is_none_or(is_refresh_due);
        let may_have_new_keys = needs_refresh && self.keys.refresh().await;
        if needs_refresh {
            cached.keys_refreshed_at = Some(Instant::now());
        }
        if cached.revision != Some(revision) || may_have_new_keys {
            (cached.revision, cached.subscribers) = (Some(revision), self.read_from_store().await?);
        }
        Ok(cached)
    }

    async fn read_from_store(&self) -> Result<PreparedSubscribers, WorkerError> {
        let keys = self.keys.key_ring().await?;
        let mut subscribers = HashMap::new();
        for subscriber in self.store.list(None).await? {
            match PreparedSubscriber::new(&subscriber, &keys, (self.clock)()) {
                Ok(prepared) => {
                    subscribers.insert(prepared.id, Arc::new(prepared));
                }
                Err(error) => {
                    let (subscriber, error) = (subscriber.name, error.to_string());
                    warn!(subscriber, error, "subscriber skipped: its filter pattern is invalid");
                }
            }
        }
        Ok(subscribers)
    }
}
