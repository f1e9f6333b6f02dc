//! Microsoft Graph: change notifications and lifecycle notifications.
//!
//! Microsoft Graph waits 3 s for a response and retries for up to 4 hours with exponential backoff. It delays
//! notifications if more than 10% of the responses within 10 minutes are slow, and drops notifications above
//! 15%.

use http::Method;

use crate::providers::{
    Algorithm, BodySignature, Encoding, FieldLocation, Handshake, KeyFormat, Provider, SampleWebhook,
    SignatureFormat, SignatureScheme,
};

/// Microsoft Graph does not sign. Each element of `value` repeats the subscription's `clientState`;
/// hookbridge compares it with the secret in every element. It does not verify the tokens in
/// `validationTokens`. Microsoft Graph tests an endpoint with a POST request, whose query parameter
/// `validationToken` the response must repeat.
pub const MICROSOFT_GRAPH: Provider = Provider {
    name: "microsoft-graph",
    title: "Microsoft Graph",
    documentation: "https://learn.microsoft.com/graph/change-notifications-delivery-webhooks",
    secret_hint: "The clientState of the subscription, a text of your choice with at most 128 characters, as in the request that creates it.",
    source: "graph.microsoft.com",
    signature_scheme: SignatureScheme::Body(BodySignature {
        elements: Some("/value"),
        signatures: &["/clientState"],
        format: &SignatureFormat {
            prefix: "",
            algorithm: Algorithm::PlainSecret,
            key_format: KeyFormat::Text,
        },
        encoding: Encoding::Hex,
        signed_fields: &[],
        separator: "",
    }),
    weakness: Some(
        "Webhooks are not signed. An attacker who obtains the `clientState`, which every notification contains, can send any notification.",
    ),
    handshakes: &[Handshake::QueryChallenge {
        method: &Method::POST,
        parameter: "validationToken",
        verify_token: None,
    }],
    split: Some("/value"),
    event_type: Some(FieldLocation::FirstOf(&[
        FieldLocation::Body("/changeType"),
        FieldLocation::Body("/lifecycleEvent"),
    ])),
    delivery_id: Some(FieldLocation::Body("/id")),
    samples: &[
        SampleWebhook {
            event_type: "created",
            body: r##"{"value":[{"id":"lsgTZMr9KwAAA","subscriptionId":"0fc0d6db-0073-42e5-a186-853da75fb308","subscriptionExpirationDateTime":"2026-11-30T18:23:45.9356913Z","clientState":"example-client-state","changeType":"created","resource":"Users/622eaaff/Messages/AAMkADMxZmEx","tenantId":"84bd8158-6d4d-4958-8b9f-9d6445542f95","resourceData":{"@odata.type":"#Microsoft.Graph.Message","@odata.id":"Users/622eaaff/Messages/AAMkADMxZmEx","@odata.etag":"W/\"CQAAABYAAADk\"","id":"AAMkADMxZmEx"}}]}"##,
            id_placeholder: "lsgTZMr9KwAAA",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "deleted",
            body: r#"{"value":[{"id":"n1","subscriptionId":"0fc0d6db-0073-42e5-a186-853da75fb308","subscriptionExpirationDateTime":"2026-11-30T18:23:45Z","clientState":"example-client-state","changeType":"deleted","resource":"users/a1","tenantId":"84bd8158-6d4d-4958-8b9f-9d6445542f95","resourceData":{"id":"a1"}},{"id":"n2","subscriptionId":"5522bd62-7c96-4530-85b0-00b916f6151a","subscriptionExpirationDateTime":"2026-11-30T18:23:45Z","clientState":"example-client-state","changeType":"deleted","resource":"users/a2","tenantId":"84bd8158-6d4d-4958-8b9f-9d6445542f95"}]}"#,
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "reauthorizationRequired",
            body: r#"{"value":[{"subscriptionId":"0fc0d6db-0073-42e5-a186-853da75fb308","subscriptionExpirationDateTime":"2026-11-30T18:23:45.9356913Z","tenantId":"84bd8158-6d4d-4958-8b9f-9d6445542f95","clientState":"example-client-state","lifecycleEvent":"reauthorizationRequired"}]}"#,
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
