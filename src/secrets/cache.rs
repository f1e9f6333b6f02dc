//! Cache of secret versions, with rotation grace.
//!
//! The cache guarantees:
//! - Concurrent webhooks share one fetch.
//! - The last known secret stays valid while the store is unavailable.
//! - A signature mismatch triggers a lookup of a newer version, rate-limited so that forged requests cause no load.
//! - A failed lookup is an error and never means "no such version".
//! - The previous version stays valid for a grace period after a rotation.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use moka::future::Cache;
use tokio::time::Instant;
use tracing::warn;

use super::{SecretError, SecretStore, SecretVersion, VersionStage};

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
            refresh_interval: Duration::from_secs(30),
        }
    }
}

/// Provides the secret versions that a signature may be made with.
pub trait SigningSecrets: Send + Sync + 'static {
    /// The current version, which the caller tries first.
    fn current(&self) -> impl Future<Output = Result<Arc<SecretVersion>, SecretError>> + Send;

    /// The version before `current`, if it exists and its grace period has not expired.
    ///
    /// # Errors
    /// When the lookup fails, so that the version may exist.
    fn previous(
        &self,
        current: &SecretVersion,
    ) -> impl Future<Output = Result<Option<Arc<SecretVersion>>, SecretError>> + Send;

    /// A version newer than `current`, if one exists. Lookups are rate-limited; in between, the result of the last
    /// one applies.
    ///
    /// # Errors
    /// When the lookup fails, so that a newer version may exist.
    fn newer(
        &self,
        current: &SecretVersion,
    ) -> impl Future<Output = Result<Option<Arc<SecretVersion>>, SecretError>> + Send;
}

/// The versions of one secret, cached.
pub struct CachedSecrets<S> {
    store: S,
    ttls: CacheTtls,
    cache: Cache<VersionStage, Option<Arc<SecretVersion>>>,
    last_known: Mutex<LastKnown>,
    refreshes: tokio::sync::Mutex<RefreshLimiter>,
}

/// The versions last read, which do not expire.
#[derive(Default)]
struct LastKnown {
    current: Option<Arc<SecretVersion>>,
    /// The version before `current`, once fetched or replaced.
    previous: Option<Arc<SecretVersion>>,
    /// Time at which the cache observed a change of `current`.
    changed: Option<Timestamp>,
}

/// The last lookups caused by signature mismatches.
#[derive(Default)]
struct RefreshLimiter {
    newer: Option<RefreshRecord>,
    /// Set only if the lookup failed.
    previous: Option<RefreshRecord>,
}

/// A lookup in the store: its time and its result.
struct RefreshRecord {
    at: Instant,
    found: Result<(), SecretError>,
}

impl RefreshRecord {
    /// A lookup that starts now. It counts as failed until it completes, so a cancelled lookup counts as failed.
    fn new() -> Self {
        Self { at: Instant::now(), found: Err(SecretError::Unavailable("timed out".into())) }
    }
}

impl<S: SecretStore> CachedSecrets<S> {
    /// Creates an empty cache. The first webhook triggers the first fetch.
    pub fn new(store: S, ages: CacheTtls) -> Self {
        Self {
            store,
            ttls: ages,
            cache: Cache::builder().max_capacity(2).time_to_live(ages.time_to_live).build(),
            last_known: Mutex::default(),
            refreshes: tokio::sync::Mutex::default(),
        }
    }

    async fn fetch_current(&self) -> Result<Arc<SecretVersion>, SecretError> {
        let found = self.store.fetch(VersionStage::Current).await?;
        let version = found.ok_or_else(|| SecretError::Unreadable("it has no current version".into()))?;
        let version = Arc::new(version);
        let changed = {
            let mut known = self.last_known();
            let before = known.current.replace(version.clone());
            let changed = before.as_ref().is_some_and(|before| before.id != version.id);
            if changed {
                // Until the next fetch of the previous version, the replaced version takes its role.
                known.previous = before;
                known.changed = Some(Timestamp::now());
            }
            changed
        };
        if changed {
            self.cache.invalidate(&VersionStage::Previous).await;
        }
        Ok(version)
    }

    fn last_known(&self) -> std::sync::MutexGuard<'_, LastKnown> {
        self.last_known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last lookup, if the refresh interval since then has not passed.
    fn recent<'a>(&self, last: Option<&'a RefreshRecord>) -> Option<&'a RefreshRecord> {
        last.filter(|refresh| refresh.at.elapsed() < self.ttls.refresh_interval)
    }

    /// Whether the grace period still runs. It starts at the creation of the current version or, after a rollback to
    /// an older version, at the time when the cache observed it.
    fn is_previous_accepted(&self, current: &SecretVersion) -> bool {
        let Ok(grace) = SignedDuration::try_from(self.ttls.previous_grace) else { return true };
        let rotated = current.created_at.max(self.last_known().changed);
        rotated.is_some_and(|rotated| Timestamp::now().duration_since(rotated) < grace)
    }
}

impl<S: SecretStore> SigningSecrets for CachedSecrets<S> {
    async fn current(&self) -> Result<Arc<SecretVersion>, SecretError> {
        let fetch = async {
            match self.fetch_current().await {
                Ok(version) => Ok(Some(version)),
                // A definitive error, such as a deleted secret, also invalidates the last known version.
                Err(error @ SecretError::Unreadable(_)) => Err(error),
                Err(error) => match self.last_known().current.clone() {
                    Some(version) => {
                        warn!(%error, "cannot refresh the secret; using the last known version");
                        Ok(Some(version))
                    }
                    None => Err(error),
                },
            }
        };
        let version =
            self.cache.try_get_with(VersionStage::Current, fetch).await.map_err(|e| (*e).clone())?;
        version.ok_or_else(|| SecretError::Unreadable("it has no current version".into()))
    }

    async fn previous(&self, current: &SecretVersion) -> Result<Option<Arc<SecretVersion>>, SecretError> {
        if !self.is_previous_accepted(current) {
            return Ok(None);
        }
        let mut refreshes = self.refreshes.lock().await;
        if let Some(known) = self.cache.get(&VersionStage::Previous).await {
            return Ok(known);
        }
        let found = match self.recent(refreshes.previous.as_ref()) {
            Some(refresh) => refresh.found.clone(),
            None => {
                refreshes.previous = Some(RefreshRecord::new());
                let found = self.store.fetch(VersionStage::Previous).await.map(|found| found.map(Arc::new));
                if let Ok(found) = found {
                    refreshes.previous = None;
                    self.cache.insert(VersionStage::Previous, found.clone()).await;
                    self.last_known().previous.clone_from(&found);
                    return Ok(found);
                }
                let found = found.map(drop);
                if let Err(error) = &found {
                    warn!(%error, "cannot fetch the previous secret version");
                }
                refreshes.previous = Some(RefreshRecord { at: Instant::now(), found: found.clone() });
                found
            }
        };
        match (self.last_known().previous.clone(), found) {
            (Some(known), _) => Ok(Some(known)),
            (None, Err(error @ SecretError::Unavailable(_))) => Err(error),
            // A definitive "unreadable" means that no previous version exists.
            (None, _) => Ok(None),
        }
    }

    async fn newer(&self, current: &SecretVersion) -> Result<Option<Arc<SecretVersion>>, SecretError> {
        // The lock makes concurrent callers share the result of one lookup.
        let mut refreshes = self.refreshes.lock().await;
        let known = self.last_known().current.clone();
        if let Some(known) = known.filter(|known| known.id != current.id) {
            return Ok(Some(known));
        }
        if let Some(refresh) = self.recent(refreshes.newer.as_ref()) {
            return refresh.found.clone().map(|()| None);
        }
        refreshes.newer = Some(RefreshRecord::new());
        let found = self.fetch_current().await;
        if let Err(error) = &found {
            warn!(%error, "cannot check for a newer secret version");
        }
        refreshes.newer =
            Some(RefreshRecord { at: Instant::now(), found: found.as_ref().map(drop).map_err(Clone::clone) });
        let found = found?;
        self.cache.insert(VersionStage::Current, Some(found.clone())).await;
        Ok((found.id != current.id).then_some(found))
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
    struct Memory {
        versions: Arc<Mutex<VecDeque<SecretVersion>>>,
        shut: Arc<Mutex<bool>>,
        fetches: Arc<AtomicUsize>,
    }

    impl Memory {
        fn rotate(&self, id: &str) {
            let secret = Secret::new(id);
            let version = SecretVersion { id: id.into(), created_at: Some(Timestamp::now()), secret };
            self.versions.lock().unwrap().push_front(version);
        }

        fn shut(&self, shut: bool) {
            *self.shut.lock().unwrap() = shut;
        }

        fn fetches(&self) -> usize {
            self.fetches.load(Ordering::SeqCst)
        }
    }

    impl SecretStore for Memory {
        async fn fetch(&self, stage: VersionStage) -> Result<Option<SecretVersion>, SecretError> {
            self.fetches.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            if *self.shut.lock().unwrap() {
                return Err(SecretError::Unavailable("shut".into()));
            }
            Ok(self.versions.lock().unwrap().get(usize::from(stage == VersionStage::Previous)).cloned())
        }
    }

    fn cached(ages: CacheTtls) -> (Memory, Arc<CachedSecrets<Memory>>) {
        let memory = Memory::default();
        memory.rotate("one");
        (memory.clone(), Arc::new(CachedSecrets::new(memory, ages)))
    }

    #[tokio::test]
    async fn one_fetch_serves_all_waiters() {
        let (memory, keys) = cached(CacheTtls::default());
        let waiting: Vec<_> = (0..50)
            .map(|_| {
                let keys = keys.clone();
                tokio::spawn(async move { keys.current().await.unwrap().id.clone() })
            })
            .collect();
        for one in waiting {
            assert_eq!(one.await.unwrap(), "one");
        }
        assert_eq!(memory.fetches(), 1);
    }

    #[tokio::test]
    async fn a_newer_secret_is_found_at_once_by_all_waiters() {
        let (memory, keys) = cached(CacheTtls::default());
        let one = keys.current().await.unwrap();
        memory.rotate("two");
        let (a, b) = tokio::join!(keys.newer(&one), keys.newer(&one));
        assert_eq!(
            (a.unwrap().unwrap().id.clone(), b.unwrap().unwrap().id.clone()),
            ("two".into(), "two".into())
        );
        assert_eq!(memory.fetches(), 2);
        let two = keys.current().await.unwrap();
        assert_eq!(two.id, "two");
        assert_eq!(keys.previous(&two).await.unwrap().unwrap().id, "one");
        assert_eq!(memory.fetches(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn forged_requests_cost_one_refresh_in_thirty_seconds() {
        let (memory, keys) = cached(CacheTtls::default());
        let one = keys.current().await.unwrap();
        for _ in 0..100 {
            assert!(keys.previous(&one).await.unwrap().is_none());
            assert!(keys.newer(&one).await.unwrap().is_none());
        }
        assert_eq!(memory.fetches(), 3, "one secret, one refresh for a previous one, one for a newer one");
        tokio::time::advance(Duration::from_secs(31)).await;
        assert!(keys.newer(&one).await.unwrap().is_none());
        assert_eq!(memory.fetches(), 4);
    }

    #[tokio::test]
    async fn the_last_known_secret_survives_an_outage_of_the_store() {
        let (memory, keys) =
            cached(CacheTtls { time_to_live: Duration::from_millis(1), ..CacheTtls::default() });
        memory.shut(true);
        assert!(matches!(keys.current().await, Err(SecretError::Unavailable(_))));
        memory.shut(false);
        assert_eq!(keys.current().await.unwrap().id, "one");
        memory.shut(true);
        keys.cache.invalidate_all();
        let one = keys.current().await.unwrap();
        assert_eq!(one.id, "one");
        assert!(keys.newer(&one).await.is_err(), "the lookup fails");
        assert!(keys.previous(&one).await.is_err());
        let fetches = memory.fetches();
        assert!(keys.newer(&one).await.is_err(), "the failed lookup still applies");
        assert!(keys.previous(&one).await.is_err());
        assert_eq!(memory.fetches(), fetches, "a store that is down is not asked again at once");
    }

    #[tokio::test]
    async fn a_cached_previous_secret_survives_an_outage_of_the_store() {
        let (memory, keys) = cached(CacheTtls::default());
        memory.rotate("two");
        let two = keys.current().await.unwrap();
        assert_eq!(keys.previous(&two).await.unwrap().unwrap().id, "one");
        memory.shut(true);
        keys.cache.invalidate_all();
        assert_eq!(keys.previous(&two).await.unwrap().unwrap().id, "one");
        assert_eq!(keys.previous(&two).await.unwrap().unwrap().id, "one");
    }

    #[tokio::test]
    async fn the_replaced_secret_is_the_previous_one_during_an_outage() {
        let (memory, keys) = cached(CacheTtls::default());
        let one = keys.current().await.unwrap();
        memory.rotate("two");
        let two = keys.newer(&one).await.unwrap().unwrap();
        memory.shut(true);
        assert_eq!(keys.previous(&two).await.unwrap().unwrap().id, "one");
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_refresh_changes_nothing() {
        let (memory, keys) = cached(CacheTtls::default());
        let one = keys.current().await.unwrap();
        memory.rotate("two");
        let cut_off = tokio::time::timeout(Duration::ZERO, keys.newer(&one)).await;
        assert!(cut_off.is_err(), "the store takes a moment");
        assert!(keys.newer(&one).await.is_err(), "not again at once");
        tokio::time::advance(Duration::from_secs(31)).await;
        assert_eq!(keys.newer(&one).await.unwrap().unwrap().id, "two");
    }

    #[tokio::test]
    async fn a_removed_secret_stops_verifying() {
        let (memory, keys) = cached(CacheTtls::default());
        keys.current().await.unwrap();
        memory.versions.lock().unwrap().clear();
        keys.cache.invalidate_all();
        assert!(matches!(keys.current().await, Err(SecretError::Unreadable(_))));
    }

    #[tokio::test]
    async fn restoring_an_older_secret_keeps_the_grace_of_the_replaced_one() {
        let (memory, keys) =
            cached(CacheTtls { previous_grace: Duration::from_secs(60), ..CacheTtls::default() });
        let one = keys.current().await.unwrap();
        memory.rotate("older");
        let long_ago = Timestamp::now() - SignedDuration::from_hours(48);
        memory.versions.lock().unwrap()[0].created_at = Some(long_ago);
        let older = keys.newer(&one).await.unwrap().unwrap();
        assert_eq!(keys.previous(&older).await.unwrap().unwrap().id, "one");
    }

    #[tokio::test]
    async fn the_previous_secret_expires_after_its_grace() {
        let (memory, keys) = cached(CacheTtls { previous_grace: Duration::ZERO, ..CacheTtls::default() });
        memory.rotate("two");
        let two = keys.current().await.unwrap();
        assert!(keys.previous(&two).await.unwrap().is_none());
        assert_eq!(memory.fetches(), 1);
    }
}
