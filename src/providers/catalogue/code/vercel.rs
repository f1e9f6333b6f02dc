//! Vercel: deployments, projects and other events of a team or an integration.
//!
//! Vercel retries after a response other than 2xx. Its timeout and its schedule are not confirmed.

use crate::providers::{
    FieldLocation, HeaderSignature, Provider, SampleWebhook, SignatureFormat, SignatureScheme,
};

/// Vercel signs the raw body with HMAC-SHA1 and sends the signature in hex in `x-vercel-signature`. The key
/// is the secret of the webhook or, for the webhooks of an integration, the client secret of the integration.
pub const VERCEL: Provider = Provider {
    name: "vercel",
    title: "Vercel",
    documentation: "https://vercel.com/docs/webhooks/webhooks-api#securing-webhooks",
    secret_hint: "The secret that Vercel shows once when you create the webhook in the team's Settings > Webhooks, or the client secret of the integration.",
    source: "vercel.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-vercel-signature"],
        signatures: &[SignatureFormat::hmac_sha1("")],
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some(
        "An attacker can replay a recorded webhook at any time, because the signature has no timestamp. HMAC-SHA1 is below current practice, although no practical attack on it is known.",
    ),
    event_type: Some(FieldLocation::Body("/type")),
    delivery_id: Some(FieldLocation::Body("/id")),
    event_time: Some(FieldLocation::Body("/createdAt")),
    samples: &[
        SampleWebhook {
            event_type: "deployment.succeeded",
            body: r#"{"id":"evt_8Kq2Zp0mYd","type":"deployment.succeeded","createdAt":1795166301000,"region":"fra1","payload":{"team":{"id":"team_Ex4mpl3"},"user":{"id":"usr_Ex4mpl3"},"deployment":{"id":"dpl_5xVt3Ex4mpl3","name":"demo","url":"demo-5xvt3.example.com","meta":{}},"project":{"id":"prj_Ex4mpl3"},"target":"production","plan":"pro","regions":["fra1"],"links":{"deployment":"https://example.com/acme/demo/5xvt3","project":"https://example.com/acme/demo"}}}"#,
            id_placeholder: "8Kq2Zp0mYd",
            time_placeholder: "1795166301000",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "deployment.created",
            body: r#"{"id":"evt_7Jp1Yo9lXc","type":"deployment.created","createdAt":1795166100000,"region":"fra1","payload":{"team":{"id":"team_Ex4mpl3"},"user":{"id":"usr_Ex4mpl3"},"deployment":{"id":"dpl_5xVt3Ex4mpl3","name":"demo","url":"demo-5xvt3.example.com","meta":{}},"project":{"id":"prj_Ex4mpl3"},"target":"production","plan":"pro","regions":["fra1"]}}"#,
            id_placeholder: "7Jp1Yo9lXc",
            time_placeholder: "1795166100000",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "project.created",
            body: r#"{"id":"evt_3Fd7Uk5hTa","type":"project.created","createdAt":1795166000000,"region":null,"payload":{"team":{"id":"team_Ex4mpl3"},"user":{"id":"usr_Ex4mpl3"},"project":{"id":"prj_Ex4mpl3","name":"demo"}}}"#,
            id_placeholder: "3Fd7Uk5hTa",
            time_placeholder: "1795166000000",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
