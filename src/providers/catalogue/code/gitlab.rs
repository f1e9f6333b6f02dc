//! GitLab webhooks.
//!
//! GitLab waits 10 s for a response. Retries: not documented as guaranteed: a failed job may be retried with the same
//! Idempotency-Key; a failing hook is disabled for 1 minute up to 24 hours (permanently after repeated failures).

use crate::providers::catalogue::standard_webhooks;
use crate::providers::{FieldLocation, Provider, SampleWebhook, SecretLocation, SignatureScheme};

/// GitLab 19.0 and later signs deliveries with a signing token after Standard Webhooks: HMAC-SHA256 over
/// `webhook-id.webhook-timestamp.body`, sent as `v1,` and base64 in `webhook-signature`. Older hooks send the secret
/// token as plain text in `X-Gitlab-Token`; both tokens can be set on one hook. During a rotation the header carries
/// several signatures, separated by spaces. A hook is disabled after four consecutive failures.
pub const GITLAB: Provider = Provider {
    name: "gitlab",
    title: "GitLab",
    documentation: "https://docs.gitlab.com/user/project/integrations/webhooks/#signing-tokens",
    secret_hint: "The signing token of the webhook, shown once under Settings > Webhooks, in the form `whsec_` and base64 of 32 bytes; for an older hook, the secret token as entered there.",
    source: "gitlab.com",
    signature_scheme: SignatureScheme::AnyOf(&[
        SignatureScheme::Header(standard_webhooks::SIGNATURE),
        SignatureScheme::SharedSecret(&[SecretLocation::Header("x-gitlab-token")]),
    ]),
    weakness: Some(
        "The legacy X-Gitlab-Token covers neither the body nor the time. With the signing token the headers X-Gitlab-Event and X-Gitlab-Instance are not signed; the signed body field `object_kind` (or `event_name` for system hooks) names the event. With the legacy token the delivery id is header:idempotency-key.",
    ),
    event_type: Some(FieldLocation::Header("x-gitlab-event")),
    delivery_id: Some(FieldLocation::FirstOf(&[
        FieldLocation::Header("webhook-id"),
        FieldLocation::Header("x-gitlab-event-uuid"),
    ])),
    samples: &[
        SampleWebhook {
            event_type: "Push",
            body: r#"{"object_kind":"push","event_name":"push","before":"1f0c3d5e7a9b2c4d6e8f0a1b3c5d7e9f1a2b3c4d","after":"2a1d4e6f8b0c3d5e7f9a1b2c4d6e8f0a1b2c3d5e","ref":"refs/heads/main","user_id":42,"user_username":"ada","project_id":15,"project":{"id":15,"name":"demo","web_url":"https://gitlab.example.com/acme/demo","path_with_namespace":"acme/demo","default_branch":"main"},"commits":[],"total_commits_count":1}"#,
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "Merge",
            body: r#"{"object_kind":"merge_request","event_type":"merge_request","user":{"id":42,"username":"ada"},"project":{"id":15,"path_with_namespace":"acme/demo"},"object_attributes":{"id":301,"iid":7,"title":"Add a cache","state":"opened","action":"open","source_branch":"cache","target_branch":"main","created_at":"2026-11-20 09:14:02 UTC","updated_at":"2026-11-20 09:14:02 UTC"}}"#,
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "Pipeline",
            body: r#"{"object_kind":"pipeline","object_attributes":{"id":9001,"iid":31,"ref":"main","tag":false,"sha":"2a1d4e6f8b0c3d5e7f9a1b2c4d6e8f0a1b2c3d5e","source":"push","status":"success","created_at":"2026-11-20 09:15:00 UTC","finished_at":"2026-11-20 09:18:21 UTC","duration":201},"project":{"id":15,"path_with_namespace":"acme/demo"},"builds":[]}"#,
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
