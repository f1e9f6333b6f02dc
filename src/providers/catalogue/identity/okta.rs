//! Okta: event hooks.
//!
//! Okta waits 3 s for a response and retries at most once, but not after a 4xx status, so a wrong secret
//! loses events. The authentication field of the event hook must be `Authorization`: hookbridge reads no
//! other header.

use crate::providers::{
    FieldLocation, Handshake, Provider, SampleWebhook, SecretLocation, SignatureScheme, SuccessResponse,
};

/// Okta signs nothing. The header `Authorization` is the authentication secret of the event hook, exactly as
/// the operator entered it. To verify a hook, Okta sends a GET request with `X-Okta-Verification-Challenge`,
/// whose value hookbridge returns in JSON. The array `data.events` of the body contains several events.
pub const OKTA: Provider = Provider {
    name: "okta",
    title: "Okta",
    documentation: "https://developer.okta.com/docs/concepts/event-hooks/",
    secret_hint: "The authentication secret of the event hook in the Okta Admin Console, exactly as you entered it, with its scheme if it has one.",
    source: "okta.com",
    signature_scheme: SignatureScheme::SharedSecret(&[SecretLocation::Header("authorization")]),
    weakness: Some("Okta signs nothing: an attacker who reads one request can forge others."),
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
