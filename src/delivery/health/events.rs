//! Subscriber health events: `hookbridge.subscriber.failing`, `.paused` and `.recovered`.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::delivery::store::FailureStreak;
use crate::delivery::subscriber::PauseReason;
use crate::event::{Detail, Event};

const SOURCE: &str = "hookbridge";
const TYPE_PREFIX: &str = "hookbridge.subscriber.";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::delivery) enum HealthChange {
    /// Every attempt has failed for so long that this percentage of the failure budget is used.
    Failing { percent: u8 },
    /// The subscriber is paused: its deliveries wait until the subscriber is resumed.
    Paused { reason: PauseReason },
    /// An attempt succeeded after failures.
    Recovered,
}

impl HealthChange {
    /// The percentage of the failure budget that counts as reported once this change's event is published: 100 for a pause, 0 for
    /// a recovery.
    pub(in crate::delivery) fn budget_percent(self) -> i64 {
        match self {
            Self::Failing { percent } => percent.into(),
            Self::Paused { .. } => 100,
            Self::Recovered => 0,
        }
    }
}

pub(in crate::delivery) struct HealthEvent<'a> {
    pub subscriber: &'a str,
    pub change: HealthChange,
    /// The failures since the last success; `None` if there are none.
    pub streak: Option<FailureStreak>,
    /// The number of pending deliveries of the subscriber.
    pub pending: i64,
    pub now: Timestamp,
}

impl HealthEvent<'_> {
    pub(in crate::delivery) fn to_event(&self) -> Option<Event> {
        let (name, mut detail) = match self.change {
            HealthChange::Failing { percent } => ("failing", json!({"percent": percent})),
            HealthChange::Paused { reason } => ("paused", json!({"reason": reason.as_str()})),
            HealthChange::Recovered => ("recovered", json!({})),
        };
        detail["subscriber"] = self.subscriber.into();
        detail["waiting"] = self.pending.into();
        if let Some(streak) = self.streak {
            detail["failures"] = streak.failures.into();
            detail["failing_since"] = format!("{:.3}", streak.since).into();
        }
        Some(Event {
            source: SOURCE.into(),
            detail_type: format!("{TYPE_PREFIX}{name}"),
            detail: Detail::from_bytes(detail.to_string().into()).ok()?,
            time: Some(self.now),
            resources: vec![format!("urn:hookbridge:subscriber:{}", self.subscriber)],
            trace_header: None,
            group_id: None,
        })
    }

    pub(in crate::delivery) fn is_health_event(detail_type: &str) -> bool {
        detail_type.starts_with(TYPE_PREFIX)
    }

    pub(in crate::delivery) fn is_about(event_json: &str, subscriber: &str) -> bool {
        let names_subscriber = |event: Value| event["detail"]["subscriber"] == subscriber;
        serde_json::from_str(event_json).is_ok_and(names_subscriber)
    }
}
