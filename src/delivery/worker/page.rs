//! Claimed pages: the way of new events from the log to their first attempts.
//!
//! A worker claims a page of the log and attempts the deliveries of the page's events before it stores them: a delivery that
//! succeeds soon is written once, together with its attempt. A delivery that waits too long for a permit ([`PERMIT_TIMEOUT`]) is
//! stored without a lease, and one whose attempt takes long ([`STORE_AFTER`]) with a lease. Then the claim of the page ends. If the
//! worker dies before, its claim expires, and another worker creates the deliveries that are missing. So an attempt can be repeated,
//! but no delivery is lost.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::attempt::{Claim, InFlightDelivery};
use super::{ArrivedEvent, CLAIM_LEASE, DeliveryWorker, WorkerError, matching_subscribers};
use crate::bus::Bus;
use crate::delivery::store::{ClaimLease, NewDelivery, OutgoingEvent, PageClaim};
use crate::delivery::subscriber::SubscriberId;
use crate::log::Position;

/// How long a delivery of a claimed page waits for a permit.
const PERMIT_TIMEOUT: Duration = Duration::from_millis(400);
/// How long the deliveries of a claimed page may be in flight before they are stored. Longer than [`PERMIT_TIMEOUT`], so that a lease
/// is given only to deliveries whose attempts have started.
const STORE_AFTER: Duration = Duration::from_millis(500);

/// The deliveries of a page that this worker has claimed; none if there was nothing to deliver, and so nothing to claim.
pub struct ClaimedPage {
    pub(super) deliveries: Vec<InFlightDelivery>,
    pub(super) page: OpenPage,
}

/// The deliveries of a claimed page that are neither stored nor about to be stored.
pub(super) struct OpenPage {
    lease: ClaimLease,
    created: Timestamp,
    store_at: Instant,
    /// By their places in the page; `None` for a delivery whose outcome is known.
    deliveries: Vec<Option<UnstoredDelivery>>,
    unstored_count: usize,
}

struct UnstoredDelivery {
    event: Arc<OutgoingEvent>,
    subscriber: SubscriberId,
    id: Arc<OnceLock<i64>>,
}

/// The changes of claimed pages that are recorded together with attempts.
#[derive(Default)]
pub(super) struct PageChanges {
    /// Deliveries without an attempt that are not stored.
    pub(super) skipped: Vec<InFlightDelivery>,
    pub(super) overdue: Vec<OverdueDelivery>,
    /// The tokens of the claims of pages whose deliveries are all stored by then.
    pub(super) ended_claims: Vec<String>,
}

/// A delivery of a page that is to be stored, with the lease of the page, before its attempt has ended.
pub(super) struct OverdueDelivery {
    pub(super) delivery: NewDelivery,
    /// To be set when the delivery is stored.
    pub(super) id: Arc<OnceLock<i64>>,
}

/// The claimed pages of an `AttemptRunner`, by the tokens of their leases.
#[derive(Default)]
pub(super) struct OpenPages(HashMap<String, OpenPage>);

impl OpenPages {
    pub(super) fn add(&mut self, page: OpenPage) {
        self.0.insert(page.lease.token.clone(), page);
    }

    /// Removes a delivery whose attempt has ended or was skipped, because the caller stores it.
    pub(super) fn remove(&mut self, delivery: &InFlightDelivery) {
        if let Claim::Page { index, .. } = &delivery.claim
            && let Some(page) = self.0.get_mut(&delivery.lease.token)
        {
            page.unstored_count -= page.deliveries.get_mut(*index).and_then(Option::take).iter().len();
        }
    }

    /// The time at which deliveries of an open page must be stored.
    pub(super) fn next_store_at(&self) -> Option<Instant> {
        self.0.values().map(|page| page.store_at).min()
    }

    /// Removes the deliveries that must be stored now.
    pub(super) fn take_overdue(&mut self, now: Instant) -> Vec<OverdueDelivery> {
        let mut overdue = Vec::new();
        for page in self.0.values_mut().filter(|page| page.store_at <= now) {
            let (created, lease) = (page.created, page.lease.clone());
            page.unstored_count = 0;
            let unstored = page.deliveries.drain(..).flatten();
            overdue.extend(unstored.map(|UnstoredDelivery { event, subscriber, id }| {
                let lease = Some(lease.clone());
                OverdueDelivery {
                    delivery: NewDelivery { event, subscriber, created, attempt: None, lease },
                    id,
                }
            }));
        }
        overdue
    }

    /// Removes the pages without unstored deliveries, and returns the tokens of their claims.
    pub(super) fn take_ended(&mut self) -> Vec<String> {
        self.0.extract_if(|_, page| page.unstored_count == 0).map(|(token, _)| token).collect()
    }
}

impl<B: Bus> DeliveryWorker<B> {
    /// Claims a page of the log with the deliveries of its events to matching subscribers, except the deliveries that are stored.
    /// The page must begin at the stored position. Returns `None` if it does not, because another worker has claimed events.
    ///
    /// # Errors
    /// The page was not claimed, or it is unknown whether it was. In the second case, a worker takes the page over when the claim
    /// has expired.
    pub async fn claim_page(
        &self,
        events: Vec<ArrivedEvent>,
        positions: Range<Position>,
    ) -> Result<Option<ClaimedPage>, WorkerError> {
        let (read_at, subscribers) = (Instant::now(), self.subscribers.all().await?);
        let mut pairs = Vec::new();
        for event in events {
            let matching = matching_subscribers(&event, &subscribers);
            if !matching.is_empty() {
                let ArrivedEvent { id, detail_type, json } = event;
                let event = Arc::new(OutgoingEvent { id, detail_type, json });
                pairs.extend(matching.into_iter().map(|subscriber| (event.clone(), subscriber)));
            }
        }
        let keys: Vec<_> = pairs.iter().map(|(event, subscriber)| (&*event.id, subscriber.id)).collect();
        let stored = self.store.stored_deliveries(&keys).await?;
        if !stored.is_empty() {
            pairs.retain(|(event, subscriber)| !stored.contains(&(event.id.clone(), subscriber.id)));
        }
        let now = self.now();
        let lease = ClaimLease::new(CLAIM_LEASE, now);
        let open_page = |unstored: Vec<_>| OpenPage {
            lease: lease.clone(),
            created: now,
            store_at: Instant::now() + STORE_AFTER,
            unstored_count: unstored.len(),
            deliveries: unstored,
        };
        if pairs.is_empty() {
            self.store.advance_position(positions.end).await?;
            return Ok(Some(ClaimedPage { deliveries: Vec::new(), page: open_page(Vec::new()) }));
        }
        let inactive_subscribers = self.store.subscribers.list_inactive().await?;
        if !self.store.claim_page(&PageClaim { positions, lease: lease.clone() }).await? {
            return Ok(None);
        }
        let skip_at = Instant::now() + PERMIT_TIMEOUT;
        let (mut deliveries, mut unstored) =
            (Vec::with_capacity(pairs.len()), Vec::with_capacity(pairs.len()));
        for (index, (event, subscriber)) in pairs.into_iter().enumerate() {
            let id = subscriber.id;
            let slot = match inactive_subscribers.contains(&id) {
                true => None,
                false => {
                    let slot = self.limits.reserve_for_page(id, subscriber.settings.limit);
                    self.with_bytes(slot, &event.json)
                }
            };
            let row_id = Arc::<OnceLock<i64>>::default();
            unstored.push(Some(UnstoredDelivery {
                event: event.clone(),
                subscriber: id,
                id: row_id.clone(),
            }));
            deliveries.push(InFlightDelivery {
                claim: Claim::Page { index, id: row_id, skip_at },
                lease: lease.clone(),
                subscriber: subscriber.clone(),
                attempts: 0,
                first_attempt: now,
                subscriber_read_at: read_at,
                slot,
                event,
            });
        }
        Ok(Some(ClaimedPage { deliveries, page: open_page(unstored) }))
    }

    /// Claims a page whose worker has not ended its claim in time; `None` if there is no such page. The caller must create the
    /// deliveries of the page's events with [`DeliveryWorker::create_deliveries`], and then end the claim.
    ///
    /// # Errors
    /// The database failed.
    pub async fn take_over_page(&self) -> Result<Option<PageClaim>, WorkerError> {
        let now = self.now();
        Ok(self.store.take_over_page(ClaimLease::new(CLAIM_LEASE, now), now).await?)
    }
}
