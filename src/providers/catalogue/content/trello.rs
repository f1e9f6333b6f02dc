//! Trello: actions on boards, lists and cards.
//!
//! Trello retries three times. The status 410 deletes the webhook. Before Trello creates a webhook, it sends
//! a HEAD request to the URL and expects status 200.

use crate::providers::{
    Encoding, FieldLocation, Handshake, HeaderSignature, Provider, SampleWebhook, SignatureFormat,
    SignatureScheme, SignedContent, SigningPart, SuccessResponse,
};

/// Trello signs the raw body followed by the callback URL with HMAC-SHA1 and sends the signature in base64 in
/// `X-Trello-Webhook`. The URL is the one with which the webhook was created, including its query. The HMAC
/// key is the application's secret, not its API key or a token.
pub const TRELLO: Provider = Provider {
    name: "trello",
    title: "Trello",
    documentation: "https://developer.atlassian.com/cloud/trello/guides/rest-api/webhooks/",
    secret_hint: "The secret of the Power-Up (not the API key or a token), from its API Key page at trello.com/power-ups/admin.",
    source: "trello.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-trello-webhook"],
        signatures: &[SignatureFormat::hmac_sha1("")],
        encoding: Encoding::Base64,
        signed_content: SignedContent::Parts(&[SigningPart::Body, SigningPart::Url]),
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some(
        "An attacker can replay a recorded webhook at any time, because the signature has no timestamp. HMAC-SHA1 is below current practice, although no practical attack on it is known.",
    ),
    handshakes: &[Handshake::Head],
    event_type: Some(FieldLocation::Body("/action/type")),
    delivery_id: Some(FieldLocation::Body("/action/id")),
    event_time: Some(FieldLocation::Body("/action/date")),
    success: SuccessResponse::OK,
    samples: &[
        SampleWebhook {
            event_type: "createCard",
            body: r#"{"action":{"id":"655c7b6d1e2f3a4b5c6d7e8f","idMemberCreator":"4fc78a59a885233f4b349bd9","type":"createCard","date":"2026-11-20T09:30:11.949Z","data":{"card":{"id":"655c7b6d1e2f3a4b5c6d7e90","name":"Write the report","idShort":7,"shortLink":"AbC1dE2f"},"list":{"id":"655c7a001e2f3a4b5c6d7e01","name":"To do"},"board":{"id":"4d5ea62fd76aa1136000000c","name":"Example"}},"memberCreator":{"id":"4fc78a59a885233f4b349bd9","username":"ada"}},"model":{"id":"4d5ea62fd76aa1136000000c","name":"Example"}}"#,
            id_placeholder: "655c7b6d1e2f3a4b5c6d7e8f",
            time_placeholder: "2026-11-20T09:30:11.949Z",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "commentCard",
            body: r#"{"action":{"id":"655c7b9f1e2f3a4b5c6d7ea1","idMemberCreator":"4fc78a59a885233f4b349bd9","type":"commentCard","date":"2026-11-20T09:31:11.949Z","data":{"text":"Looks good","card":{"id":"655c7b6d1e2f3a4b5c6d7e90","name":"Write the report"},"board":{"id":"4d5ea62fd76aa1136000000c","name":"Example"}}},"model":{"id":"4d5ea62fd76aa1136000000c","name":"Example"}}"#,
            id_placeholder: "655c7b9f1e2f3a4b5c6d7ea1",
            time_placeholder: "2026-11-20T09:31:11.949Z",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
