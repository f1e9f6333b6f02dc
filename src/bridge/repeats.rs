//! Webhooks that a provider sends again soon after they were published, for example because it did not get the response in time.
//!
//! EventBridge's classic bus does not recognise a repeated event, so the handler does, for a few minutes and within one process.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use crate::event::Event;
use crate::providers::Provider;

/// Maximum number of webhooks that the window of a provider contains, in about 400 kB.
const MAX_WEBHOOKS: usize = 7_000;

/// Identifies a webhook: a hash of the provider, the delivery id and the body.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Fingerprint([u8; 16]);

impl Fingerprint {
    /// The fingerprint of a webhook whose first event is `event`; `None` if the provider sent no id. An id alone does not identify a
    /// webhook, because most signatures do not cover it.
    pub(super) fn new(provider: &Provider, event: &Event, body: &[u8]) -> Option<Self> {
        let urn = event.resources.iter().find(|urn| provider.delivery_id_from_urn(urn).is_some())?;
        let mut hash = Sha256::new();
        hash.update(urn.as_bytes());
        // No URN contains a line break.
        hash.update(b"\n");
        hash.update(body);
        hash.finalize().first_chunk().copied().map(Self)
    }
}

/// The webhooks that were published in the last minutes.
pub struct RepeatWindow {
    length: Duration,
    published: Mutex<Published>,
}

#[derive(Default)]
struct Published {
    fingerprints: HashSet<Fingerprint>,
    /// The same fingerprints, the oldest first.
    queue: VecDeque<(Instant, Fingerprint)>,
}

impl RepeatWindow {
    /// A window of this length; `None` if the length is zero.
    pub fn new(length: Duration) -> Option<Self> {
        (!length.is_zero()).then(|| Self { length, published: Mutex::default() })
    }

    /// Whether the webhook was published within the window.
    pub(super) fn contains(&self, webhook: Fingerprint) -> bool {
        let mut published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        published.remove_while(|time| time.elapsed() >= self.length);
        published.fingerprints.contains(&webhook)
    }

    /// Adds a webhook that was published now. If the window is full, it forgets the oldest webhook.
    pub(super) fn insert(&self, webhook: Fingerprint) {
        let mut published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        if published.fingerprints.insert(webhook) {
            published.queue.push_back((Instant::now(), webhook));
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
        while let Some((_, webhook)) = self.queue.pop_front_if(|(time, _)| condition(*time)) {
            self.fingerprints.remove(&webhook);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::event::Detail;
    use crate::providers::find_provider;

    fn fingerprint(id: &str, body: &[u8]) -> Option<Fingerprint> {
        let event = Event {
            source: "github.com".into(),
            detail_type: "push".into(),
            time: None,
            resources: vec![format!("urn:webhook:{id}")],
            detail: Detail::parse(b"{}").unwrap(),
            trace_header: None,
        };
        Fingerprint::new(find_provider("github").unwrap(), &event, body)
    }

    #[test]
    fn a_webhook_is_identified_by_its_id_and_its_body() {
        let window = RepeatWindow::new(Duration::from_secs(300)).unwrap();
        let webhook = fingerprint("github:1", b"{}").unwrap();
        assert!(!window.contains(webhook));
        window.insert(webhook);
        assert!(window.contains(webhook));
        assert!(!window.contains(fingerprint("github:1", b"{ }").unwrap()));
        assert!(!window.contains(fingerprint("github:2", b"{}").unwrap()));
        assert!(fingerprint("gitlab:1", b"{}").is_none(), "the webhook has no id of this provider");
        assert!(RepeatWindow::new(Duration::ZERO).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_window_forgets_old_webhooks_and_is_bounded() {
        let window = RepeatWindow::new(Duration::from_secs(300)).unwrap();
        let webhook = |n: usize| fingerprint(&format!("github:{n}"), b"{}").unwrap();
        window.insert(webhook(0));
        tokio::time::advance(Duration::from_secs(299)).await;
        assert!(window.contains(webhook(0)));
        window.insert(webhook(1));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!window.contains(webhook(0)) && window.contains(webhook(1)));
        (2..=MAX_WEBHOOKS + 1).for_each(|n| window.insert(webhook(n)));
        assert!(!window.contains(webhook(1)) && window.contains(webhook(2)));
        assert_eq!(window.published.lock().unwrap().fingerprints.len(), MAX_WEBHOOKS);
    }
}
