//! Cal.com webhooks.
//!
//! Retries: not documented.

use crate::providers::{FieldLocation, HeaderSignature, Provider, SampleWebhook, SignatureScheme};

/// Cal.com signs the raw body with HMAC-SHA256 and sends the hex digest without a prefix in `X-Cal-Signature-256`.
/// Without a secret the header holds the text `no-secret-provided`. There is no timestamp and no delivery id. The
/// type is `triggerEvent` in the body; a custom payload template can leave it out.
pub const CAL_COM: Provider = Provider {
    name: "cal-com",
    title: "Cal.com",
    documentation: "https://cal.com/docs/developing/guides/automation/webhooks",
    secret_hint: "The text typed into Secret when the webhook is made (Settings > Developer > Webhooks); Cal.com does not show it again.",
    source: "cal.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-cal-signature-256"],
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some("No timestamp is signed and there is no delivery id: a captured request can be replayed."),
    event_type: Some(FieldLocation::Body("/triggerEvent")),
    event_time: Some(FieldLocation::Body("/createdAt")),
    samples: &[
        SampleWebhook {
            event_type: "BOOKING_CREATED",
            body: r#"{"triggerEvent":"BOOKING_CREATED","createdAt":"2026-11-20T15:15:04.538Z","payload":{"type":"30min","title":"30 Min Meeting between Ann and Jon","startTime":"2026-11-25T09:30:00Z","endTime":"2026-11-25T10:00:00Z","organizer":{"id":7,"name":"Ann","email":"ann@example.com","timeZone":"Europe/London","language":{"locale":"en"}},"attendees":[{"name":"Jon","email":"jon@example.com","timeZone":"Europe/London","language":{"locale":"en"}}],"uid":"bFJeNb2uX8ANpT3JL5EfXw","bookingId":91,"eventTypeId":55,"status":"ACCEPTED"}}"#,
            time_placeholder: "2026-11-20T15:15:04.538Z",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "BOOKING_CANCELLED",
            body: r#"{"triggerEvent":"BOOKING_CANCELLED","createdAt":"2026-11-21T08:00:00.001Z","payload":{"type":"30min","title":"30 Min Meeting between Ann and Jon","startTime":"2026-11-25T09:30:00Z","endTime":"2026-11-25T10:00:00Z","uid":"bFJeNb2uX8ANpT3JL5EfXw","bookingId":91,"status":"CANCELLED","cancellationReason":"ill","cancelledBy":"jon@example.com"}}"#,
            time_placeholder: "2026-11-21T08:00:00.001Z",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
