//! Grafana webhooks.
//!
//! Grafana waits 30 s for a response. Retries: any answer but 2xx is an error; the alert manager tries the
//! notification again while the group is active (details from memory).

use crate::providers::{
    FieldLocation, HeaderSignature, Provider, SampleWebhook, SignatureScheme, SignedContent, SignedTimestamp,
    SigningPart,
};

/// Grafana Alerting signs with HMAC-SHA256 and sends the hex digest without a prefix in
/// `X-Grafana-Alerting-Signature`, when a secret is set under HMAC Signature (Grafana 12 and later). It signs the raw
/// body, or `timestamp:body` when a timestamp header is named; that header holds Unix seconds and has no default
/// name. The method is POST or PUT. A notification groups alerts in `alerts`; the contact point can use Basic or a
/// bearer token instead.
pub const GRAFANA: Provider = Provider {
    name: "grafana",
    title: "Grafana",
    documentation: "https://grafana.com/docs/grafana/latest/alerting/configure-notifications/manage-contact-points/integrations/webhook-notifier/",
    secret_hint: "The text in HMAC Signature > Secret of the webhook contact point; the operator chooses it, it is not an API key. Name X-Grafana-Alerting-Timestamp as the timestamp header to get replay protection.",
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
    weakness: Some("Without a timestamp header nothing limits replay; signing is off by default."),
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
