//! Sanity webhooks.
//!
//! Sanity waits 30 s for a response. Retries: after 429 or 5xx two retries at intervals of 30 seconds; other 4xx are
//! not repeated. Only one request is under way at a time.

use crate::providers::{
    Encoding, FieldLocation, HeaderFormat, HeaderSignature, Provider, SampleWebhook, SignatureFormat,
    SignatureScheme, SignedContent, SignedTimestamp, SigningPart, TimestampFormat,
};

/// Sanity signs TIMESTAMP.BODY with HMAC-SHA256 and sends t=TIMESTAMP,v1=SIGNATURE in
/// sanity-webhook-signature, with the timestamp in milliseconds and the signature in base64url without padding. The
/// body is the projection that the operator configures, or the whole document; the kind of change is in the header
/// sanity-operation. Sanity delivers at least once, one request at a time, and repeats a request twice after 429 or
/// 5xx; the header idempotency-key is the same in a repeated request.
pub const SANITY: Provider = Provider {
    name: "sanity",
    title: "Sanity",
    documentation: "https://www.sanity.io/docs/content-lake/webhooks",
    secret_hint: "The secret that you set in the webhook's settings at sanity.io/manage, under API.",
    source: "sanity.io",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["sanity-webhook-signature"],
        header_format: HeaderFormat::List(','),
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
        "The operation, the document id and the idempotency key are in headers that the signature does not cover.",
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
