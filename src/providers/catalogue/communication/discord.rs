//! Discord: webhook events of an application.
//!
//! Discord expects status 204 within 3 s and retries with exponential backoff for up to 10 minutes. After too
//! many failures it stops sending and emails the owner. It also sends wrong signatures on purpose, and
//! removes an endpoint that does not answer them with 401.

use crate::providers::{
    Algorithm, FieldLocation, Handshake, HeaderSignature, KeyFormat, Provider, SampleWebhook,
    SignatureFormat, SignatureScheme, SignedAnswer, SignedContent, SignedTimestamp, SigningPart,
    SuccessResponse, TimestampTolerance,
};

/// Discord signs the timestamp followed by the raw body with the application's Ed25519 key. It sends the
/// signature in hex in `X-Signature-Ed25519`, and the timestamp in `X-Signature-Timestamp`. hookbridge does
/// not limit the age of the timestamp, because Discord documents no limit. Events have no id.
pub const DISCORD: Provider = Provider {
    name: "discord",
    title: "Discord",
    documentation: "https://docs.discord.com/developers/events/webhook-events",
    secret_hint: "The public key of the application (64 hex digits, not a secret), from General Information in the Discord Developer Portal.",
    source: "discord.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-signature-ed25519"],
        signatures: &[SignatureFormat {
            prefix: "",
            algorithm: Algorithm::Ed25519,
            key_format: KeyFormat::Hex,
        }],
        signed_content: SignedContent::Parts(&[SigningPart::Timestamp, SigningPart::Body]),
        timestamp: Some(SignedTimestamp {
            tolerance: TimestampTolerance::UNLIMITED,
            ..SignedTimestamp::in_header(&["x-signature-timestamp"])
        }),
        ..HeaderSignature::HMAC_SHA256
    }),
    handshakes: &[Handshake::Signed {
        location: FieldLocation::Body("/type"),
        value: "0",
        answer: SignedAnswer::Success,
    }],
    event_type: Some(FieldLocation::Body("/event/type")),
    event_time: Some(FieldLocation::Body("/event/timestamp")),
    success: SuccessResponse::NO_CONTENT,
    samples: &[
        SampleWebhook {
            event_type: "APPLICATION_AUTHORIZED",
            body: r#"{"version":1,"application_id":"1300000000000000001","type":1,"event":{"type":"APPLICATION_AUTHORIZED","timestamp":"2026-11-30T00:00:00.123456","data":{"integration_type":1,"scopes":["applications.commands"],"user":{"id":"1300000000000000002","username":"ada_example","avatar":null,"discriminator":"0","public_flags":0,"global_name":"Ada"}}}}"#,
            time_placeholder: "2026-11-30T00:00:00.123456",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "APPLICATION_DEAUTHORIZED",
            body: r#"{"version":1,"application_id":"1300000000000000001","type":1,"event":{"type":"APPLICATION_DEAUTHORIZED","timestamp":"2026-11-30T00:05:00.654321","data":{"user":{"id":"1300000000000000002","username":"ada_example","avatar":null,"discriminator":"0","public_flags":0,"global_name":"Ada"}}}}"#,
            time_placeholder: "2026-11-30T00:05:00.654321",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "ENTITLEMENT_CREATE",
            body: r#"{"version":1,"application_id":"1300000000000000001","type":1,"event":{"type":"ENTITLEMENT_CREATE","timestamp":"2026-11-30T00:10:00.000001","data":{"application_id":"1300000000000000001","consumed":false,"deleted":false,"gift_code_flags":0,"id":"1300000000000000010","promotion_id":null,"sku_id":"1300000000000000011","type":4,"user_id":"1300000000000000002"}}}"#,
            time_placeholder: "2026-11-30T00:10:00.000001",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
