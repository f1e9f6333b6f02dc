//! Jira: issues, comments and other events of admin webhooks.
//!
//! Jira Cloud retries up to five times, 5 to 15 minutes apart, after 408, 409, 425, 429, 5xx or a timeout. It
//! does not retry after another 4xx status, so a wrong secret loses events. Do not enable `Exclude body`:
//! hookbridge rejects a webhook without a body.

use crate::providers::{
    FieldLocation, HeaderSignature, Provider, SampleWebhook, SignatureFormat, SignatureScheme,
};

/// Jira signs the raw body of an admin webhook with HMAC-SHA256 and sends the signature in hex, after
/// `sha256=`, in `X-Hub-Signature`. The webhooks of OAuth 2.0 apps have a JWT instead, which hookbridge does
/// not accept. `X-Atlassian-Webhook-Identifier` is the same in each retry.
pub const JIRA: Provider = Provider {
    name: "jira",
    title: "Jira",
    documentation: "https://developer.atlassian.com/cloud/jira/platform/webhooks/#secure-admin-webhooks",
    secret_hint: "The secret of the webhook, from System > WebHooks; Jira shows it only until you save it.",
    source: "atlassian.net",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-hub-signature"],
        signatures: &[SignatureFormat::hmac_sha256("sha256=")],
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some(
        "An attacker can replay a recorded webhook at any time, because the signature has no timestamp. The signature does not cover the header with the delivery id.",
    ),
    event_type: Some(FieldLocation::Body("/webhookEvent")),
    delivery_id: Some(FieldLocation::Header("x-atlassian-webhook-identifier")),
    event_time: Some(FieldLocation::Body("/timestamp")),
    samples: &[
        SampleWebhook {
            event_type: "jira:issue_created",
            body: r#"{"timestamp":1795166301302,"webhookEvent":"jira:issue_created","issue_event_type_name":"issue_created","user":{"accountId":"5b10a2844c20165700ede21g","displayName":"Ada Example","active":true},"issue":{"id":"10042","self":"https://acme.example.com/rest/api/2/issue/10042","key":"DEMO-7","fields":{"summary":"Add a cache","issuetype":{"id":"10001","name":"Task"},"project":{"id":"10000","key":"DEMO"},"status":{"id":"10000","name":"To Do"},"labels":[]}}}"#,
            time_placeholder: "1795166301302",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "jira:issue_updated",
            body: r#"{"timestamp":1795166400117,"webhookEvent":"jira:issue_updated","issue_event_type_name":"issue_generic","user":{"accountId":"5b10a2844c20165700ede21g","displayName":"Ada Example"},"issue":{"id":"10042","self":"https://acme.example.com/rest/api/2/issue/10042","key":"DEMO-7","fields":{"summary":"Add a cache"}},"changelog":{"id":"10124","items":[{"field":"status","fieldtype":"jira","fieldId":"status","from":"10000","fromString":"To Do","to":"10001","toString":"In Progress"}]}}"#,
            time_placeholder: "1795166400117",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "comment_created",
            body: r#"{"timestamp":1795166500555,"webhookEvent":"comment_created","comment":{"id":"10200","self":"https://acme.example.com/rest/api/2/issue/10042/comment/10200","author":{"accountId":"5b10a2844c20165700ede21g","displayName":"Ada Example"},"body":"Looks good.","created":"2026-11-20T09:21:40.555+0000","updated":"2026-11-20T09:21:40.555+0000"},"issue":{"id":"10042","key":"DEMO-7","fields":{"summary":"Add a cache"}}}"#,
            time_placeholder: "1795166500555",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
