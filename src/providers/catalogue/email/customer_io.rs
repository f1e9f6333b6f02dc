//! Customer.io: deliveries, opens and other events of reporting webhooks.
//!
//! Customer.io waits 4 s for a response and retries for seven days with exponential backoff. It sends later
//! events only after it has delivered a failed one, so a wrong secret delays all events.

use crate::providers::{
    FieldLocation, HeaderSignature, Provider, SampleWebhook, SignatureScheme, SignedContent, SignedTimestamp,
    SigningPart, TimestampTolerance,
};

/// Customer.io signs `v0:TIMESTAMP:BODY` with HMAC-SHA256. It sends the signature in hex, without the prefix
/// `v0=`, in `X-CIO-Signature`, and the timestamp in `X-CIO-Timestamp`. hookbridge does not limit the age of
/// the timestamp, because Customer.io documents no limit and a retry may repeat the timestamp of the first
/// attempt.
pub const CUSTOMER_IO: Provider = Provider {
    name: "customer-io",
    title: "Customer.io",
    documentation: "https://docs.customer.io/integrations/api/webhooks/",
    secret_hint: "The webhook signing key, from the settings of the reporting webhook under Data & Integrations > Integrations in Customer.io.",
    source: "customer.io",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-cio-signature"],
        signed_content: SignedContent::Parts(&[
            SigningPart::Literal("v0:"),
            SigningPart::Timestamp,
            SigningPart::Literal(":"),
            SigningPart::Body,
        ]),
        timestamp: Some(SignedTimestamp {
            tolerance: TimestampTolerance::UNLIMITED,
            ..SignedTimestamp::in_header(&["x-cio-timestamp"])
        }),
        ..HeaderSignature::HMAC_SHA256
    }),
    event_type: Some(FieldLocation::Joined(&[
        FieldLocation::Body("/object_type"),
        FieldLocation::Body("/metric"),
    ])),
    delivery_id: Some(FieldLocation::Body("/event_id")),
    event_time: Some(FieldLocation::Body("/timestamp")),
    samples: &[
        SampleWebhook {
            event_type: "email.opened",
            body: r#"{"data":{"action_id":42,"campaign_id":23,"content_id":1146,"customer_id":"cust_0001","delivery_id":"RExampleDelivery0001","identifiers":{"cio_id":"d9c106000001","email":"ada@example.com","id":"cust_0001"},"recipient":"ada@example.com","subject":"Your receipt"},"event_id":"01KEXAMPLE0000000000000001","object_type":"email","metric":"opened","timestamp":1796029200}"#,
            id_placeholder: "01KEXAMPLE0000000000000001",
            time_placeholder: "1796029200",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "email.clicked",
            body: r#"{"data":{"action_id":42,"campaign_id":23,"customer_id":"cust_0001","delivery_id":"RExampleDelivery0001","href":"https://example.com/receipt?id=7","identifiers":{"cio_id":"d9c106000001","email":"ada@example.com","id":"cust_0001"},"link_id":1,"recipient":"ada@example.com","subject":"Your receipt"},"event_id":"01KEXAMPLE0000000000000002","object_type":"email","metric":"clicked","timestamp":1796029260}"#,
            id_placeholder: "01KEXAMPLE0000000000000002",
            time_placeholder: "1796029260",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "customer.unsubscribed",
            body: r#"{"data":{"customer_id":"cust_0002","email_address":"bob@example.com","identifiers":{"cio_id":"d9c106000002","email":"bob@example.com","id":"cust_0002"}},"event_id":"01KEXAMPLE0000000000000003","object_type":"customer","metric":"unsubscribed","timestamp":1796029300}"#,
            id_placeholder: "01KEXAMPLE0000000000000003",
            time_placeholder: "1796029300",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
