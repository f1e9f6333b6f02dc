//! Twitch: EventSub notifications.
//!
//! Twitch expects a response within a few seconds and retries with the same message id; its schedule is not
//! documented. It revokes a subscription after too many failures. hookbridge publishes the notice of a
//! revocation as an event of the subscription's type, without the field `event`.

use crate::providers::{
    FieldLocation, Handshake, HeaderSignature, Provider, SampleWebhook, SignatureFormat, SignatureScheme,
    SignedAnswer, SignedContent, SignedTimestamp, SigningPart, TimestampFormat, TimestampTolerance,
};

/// Twitch signs the message id, the timestamp and the raw body, without separators, with HMAC-SHA256. It
/// sends the signature in hex, after `sha256=`, in `Twitch-Eventsub-Message-Signature`, and the timestamp
/// (RFC 3339) in `Twitch-Eventsub-Message-Timestamp`. hookbridge rejects a timestamp that is more than 600 s
/// off.
pub const TWITCH: Provider = Provider {
    name: "twitch",
    title: "Twitch",
    documentation: "https://dev.twitch.tv/docs/eventsub/handling-webhook-events/",
    secret_hint: "The secret (10 to 100 ASCII characters) that you choose and pass as transport.secret when you create the subscription, not the client secret.",
    source: "twitch.tv",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["twitch-eventsub-message-signature"],
        signatures: &[SignatureFormat::hmac_sha256("sha256=")],
        signed_content: SignedContent::Parts(&[SigningPart::Id, SigningPart::Timestamp, SigningPart::Body]),
        timestamp: Some(SignedTimestamp {
            format: TimestampFormat::Rfc3339,
            tolerance: TimestampTolerance::seconds(600),
            ..SignedTimestamp::in_header(&["twitch-eventsub-message-timestamp"])
        }),
        id_headers: &["twitch-eventsub-message-id"],
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some(
        "The signature does not cover the header with the message type, so for 10 minutes an attacker can replay a recorded challenge as an event.",
    ),
    handshakes: &[Handshake::Signed {
        location: FieldLocation::Header("twitch-eventsub-message-type"),
        value: "webhook_callback_verification",
        answer: SignedAnswer::Text("/challenge"),
    }],
    event_type: Some(FieldLocation::Body("/subscription/type")),
    delivery_id: Some(FieldLocation::Header("twitch-eventsub-message-id")),
    samples: &[
        SampleWebhook {
            event_type: "stream.online",
            body: r#"{"subscription":{"id":"f1c2a387-0000-4000-8000-000000000001","status":"enabled","type":"stream.online","version":"1","condition":{"broadcaster_user_id":"1337"},"transport":{"method":"webhook","callback":"https://example.com/hooks/twitch"},"created_at":"2026-11-01T10:11:12.123456789Z","cost":0},"event":{"id":"9001","broadcaster_user_id":"1337","broadcaster_user_login":"ada_example","broadcaster_user_name":"Ada_Example","type":"live","started_at":"2026-11-30T09:00:00Z"}}"#,
            headers: &[("twitch-eventsub-message-type", "notification")],
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "channel.follow",
            body: r#"{"subscription":{"id":"f1c2a387-0000-4000-8000-000000000002","status":"enabled","type":"channel.follow","version":"2","condition":{"broadcaster_user_id":"1337","moderator_user_id":"1337"},"transport":{"method":"webhook","callback":"https://example.com/hooks/twitch"},"created_at":"2026-11-01T10:11:12Z","cost":0},"event":{"user_id":"1234","user_login":"bob","user_name":"Bob","broadcaster_user_id":"1337","broadcaster_user_login":"ada","broadcaster_user_name":"Ada","followed_at":"2026-11-30T09:01:00.17Z"}}"#,
            headers: &[("twitch-eventsub-message-type", "notification")],
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
