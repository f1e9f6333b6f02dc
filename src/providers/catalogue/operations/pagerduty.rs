//! PagerDuty: events of incidents and services (V3 webhooks).
//!
//! PagerDuty waits 5 s for a response and makes up to 5 attempts within about 20 minutes. After a 4xx other
//! than 429 it drops the webhook; after 3 dropped webhooks in a row it disables the subscription for
//! 24 hours.

use crate::providers::{
    FieldLocation, HeaderFormat, HeaderSignature, Provider, SampleWebhook, SignatureFormat, SignatureScheme,
};

/// PagerDuty signs the raw body with HMAC-SHA256 and sends the signature in hex after `v1=` in
/// `X-PagerDuty-Signature`. While a secret rotates, the header has several signatures, separated by commas;
/// one valid signature is enough. The secret looks like base64 but is used as text.
pub const PAGERDUTY: Provider = Provider {
    name: "pagerduty",
    title: "PagerDuty",
    documentation: "https://docs.pagerduty.com/developer/verifying-webhook-signatures",
    secret_hint: "The secret of the webhook subscription (Integrations > Generic Webhooks), which PagerDuty shows once when you create the subscription.",
    source: "pagerduty.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-pagerduty-signature"],
        header_format: HeaderFormat::List(","),
        signatures: &[SignatureFormat::hmac_sha256("v1=")],
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some(
        "An attacker can replay a recorded webhook with another delivery id at any time, because the signature has no timestamp and does not cover `X-Webhook-Id`. The event's id in the body, `/event/id`, stays the same.",
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
