//! Linear: issues, comments and other changes in a workspace.
//!
//! Linear retries after a response other than 200, or without a response within 5 s: after 1 minute, 1 hour
//! and 6 hours. It may disable a webhook that keeps failing.

use crate::providers::{
    FieldLocation, HeaderSignature, Provider, SampleWebhook, SignatureScheme, SignedTimestamp,
    SuccessResponse, TimestampFormat, TimestampLocation, TimestampTolerance,
};

/// Linear signs the raw body with HMAC-SHA256 and sends the signature in hex in `Linear-Signature`. The field
/// `webhookTimestamp` of the body is the timestamp, in milliseconds. Linear's SDK rejects a timestamp that is
/// more than 60 s off; hookbridge accepts one that is up to 8 hours old, because a retry may repeat the
/// timestamp of the first attempt.
pub const LINEAR: Provider = Provider {
    name: "linear",
    title: "Linear",
    documentation: "https://linear.app/developers/webhooks#securing-webhooks",
    secret_hint: "The signing secret of the webhook, from Settings > API > Webhooks in Linear.",
    source: "linear.app",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["linear-signature"],
        timestamp: Some(SignedTimestamp {
            location: TimestampLocation::Body("/webhookTimestamp"),
            format: TimestampFormat::Milliseconds,
            tolerance: TimestampTolerance { past_seconds: 8 * 3600, future_seconds: 60 },
        }),
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some(
        "An attacker can replay a recorded webhook for 8 hours. The signature does not cover the header with the delivery id.",
    ),
    event_type: Some(FieldLocation::Joined(&[FieldLocation::Body("/type"), FieldLocation::Body("/action")])),
    delivery_id: Some(FieldLocation::Header("linear-delivery")),
    event_time: Some(FieldLocation::Body("/createdAt")),
    success: SuccessResponse::OK,
    samples: &[
        SampleWebhook {
            event_type: "Issue.create",
            body: r#"{"action":"create","type":"Issue","createdAt":"2026-11-20T09:18:21.272Z","actor":{"id":"b5ea5f1f-0000-4f22-b4a6-5d2a7c8f6f0e","type":"user","name":"Ada Example"},"data":{"id":"2174add1-0000-4e1a-9b8e-3f0c9d6c1a22","identifier":"ENG-7","title":"Add a cache","priority":2,"teamId":"72b2a2dc-0000-4bb8-8d2d-1a6d1f0e3b44"},"url":"https://linear.example.com/acme/issue/ENG-7","organizationId":"1a2b3c4d-0000-4e5f-8a9b-0c1d2e3f4a5b","webhookTimestamp":1795166301272,"webhookId":"000042e3-0000-4001-b41d-90b9e8df0c01"}"#,
            time_placeholder: "1795166301272",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "Comment.create",
            body: r#"{"action":"create","type":"Comment","createdAt":"2026-11-20T09:20:00.000Z","actor":{"id":"b5ea5f1f-0000-4f22-b4a6-5d2a7c8f6f0e","type":"user","name":"Ada Example"},"data":{"id":"3285bee2-0000-4f2b-8c9f-4a1d0e7d2b33","body":"Looks good.","issueId":"2174add1-0000-4e1a-9b8e-3f0c9d6c1a22"},"url":"https://linear.example.com/acme/issue/ENG-7#comment","organizationId":"1a2b3c4d-0000-4e5f-8a9b-0c1d2e3f4a5b","webhookTimestamp":1795166400000,"webhookId":"000042e3-0000-4001-b41d-90b9e8df0c01"}"#,
            time_placeholder: "1795166400000",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "Issue.update",
            body: r#"{"action":"update","type":"Issue","createdAt":"2026-11-20T09:25:00.000Z","data":{"id":"2174add1-0000-4e1a-9b8e-3f0c9d6c1a22","identifier":"ENG-7","title":"Add a cache","priority":1},"updatedFrom":{"priority":2},"url":"https://linear.example.com/acme/issue/ENG-7","organizationId":"1a2b3c4d-0000-4e5f-8a9b-0c1d2e3f4a5b","webhookTimestamp":1795166700000,"webhookId":"000042e3-0000-4001-b41d-90b9e8df0c01"}"#,
            time_placeholder: "1795166700000",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
