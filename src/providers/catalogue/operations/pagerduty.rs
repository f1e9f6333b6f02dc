//! PagerDuty webhooks.
//!
//! PagerDuty waits 5 s for a response. Retries: up to 5 attempts over about 20 minutes on timeout, 5xx, 429 and
//! connection errors; other 4xx and TLS errors drop the webhook; 3 drops in a row disable it for 24 hours. Custom
//! incident actions have 16 s.

use crate::providers::{
    FieldLocation, HeaderFormat, HeaderSignature, Provider, SampleWebhook, SignatureFormat, SignatureScheme,
};

/// PagerDuty V3 webhooks sign the raw body with HMAC-SHA256 and send `v1=` and the hex digest in
/// `X-PagerDuty-Signature`; during a rotation the header holds several signatures separated by commas and one match
/// is enough. There is no timestamp. `X-Webhook-Id` is the same for every attempt of one delivery. PagerDuty wants a
/// 2xx within 5 seconds, drops on 4xx except 429, and disables the subscription for 24 hours after 3 dropped webhooks
/// in a row.
pub const PAGERDUTY: Provider = Provider {
    name: "pagerduty",
    title: "PagerDuty",
    documentation: "https://docs.pagerduty.com/developer/verifying-webhook-signatures",
    secret_hint: "The secret in the answer that creates the webhook subscription (shown once, also in Integrations > Generic Webhooks), used as text although it looks like base64.",
    source: "pagerduty.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-pagerduty-signature"],
        header_format: HeaderFormat::List(','),
        signatures: &[SignatureFormat::hmac_sha256("v1=")],
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some(
        "No timestamp is signed and X-Webhook-Id is not covered: a captured request can be replayed; event.id inside the body is covered. A test (event_type pagey.ping) is signed and is an event like others.",
    ),
    event_type: Some(FieldLocation::Body("/event/event_type")),
    delivery_id: Some(FieldLocation::Header("x-webhook-id")),
    event_time: Some(FieldLocation::Body("/event/occurred_at")),
    samples: &[
        SampleWebhook {
            event_type: "incident.triggered",
            body: r#"{"event":{"id":"01FKZOXA868SHYEE4DVNWB5P9W","event_type":"incident.triggered","resource_type":"incident","occurred_at":"2026-11-20T15:15:03.169Z","agent":{"id":"PLH1HKV","type":"user_reference","summary":"Ann"},"client":null,"data":{"id":"PGR0VU2","type":"incident","html_url":"https://example.pagerduty.com/incidents/PGR0VU2","number":2,"status":"triggered","title":"API slow","service":{"id":"PF9KMXH","summary":"API","type":"service_reference"},"urgency":"high","priority":null,"resolve_reason":null}}}"#,
            time_placeholder: "2026-11-20T15:15:03.169Z",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "service.updated",
            body: r#"{"event":{"id":"01BRB6ZP4M6T8ZG4X6BP63ZB9O","event_type":"service.updated","resource_type":"service","occurred_at":"2026-11-20T16:00:00.682Z","agent":null,"client":null,"data":{"id":"PF9KMXH","summary":"API","type":"service","teams":[]}}}"#,
            time_placeholder: "2026-11-20T16:00:00.682Z",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "pagey.ping",
            body: r#"{"event":{"id":"01FKZOXA868SHYEE4DVNWB5P9X","event_type":"pagey.ping","resource_type":"pagey","occurred_at":"2026-11-20T15:00:00.532Z","agent":{"id":"PLH1HKV","type":"user_reference"},"client":null,"data":{"message":"Hello from your friend Pagey!","type":"ping"}}}"#,
            time_placeholder: "2026-11-20T15:00:00.532Z",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
