//! Zendesk: Zendesk events, and webhooks of triggers and automations.
//!
//! Zendesk retries up to five times after a timeout, up to three times after 409, and after 429 or 503 if
//! `Retry-After` is below 60 s. It pauses a webhook at 70 % errors or 1,000 errors in 5 minutes. Set the
//! webhook of a trigger or an automation to POST with JSON: hookbridge accepts nothing else.

use crate::providers::{
    Encoding, FieldLocation, HeaderSignature, Provider, SampleWebhook, SignatureScheme, SignedContent,
    SignedTimestamp, SigningPart, TimestampFormat, TimestampTolerance,
};

/// Zendesk signs the timestamp followed by the raw body with HMAC-SHA256. It sends the signature in base64 in
/// `X-Zendesk-Webhook-Signature`, and the timestamp (RFC 3339) in `X-Zendesk-Webhook-Signature-Timestamp`.
/// hookbridge does not limit its age, because Zendesk documents no limit. It rejects tests of a webhook that
/// is not created yet: Zendesk signs them with a public secret.
pub const ZENDESK: Provider = Provider {
    name: "zendesk",
    title: "Zendesk",
    documentation: "https://developer.zendesk.com/documentation/webhooks/verifying/",
    secret_hint: "The signing secret of the webhook, from Reveal secret under Apps and integrations > Webhooks in Zendesk's Admin Center.",
    source: "zendesk.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-zendesk-webhook-signature"],
        encoding: Encoding::Base64,
        signed_content: SignedContent::Parts(&[SigningPart::Timestamp, SigningPart::Body]),
        timestamp: Some(SignedTimestamp {
            format: TimestampFormat::Rfc3339,
            tolerance: TimestampTolerance::UNLIMITED,
            ..SignedTimestamp::in_header(&["x-zendesk-webhook-signature-timestamp"])
        }),
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some(
        "An attacker can replay a recorded webhook at any time, because hookbridge does not limit the age of its timestamp. The signature covers neither the URL nor the header with the delivery id.",
    ),
    event_type: Some(FieldLocation::Body("/type")),
    delivery_id: Some(FieldLocation::Header("x-zendesk-webhook-invocation-id")),
    event_time: Some(FieldLocation::Body("/time")),
    samples: &[
        SampleWebhook {
            event_type: "zen:event-type:ticket.created",
            body: r#"{"account_id":123456,"detail":{"id":"5158","subject":"Printer on fire","status":"OPEN","priority":"HIGH","type":"INCIDENT","requester_id":"900001","created_at":"2026-11-30T09:00:00Z","updated_at":"2026-11-30T09:00:00Z","via":{"channel":"web_service"}},"event":{"meta":{"sequence":{"id":"01KEXAMPLESEQ0000000000001","position":1,"total":1}}},"id":"cbe4028c-7239-495d-b020-f22348516046","subject":"zen:ticket:5158","time":"2026-11-30T09:00:00.123456789Z","type":"zen:event-type:ticket.created","zendesk_event_version":"2022-11-06"}"#,
            time_placeholder: "2026-11-30T09:00:00.123456789Z",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "zen:event-type:user.role_changed",
            body: r#"{"account_id":123456,"detail":{"id":"900001","email":"ada@example.com","role":"agent","created_at":"2026-01-02T03:04:05Z","updated_at":"2026-11-30T09:05:00Z"},"event":{"current":"agent","previous":"end-user"},"id":"0a1b2c3d-0000-4000-8000-000000000002","subject":"zen:user:900001","time":"2026-11-30T09:05:00.000000001Z","type":"zen:event-type:user.role_changed","zendesk_event_version":"2022-06-20"}"#,
            time_placeholder: "2026-11-30T09:05:00.000000001Z",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
