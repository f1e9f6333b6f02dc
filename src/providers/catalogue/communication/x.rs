//! X webhooks.
//!
//! X waits 10 s for a response. Retries: not published; POST /2/webhooks/replay sends the events of the last 24 hours
//! again.

use crate::providers::{
    Encoding, FieldLocation, Handshake, HeaderSignature, Provider, SampleWebhook, SignatureFormat,
    SignatureScheme, SuccessResponse,
};

/// X signs the body with HMAC-SHA256 and sends sha256= with the digest in base64. X-Twitter-Webhooks-Signature-OAuth2
/// is keyed with the OAuth 2.0 client secret and is checked when it is present; X-Twitter-Webhooks-Signature is the
/// older one, keyed with the OAuth 1.0 consumer secret. A GET with crc_token must be answered with an HMAC of the
/// token, at registration and then regularly, or the webhook becomes invalid and gets no events. Events may come
/// twice.
pub const X: Provider = Provider {
    name: "x",
    title: "X",
    documentation: "https://docs.x.com/x-api/webhooks/introduction",
    secret_hint: "The OAuth 2.0 Client Secret of the app, in the X Developer Console, Keys and tokens; an app without OAuth 2.0 uses its API Key Secret (consumer secret); not the bearer token and not an access token.",
    source: "x.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-twitter-webhooks-signature-oauth2", "x-twitter-webhooks-signature"],
        signatures: &[SignatureFormat::hmac_sha256("sha256=")],
        encoding: Encoding::Base64,
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some(
        "No timestamp is signed, so a recorded request can be replayed. The CRC answers an unauthenticated caller with HMAC(secret, any text) in the very form of an event signature: whoever knows the URL can send a JSON body as crc_token and gets a valid signature for that body. The bridge must therefore answer only a crc_token of letters, digits and - _ + / = (at most about 128; real ones are base64 of a UUID) and accept only bodies that are JSON objects, so that no token can be a body.",
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
