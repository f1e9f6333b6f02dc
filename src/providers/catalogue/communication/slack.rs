//! Slack: events of the Events API.
//!
//! Without a 2xx status within 3 s, Slack retries at once, after 1 minute and after 5 minutes; with Delayed
//! Events, also hourly for 24 hours. It disables a subscription if more than 95 % of its webhooks fail within
//! 60 minutes. Slash commands and interactivity are forms, which hookbridge does not accept.

use crate::providers::{
    FieldLocation, Handshake, HeaderSignature, Provider, SampleWebhook, SignatureFormat, SignatureScheme,
    SignedAnswer, SignedContent, SignedTimestamp, SigningPart,
};

/// Slack signs `v0:TIMESTAMP:BODY` with HMAC-SHA256. It sends the signature in hex, after `v0=`, in
/// `X-Slack-Signature`, and the timestamp in `X-Slack-Request-Timestamp`. Like Slack's SDK, hookbridge
/// rejects a timestamp that is more than 300 s off. `event_id` is the same in each retry.
pub const SLACK: Provider = Provider {
    name: "slack",
    title: "Slack",
    documentation: "https://docs.slack.dev/authentication/verifying-requests-from-slack/",
    secret_hint: "The signing secret (32 hex digits) of the Slack app, from Basic Information > App Credentials at api.slack.com/apps.",
    source: "slack.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-slack-signature"],
        signatures: &[SignatureFormat::hmac_sha256("v0=")],
        signed_content: SignedContent::Parts(&[
            SigningPart::Literal("v0:"),
            SigningPart::Timestamp,
            SigningPart::Literal(":"),
            SigningPart::Body,
        ]),
        timestamp: Some(SignedTimestamp::in_header(&["x-slack-request-timestamp"])),
        ..HeaderSignature::HMAC_SHA256
    }),
    handshakes: &[Handshake::Signed {
        location: FieldLocation::Body("/type"),
        value: "url_verification",
        answer: SignedAnswer::Text("/challenge"),
    }],
    event_type: Some(FieldLocation::FirstOf(&[
        FieldLocation::Body("/event/type"),
        FieldLocation::Body("/type"),
    ])),
    delivery_id: Some(FieldLocation::Body("/event_id")),
    event_time: Some(FieldLocation::Body("/event_time")),
    samples: &[
        SampleWebhook {
            event_type: "app_mention",
            body: r#"{"token":"a1B2c3D4e5F6g7H8i9J0kLmN","team_id":"T0EXAMPLE1","api_app_id":"A0EXAMPLE1","event":{"user":"U0EXAMPLE1","type":"app_mention","ts":"1764460800.000100","text":"<@U0EXAMPLE9> is the deploy done?","channel":"C0EXAMPLE1","event_ts":"1764460800.000100"},"type":"event_callback","event_id":"Ev0EXAMPLE01","event_time":1764460800,"authorizations":[{"enterprise_id":null,"team_id":"T0EXAMPLE1","user_id":"U0EXAMPLE9","is_bot":true}],"is_ext_shared_channel":false}"#,
            id_placeholder: "Ev0EXAMPLE01",
            time_placeholder: "1764460800",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "message",
            body: r#"{"token":"a1B2c3D4e5F6g7H8i9J0kLmN","team_id":"T0EXAMPLE1","api_app_id":"A0EXAMPLE1","event":{"type":"message","channel":"C0EXAMPLE1","user":"U0EXAMPLE2","text":"Build 214 is green","ts":"1764460860.000200","event_ts":"1764460860.000200","channel_type":"channel"},"type":"event_callback","event_id":"Ev0EXAMPLE02","event_time":1764460860}"#,
            id_placeholder: "Ev0EXAMPLE02",
            time_placeholder: "1764460860",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "reaction_added",
            body: r#"{"token":"a1B2c3D4e5F6g7H8i9J0kLmN","team_id":"T0EXAMPLE1","api_app_id":"A0EXAMPLE1","event":{"type":"reaction_added","user":"U0EXAMPLE3","reaction":"eyes","item_user":"U0EXAMPLE2","item":{"type":"message","channel":"C0EXAMPLE1","ts":"1764460860.000200"},"event_ts":"1764460920.000300"},"type":"event_callback","event_id":"Ev0EXAMPLE03","event_time":1764460920}"#,
            id_placeholder: "Ev0EXAMPLE03",
            time_placeholder: "1764460920",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
