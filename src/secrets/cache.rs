//! Cache of the versions of a signing secret.
//!
//! The cache guarantees:
//! - Concurrent webhooks share one fetch.
//! - The last known secret stays valid while the store is unavailable.
//! - A signature mismatch triggers a lookup of a newer version. These lookups are rate-limited, so that forged requests
//!   cause few requests to the secret store.
//! - A failed lookup is an error and never means "no such version".
//! - The previous version stays valid for a grace period after a rotation.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use moka::future::Cache;
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::{Secret, SecretError, SecretStore, SecretVersion, VersionStage};

/// Minimum time between a failed lookup and the next one.
const FAILED_LOOKUP_INTERVAL: Duration = Duration::from_secs(2);

/// How often the first fetch is tried, and the pause between two attempts.
const FIRST_FETCH_ATTEMPTS: usize = 5;
const FIRST_FETCH_INTERVAL: Duration = Duration::from_millis(250);

/// How long the cache uses secrets, and how often it refreshes them.
#[derive(Clone, Copy, Debug)]
pub struct CacheTtls {
    /// Time until the cache fetches a secret again.
    pub time_to_live: Duration,
    /// Time after a rotation during which the previous secret stays valid.
    pub previous_grace: Duration,
    /// Minimum time between lookups caused by signature mismatches.
    pub refresh_interval: Duration,
}

impl Default for CacheTtls {
    fn default() -> Self {
        Self {
            time_to_live: Duration::from_secs(300),
            previous_grace: Duration::from_secs(24 * 3600),
            refresh_interval: Duration::from_secs(10),
        }
    }
}

/// Provides the secret versions with which a provider may have signed.
pub trait SigningSecrets: Send + Sync + 'static {
    /// The current version, which the caller tries first.
    fn current(&self) -> impl Future<Output = Result<Arc<SecretVersion>, SecretError>> + Send;

    /// The version before `current`, if it exists and its grace period has not expired.
    ///
    /// # Errors
    /// When the lookup fails: it is unknown whether the secret has a previous version.
    fn previous(
        &self,
        current: &SecretVersion,
    ) -> impl Future<Output = Result<Option<Arc<SecretVersion>>, SecretError>> + Send;

    /// A version newer than `callers_version`, if one exists. Lookups are rate-limited: within the refresh interval after a lookup,
    /// this method reuses the result of that lookup.
    ///
    /// # Errors
    /// When the lookup fails: it is unknown whether a newer version exists.
    fn newer(
        &self,
        callers_version: &SecretVersion,
    ) -> impl Future<Output = Result<Option<Arc<SecretVersion>>, SecretError>> + Send;

    /// Stores a secret that the provider transmitted, if the operator left the secret without a version. Returns whether it was
    /// stored.
    fn store_if_absent(&self, transmitted: &Secret)
    -> impl Future<Output = Result<bool, SecretError>> + Send;
}

/// The versions of one secret, cached.
pub struct CachedSecrets<S> {
    store: S,
    ttls: CacheTtls,
    cache: Cache<VersionStage, Option<Arc<SecretVersion>>>,
    last_known: Mutex<LastKnown>,
    recent_lookups: tokio::sync::Mutex<RecentLookups>,
}

/// The versions that the store returned last. These versions do not expire, so that the cache can use them when a lookup
/// fails.
#[derive(Default)]
struct LastKnown {
    /// `None` until the first fetch.
    current: Option<Arc<SecretVersion>>,
    /// The version before `current`, if the cache fetched that version from the store or replaced that version by `current`.
    previous: Option<Arc<SecretVersion>>,
    /// Time at which the cache last observed a change of `current`; `None` if `current` has not changed yet.
    changed_at: Option<Timestamp>,
}

/// The last lookups caused by signature mismatches.
#[derive(Default)]
struct RecentLookups {
    /// The last lookup of a newer version; `None` before the first such lookup.
    newer: Option<LookupRecord>,
    /// The last lookup of the previous version; `None` after a successful lookup, whose result the cache holds.
    previous: Option<LookupRecord>,
}

/// A lookup in the store.
struct LookupRecord {
    /// When the lookup completed, or, until it completes, when it started.
    completed: Instant,
    /// Minimum time until the next lookup.
    interval: Duration,
    result: Result<(), SecretError>,
}

impl<S: SecretStore> CachedSecrets<S> {
    /// Creates an empty cache. The first webhook triggers the first fetch.
    pub fn new(store: S, ttls: CacheTtls) -> Self {
        Self {
            store,
            ttls,
            cache: Cache::builder().max_capacity(2).time_to_live(ttls.time_to_live).build(),
            last_known: Mutex::default(),
            recent_lookups: tokio::sync::Mutex::default(),
        }
    }

    async fn fetch_current(&self) -> Result<Arc<SecretVersion>, SecretError> {
        let version = self.store.fetch(VersionStage::Current).await?;
        let version = Arc::new(version.ok_or(SecretError::Missing)?);
        let is_rotated = {
            let mut known = self.last_known();
            let replaced = known.current.replace(version.clone());
            let is_rotated = replaced.as_ref().is_some_and(|replaced| replaced.id != version.id);
            if is_rotated {
                // The replaced version counts as the previous one until the store returns the previous version.
                known.previous = replaced;
                known.changed_at = Some(Timestamp::now());
            }
            is_rotated
        };
        if is_rotated {
            self.cache.invalidate(&VersionStage::Previous).await;
        }
        Ok(version)
    }

    fn last_known(&self) -> std::sync::MutexGuard<'_, LastKnown> {
        self.last_known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns `last` if it is too recent for another lookup.
    fn filter_recent_lookup<'a>(&self, last: Option<&'a LookupRecord>) -> Option<&'a LookupRecord> {
        last.filter(|lookup| lookup.completed.elapsed() < lookup.interval)
    }

    /// A lookup that started at `start` and completes now.
    fn lookup_record(&self, start: Instant, result: Result<(), SecretError>) -> LookupRecord {
        let completed = Instant::now();
        let interval = match result {
            Ok(()) => self.ttls.refresh_interval,
            // A failed lookup of a forged webhook must not delay for long the lookup that a genuine one needs. A slow store gets
            // fewer lookups, because an instance of the function handles nothing else meanwhile.
            Err(_) => (5 * (completed - start)).max(FAILED_LOOKUP_INTERVAL).min(self.ttls.refresh_interval),
        };
        LookupRecord { completed, interval, result }
    }

    /// A lookup that starts now. It counts as failed until it completes, so that a cancelled lookup counts as failed.
    fn started_lookup(&self) -> LookupRecord {
        LookupRecord {
            completed: Instant::now(),
            interval: self.ttls.refresh_interval,
            result: Err(SecretError::Unavailable("timed out".into())),
        }
    }

    /// Whether the grace period of the previous secret still runs. The period starts at the later of two times: the creation
    /// of the current version, and the time at which the cache observed that this version became current. The second time
    /// matters after a rollback, which makes an old version current.
    fn is_previous_accepted(&self, current: &SecretVersion) -> bool {
        let Ok(grace) = SignedDuration::try_from(self.ttls.previous_grace) else { return true };
        let rotated_at = current.created_at.max(self.last_known().changed_at);
        rotated_at.is_some_and(|rotated_at| Timestamp::now().duration_since(rotated_at) < grace)
    }
}

impl<S: SecretStore> SigningSecrets for CachedSecrets<S> {
    async fn current(&self) -> Result<Arc<SecretVersion>, SecretError> {
        let fetch = async {
            let mut attempts = 0;
            loop {
                attempts += 1;
                let error = match self.fetch_current().await {
                    Ok(version) => return Ok(Some(version)),
                    // Do not use the last known version after a permanent error, for example because the secret was deleted.
                    Err(error @ (SecretError::Missing | SecretError::Unreadable(_))) => return Err(error),
                    Err(error) => error,
                };
                let last_known = self.last_known().current.clone();
                if let Some(version) = last_known {
                    warn!(%error, "cannot refresh the secret; using the last known version");
                    return Ok(Some(version));
                }
                // Without any version, every webhook fails, and some providers send a failed webhook only once.
                if attempts == FIRST_FETCH_ATTEMPTS {
                    return Err(error);
                }
                sleep(FIRST_FETCH_INTERVAL).await;
            }
        };
        let version =
            self.cache.try_get_with(VersionStage::Current, fetch).await.map_err(|e| (*e).clone())?;
        version.ok_or(SecretError::Missing)
    }

    async fn previous(&self, current: &SecretVersion) -> Result<Option<Arc<SecretVersion>>, SecretError> {
        if !self.is_previous_accepted(current) {
            return Ok(None);
        }
        let mut recent_lookups = self.recent_lookups.lock().await;
        if let Some(cached) = self.cache.get(&VersionStage::Previous).await {
            return Ok(cached);
        }
        let result = match self.filter_recent_lookup(recent_lookups.previous.as_ref()) {
            Some(lookup) => lookup.result.clone(),
            None => {
                let start = Instant::now();
                recent_lookups.previous = Some(self.started_lookup());
                let fetched =
                    self.store.fetch(VersionStage::Previous).await.map(|version| version.map(Arc::new));
                if let Ok(version) = fetched {
                    recent_lookups.previous = None;
                    self.cache.insert(VersionStage::Previous, version.clone()).await;
                    self.last_known().previous.clone_from(&version);
                    return Ok(version);
                }
                let result = fetched.map(drop);
                if let Err(error) = &result {
                    warn!(%error, "cannot fetch the previous secret version");
                }
                recent_lookups.previous = Some(self.lookup_record(start, result.clone()));
                result
            }
        };
        match (self.last_known().previous.clone(), result) {
            (Some(known), _) => Ok(Some(known)),
            (None, Err(error @ SecretError::Unavailable(_))) => Err(error),
            // An unreadable previous version counts as missing, because a retry would not help.
            (None, _) => Ok(None),
        }
    }

    async fn newer(
        &self,
        callers_version: &SecretVersion,
    ) -> Result<Option<Arc<SecretVersion>>, SecretError> {
        // The lock makes concurrent callers share the result of one lookup.
        let mut recent_lookups = self.recent_lookups.lock().await;
        // Another caller's lookup may have cached a version that this caller does not have.
        let cached = self.last_known().current.clone();
        if let Some(cached) = cached.filter(|cached| cached.id != callers_version.id) {
            return Ok(Some(cached));
        }
        if let Some(lookup) = self.filter_recent_lookup(recent_lookups.newer.as_ref()) {
            return lookup.result.clone().map(|()| None);
        }
        let start = Instant::now();
        recent_lookups.newer = Some(self.started_lookup());
        let fetched = self.fetch_current().await;
        if let Err(error) = &fetched {
            warn!(%error, "cannot check for a newer secret version");
        }
        let result = fetched.as_ref().map(drop).map_err(Clone::clone);
        recent_lookups.newer = Some(self.lookup_record(start, result));
        let version = fetched?;
        self.cache.insert(VersionStage::Current, Some(version.clone())).await;
        Ok((version.id != callers_version.id).then_some(version))
    }

    async fn store_if_absent(&self, transmitted: &Secret) -> Result<bool, SecretError> {
        match self.current().await {
            Ok(_) => Ok(false),
            Err(SecretError::Missing) => self.store.store_first_version(transmitted).await,
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::secrets::Secret;

    /// An in-memory store that responds slowly, counts fetches, and can be made unavailable.
    #[derive(Clone, Default)]
    struct MemoryStore {
        versions: Arc<Mutex<VecDeque<SecretVersion>>>,
        is_unavailable: Arc<Mutex<bool>>,
        fetches: Arc<AtomicUsize>,
    }

    impl MemoryStore {
        fn rotate(&self, id: &str) {
            let secret = Secret::new(id);
            let version = SecretVersion { id: id.into(), created_at: Some(Timestamp::now()), secret };
            self.versions.lock().unwrap().push_front(version);
        }

        fn set_unavailable(&self, is_unavailable: bool) {
            *self.is_unavailable.lock().unwrap() = is_unavailable;
        }

        fn fetches(&self) -> usize {
            self.fetches.load(Ordering::SeqCst)
        }
    }

    impl SecretStore for MemoryStore {
        async fn fetch(&self, stage: VersionStage) -> Result<Option<SecretVersion>, SecretError> {
            self.fetches.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            if *self.is_unavailable.lock().unwrap() {
                return Err(SecretError::Unavailable("simulated outage".into()));
            }
            Ok(self.versions.lock().unwrap().get(usize::from(stage == VersionStage::Previous)).cloned())
        }

        async fn store_first_version(&self, secret: &Secret) -> Result<bool, SecretError> {
            let is_first = self.versions.lock().unwrap().is_empty();
            if is_first {
                self.rotate(std::str::from_utf8(secret.expose()).unwrap());
            }
            Ok(is_first)
        }
    }

    fn setup(ttls: CacheTtls) -> (MemoryStore, Arc<CachedSecrets<MemoryStore>>) {
        let store = MemoryStore::default();
        store.rotate("one");
        (store.clone(), Arc::new(CachedSecrets::new(store, ttls)))
    }

    #[tokio::test]
    async fn concurrent_callers_share_one_fetch() {
        let (store, secrets) = setup(CacheTtls::default());
        let tasks: Vec<_> = (0..50)
            .map(|_| {
                let secrets = secrets.clone();
                tokio::spawn(async move { secrets.current().await.unwrap().id.clone() })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await.unwrap(), "one");
        }
        assert_eq!(store.fetches(), 1);
    }

    #[tokio::test]
    async fn a_transmitted_secret_is_stored_only_if_there_is_none() {
        let store = MemoryStore::default();
        let secrets = CachedSecrets::new(store.clone(), CacheTtls::default());
        assert!(matches!(secrets.current().await, Err(SecretError::Missing)));
        store.set_unavailable(true);
        assert!(secrets.store_if_absent(&Secret::new("guess")).await.is_err());
        store.set_unavailable(false);
        let (first, concurrent) = (Secret::new("first"), Secret::new("concurrent"));
        let stored = tokio::join!(secrets.store_if_absent(&first), secrets.store_if_absent(&concurrent));
        assert_eq!((stored.0.unwrap(), stored.1.unwrap()), (true, false), "only one of two is stored");
        assert!(!secrets.store_if_absent(&Secret::new("second")).await.unwrap());
        assert_eq!(secrets.current().await.unwrap().id, "first");
        let fetches = store.fetches();
        assert!(!secrets.store_if_absent(&Secret::new("third")).await.unwrap());
        assert_eq!(store.fetches(), fetches, "a flood of handshakes causes no requests");
    }

    #[tokio::test]
    async fn concurrent_callers_find_a_newer_secret_with_one_fetch() {
        let (store, secrets) = setup(CacheTtls::default());
        let first = secrets.current().await.unwrap();
        store.rotate("two");
        let (a, b) = tokio::join!(secrets.newer(&first), secrets.newer(&first));
        assert_eq!(
            (a.unwrap().unwrap().id.clone(), b.unwrap().unwrap().id.clone()),
            ("two".into(), "two".into())
        );
        assert_eq!(store.fetches(), 2);
        let second = secrets.current().await.unwrap();
        assert_eq!(second.id, "two");
        assert_eq!(secrets.previous(&second).await.unwrap().unwrap().id, "one");
        assert_eq!(store.fetches(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn forged_requests_cost_one_refresh_in_ten_seconds() {
        let (store, secrets) = setup(CacheTtls::default());
        let first = secrets.current().await.unwrap();
        for _ in 0..100 {
            assert!(secrets.previous(&first).await.unwrap().is_none());
            assert!(secrets.newer(&first).await.unwrap().is_none());
        }
        assert_eq!(store.fetches(), 3, "one fetch of the current, of the previous and of a newer version");
        tokio::time::advance(Duration::from_secs(11)).await;
        assert!(secrets.newer(&first).await.unwrap().is_none());
        assert_eq!(store.fetches(), 4);
    }

    #[tokio::test]
    async fn the_last_known_secret_survives_an_outage_of_the_store() {
        let (store, secrets) =
            setup(CacheTtls { time_to_live: Duration::from_millis(1), ..CacheTtls::default() });
        store.set_unavailable(true);
        assert!(matches!(secrets.current().await, Err(SecretError::Unavailable(_))));
        store.set_unavailable(false);
        assert_eq!(secrets.current().await.unwrap().id, "one");
        store.set_unavailable(true);
        secrets.cache.invalidate_all();
        let first = secrets.current().await.unwrap();
        assert_eq!(first.id, "one");
        assert!(secrets.newer(&first).await.is_err(), "the lookup fails");
        assert!(secrets.previous(&first).await.is_err());
        let fetches = store.fetches();
        assert!(secrets.newer(&first).await.is_err(), "the failed lookup still applies");
        assert!(secrets.previous(&first).await.is_err());
        assert_eq!(store.fetches(), fetches, "a failed fetch is not repeated at once");
    }

    #[tokio::test]
    async fn a_cached_previous_secret_survives_an_outage_of_the_store() {
        let (store, secrets) = setup(CacheTtls::default());
        store.rotate("two");
        let second = secrets.current().await.unwrap();
        assert_eq!(secrets.previous(&second).await.unwrap().unwrap().id, "one");
        store.set_unavailable(true);
        secrets.cache.invalidate_all();
        assert_eq!(secrets.previous(&second).await.unwrap().unwrap().id, "one");
        assert_eq!(secrets.previous(&second).await.unwrap().unwrap().id, "one");
    }

    #[tokio::test]
    async fn the_replaced_secret_is_the_previous_one_during_an_outage() {
        let (store, secrets) = setup(CacheTtls::default());
        let first = secrets.current().await.unwrap();
        store.rotate("two");
        let second = secrets.newer(&first).await.unwrap().unwrap();
        store.set_unavailable(true);
        assert_eq!(secrets.previous(&second).await.unwrap().unwrap().id, "one");
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_refresh_is_repeated_after_the_refresh_interval() {
        let (store, secrets) = setup(CacheTtls::default());
        let first = secrets.current().await.unwrap();
        store.rotate("two");
        let cancelled = tokio::time::timeout(Duration::ZERO, secrets.newer(&first)).await;
        assert!(cancelled.is_err(), "the store does not respond at once");
        assert!(secrets.newer(&first).await.is_err(), "the cancelled refresh counts as failed");
        tokio::time::advance(Duration::from_secs(11)).await;
        assert_eq!(secrets.newer(&first).await.unwrap().unwrap().id, "two");
    }

    #[tokio::test]
    async fn a_removed_secret_stops_verifying() {
        let (store, secrets) = setup(CacheTtls::default());
        secrets.current().await.unwrap();
        store.versions.lock().unwrap().clear();
        secrets.cache.invalidate_all();
        assert!(matches!(secrets.current().await, Err(SecretError::Missing)));
    }

    #[tokio::test]
    async fn restoring_an_older_secret_keeps_the_grace_of_the_replaced_one() {
        let (store, secrets) =
            setup(CacheTtls { previous_grace: Duration::from_secs(60), ..CacheTtls::default() });
        let first = secrets.current().await.unwrap();
        store.rotate("older");
        let long_ago = Timestamp::now() - SignedDuration::from_hours(48);
        store.versions.lock().unwrap()[0].created_at = Some(long_ago);
        let older = secrets.newer(&first).await.unwrap().unwrap();
        assert_eq!(secrets.previous(&older).await.unwrap().unwrap().id, "one");
    }

    #[tokio::test]
    async fn the_previous_secret_expires_after_its_grace() {
        let (store, secrets) = setup(CacheTtls { previous_grace: Duration::ZERO, ..CacheTtls::default() });
        store.rotate("two");
        let second = secrets.current().await.unwrap();
        assert!(secrets.previous(&second).await.unwrap().is_none());
        assert_eq!(store.fetches(), 1);
    }
}
