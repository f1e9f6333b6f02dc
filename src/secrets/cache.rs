//! Between the store and the webhooks: how long a secret is believed, and when the store is asked again.
//!
//! What correctness depends on: a secret is fetched once however many webhooks wait for it; one that was fetched
//! goes on working while the store is down; a signature that does not match is a reason to look for a newer
//! version, but only once in a while, so that forged requests cost nothing; and after a rotation the version
//! before still counts for a time, counted from when the current one was made.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use moka::future::Cache;
use tokio::time::Instant;
use tracing::warn;

use super::{SecretError, SecretStore, Stage, Version};

/// For how long what is believed.
#[derive(Clone, Copy, Debug)]
pub struct Ages {
    /// How long a fetched secret is used before it is fetched again.
    pub time_to_live: Duration,
    /// How long after a rotation the previous secret still counts.
    pub previous_grace: Duration,
    /// How often, at most, a signature that does not match makes us ask the store.
    pub look_every: Duration,
}

impl Default for Ages {
    fn default() -> Self {
        Self {
            time_to_live: Duration::from_secs(300),
            previous_grace: Duration::from_secs(24 * 3600),
            look_every: Duration::from_secs(30),
        }
    }
}

/// Hands out the versions of a secret that a signature may have been made with.
pub trait Keys: Send + Sync + 'static {
    /// The secret to try first.
    fn current(&self) -> impl Future<Output = Result<Arc<Version>, SecretError>> + Send;

    /// The secret before `current`, while it still counts.
    fn previous(&self, current: &Version) -> impl Future<Output = Option<Arc<Version>>> + Send;

    /// A version newer than `current`, if the store has one and may be asked.
    fn newer(&self, current: &Version) -> impl Future<Output = Option<Arc<Version>>> + Send;
}

/// The versions of one secret, cached.
pub struct CachedSecrets<S> {
    store: S,
    ages: Ages,
    cache: Cache<Stage, Option<Arc<Version>>>,
    last_known: Mutex<LastKnown>,
    looks: tokio::sync::Mutex<Looks>,
}

/// What was last read, however long ago.
#[derive(Default)]
struct LastKnown {
    current: Option<Arc<Version>>,
    /// The one before `current`, once it was asked for.
    previous: Option<Arc<Version>>,
    /// When `current` was seen to be another than before.
    changed: Option<Timestamp>,
}

/// When the store was last asked because of a signature that did not match.
#[derive(Default)]
struct Looks {
    newer: Option<Instant>,
    previous_failed: Option<Instant>,
}

impl<S: SecretStore> CachedSecrets<S> {
    /// Nothing is fetched before the first webhook that needs it.
    pub fn new(store: S, ages: Ages) -> Self {
        Self {
            store,
            ages,
            cache: Cache::builder().max_capacity(2).time_to_live(ages.time_to_live).build(),
            last_known: Mutex::default(),
            looks: tokio::sync::Mutex::default(),
        }
    }

    async fn fetch_current(&self) -> Result<Arc<Version>, SecretError> {
        let found = self.store.fetch(Stage::Current).await?;
        let version = found.ok_or_else(|| SecretError::Unreadable("it has no current version".into()))?;
        let version = Arc::new(version);
        let changed = {
            let mut known = self.last_known();
            let before = known.current.replace(version.clone());
            let changed = before.is_some_and(|before| before.id != version.id);
            if changed {
                known.previous = None;
                known.changed = Some(Timestamp::now());
            }
            changed
        };
        if changed {
            self.cache.invalidate(&Stage::Previous).await;
        }
        Ok(version)
    }

    fn last_known(&self) -> std::sync::MutexGuard<'_, LastKnown> {
        self.last_known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn may_look(&self, last: Option<Instant>) -> bool {
        last.is_none_or(|at| at.elapsed() >= self.ages.look_every)
    }

    /// Whether the rotation was not too long ago: counted from when the current version was made, or, where an older
    /// one was put back, from when that was seen.
    fn previous_counts(&self, current: &Version) -> bool {
        let Ok(grace) = SignedDuration::try_from(self.ages.previous_grace) else { return true };
        let rotated = current.created.max(self.last_known().changed);
        rotated.is_some_and(|rotated| Timestamp::now().duration_since(rotated) < grace)
    }
}

impl<S: SecretStore> Keys for CachedSecrets<S> {
    async fn current(&self) -> Result<Arc<Version>, SecretError> {
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
        let version = self.cache.try_get_with(Stage::Current, fetch).await.map_err(|e| (*e).clone())?;
        version.ok_or_else(|| SecretError::Unreadable("it has no current version".into()))
    }

    async fn previous(&self, current: &Version) -> Option<Arc<Version>> {
        if !self.previous_counts(current) {
            return None;
        }
        let mut looks = self.looks.lock().await;
        if let Some(known) = self.cache.get(&Stage::Previous).await {
            return known;
        }
        let known = self.last_known().previous.clone();
        if !self.may_look(looks.previous_failed) {
            return known;
        }
        match self.store.fetch(Stage::Previous).await {
            Ok(found) => {
                let found = found.map(Arc::new);
                self.cache.insert(Stage::Previous, found.clone()).await;
                self.last_known().previous.clone_from(&found);
                found
            }
            Err(error) => {
                warn!(%error, "previous secret not fetched");
                looks.previous_failed = Some(Instant::now());
                known
            }
        }
    }

    async fn newer(&self, current: &Version) -> Option<Arc<Version>> {
        // Whoever waits here while another looks finds what the other found.
        let mut looks = self.looks.lock().await;
        let known = self.last_known().current.clone();
        if let Some(known) = known.filter(|known| known.id != current.id) {
            return Some(known);
        }
        if !self.may_look(looks.newer) {
            return None;
        }
        looks.newer = Some(Instant::now());
        match self.fetch_current().await {
            Ok(found) => {
                self.cache.insert(Stage::Current, Some(found.clone())).await;
                (found.id != current.id).then_some(found)
            }
            Err(error) => {
                warn!(%error, "no look at a newer secret");
                None
            }
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

    /// A store in memory that answers slowly, counts, and can be shut.
    #[derive(Clone, Default)]
    struct Memory {
        versions: Arc<Mutex<VecDeque<Version>>>,
        shut: Arc<Mutex<bool>>,
        fetches: Arc<AtomicUsize>,
    }

    impl Memory {
        fn rotate(&self, id: &str) {
            let secret = Secret::new(id);
            let version = Version { id: id.into(), created: Some(Timestamp::now()), secret };
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
        async fn fetch(&self, stage: Stage) -> Result<Option<Version>, SecretError> {
            self.fetches.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            if *self.shut.lock().unwrap() {
                return Err(SecretError::Unavailable("shut".into()));
            }
            Ok(self.versions.lock().unwrap().get(usize::from(stage == Stage::Previous)).cloned())
        }
    }

    fn cached(ages: Ages) -> (Memory, Arc<CachedSecrets<Memory>>) {
        let memory = Memory::default();
        memory.rotate("one");
        (memory.clone(), Arc::new(CachedSecrets::new(memory, ages)))
    }

    #[tokio::test]
    async fn one_fetch_serves_all_who_wait() {
        let (memory, keys) = cached(Ages::default());
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
        let (memory, keys) = cached(Ages::default());
        let one = keys.current().await.unwrap();
        memory.rotate("two");
        let (a, b) = tokio::join!(keys.newer(&one), keys.newer(&one));
        assert_eq!((a.unwrap().id.clone(), b.unwrap().id.clone()), ("two".into(), "two".into()));
        assert_eq!(memory.fetches(), 2);
        let two = keys.current().await.unwrap();
        assert_eq!(two.id, "two");
        assert_eq!(keys.previous(&two).await.unwrap().id, "one");
        assert_eq!(memory.fetches(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn forged_requests_cost_one_look_in_thirty_seconds() {
        let (memory, keys) = cached(Ages::default());
        let one = keys.current().await.unwrap();
        for _ in 0..100 {
            assert!(keys.previous(&one).await.is_none());
            assert!(keys.newer(&one).await.is_none());
        }
        assert_eq!(memory.fetches(), 3, "one secret, one look for a previous one, one for a newer one");
        tokio::time::advance(Duration::from_secs(31)).await;
        assert!(keys.newer(&one).await.is_none());
        assert_eq!(memory.fetches(), 4);
    }

    #[tokio::test]
    async fn the_last_known_secret_goes_on_working_while_the_store_is_down() {
        let (memory, keys) = cached(Ages { time_to_live: Duration::from_millis(1), ..Ages::default() });
        memory.shut(true);
        assert!(matches!(keys.current().await, Err(SecretError::Unavailable(_))));
        memory.shut(false);
        assert_eq!(keys.current().await.unwrap().id, "one");
        memory.shut(true);
        keys.cache.invalidate_all();
        let one = keys.current().await.unwrap();
        assert_eq!(one.id, "one");
        assert!(keys.newer(&one).await.is_none());
        assert!(keys.previous(&one).await.is_none());
        let fetches = memory.fetches();
        assert!(keys.previous(&one).await.is_none());
        assert_eq!(memory.fetches(), fetches, "a store that is down is not asked again at once");
    }

    #[tokio::test]
    async fn a_previous_secret_once_read_goes_on_working_while_the_store_is_down() {
        let (memory, keys) = cached(Ages::default());
        memory.rotate("two");
        let two = keys.current().await.unwrap();
        assert_eq!(keys.previous(&two).await.unwrap().id, "one");
        memory.shut(true);
        keys.cache.invalidate_all();
        assert_eq!(keys.previous(&two).await.unwrap().id, "one");
        assert_eq!(keys.previous(&two).await.unwrap().id, "one");
    }

    #[tokio::test]
    async fn a_secret_that_was_taken_away_stops_working() {
        let (memory, keys) = cached(Ages::default());
        keys.current().await.unwrap();
        memory.versions.lock().unwrap().clear();
        keys.cache.invalidate_all();
        assert!(matches!(keys.current().await, Err(SecretError::Unreadable(_))));
    }

    #[tokio::test]
    async fn an_older_secret_that_is_put_back_leaves_the_one_it_replaced_its_grace() {
        let (memory, keys) = cached(Ages { previous_grace: Duration::from_secs(60), ..Ages::default() });
        let one = keys.current().await.unwrap();
        memory.rotate("older");
        let long_ago = Timestamp::now() - SignedDuration::from_hours(48);
        memory.versions.lock().unwrap()[0].created = Some(long_ago);
        let older = keys.newer(&one).await.unwrap();
        assert_eq!(keys.previous(&older).await.unwrap().id, "one");
    }

    #[tokio::test]
    async fn the_previous_secret_stops_counting_after_its_grace() {
        let (memory, keys) = cached(Ages { previous_grace: Duration::ZERO, ..Ages::default() });
        memory.rotate("two");
        let two = keys.current().await.unwrap();
        assert!(keys.previous(&two).await.is_none());
        assert_eq!(memory.fetches(), 1);
    }
}
