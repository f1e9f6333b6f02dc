//! GitLab: project, group and system hooks.
//!
//! GitLab waits 10 s for a response. It disables a webhook after four consecutive failures, for 1 minute to
//! 24 hours, and permanently if it keeps failing. GitLab does not guarantee retries.

use crate::providers::catalogue::standard_webhooks;
use crate::providers::{FieldLocation, Provider, SampleWebhook, SecretLocation, SignatureScheme};

/// GitLab 19.0 and later signs as Standard Webhooks specifies: HMAC-SHA256 of `ID.TIMESTAMP.BODY`, in base64
/// after `v1,` in `webhook-signature`, with several signatures while a token rotates. A webhook with only a
/// secret token sends that token in `X-Gitlab-Token`. hookbridge applies the default limit of Standard
/// Webhooks for the timestamp, 300 s, because GitLab documents none.
pub const GITLAB: Provider = Provider {
    name: "gitlab",
    title: "GitLab",
    documentation: "https://docs.gitlab.com/user/project/integrations/webhooks/#signing-tokens",
    secret_hint: "The signing token (whsec_...) of the webhook, which GitLab shows once under Settings > Webhooks; for an older webhook, its secret token.",
    source: "gitlab.com",
    signature_scheme: SignatureScheme::AnyOf(&[
        SignatureScheme::Header(standard_webhooks::SIGNATURE),
        SignatureScheme::SharedSecret(&[SecretLocation::Header("x-gitlab-token")]),
    ]),
    weakness: Some(
        "The signature does not cover the header with the event type. A webhook that sends its secret token is not signed at all: an attacker who reads one request can forge others.",
    ),
    event_type: Some(FieldLocation::Header("x-gitlab-event")),
    delivery_id: Some(FieldLocation::FirstOf(&[
        FieldLocation::Header("webhook-id"),
        FieldLocation::Header("idempotency-key"),
        FieldLocation::Header("x-gitlab-event-uuid"),
    ])),
    samples: &[
        SampleWebhook {
            event_type: "Push Hook",
            body: r#"{"object_kind":"push","event_name":"push","before":"1f0c3d5e7a9b2c4d6e8f0a1b3c5d7e9f1a2b3c4d","after":"2a1d4e6f8b0c3d5e7f9a1b2c4d6e8f0a1b2c3d5e","ref":"refs/heads/main","user_id":42,"user_username":"ada","project_id":15,"project":{"id":15,"name":"demo","web_url":"https://gitlab.example.com/acme/demo","path_with_namespace":"acme/demo","default_branch":"main"},"commits":[],"total_commits_count":1}"#,
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "Merge Request Hook",
            body: r#"{"object_kind":"merge_request","event_type":"merge_request","user":{"id":42,"username":"ada"},"project":{"id":15,"path_with_namespace":"acme/demo"},"object_attributes":{"id":301,"iid":7,"title":"Add a cache","state":"opened","action":"open","source_branch":"cache","target_branch":"main","created_at":"2026-11-20 09:14:02 UTC","updated_at":"2026-11-20 09:14:02 UTC"}}"#,
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "Pipeline Hook",
            body: r#"{"object_kind":"pipeline","object_attributes":{"id":9001,"iid":31,"ref":"main","tag":false,"sha":"2a1d4e6f8b0c3d5e7f9a1b2c4d6e8f0a1b2c3d5e","source":"push","status":"success","created_at":"2026-11-20 09:15:00 UTC","finished_at":"2026-11-20 09:18:21 UTC","duration":201},"project":{"id":15,"path_with_namespace":"acme/demo"},"builds":[]}"#,
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
