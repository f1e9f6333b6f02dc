//! Zoom: meetings, participants and other events of an app.
//!
//! Zoom expects status 200 or 204 within 3 s and retries 5, 25 and 85 minutes after the first attempt. When
//! you enter the URL, and every 72 hours, Zoom tests it with a signed `endpoint.url_validation`, and stops
//! sending after a wrong answer.

use crate::providers::{
    FieldLocation, Handshake, HeaderSignature, Provider, SampleWebhook, SignatureFormat, SignatureScheme,
    SignedAnswer, SignedContent, SignedTimestamp, SigningPart, SuccessResponse, TimestampTolerance,
};

/// Zoom signs `v0:TIMESTAMP:BODY` with HMAC-SHA256. It sends the signature in hex, after `v0=`, in
/// `x-zm-signature`, and the timestamp in `x-zm-request-timestamp`. Zoom documents no limit for the
/// timestamp; hookbridge accepts one that is up to 2 hours old, because a retry may repeat the timestamp of
/// the first attempt. The delivery id, `x-zm-trackingid`, may differ between retries.
pub const ZOOM: Provider = Provider {
    name: "zoom",
    title: "Zoom",
    documentation: "https://developers.zoom.us/docs/api/webhooks/",
    secret_hint: "The secret token of the app, from Features > Access at marketplace.zoom.us, not the verification token and not the client secret.",
    source: "zoom.us",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-zm-signature"],
        signatures: &[SignatureFormat::hmac_sha256("v0=")],
        signed_content: SignedContent::Parts(&[
            SigningPart::Literal("v0:"),
            SigningPart::Timestamp,
            SigningPart::Literal(":"),
            SigningPart::Body,
        ]),
        timestamp: Some(SignedTimestamp {
            tolerance: TimestampTolerance { past_seconds: 2 * 3600, future_seconds: 300 },
            ..SignedTimestamp::in_header(&["x-zm-request-timestamp"])
        }),
        ..HeaderSignature::HMAC_SHA256
    }),
    handshakes: &[Handshake::Signed {
        location: FieldLocation::Body("/event"),
        value: "endpoint.url_validation",
        answer: SignedAnswer::JsonWithHmac {
            pointer: "/payload/plainToken",
            field: "plainToken",
            hmac_field: "encryptedToken",
        },
    }],
    event_type: Some(FieldLocation::Body("/event")),
    delivery_id: Some(FieldLocation::Header("x-zm-trackingid")),
    event_time: Some(FieldLocation::Body("/event_ts")),
    success: SuccessResponse::NO_CONTENT,
    samples: &[
        SampleWebhook {
            event_type: "meeting.started",
            body: r#"{"event":"meeting.started","payload":{"account_id":"ExAmPlEaCcOuNtId000001","object":{"duration":0,"start_time":"2026-11-30T09:00:00Z","timezone":"Europe/Berlin","topic":"Weekly review","id":"80000000001","type":2,"uuid":"ExAmPlE0001uuid0000AA==","host_id":"ExAmPlEhOsTiD000000001"}},"event_ts":1796029200123}"#,
            time_placeholder: "1796029200123",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "meeting.participant_joined",
            body: r#"{"event":"meeting.participant_joined","payload":{"account_id":"ExAmPlEaCcOuNtId000001","object":{"id":"80000000001","uuid":"ExAmPlE0001uuid0000AA==","host_id":"ExAmPlEhOsTiD000000001","topic":"Weekly review","type":2,"start_time":"2026-11-30T09:00:00Z","timezone":"Europe/Berlin","duration":30,"participant":{"user_id":"16778240","user_name":"Ada Example","email":"ada@example.com","join_time":"2026-11-30T09:01:12Z"}}},"event_ts":1796029272456}"#,
            time_placeholder: "1796029272456",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "endpoint.url_validation",
            body: r#"{"payload":{"plainToken":"qGAexampleToken0001AbCd"},"event_ts":1796029100000,"event":"endpoint.url_validation"}"#,
            time_placeholder: "1796029100000",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
