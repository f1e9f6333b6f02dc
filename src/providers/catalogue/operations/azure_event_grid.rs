//! Azure Event Grid: events of Azure services and of custom topics.
//!
//! Event Grid waits 30 s for a response and retries for up to 24 hours (30 attempts by default). After 400,
//! 401 or 413 it does not retry: it dead-letters or drops the event. A wrong secret therefore loses events.

use crate::providers::{
    FieldLocation, Handshake, Provider, SampleWebhook, SecretLocation, SignatureScheme, SignedAnswer,
};

/// Event Grid does not sign. hookbridge expects a fixed token in `Authorization` or in the query parameter
/// `token`; it does not support Microsoft Entra tokens. Event Grid validates a new subscription with a POST
/// request that has `aeg-event-type: SubscriptionValidation` and the token or, in the CloudEvents schema,
/// with an OPTIONS request.
pub const AZURE_EVENT_GRID: Provider = Provider {
    name: "azure-event-grid",
    title: "Azure Event Grid",
    documentation: "https://learn.microsoft.com/azure/event-grid/end-point-validation-event-grid-events-schema",
    secret_hint: "A token of your choice: in the event subscription, add the delivery property Authorization with Bearer TOKEN, or append ?token=TOKEN to the URL.",
    source: "eventgrid.azure.net",
    signature_scheme: SignatureScheme::SharedSecret(&[
        SecretLocation::Bearer,
        SecretLocation::QueryParameter("token"),
    ]),
    weakness: Some(
        "Webhooks are not signed. An attacker who obtains the token, which every request contains, can send any event.",
    ),
    handshakes: &[
        Handshake::CloudEventsOptions,
        Handshake::Signed {
            location: FieldLocation::Header("aeg-event-type"),
            value: "SubscriptionValidation",
            answer: SignedAnswer::Json { pointer: "/0/data/validationCode", field: "validationResponse" },
        },
    ],
    split: Some(""),
    event_type: Some(FieldLocation::FirstOf(&[
        FieldLocation::Body("/eventType"),
        FieldLocation::Body("/type"),
    ])),
    delivery_id: Some(FieldLocation::Body("/id")),
    event_time: Some(FieldLocation::FirstOf(&[
        FieldLocation::Body("/eventTime"),
        FieldLocation::Body("/time"),
    ])),
    samples: &[
        SampleWebhook {
            event_type: "Microsoft.Storage.BlobCreated",
            body: r#"[{"topic":"/subscriptions/0000/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/example","subject":"/blobServices/default/containers/in/blobs/a.txt","eventType":"Microsoft.Storage.BlobCreated","id":"831e1650-001e-001b-66ab-eeb76e069631","data":{"api":"PutBlob","contentType":"text/plain","contentLength":524,"blobType":"BlockBlob","url":"https://example.com/in/a.txt"},"dataVersion":"","metadataVersion":"1","eventTime":"2026-11-20T15:15:03.1647262Z"}]"#,
            headers: &[("aeg-event-type", "Notification")],
            id_placeholder: "831e1650-001e-001b-66ab-eeb76e069631",
            time_placeholder: "2026-11-20T15:15:03.1647262Z",
        },
        SampleWebhook {
            event_type: "Example.Orders.Created",
            body: r#"[{"id":"e1","subject":"orders/1001","eventType":"Example.Orders.Created","eventTime":"2026-11-20T15:15:03Z","data":{"order":1001},"dataVersion":"1.0","metadataVersion":"1","topic":"/subscriptions/0000/topics/orders"},{"id":"e2","subject":"orders/1002","eventType":"Example.Orders.Created","eventTime":"2026-11-20T15:15:04Z","data":{"order":1002},"dataVersion":"1.0","metadataVersion":"1","topic":"/subscriptions/0000/topics/orders"}]"#,
            headers: &[("aeg-event-type", "Notification")],
            time_placeholder: "2026-11-20T15:15:03Z",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "Microsoft.EventGrid.SubscriptionValidationEvent",
            body: r#"[{"id":"2d1781af-3a4c-4d7c-bd0c-e34b19da4e66","topic":"/subscriptions/0000","subject":"","data":{"validationCode":"512d38b6-c7b8-40c8-89fe-f46f9e9622b6","validationUrl":"https://example.com:553/eventsubscriptions/sub/validate?id=1"},"eventType":"Microsoft.EventGrid.SubscriptionValidationEvent","eventTime":"2026-11-20T15:00:00.1981776Z","metadataVersion":"1","dataVersion":"2"}]"#,
            headers: &[("aeg-event-type", "SubscriptionValidation")],
            id_placeholder: "2d1781af-3a4c-4d7c-bd0c-e34b19da4e66",
            time_placeholder: "2026-11-20T15:00:00.1981776Z",
        },
    ],
    ..Provider::JSON
};
