//! Datadog: notifications of monitors and events.
//!
//! Datadog waits 15 s for a response and retries 5 times, but only after 5xx and connection errors; a 401 or
//! 429 loses the notification. hookbridge takes the event's type, id and time from fields of the default
//! payload, which a custom payload can omit.

use crate::providers::{FieldLocation, Provider, SampleWebhook, SecretLocation, SignatureScheme};

/// Datadog does not sign. hookbridge expects `Authorization` with a bearer token, which you set as a custom
/// header of the webhook, or with a user name and password (HTTP Basic).
pub const DATADOG: Provider = Provider {
    name: "datadog",
    title: "Datadog",
    documentation: "https://docs.datadoghq.com/integrations/webhooks/",
    secret_hint: "A token of your choice; enter {\"Authorization\": \"Bearer TOKEN\"} as the custom headers of the Datadog webhook.",
    source: "datadoghq.com",
    signature_scheme: SignatureScheme::SharedSecret(&[SecretLocation::Bearer, SecretLocation::Basic]),
    weakness: Some(
        "Webhooks are not signed. An attacker who obtains the token or password, which every request contains, can send any event.",
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
