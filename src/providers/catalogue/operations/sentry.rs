//! Sentry: issues, alerts and comments, from an integration.
//!
//! Sentry waits 1 s for a response and does not retry. It disables the webhook of an integration after
//! repeated timeouts. hookbridge does not support service hooks and the legacy WebHooks plugin.

use crate::providers::{FieldLocation, HeaderSignature, Provider, SampleWebhook, SignatureScheme};

/// Sentry signs the raw body with HMAC-SHA256 and sends the signature in hex in `Sentry-Hook-Signature`. The
/// HMAC key is the client secret of the integration. hookbridge does not check `Sentry-Hook-Timestamp`,
/// because the signature does not cover it.
pub const SENTRY: Provider = Provider {
    name: "sentry",
    title: "Sentry",
    documentation: "https://docs.sentry.io/organization/integrations/integration-platform/webhooks/#sentry-hook-signature",
    secret_hint: "The client secret of the integration (not an auth token and not a DSN), from Settings > Developer Settings in Sentry.",
    source: "sentry.io",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["sentry-hook-signature"],
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some(
        "An attacker can replay a recorded webhook with another resource type and id at any time, because the signature covers neither a timestamp nor headers.",
    ),
    event_type: Some(FieldLocation::Joined(&[
        FieldLocation::Header("sentry-hook-resource"),
        FieldLocation::Body("/action"),
    ])),
    delivery_id: Some(FieldLocation::Header("request-id")),
    samples: &[
        SampleWebhook {
            event_type: "issue.created",
            body: r#"{"action":"created","installation":{"uuid":"a8e5d37a-0000-4c54-adb5-b3f28d64c7de"},"data":{"issue":{"id":"1170820242","shortId":"DEMO-1","title":"ZeroDivisionError: division by zero","culprit":"app.views in index","level":"error","status":"unresolved","substatus":"new","issueCategory":"error","project":{"id":"1","slug":"demo"},"firstSeen":"2026-11-20T09:18:20.000000Z"}},"actor":{"type":"application","id":"sentry","name":"Sentry"}}"#,
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "event_alert.triggered",
            body: r#"{"action":"triggered","installation":{"uuid":"a8e5d37a-0000-4c54-adb5-b3f28d64c7de"},"data":{"event":{"event_id":"e4874d664c3540c1a32eab185f12c5ab","issue_id":"1170820242","project":1,"platform":"python","title":"ZeroDivisionError","tags":[["level","error"]],"web_url":"https://sentry.example.com/issues/1170820242/"},"triggered_rule":"High error rate"},"actor":{"type":"application","id":"sentry","name":"Sentry"}}"#,
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "comment.created",
            body: r#"{"action":"created","installation":{"uuid":"a8e5d37a-0000-4c54-adb5-b3f28d64c7de"},"data":{"comment":"Seen on staging too.","project_slug":"demo","comment_id":1234,"issue_id":1170820242,"timestamp":"2026-11-20T09:20:00.118160Z"},"actor":{"type":"user","id":42,"name":"Ada Example"}}"#,
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
