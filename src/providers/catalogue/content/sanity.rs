//! Sanity: changes to documents.
//!
//! Sanity waits 30 s for a response, retries twice after 429 or 5xx at intervals of 30 s, and sends one
//! request at a time. The webhook must use the method POST. Its projection determines the body.

use crate::providers::{
    Encoding, FieldLocation, HeaderFormat, HeaderSignature, Provider, SampleWebhook, SignatureFormat,
    SignatureScheme, SignedContent, SignedTimestamp, SigningPart, TimestampFormat,
};

/// Sanity signs `TIMESTAMP.BODY` with HMAC-SHA256 and sends `t=TIMESTAMP,v1=SIGNATURE` in
/// `sanity-webhook-signature`, with the timestamp in milliseconds and the signature in base64url. Sanity
/// documents no maximum age and its SDK checks none; hookbridge accepts 300 s, because Sanity's retries take
/// less time.
pub const SANITY: Provider = Provider {
    name: "sanity",
    title: "Sanity",
    documentation: "https://www.sanity.io/docs/content-lake/webhooks",
    secret_hint: "The secret of the webhook, as you entered it in its settings at sanity.io/manage, under API.",
    source: "sanity.io",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["sanity-webhook-signature"],
        header_format: HeaderFormat::List(","),
        signatures: &[SignatureFormat::hmac_sha256("v1=")],
        encoding: Encoding::Base64Url,
        signed_content: SignedContent::Parts(&[
            SigningPart::Timestamp,
            SigningPart::Literal("."),
            SigningPart::Body,
        ]),
        timestamp: Some(SignedTimestamp {
            format: TimestampFormat::Milliseconds,
            ..SignedTimestamp::in_signature_header("t=")
        }),
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some(
        "The signature does not cover headers, so an attacker can replay a recorded webhook for 300 s with another operation, time and idempotency key.",
    ),
    event_type: Some(FieldLocation::Header("sanity-operation")),
    delivery_id: Some(FieldLocation::Header("idempotency-key")),
    event_time: Some(FieldLocation::Header("sanity-transaction-time")),
    samples: &[
        SampleWebhook {
            event_type: "create",
            body: r#"{"_id":"post-42","_type":"post","_rev":"k3xJm0a1b2c3d4e5f6","_createdAt":"2026-10-26T06:13:20Z","_updatedAt":"2026-10-26T06:13:20Z","title":"Hello","slug":{"_type":"slug","current":"hello"}}"#,
            headers: &[("sanity-transaction-time", "2026-10-26T06:13:20.123Z")],
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "update",
            body: r#"{"_id":"post-42","_type":"post","_rev":"m4yKn1b2c3d4e5f607","_createdAt":"2026-10-26T06:13:20Z","_updatedAt":"2026-10-26T06:20:00Z","title":"Hello again","slug":{"_type":"slug","current":"hello"}}"#,
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "delete",
            body: r#"{"_id":"post-42","_type":"post"}"#,
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
