//! Cache of secret versions, with rotation grace.
//!
//! What correctness depends on: a secret is fetched once however many webhooks wait for it; one that was fetched
//! goes on working while the store is down; a signature that does not match is a reason to look for a newer
//! version, but only once in a while, so that forged requests cost nothing; a look that failed decides nothing; and after a
//! rotation the version before still counts for a time, counted from when the current one was made.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use moka::future::Cache;
use tokio::time::Instant;
use tracing::warn;

use super::{SecretError, SecretStore, SecretVersion, VersionStage};

/// For how long what is believed.
#[derive(Clone, Copy, Debug)]
pub struct CacheTtls {
    /// How long a fetched secret is used before it is fetched again.
    pub time_to_live: Duration,
    /// How long after a rotation the previous secret still counts.
    pub previous_grace: Duration,
    /// How often, at most, a signature that does not match makes us ask the store.
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

/// Hands out the versions of a secret that a signature may have been made with.
pub trait SigningSecrets: Send + Sync + 'static {
    /// The secret to try first.
    fn current(&self) -> impl Future<Output = Result<Arc<SecretVersion>, SecretError>> + Send;

    /// The secret before `current`, while it still counts.
    ///
    /// # Errors
    /// [`SecretError`] when nobody can say whether there is one.
    fn previous(
        &self,
        current: &SecretVersion,
    ) -> impl Future<Output = Result<Option<Arc<SecretVersion>>, SecretError>> + Send;

    /// A version newer than `current`, if there is one; a look at the store is not repeated at once, and what came of the last
    /// one counts until then.
    ///
    /// # Errors
    /// [`SecretError`] when nobody can say whether there is one.
    fn newer(
        &self,
        current: &SecretVersion,
    ) -> impl Future<Output = Result<Option<Arc<SecretVersion>>, SecretError>> + Send;
}

/// The versions of one secret, cached.
pub struct CachedSecrets<S> {
    store: S,
    ages: CacheTtls,
    cache: Cache<VersionStage, Option<Arc<SecretVersion>>>,
    last_known: Mutex<LastKnown>,
    looks: tokio::sync::Mutex<Looks>,
}

/// What was last read, however long ago.
#[derive(Default)]
struct LastKnown {
    current: Option<Arc<SecretVersion>>,
    /// The one before `current`, once it was asked for.
    previous: Option<Arc<SecretVersion>>,
    /// When `current` was seen to be another than before.
    changed: Option<Timestamp>,
}

/// When the store was last asked because of a signature that did not match, and how that failed.
#[derive(Default)]
struct Looks {
    newer: Option<Look>,
    /// Kept only where it failed.
    previous: Option<Look>,
}

/// A look at the store, and what came of it.
struct Look {
    at: Instant,
    found: Result<(), SecretError>,
}

impl Look {
    /// One that begins now. Whoever is cut off in it has not learned anything.
    fn begun() -> Self {
        Self { at: Instant::now(), found: Err(SecretError::Unavailable("no answer in time".into())) }
    }
}

impl<S: SecretStore> CachedSecrets<S> {
    /// Nothing is fetched before the first webhook that needs it.
    pub fn new(store: S, ages: CacheTtls) -> Self {
        Self {
            store,
            ages,
            cache: Cache::builder().max_capacity(2).time_to_live(ages.time_to_live).build(),
            last_known: Mutex::default(),
            looks: tokio::sync::Mutex::default(),
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
                // Until the store says so itself, the one that was replaced is the one before.
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

    /// The last look, while it is too early for another one.
    fn recent<'a>(&self, last: Option<&'a Look>) -> Option<&'a Look> {
        last.filter(|look| look.at.elapsed() < self.ages.refresh_interval)
    }

    /// Whether the rotation was not too long ago: counted from when the current version was made, or, where an older
    /// one was put back, from when that was seen.
    fn previous_counts(&self, current: &SecretVersion) -> bool {
        let Ok(grace) = SignedDuration::try_from(self.ages.previous_grace) else { return true };
        let rotated = current.created_at.max(self.last_known().changed);
        rotated.is_some_and(|rotated| Timestamp::now().duration_since(rotated) < grace)
    }
}

impl<S: SecretStore> SigningSecrets for CachedSecrets<S> {
    async fn current(&self) -> Result<Arc<SecretVersion>, SecretError> {
        let fetch = async {
            match self.fetch_current().await {
                Ok(version) => Ok(Some(version)),
                // A store that answers, and says that there is no such secret any more, is believed.
                Err(error @ SecretError::Unreadable(_)) => Err(error),
                Err(error) => match self.last_known().current.clone() {
                    Some(version) => {
                        warn!(%error, "secret not refreshed; the last known one goes on working");
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
        if !self.previous_counts(current) {
            return Ok(None);
        }
        let mut looks = self.looks.lock().await;
        if let Some(known) = self.cache.get(&VersionStage::Previous).await {
            return Ok(known);
        }
        let found = match self.recent(looks.previous.as_ref()) {
            Some(look) => look.found.clone(),
            None => {
                looks.previous = Some(Look::begun());
                let found = self.store.fetch(VersionStage::Previous).await.map(|found| found.map(Arc::new));
                if let Ok(found) = found {
                    looks.previous = None;
                    self.cache.insert(VersionStage::Previous, found.clone()).await;
                    self.last_known().previous.clone_from(&found);
                    return Ok(found);
                }
                let found = found.map(drop);
                if let Err(error) = &found {
                    warn!(%error, "previous secret not fetched");
                }
                looks.previous = Some(Look { at: Instant::now(), found: found.clone() });
                found
            }
        };
        match (self.last_known().previous.clone(), found) {
            (Some(known), _) => Ok(Some(known)),
            (None, Err(error @ SecretError::Unavailable(_))) => Err(error),
            // A definitive "unreadable" means there is no previous version.
            (None, _) => Ok(None),
        }
    }

    async fn newer(&self, current: &SecretVersion) -> Result<Option<Arc<SecretVersion>>, SecretError> {
        // Whoever waits here while another looks finds what the other found.
        let mut looks = self.looks.lock().await;
        let known = self.last_known().current.clone();
        if let Some(known) = known.filter(|known| known.id != current.id) {
            return Ok(Some(known));
        }
        if let Some(look) = self.recent(looks.newer.as_ref()) {
            return look.found.clone().map(|()| None);
        }
        looks.newer = Some(Look::begun());
        let found = self.fetch_current().await;
        if let Err(error) = &found {
            warn!(%error, "failed to check for a newer secret version");
        }
        looks.newer =
            Some(Look { at: Instant::now(), found: found.as_ref().map(drop).map_err(Clone::clone) });
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

    /// A store in memory that answers slowly, counts, and can be shut.
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
    async fn one_fetch_serves_all_who_wait() {
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
    async fn a_newer_secret_is_found_at_once_and_all_who_wait_get_it() {
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
    async fn forged_requests_cost_one_look_in_thirty_seconds() {
        let (memory, keys) = cached(CacheTtls::default());
        let one = keys.current().await.unwrap();
        for _ in 0..100 {
            assert!(keys.previous(&one).await.unwrap().is_none());
            assert!(keys.newer(&one).await.unwrap().is_none());
        }
        assert_eq!(memory.fetches(), 3, "one secret, one look for a previous one, one for a newer one");
        tokio::time::advance(Duration::from_secs(31)).await;
        assert!(keys.newer(&one).await.unwrap().is_none());
        assert_eq!(memory.fetches(), 4);
    }

    #[tokio::test]
    async fn the_last_known_secret_goes_on_working_while_the_store_is_down() {
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
        assert!(keys.newer(&one).await.is_err(), "nobody knows");
        assert!(keys.previous(&one).await.is_err());
        let fetches = memory.fetches();
        assert!(keys.newer(&one).await.is_err(), "and what nobody knew a moment ago is not known now");
        assert!(keys.previous(&one).await.is_err());
        assert_eq!(memory.fetches(), fetches, "a store that is down is not asked again at once");
    }

    #[tokio::test]
    async fn a_previous_secret_once_read_goes_on_working_while_the_store_is_down() {
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
    async fn the_secret_that_was_replaced_is_the_previous_one_while_the_store_is_down() {
        let (memory, keys) = cached(CacheTtls::default());
        let one = keys.current().await.unwrap();
        memory.rotate("two");
        let two = keys.newer(&one).await.unwrap().unwrap();
        memory.shut(true);
        assert_eq!(keys.previous(&two).await.unwrap().unwrap().id, "one");
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_that_was_cut_off_decides_nothing() {
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
    async fn a_secret_that_was_taken_away_stops_working() {
        let (memory, keys) = cached(CacheTtls::default());
        keys.current().await.unwrap();
        memory.versions.lock().unwrap().clear();
        keys.cache.invalidate_all();
        assert!(matches!(keys.current().await, Err(SecretError::Unreadable(_))));
    }

    #[tokio::test]
    async fn an_older_secret_that_is_put_back_leaves_the_one_it_replaced_its_grace() {
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
    async fn the_previous_secret_stops_counting_after_its_grace() {
        let (memory, keys) = cached(CacheTtls { previous_grace: Duration::ZERO, ..CacheTtls::default() });
        memory.rotate("two");
        let two = keys.current().await.unwrap();
        assert!(keys.previous(&two).await.unwrap().is_none());
        assert_eq!(memory.fetches(), 1);
    }
}
