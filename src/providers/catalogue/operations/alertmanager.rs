//! Alertmanager webhooks.
//!
//! Retries: 5xx and connection errors are tried again with backoff within the group interval; 4xx incl. 429 are not,
//! they wait for the next group_interval (5 min by default) and are lost when no alert fires then; unresolved groups
//! are sent again after repeat_interval (4 h by default).

use crate::providers::{FieldLocation, Provider, SampleWebhook, SecretLocation, SignatureScheme};

/// Alertmanager does not sign: `http_config` adds `Authorization` with Basic, a bearer token or another scheme, or a
/// client certificate. It posts one JSON object per group of alerts; each alert in `alerts` has its own status,
/// labels, times and fingerprint. 2xx is success and only 5xx is tried again at once: after a 401 or 429 the
/// notification waits for the next group interval, and a resolved group can be lost.
pub const ALERTMANAGER: Provider = Provider {
    name: "alertmanager",
    title: "Alertmanager",
    documentation: "https://prometheus.io/docs/alerting/latest/configuration/#webhook_config",
    secret_hint: "The token under http_config.authorization.credentials (or credentials_file) of the webhook_config; the operator chooses it.",
    source: "prometheus.io",
    signature_scheme: SignatureScheme::SharedSecret(&[SecretLocation::Bearer, SecretLocation::Basic]),
    weakness: Some(
        "No signature: a static token shows the sender, nothing covers the body, replay is possible.",
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
