//! CloudEvents: events of senders that implement the HTTP webhook specification.
//!
//! The specification defines neither a timeout nor retries. hookbridge accepts the structured, the binary
//! (`ce-*` headers) and the batched content mode. An event's `id` is unique only together with its `source`.

use crate::providers::{FieldLocation, Handshake, Provider, SampleWebhook, SecretLocation, SignatureScheme};

/// CloudEvents are not signed. The sender authenticates with a bearer token in `Authorization` or, if it
/// cannot set headers, in the query parameter `access_token`. It may first ask for permission with an OPTIONS
/// request that has the header `WebHook-Request-Origin`.
pub const CLOUDEVENTS: Provider = Provider {
    name: "cloudevents",
    title: "CloudEvents",
    documentation: "https://github.com/cloudevents/spec/blob/main/cloudevents/http-webhook.md",
    secret_hint: "A token of your choice, which the sender sends in the Authorization header after Bearer, or in the query parameter access_token.",
    source: "cloudevents.io",
    signature_scheme: SignatureScheme::SharedSecret(&[
        SecretLocation::Bearer,
        SecretLocation::QueryParameter("access_token"),
    ]),
    weakness: Some(
        "Webhooks are not signed. An attacker who obtains the token, which every request contains, can send any event.",
    ),
    handshakes: &[Handshake::CloudEventsOptions],
    split: Some(""),
    event_type: Some(FieldLocation::FirstOf(&[
        FieldLocation::Header("ce-type"),
        FieldLocation::Body("/type"),
    ])),
    delivery_id: Some(FieldLocation::FirstOf(&[FieldLocation::Header("ce-id"), FieldLocation::Body("/id")])),
    event_time: Some(FieldLocation::FirstOf(&[
        FieldLocation::Header("ce-time"),
        FieldLocation::Body("/time"),
    ])),
    samples: &[
        SampleWebhook {
            event_type: "com.example.order.created",
            body: r#"{"specversion":"1.0","id":"A234-1234-1234","source":"https://shop.example.com/orders","type":"com.example.order.created","subject":"1001","time":"2026-11-20T15:15:03Z","datacontenttype":"application/json","data":{"order":1001,"total":"41.90"}}"#,
            headers: &[("content-type", "application/cloudevents+json; charset=utf-8")],
            id_placeholder: "A234-1234-1234",
            time_placeholder: "2026-11-20T15:15:03Z",
        },
        SampleWebhook {
            event_type: "com.example.order.paid",
            body: r#"{"order":1001,"paid":true}"#,
            headers: &[
                ("ce-id", "A234-1234-1235"),
                ("ce-type", "com.example.order.paid"),
                ("ce-specversion", "1.0"),
                ("ce-source", "https://shop.example.com/orders"),
                ("ce-time", "2026-11-20T15:16:00Z"),
            ],
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "com.example.order.shipped",
            body: r#"[{"specversion":"1.0","id":"A234-1234-1236","source":"https://shop.example.com/orders","type":"com.example.order.shipped","time":"2026-11-20T16:00:00Z","datacontenttype":"application/json","data":{"order":1001}},{"specversion":"1.0","id":"A234-1234-1237","source":"https://shop.example.com/orders","type":"com.example.order.note","time":"2026-11-20T16:00:01Z","datacontenttype":"text/plain","data":"left at the door"}]"#,
            headers: &[("content-type", "application/cloudevents-batch+json; charset=utf-8")],
            id_placeholder: "A234-1234-1236",
            time_placeholder: "2026-11-20T16:00:00Z",
        },
    ],
    ..Provider::JSON
};
