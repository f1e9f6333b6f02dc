//! Alertmanager: groups of Prometheus alerts. Each alert is an event.
//!
//! Alertmanager retries at once after 5xx and connection errors only. After any other failure, for example
//! 401 or 429, the group waits for the next `group_interval` (5 minutes by default), and a resolved group may
//! be lost.

use crate::providers::{FieldLocation, Provider, SampleWebhook, SecretLocation, SignatureScheme};

/// Alertmanager does not sign. It authenticates as `http_config` specifies; hookbridge accepts a bearer
/// token, or a user name and password (HTTP Basic), in `Authorization`.
pub const ALERTMANAGER: Provider = Provider {
    name: "alertmanager",
    title: "Alertmanager",
    documentation: "https://prometheus.io/docs/alerting/latest/configuration/#webhook_config",
    secret_hint: "A token of your choice, as in http_config.authorization.credentials of the webhook_config, or user:password as in basic_auth.",
    source: "prometheus.io",
    signature_scheme: SignatureScheme::SharedSecret(&[SecretLocation::Bearer, SecretLocation::Basic]),
    weakness: Some(
        "Webhooks are not signed. An attacker who obtains the token or password, which every request contains, can send any event.",
    ),
    split: Some("/alerts"),
    event_type: Some(FieldLocation::Body("/status")),
    event_time: Some(FieldLocation::Body("/startsAt")),
    samples: &[
        SampleWebhook {
            event_type: "firing",
            body: r#"{"version":"4","groupKey":"{}:{alertname=\"HighLatency\"}","truncatedAlerts":0,"status":"firing","receiver":"hookbridge","groupLabels":{"alertname":"HighLatency"},"commonLabels":{"alertname":"HighLatency","severity":"page"},"commonAnnotations":{},"externalURL":"http://alertmanager.example.com:9093","alerts":[{"status":"firing","labels":{"alertname":"HighLatency","instance":"a1","severity":"page"},"annotations":{"summary":"slow"},"startsAt":"2026-11-20T15:15:00.123Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":"","fingerprint":"1a30ba71cca2921f"}]}"#,
            time_placeholder: "2026-11-20T15:15:00.123Z",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "resolved",
            body: r#"{"version":"4","groupKey":"{}:{alertname=\"HighLatency\"}","truncatedAlerts":0,"status":"resolved","receiver":"hookbridge","groupLabels":{"alertname":"HighLatency"},"commonLabels":{"alertname":"HighLatency"},"commonAnnotations":{},"externalURL":"http://alertmanager.example.com:9093","alerts":[{"status":"resolved","labels":{"alertname":"HighLatency","instance":"a1"},"annotations":{},"startsAt":"2026-11-20T15:15:00.123Z","endsAt":"2026-11-20T15:40:00.123Z","generatorURL":"","fingerprint":"1a30ba71cca2921f"}]}"#,
            time_placeholder: "2026-11-20T15:15:00.123Z",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
