//! JSON representations of subscribers, ping results, deliveries and attempts. None of them contains a secret.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::client::{AttemptResult, HttpResponse};
use super::store::{AttemptView, DeliveryView};
use super::subscriber::{PauseReason, Subscriber};

fn timestamp_text(time: Option<Timestamp>) -> Option<String> {
    time.map(|time| format!("{time:.3}"))
}

/// Converts microseconds to milliseconds, as a JSON number with at most three decimals.
fn milliseconds_json(micros: i64) -> Value {
    serde_json::from_str(&format!("{}.{:03}", micros / 1000, micros % 1000)).unwrap_or_default()
}

pub fn subscriber_json(subscriber: &Subscriber, now: Timestamp) -> Value {
    let health = &subscriber.health;
    json!({
        "object": "subscriber",
        "name": subscriber.name,
        "url": subscriber.url,
        "state": if subscriber.paused.is_some() { "paused" } else { "active" },
        "paused_since": timestamp_text(subscriber.paused.as_ref().and_then(|pause| pause.since)),
        "paused_because": subscriber.paused.as_ref().and_then(|pause| pause.reason).map(PauseReason::as_str),
        "settings": subscriber.settings,
        "secrets": subscriber.active_secrets(now).count(),
        // The latest time until which a secret that a rotation has replaced still signs.
        "overlap_until": timestamp_text(subscriber.active_secrets(now).filter_map(|stored| stored.until).max()),
        "created": timestamp_text(Some(subscriber.created)),
        "failures": health.failures,
        "failing_since": timestamp_text(health.failing_since),
        "open_until": timestamp_text(health.open_until),
    })
}

pub fn ping_json(result: &AttemptResult) -> Value {
    let response: Option<&HttpResponse> = result.outcome.as_ref().ok();
    json!({
        "object": "test",
        "delivered": result.is_success(),
        "status": response.map(|response| response.status),
        "error": result.error_text(),
        "address": result.address,
        "milliseconds": milliseconds_json(i64::try_from(result.duration.as_micros()).unwrap_or(i64::MAX)),
        "answer": response.map(|response| response.body.as_str()),
    })
}

pub fn delivery_json(delivery: &DeliveryView) -> Value {
    json!({
        "object": "delivery",
        "id": delivery.id,
        "event": delivery.event,
        "type": delivery.detail_type,
        "subscriber": delivery.subscriber,
        "status": delivery.state.as_str(),
        "attempts": delivery.attempts,
        "created": timestamp_text(Some(delivery.created)),
        "tried": timestamp_text(delivery.last_attempt),
        "next_attempt": timestamp_text(delivery.next_attempt),
        "answered": delivery.status,
        "error": delivery.error,
    })
}

pub fn delivery_with_attempts_json(delivery: &DeliveryView, attempts: &[AttemptView]) -> Value {
    let mut value = delivery_json(delivery);
    value["tries"] = attempts.iter().map(attempt_json).collect();
    value
}

fn attempt_json(attempt: &AttemptView) -> Value {
    json!({
        "number": attempt.number,
        "started": timestamp_text(Some(attempt.started)),
        "milliseconds": milliseconds_json(attempt.duration_micros),
        "status": attempt.status,
        "error": attempt.error,
        "address": attempt.address,
        "repeated": attempt.is_repeated,
        "answer": attempt.response_body,
        "next_attempt": timestamp_text(attempt.next_attempt),
    })
}
