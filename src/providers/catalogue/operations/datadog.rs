//! Datadog webhooks.
//!
//! Datadog waits 15 s for a response. Retries: only on 5xx, internal errors and lost connections, 5 times; a 401 or
//! 429 loses the notification.

use crate::providers::{FieldLocation, Provider, SampleWebhook, SecretLocation, SignatureScheme};

/// Datadog does not sign webhooks: a header set in the webhook's custom headers, or Basic, shows the sender. The body
/// is a template that the operator can change; the default has `id`, `event_type`, `title`, `body`, `date`,
/// `last_updated` and `org`, all as text. Datadog waits 15 seconds and retries only on 5xx and lost connections, 5
/// times.
pub const DATADOG: Provider = Provider {
    name: "datadog",
    title: "Datadog",
    documentation: "https://docs.datadoghq.com/integrations/webhooks/",
    secret_hint: "A token of your choice, entered in the webhook's Custom Headers as {\"Authorization\": \"Bearer <token>\"} (best as a hidden custom variable).",
    source: "datadoghq.com",
    signature_scheme: SignatureScheme::SharedSecret(&[SecretLocation::Bearer, SecretLocation::Basic]),
    weakness: Some(
        "No signature: a static token shows the sender, nothing covers the body, replay is possible; the body's form is whatever the operator's template says.",
    ),
    event_type: Some(FieldLocation::Body("/event_type")),
    delivery_id: Some(FieldLocation::Body("/id")),
    event_time: Some(FieldLocation::Body("/date")),
    samples: &[
        SampleWebhook {
            event_type: "query_alert_monitor",
            body: r#"{"body":"%%%\nsystem.load.1 over host:web-1 was > 2.0\n%%%","last_updated":"1795187703000","event_type":"query_alert_monitor","title":"[Triggered] Load is high on web-1","date":"1795187700000","org":{"id":"123456","name":"Example"},"id":"7654321098765432109"}"#,
            id_placeholder: "7654321098765432109",
            time_placeholder: "1795187700000",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "query_alert_monitor",
            body: r#"{"id":"7654321098765432110","event_type":"query_alert_monitor","alert_id":"1234","alert_transition":"Recovered","alert_cycle_key":"1795187700","title":"[Recovered] Load is high on web-1","date":"1795189200000","tags":"env:prod,host:web-1","org":{"id":"123456","name":"Example"}}"#,
            id_placeholder: "7654321098765432110",
            time_placeholder: "1795189200000",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
