//! Cal.com: events of bookings.
//!
//! Cal.com documents neither a timeout nor retries. A custom payload template must be JSON. hookbridge takes
//! the event's type and time from `triggerEvent` and `createdAt`, which such a template can omit.

use crate::providers::{FieldLocation, HeaderSignature, Provider, SampleWebhook, SignatureScheme};

/// Cal.com signs the raw body with HMAC-SHA256 and sends the signature in hex in `X-Cal-Signature-256`. A
/// webhook without a secret has the text `no-secret-provided` in this header; hookbridge rejects it.
pub const CAL_COM: Provider = Provider {
    name: "cal-com",
    title: "Cal.com",
    documentation: "https://cal.com/docs/developing/guides/automation/webhooks",
    secret_hint: "The secret of the webhook, as you entered it under Settings > Developer > Webhooks; Cal.com does not show it again.",
    source: "cal.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-cal-signature-256"],
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some(
        "An attacker can replay a recorded webhook at any time, because the signature has no timestamp and webhooks have no id.",
    ),
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
