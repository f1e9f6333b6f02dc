//! Okta webhooks.
//!
//! Okta waits 3 s for a response. Retries: one retry at most, none after a 4xx; the timeout counts as a failure.

use crate::providers::{
    FieldLocation, Handshake, Provider, SampleWebhook, SecretLocation, SignatureScheme, SuccessResponse,
};

/// Okta event hooks are not signed: each request carries the secret in the header that the operator named, normally
/// `Authorization`, compared as it is. Before it sends events Okta makes one GET request with
/// `X-Okta-Verification-Challenge` and wants the value back in JSON. One POST brings several events in `data.events`.
/// Okta waits 3 seconds and retries once at most, never after a 4xx.
pub const OKTA: Provider = Provider {
    name: "okta",
    title: "Okta",
    documentation: "https://developer.okta.com/docs/concepts/event-hooks/",
    secret_hint: "The authentication secret that you typed when you created the event hook in the Okta Admin Console, with its scheme when it has one (`Basic dXNlcjpwYXNz` or any text).",
    source: "okta.com",
    signature_scheme: SignatureScheme::SharedSecret(&[SecretLocation::Header("authorization")]),
    weakness: Some(
        "Nothing is signed: the secret authenticates the sender, not the body, and there is no protection against replay. envelope:/eventId identifies the request, uuid the event.",
    ),
    handshakes: &[Handshake::HeaderChallenge {
        header: "x-okta-verification-challenge",
        field: "verification",
    }],
    split: Some("/data/events"),
    event_type: Some(FieldLocation::Body("/eventType")),
    delivery_id: Some(FieldLocation::Body("/uuid")),
    event_time: Some(FieldLocation::Body("/published")),
    success: SuccessResponse::NO_CONTENT,
    samples: &[
        SampleWebhook {
            event_type: "user.session.start",
            body: r#"{"eventType":"com.okta.event_hook","eventTypeVersion":"1.0","cloudEventsVersion":"0.1","source":"https://example.okta.com/api/v1/eventHooks/who1a2b3","eventId":"b5a188b9-0000-4636-b041-482ffda96311","data":{"events":[{"uuid":"f790999f-0000-467a-9880-6982a583986c","published":"2026-11-20T09:30:11.777Z","eventType":"user.session.start","version":"0","severity":"INFO","displayMessage":"User login to Okta","actor":{"id":"00u1","type":"User","alternateId":"ada@example.com"},"outcome":{"result":"SUCCESS"}}]},"eventTime":"2026-11-20T09:30:12.032Z"}"#,
            id_placeholder: "f790999f-0000-467a-9880-6982a583986c",
            time_placeholder: "2026-11-20T09:30:11.777Z",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "user.lifecycle.create",
            body: r#"{"eventType":"com.okta.event_hook","eventTypeVersion":"1.0","cloudEventsVersion":"0.1","source":"https://example.okta.com/api/v1/eventHooks/who1a2b3","eventId":"c6b299ca-0000-4747-a152-593aaeb07422","data":{"events":[{"uuid":"a1","published":"2026-11-20T09:31:11.777Z","eventType":"user.lifecycle.create","severity":"INFO","outcome":{"result":"SUCCESS"}},{"uuid":"a2","published":"2026-11-20T09:31:11.900Z","eventType":"user.lifecycle.activate","severity":"INFO","outcome":{"result":"SUCCESS"}}]},"eventTime":"2026-11-20T09:31:12.032Z"}"#,
            time_placeholder: "2026-11-20T09:31:11.777Z",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
