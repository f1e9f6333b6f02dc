//! Webhooks that a provider sends again soon after they were published, for example because it did not get the response in time.
//!
//! EventBridge's classic bus does not recognise a repeated event, so the handler does, for a few minutes and within one process.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use crate::event::Event;
use crate::providers::Provider;

/// Maximum number of webhooks that the window of a provider contains, in about 550 kB.
const MAX_WEBHOOKS: usize = 7_000;

/// The hash of a webhook's body. A delivery id alone does not identify a webhook, because most signatures do not cover it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct BodyHash([u8; 16]);

impl BodyHash {
    pub(super) fn new(body: &[u8]) -> Self {
        Self(short_hash(body))
    }
}

/// The hash of a provider and a delivery id.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct DeliveryKey([u8; 16]);

impl DeliveryKey {
    /// The key of a webhook whose first event is `event`; `None` if the provider sent no id.
    pub(super) fn new(provider: &Provider, event: &Event) -> Option<Self> {
        let urn = event.resources.iter().find(|urn| provider.delivery_id_from_urn(urn).is_some())?;
        Some(Self(short_hash(urn.as_bytes())))
    }
}

/// The first half of the SHA-256 hash of `bytes`.
fn short_hash(bytes: &[u8]) -> [u8; 16] {
    let hash: [u8; 32] = Sha256::digest(bytes).into();
    let mut half = [0; 16];
    half.copy_from_slice(&hash[..16]);
    half
}

/// The webhooks that were published in the last minutes.
pub struct RepeatWindow {
    length: Duration,
    published: Mutex<Published>,
}

#[derive(Default)]
struct Published {
    webhooks: HashMap<DeliveryKey, BodyHash>,
    /// The keys of `webhooks`, the oldest first.
    queue: VecDeque<(Instant, DeliveryKey)>,
}

impl RepeatWindow {
    /// A window of this length; `None` if the length is zero.
    pub fn new(length: Duration) -> Option<Self> {
        (!length.is_zero()).then(|| Self { length, published: Mutex::default() })
    }

    /// Whether a webhook with this key and this body was published within the window. Hashes the body only if the key was.
    pub(super) fn contains(&self, key: DeliveryKey, body: &[u8]) -> bool {
        let published_hash = {
            let mut published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
            published.remove_while(|time| time.elapsed() >= self.length);
            published.webhooks.get(&key).copied()
        };
        published_hash.is_some_and(|hash| hash == BodyHash::new(body))
    }

    /// Adds a webhook that was published now. If the window is full, it forgets the oldest webhook; if it contains the key with
    /// another body, it forgets that body.
    pub(super) fn insert(&self, key: DeliveryKey, body: BodyHash) {
        let mut published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        if published.webhooks.insert(key, body).is_none() {
            published.queue.push_back((Instant::now(), key));
        }
        let excess = published.queue.len().saturating_sub(MAX_WEBHOOKS);
        let mut removed = 0;
        published.remove_while(|_| {
            removed += 1;
            removed <= excess
        });
    }
}

impl Published {
    /// Removes the oldest webhooks for as long as `condition` holds for their times.
    fn remove_while(&mut self, mut condition: impl FnMut(Instant) -> bool) {
        while let Some((_, key)) = self.queue.pop_front_if(|(time, _)| condition(*time)) {
            self.webhooks.remove(&key);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::event::Detail;
    use crate::providers::find_provider;

    fn key(id: &str) -> Option<DeliveryKey> {
        let event = Event {
            source: "github.com".into(),
            detail_type: "push".into(),
            time: None,
            resources: vec![format!("urn:webhook:{id}")],
            detail: Detail::parse(b"{}").unwrap(),
            trace_header: None,
            group_id: None,
        };
        DeliveryKey::new(find_provider("github").unwrap(), &event)
    }

    #[test]
    fn a_webhook_is_identified_by_its_id_and_its_body() {
        let window = RepeatWindow::new(Duration::from_secs(300)).unwrap();
        let first = key("github:1").unwrap();
        assert!(!window.contains(first, b"{}"));
        window.insert(first, BodyHash::new(b"{}"));
        assert!(window.contains(first, b"{}"));
        assert!(!window.contains(first, b"{ }"));
        assert!(!window.contains(key("github:2").unwrap(), b"{}"));
        window.insert(first, BodyHash::new(b"{ }"));
        assert!(window.contains(first, b"{ }") && !window.contains(first, b"{}"));
        assert!(key("gitlab:1").is_none(), "the webhook has no id of this provider");
        assert!(RepeatWindow::new(Duration::ZERO).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_window_forgets_old_webhooks_and_is_bounded() {
        let window = RepeatWindow::new(Duration::from_secs(300)).unwrap();
        let insert = |n: usize| window.insert(key(&format!("github:{n}")).unwrap(), BodyHash::new(b"{}"));
        let contains = |n: usize| window.contains(key(&format!("github:{n}")).unwrap(), b"{}");
        insert(0);
        tokio::time::advance(Duration::from_secs(299)).await;
        assert!(contains(0));
        insert(1);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!contains(0) && contains(1));
        (2..=MAX_WEBHOOKS + 1).for_each(insert);
        assert!(!contains(1) && contains(2));
        assert_eq!(window.published.lock().unwrap().webhooks.len(), MAX_WEBHOOKS);
    }
}
