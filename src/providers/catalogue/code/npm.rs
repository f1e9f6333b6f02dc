//! npm: changes of packages in a registry that sends npm hooks.
//!
//! The public registry, npmjs.com, discontinued its hooks in 2024. Other registries, for example those that run
//! cnpmcore, still send them. The documentation states neither a timeout nor a schedule of retries.

use crate::providers::{
    FieldLocation, HeaderSignature, Provider, SampleWebhook, SignatureFormat, SignatureScheme,
    SuccessResponse,
};

/// A registry signs the raw body with HMAC-SHA256 and sends the signature in hex after `sha256=` in
/// `X-Npm-Signature`.
pub const NPM: Provider = Provider {
    name: "npm",
    title: "npm",
    documentation: "https://github.com/npm/registry/blob/main/docs/hooks/hooks-payload.md",
    secret_hint: "The secret of the hook, as you gave it to `npm hook add` in npm 10 or earlier, or to the registry's API. npmjs.com discontinued its hooks in 2024; other registries still send them.",
    source: "npmjs.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-npm-signature"],
        signatures: &[SignatureFormat::hmac_sha256("sha256=")],
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some(
        "An attacker can replay a recorded webhook at any time, because the signature has no timestamp and webhooks have no id; `time` in the signed body tells a replay from a new event.",
    ),
    event_type: Some(FieldLocation::Body("/event")),
    event_time: Some(FieldLocation::Body("/time")),
    success: SuccessResponse::OK,
    samples: &[
        SampleWebhook {
            event_type: "package:publish",
            body: r#"{"event":"package:publish","name":"@example/bridge","type":"package","version":"1.0.0","hookOwner":{"username":"ada"},"payload":{"_id":"@example/bridge","name":"@example/bridge","description":"An example","dist-tags":{"latest":"1.2.3"},"maintainers":[{"name":"ada","email":"ada@example.com"}]},"change":{"dist-tag":"latest","version":"1.2.3"},"time":1793000000000}"#,
            time_placeholder: "1793000000000",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "package:dist-tag",
            body: r#"{"event":"package:dist-tag","name":"@example/bridge","type":"package","version":"1.0.0","hookOwner":{"username":"ada"},"payload":{"_id":"@example/bridge","name":"@example/bridge","dist-tags":{"latest":"1.2.3","next":"2.0.0-rc.1"}},"change":{"dist-tag":"next","version":"2.0.0-rc.1"},"time":1793000000000}"#,
            time_placeholder: "1793000000000",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
