//! JSON representations of subscribers, deliveries and attempts, without secrets.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::attempt::{Answered, Tried};
use super::store::{DeliveryView, TriedView};
use super::subscriber::Subscriber;

fn time(time: Option<Timestamp>) -> Option<String> {
    time.map(|time| format!("{time:.3}"))
}

/// Microseconds as milliseconds, with three digits behind the point at most.
fn milliseconds(micros: i64) -> Value {
    serde_json::from_str(&format!("{}.{:03}", micros / 1000, micros % 1000)).unwrap_or_default()
}

/// A subscriber: all but its secrets.
pub fn subscriber(subscriber: &Subscriber, now: Timestamp) -> Value {
    let health = &subscriber.health;
    json!({
        "object": "subscriber",
        "name": subscriber.name,
        "url": subscriber.url,
        "state": if subscriber.paused.is_some() { "paused" } else { "active" },
        "paused_since": time(subscriber.paused.as_ref().and_then(|pause| pause.since)),
        "paused_because": subscriber.paused.as_ref().and_then(|pause| pause.why.as_deref()),
        "settings": subscriber.settings,
        "secrets": subscriber.signing(now).count(),
        // Until when an older secret signs, too.
        "overlap_until": time(subscriber.signing(now).filter_map(|kept| kept.until).max()),
        "created": time(Some(subscriber.created)),
        "failures": health.failures,
        "failing_since": time(health.failing_since),
        "open_until": time(health.open_until),
    })
}

/// What a test came to.
pub fn test(tried: &Tried) -> Value {
    let answered: Option<&Answered> = tried.outcome.as_ref().ok();
    json!({
        "object": "test",
        "delivered": tried.is_good(),
        "status": answered.map(|answered| answered.status),
        "error": tried.error(),
        "address": tried.address,
        "milliseconds": milliseconds(i64::try_from(tried.duration.as_micros()).unwrap_or(i64::MAX)),
        "answer": answered.map(|answered| answered.body.as_str()),
    })
}

/// A delivery.
pub fn delivery(delivery: &DeliveryView) -> Value {
    json!({
        "object": "delivery",
        "id": delivery.id,
        "event": delivery.event,
        "type": delivery.detail_type,
        "subscriber": delivery.subscriber,
        "status": delivery.state.as_str(),
        "attempts": delivery.attempts,
        "created": time(Some(delivery.created)),
        "tried": time(delivery.tried),
        "next_attempt": time(delivery.next),
        "answered": delivery.status,
        "error": delivery.error,
    })
}

/// A delivery with the attempts at it.
pub fn audited(of: &DeliveryView, attempts: &[TriedView]) -> Value {
    let mut shown = delivery(of);
    shown["tries"] = attempts.iter().map(attempt).collect();
    shown
}

fn attempt(tried: &TriedView) -> Value {
    json!({
        "number": tried.number,
        "started": time(Some(tried.started)),
        "milliseconds": milliseconds(tried.duration),
        "status": tried.status,
        "error": tried.error,
        "address": tried.address,
        "answer": tried.answer,
        "next_attempt": time(tried.next),
    })
}
