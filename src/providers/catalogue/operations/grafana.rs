//! Grafana: groups of alerts of Grafana Alerting. Each alert is an event.
//!
//! Grafana 12 and later signs webhooks, if the contact point has a secret under HMAC Signature. The contact
//! point must use the method POST.

use crate::providers::{
    FieldLocation, HeaderSignature, Provider, SampleWebhook, SignatureScheme, SignedContent, SignedTimestamp,
    SigningPart,
};

/// Grafana signs the raw body with HMAC-SHA256, or `TIMESTAMP:BODY` if the contact point names a timestamp
/// header, and sends the signature in hex in `X-Grafana-Alerting-Signature`. hookbridge requires the name
/// `X-Grafana-Alerting-Timestamp` for that header and rejects webhooks with only a password or a bearer
/// token.
pub const GRAFANA: Provider = Provider {
    name: "grafana",
    title: "Grafana",
    documentation: "https://grafana.com/docs/grafana/latest/alerting/configure-notifications/manage-contact-points/integrations/webhook-notifier/",
    secret_hint: "The secret under HMAC Signature in the webhook contact point; set the timestamp header there to X-Grafana-Alerting-Timestamp.",
    source: "grafana.com",
    signature_scheme: SignatureScheme::AnyOf(&[
        SignatureScheme::Header(HeaderSignature {
            headers: &["x-grafana-alerting-signature"],
            signed_content: SignedContent::Parts(&[
                SigningPart::Timestamp,
                SigningPart::Literal(":"),
                SigningPart::Body,
            ]),
            timestamp: Some(SignedTimestamp::in_header(&["x-grafana-alerting-timestamp"])),
            ..HeaderSignature::HMAC_SHA256
        }),
        SignatureScheme::Header(HeaderSignature {
            headers: &["x-grafana-alerting-signature"],
            ..HeaderSignature::HMAC_SHA256
        }),
    ]),
    weakness: Some(
        "If the contact point names no timestamp header, an attacker can replay a recorded webhook at any time.",
    ),
    split: Some("/alerts"),
    event_type: Some(FieldLocation::Body("/status")),
    event_time: Some(FieldLocation::Body("/startsAt")),
    samples: &[
        SampleWebhook {
            event_type: "firing",
            body: r#"{"receiver":"hookbridge","status":"firing","orgId":1,"alerts":[{"status":"firing","labels":{"alertname":"High CPU","zone":"eu-1"},"annotations":{"summary":"CPU high"},"startsAt":"2026-11-20T15:15:00Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":"https://grafana.example.com/alerting/d1/edit","fingerprint":"bc97ff14869b13e3","values":{"B":44.2}}],"groupLabels":{},"commonLabels":{"alertname":"High CPU"},"externalURL":"https://grafana.example.com/","version":"1","groupKey":"{}:{}","truncatedAlerts":0,"state":"alerting"}"#,
            time_placeholder: "2026-11-20T15:15:00Z",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "resolved",
            body: r#"{"receiver":"hookbridge","status":"resolved","orgId":1,"alerts":[{"status":"resolved","labels":{"alertname":"High CPU","zone":"eu-1"},"annotations":{},"startsAt":"2026-11-20T15:15:00Z","endsAt":"2026-11-20T15:40:00Z","fingerprint":"bc97ff14869b13e3"},{"status":"resolved","labels":{"alertname":"High CPU","zone":"us-1"},"annotations":{},"startsAt":"2026-11-20T15:16:00Z","endsAt":"2026-11-20T15:40:00Z","fingerprint":"c6eadffa33fcdf37"}],"groupLabels":{},"version":"1","groupKey":"{}:{}","truncatedAlerts":0,"state":"ok"}"#,
            time_placeholder: "2026-11-20T15:15:00Z",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
