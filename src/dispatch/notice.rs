//! Subscriber health events: failing, paused, recovered.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::store::Failing;
use crate::event::{Detail, Event};

/// Who says it.
const SOURCE: &str = "hookbridge";
/// What the types begin with.
const TYPES: &str = "hookbridge.subscriber.";

/// How a subscriber is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Every attempt has failed for this part of its failure budget.
    Failing {
        /// In percent.
        percent: u8,
    },
    /// Nothing is sent any more until it is resumed.
    Paused {
        /// For a person.
        why: &'static str,
    },
    /// An attempt was good again.
    Recovered,
}

impl Standing {
    /// The part of its failure budget that a subscriber has used by then, in percent: who is paused has no further one.
    pub(super) fn part(self) -> i64 {
        match self {
            Self::Failing { percent } => percent.into(),
            Self::Paused { .. } => 100,
            Self::Recovered => 0,
        }
    }
}

/// What is told.
pub(super) struct Notice<'a> {
    /// Of whom.
    pub subscriber: &'a str,
    /// What.
    pub standing: Standing,
    /// How it has been failing.
    pub failing: Option<Failing>,
    /// Deliveries that wait.
    pub waiting: i64,
    /// When.
    pub now: Timestamp,
}

impl Notice<'_> {
    /// The event.
    pub(super) fn event(&self) -> Option<Event> {
        let (name, mut detail) = match self.standing {
            Standing::Failing { percent } => ("failing", json!({"percent": percent})),
            Standing::Paused { why } => ("paused", json!({"reason": why})),
            Standing::Recovered => ("recovered", json!({})),
        };
        detail["subscriber"] = self.subscriber.into();
        detail["waiting"] = self.waiting.into();
        if let Some(failing) = self.failing {
            detail["failures"] = failing.failures.into();
            detail["failing_since"] = format!("{:.3}", failing.since).into();
        }
        Some(Event {
            source: SOURCE.into(),
            detail_type: format!("{TYPES}{name}"),
            detail: Detail::of(detail.to_string().into()).ok()?,
            time: Some(self.now),
            resources: vec![format!("urn:hookbridge:subscriber:{}", self.subscriber)],
        })
    }

    /// Whether an event of this type is one of these.
    pub(super) fn is_one(detail_type: &str) -> bool {
        detail_type.starts_with(TYPES)
    }

    /// Whether one of these is about a subscriber of this name.
    pub(super) fn is_about(json: &str, subscriber: &str) -> bool {
        let about = |event: Value| event["detail"]["subscriber"] == subscriber;
        serde_json::from_str(json).is_ok_and(about)
    }
}
