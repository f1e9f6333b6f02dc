//! What attempts say about their subscriber: that it is well, or for how long it has been failing, and who is told of it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tracing::warn;

use super::{Dispatcher, Finished, REST};
use crate::bus::Bus;
use crate::dispatch::notice::{Notice, Standing};
use crate::dispatch::store::Failing;
use crate::dispatch::subscriber::Receiver;
use crate::log::{LogError, Statements};

/// So many failures in a row, and nothing more is tried for some time but one attempt, the probe.
const TOO_MANY: i64 = 10;
/// Why a subscriber is paused.
const GONE: &str = "it answered 410 Gone";
const FAILED: &str = "every attempt failed for too long";

impl<S: Statements, B: Bus> Dispatcher<S, B> {
    /// What some attempts at one subscriber, in their order, say about it.
    pub(super) async fn conclude(&self, finished: &[&Finished]) -> Result<(), LogError> {
        let Some(last) = finished.last() else { return Ok(()) };
        let (receiver, now) = (&last.job.receiver, self.now());
        let id = receiver.id;
        for finished in finished {
            if finished.tried.is_good() {
                self.lanes.widen(id, receiver.settings.limit);
            } else if finished.tried.is_overload() {
                self.lanes.narrow(id);
            }
        }
        let failed_since_good = finished.iter().rev().take_while(|finished| !finished.tried.is_good());
        let failed: Vec<_> = failed_since_good.collect();
        if failed.len() < finished.len()
            && let Some(told) = self.store.recovered(id, now).await?
        {
            self.more.store(true, Relaxed);
            if told != 0 {
                self.tell(receiver, Standing::Recovered, None).await;
            }
        }
        let Some(first) = failed.last() else { return Ok(()) };
        let open_until = now.checked_add(REST).unwrap_or(now);
        let count = i64::try_from(failed.len()).unwrap_or(i64::MAX);
        let failing = self.store.failed(id, count, first.started, (TOO_MANY, open_until)).await?;
        let Some(failing) = failing else { return Ok(()) };
        if failing.failures >= TOO_MANY {
            self.lanes.close(id);
        }
        if failed.iter().any(|finished| finished.tried.is_gone()) {
            if self.store.pause(id, GONE, now).await? {
                self.tell(receiver, Standing::Paused { why: GONE }, Some(failing)).await;
            }
            return Ok(());
        }
        self.tell_budget(receiver, failing, now).await
    }

    /// Tells how much of its failure budget a subscriber has used, at least once for each of the parts; when all of it is used, it is
    /// paused.
    async fn tell_budget(
        &self,
        receiver: &Receiver,
        failing: Failing,
        now: Timestamp,
    ) -> Result<(), LogError> {
        let used = now.duration_since(failing.since).as_secs_f64() / receiver.failure_budget().as_secs_f64();
        let Some(percent) = [100_u8, 90, 50].into_iter().find(|percent| used * 100.0 >= f64::from(*percent))
        else {
            return Ok(());
        };
        if i64::from(percent) <= failing.told {
            return Ok(());
        }
        if percent == 100 {
            self.tell(receiver, Standing::Paused { why: FAILED }, Some(failing)).await;
            self.store.pause(receiver.id, FAILED, now).await?;
        } else {
            self.tell(receiver, Standing::Failing { percent }, Some(failing)).await;
        }
        self.store.told(receiver.id, i64::from(percent)).await
    }

    /// Puts on the bus how a subscriber is.
    async fn tell(&self, receiver: &Receiver, standing: Standing, failing: Option<Failing>) {
        let waiting = self.store.waiting(receiver.id).await.unwrap_or_default();
        let notice = Notice { subscriber: &receiver.name, standing, failing, waiting, now: self.now() };
        let Some(event) = notice.event() else { return };
        let deadline = Instant::now() + Duration::from_secs(5);
        if let Err(error) = self.bus.put(&Arc::new(event), deadline).await {
            warn!(
                subscriber = receiver.name,
                error = error.to_string(),
                "nobody could be told of a subscriber"
            );
        }
    }
}
