//! Sentry webhooks.
//!
//! Sentry waits 1 s for a response. Retries: no retries; repeated timeouts (1000 in 24 hours) disable the webhook.

use crate::providers::{FieldLocation, HeaderSignature, Provider, SampleWebhook, SignatureScheme};

/// Sentry signs the raw body with HMAC-SHA256 and sends plain hex in `Sentry-Hook-Signature`; the key is the client
/// secret of the integration. `Sentry-Hook-Timestamp` is not part of the signature. Sentry waits 1 second, does not
/// retry, and disables the webhook of an integration that keeps failing. The event is the header
/// `Sentry-Hook-Resource` and the body field `action` together.
pub const SENTRY: Provider = Provider {
    name: "sentry",
    title: "Sentry",
    documentation: "https://docs.sentry.io/organization/integrations/integration-platform/webhooks/#sentry-hook-signature",
    secret_hint: "The client secret of the internal or public integration under Settings > Developer Settings, used as text; not an auth token and not a DSN.",
    source: "sentry.io",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["sentry-hook-signature"],
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some(
        "The timestamp (header sentry-hook-timestamp, Unix seconds), the resource and Request-ID are not signed: a captured delivery stays valid, and its resource header can be changed. Service hooks use another header (X-ServiceHook-Signature) and secret; the legacy WebHooks plugin signs nothing.",
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
