//! X: events of the X Activity API and the Account Activity API.
//!
//! X expects status 200 within 10 s. Its retries are not documented; `POST /2/webhooks/replay` sends the
//! events of the last 24 hours again. X tests the endpoint regularly with `crc_token`, and disables a webhook
//! after a wrong answer.

use crate::providers::{
    Encoding, FieldLocation, Handshake, HeaderSignature, Provider, SampleWebhook, SignatureFormat,
    SignatureScheme, SuccessResponse,
};

/// X signs the raw body with HMAC-SHA256 and sends the signature in base64, after `sha256=`. The header
/// `X-Twitter-Webhooks-Signature-OAuth2` has a signature with the OAuth 2.0 client secret,
/// `X-Twitter-Webhooks-Signature` one with the OAuth 1.0 consumer secret; a valid signature in either is
/// enough. hookbridge signs the answer to `crc_token` with the first key of the secret.
pub const X: Provider = Provider {
    name: "x",
    title: "X",
    documentation: "https://docs.x.com/x-api/webhooks/introduction",
    secret_hint: "The OAuth 2.0 client secret, or the API key secret of an app without OAuth 2.0, from Keys and tokens in the X Developer Console.",
    source: "x.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-twitter-webhooks-signature-oauth2", "x-twitter-webhooks-signature"],
        signatures: &[SignatureFormat::hmac_sha256("sha256=")],
        encoding: Encoding::Base64,
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some(
        "An attacker can replay a recorded webhook at any time, because the signature has no timestamp. The endpoint signs the `crc_token` of any caller, but only if it has no character that a JSON object needs, so the answer is never the signature of an event.",
    ),
    handshakes: &[Handshake::QueryHmac {
        parameter: "crc_token",
        field: "response_token",
        prefix: "sha256=",
    }],
    event_type: Some(FieldLocation::FirstOf(&[
        FieldLocation::Body("/data/event_type"),
        FieldLocation::FirstFieldExcept(&["for_user_id", "user_has_blocked"]),
    ])),
    delivery_id: Some(FieldLocation::Body("/data/event_uuid")),
    event_time: Some(FieldLocation::Body("/data/payload/created_at")),
    success: SuccessResponse::OK,
    samples: &[
        SampleWebhook {
            event_type: "post.create",
            body: r#"{"data":{"event_uuid":"2080000000000000001","filter":{"user_id":"1111111111111111111"},"event_type":"post.create","tag":"posts","payload":{"id":"2080000000000000001","text":"Release 1.4 is out","author_id":"1111111111111111111","conversation_id":"2080000000000000001","created_at":"2026-11-30T09:00:00.000Z","lang":"en","edit_history_tweet_ids":["2080000000000000001"],"possibly_sensitive":false,"reply_settings":"everyone"}}}"#,
            id_placeholder: "2080000000000000001",
            time_placeholder: "2026-11-30T09:00:00.000Z",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "profile.update.bio",
            body: r#"{"data":{"event_uuid":"2080000000000000002","filter":{"user_id":"1111111111111111111"},"event_type":"profile.update.bio","tag":"bio","payload":{"before":"Builds things","after":"Builds webhooks"}}}"#,
            id_placeholder: "2080000000000000002",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "favorite_events",
            body: r#"{"for_user_id":"1111111111111111111","favorite_events":[{"id":"a7ba59eab0bfcba386f7acedac270001","created_at":"Mon Nov 30 09:00:00 +0000 2026","timestamp_ms":1796029200000,"favorited_status":{"id_str":"2080000000000000001","text":"Release 1.4 is out"},"user":{"id_str":"2222222222222222222","screen_name":"ada_example"}}]}"#,
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
