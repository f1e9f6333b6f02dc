//! Calendly: bookings and cancellations.
//!
//! Calendly waits 15 s for a response and retries for 24 hours. It then disables the subscription, which you
//! must create again. The status 410 deletes the subscription.

use crate::providers::{
    FieldLocation, HeaderFormat, HeaderSignature, Provider, SampleWebhook, SignatureFormat, SignatureScheme,
    SignedContent, SignedTimestamp, SigningPart, TimestampTolerance,
};

/// Calendly signs `TIMESTAMP.BODY` with HMAC-SHA256 and sends `t=TIMESTAMP,v1=SIGNATURE` with a hex signature
/// in `Calendly-Webhook-Signature`. Calendly's example rejects timestamps that are more than 3 minutes old;
/// hookbridge also rejects timestamps that are more than 3 minutes in the future. Calendly does not sign the
/// webhooks of a subscription without a signing key.
pub const CALENDLY: Provider = Provider {
    name: "calendly",
    title: "Calendly",
    documentation: "https://developer.calendly.com/api-docs/overview/webhooks/webhook-signatures",
    secret_hint: "The signing_key with which you created the webhook subscription, or the webhook signing key of the OAuth app.",
    source: "calendly.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["calendly-webhook-signature"],
        header_format: HeaderFormat::List(","),
        signatures: &[SignatureFormat::hmac_sha256("v1=")],
        signed_content: SignedContent::Parts(&[
            SigningPart::Timestamp,
            SigningPart::Literal("."),
            SigningPart::Body,
        ]),
        timestamp: Some(SignedTimestamp {
            tolerance: TimestampTolerance::seconds(180),
            ..SignedTimestamp::in_signature_header("t=")
        }),
        ..HeaderSignature::HMAC_SHA256
    }),
    event_type: Some(FieldLocation::Body("/event")),
    event_time: Some(FieldLocation::Body("/created_at")),
    samples: &[
        SampleWebhook {
            event_type: "invitee.created",
            body: r#"{"created_at":"2026-10-26T06:13:20.000000Z","created_by":"https://api.calendly.com/users/AAAAAAAAAAAAAAAA","event":"invitee.created","payload":{"uri":"https://api.calendly.com/scheduled_events/BBBBBBBBBBBBBBBB/invitees/CCCCCCCCCCCCCCCC","email":"alice@example.com","name":"Alice Example","status":"active","timezone":"Europe/Berlin","rescheduled":false,"event":"https://api.calendly.com/scheduled_events/BBBBBBBBBBBBBBBB","questions_and_answers":[]}}"#,
            time_placeholder: "2026-10-26T06:13:20.000000Z",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "invitee.canceled",
            body: r#"{"created_at":"2026-10-26T06:20:00.000000Z","created_by":"https://api.calendly.com/users/AAAAAAAAAAAAAAAA","event":"invitee.canceled","payload":{"uri":"https://api.calendly.com/scheduled_events/BBBBBBBBBBBBBBBB/invitees/CCCCCCCCCCCCCCCC","email":"alice@example.com","name":"Alice Example","status":"canceled","rescheduled":false,"event":"https://api.calendly.com/scheduled_events/BBBBBBBBBBBBBBBB","cancellation":{"canceled_by":"Alice Example","reason":"ill","canceler_type":"invitee"}}}"#,
            time_placeholder: "2026-10-26T06:20:00.000000Z",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
