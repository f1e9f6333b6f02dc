//! Box: events of files, folders and comments.
//!
//! Box waits 30 s for a response and retries up to 12 times within 2 hours. `BOX-DELIVERY-ID` changes with
//! each attempt; the `id` in the body, which hookbridge uses, stays the same.

use crate::providers::{
    Encoding, FieldLocation, HeaderSignature, Provider, SampleWebhook, SignatureScheme, SignedContent,
    SignedTimestamp, SigningPart, TimestampFormat, TimestampTolerance,
};

/// Box signs the raw body followed by `BOX-DELIVERY-TIMESTAMP` with HMAC-SHA256 and sends base64 signatures
/// with its two keys in `BOX-SIGNATURE-PRIMARY` and `BOX-SIGNATURE-SECONDARY`. One valid signature is enough.
/// Box's SDK rejects timestamps that are more than 10 minutes old; hookbridge also rejects timestamps that
/// are more than 10 minutes in the future.
pub const BOX: Provider = Provider {
    name: "box",
    title: "Box",
    documentation: "https://developer.box.com/guides/webhooks/v2/signatures-v2",
    secret_hint: "The primary or secondary signature key of the application, from Webhooks > Manage signature keys in the Box Developer Console.",
    source: "box.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["box-signature-primary", "box-signature-secondary"],
        encoding: Encoding::Base64,
        signed_content: SignedContent::Parts(&[SigningPart::Body, SigningPart::Timestamp]),
        timestamp: Some(SignedTimestamp {
            format: TimestampFormat::Rfc3339,
            tolerance: TimestampTolerance::seconds(600),
            ..SignedTimestamp::in_header(&["box-delivery-timestamp"])
        }),
        ..HeaderSignature::HMAC_SHA256
    }),
    event_type: Some(FieldLocation::Body("/trigger")),
    delivery_id: Some(FieldLocation::Body("/id")),
    event_time: Some(FieldLocation::Body("/created_at")),
    samples: &[
        SampleWebhook {
            event_type: "FILE.UPLOADED",
            body: r#"{"type":"webhook_event","id":"0f8a1b2c-3d4e-4f50-8a61-7b8c9d0e1f20","created_at":"2026-11-20T01:30:11-08:00","trigger":"FILE.UPLOADED","webhook":{"id":"1234567","type":"webhook"},"created_by":{"type":"user","id":"755492","name":"Ada Example","login":"ada@example.com"},"source":{"id":"73835521473","type":"file","name":"report.pdf","size":104857,"parent":{"type":"folder","id":"5000001","name":"Inbox"}},"additional_info":[]}"#,
            id_placeholder: "0f8a1b2c-3d4e-4f50-8a61-7b8c9d0e1f20",
            time_placeholder: "2026-11-20T01:30:11-08:00",
            headers: SIGNATURE_HEADERS,
        },
        SampleWebhook {
            event_type: "COMMENT.CREATED",
            body: r#"{"type":"webhook_event","id":"1a9b2c3d-4e5f-4061-9b72-8c9d0e1f2031","created_at":"2026-11-20T01:31:11-08:00","trigger":"COMMENT.CREATED","webhook":{"id":"1234567","type":"webhook"},"created_by":{"type":"user","id":"755492","name":"Ada Example","login":"ada@example.com"},"source":{"id":"191969","type":"comment","message":"Looks good","item":{"id":"73835521473","type":"file"}},"additional_info":[]}"#,
            id_placeholder: "1a9b2c3d-4e5f-4061-9b72-8c9d0e1f2031",
            time_placeholder: "2026-11-20T01:31:11-08:00",
            headers: SIGNATURE_HEADERS,
        },
    ],
    ..Provider::JSON
};

/// The headers that describe the signature. Their values are always the same.
const SIGNATURE_HEADERS: &[(&str, &str)] =
    &[("box-signature-version", "1"), ("box-signature-algorithm", "HmacSHA256")];
