//! Jira webhooks.
//!
//! Retries: up to five retries, each 5 to 15 minutes after the last, then one attempt per webhook until one succeeds.

use crate::providers::{
    FieldLocation, HeaderSignature, Provider, SampleWebhook, SignatureFormat, SignatureScheme,
};

/// Jira signs the raw body of an admin webhook with HMAC-SHA256 and sends `sha256=` and hex in `X-Hub-Signature`.
/// Only webhooks created in Jira administration or by `/rest/webhooks/1.0/webhook` with a secret are signed; webhooks
/// of OAuth 2.0 apps carry a JWT instead. Jira Cloud repeats a delivery up to five times after 408, 409, 425, 429,
/// 5xx or a timeout, with the same `X-Atlassian-Webhook-Identifier`.
pub const JIRA: Provider = Provider {
    name: "jira",
    title: "Jira",
    documentation: "https://developer.atlassian.com/cloud/jira/platform/webhooks/#secure-admin-webhooks",
    secret_hint: "The secret entered or generated for the webhook under System > WebHooks, used as text; Jira does not show it again.",
    source: "atlassian.net",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-hub-signature"],
        signatures: &[SignatureFormat::hmac_sha256("sha256=")],
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some(
        "No timestamp in the signature: a captured delivery stays valid (the signed body has `timestamp`). The identifier header is not signed. With `Exclude body` the request has no body and the event is not in it.",
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
