//! WooCommerce webhooks.
//!
//! WooCommerce waits 60 s for a response. Retries: no retry; more than 5 failures in a row set the webhook to
//! disabled.

use crate::providers::{
    Encoding, FieldLocation, Handshake, HeaderSignature, Provider, SampleWebhook, SignatureScheme,
};

/// WooCommerce signs the raw body with HMAC-SHA256 and sends the digest as base64 in `X-WC-Webhook-Signature`.
/// `X-WC-Webhook-Topic` names the event. `X-WC-Webhook-Delivery-ID` is a hash of the webhook's id and the time in
/// whole seconds, so two deliveries of one second share it. A failed delivery is not repeated, and the webhook is
/// disabled after more than five failures in a row.
pub const WOOCOMMERCE: Provider = Provider {
    name: "woocommerce",
    title: "WooCommerce",
    documentation: "https://developer.woocommerce.com/docs/apis/rest-api/v2/webhooks/",
    secret_hint: "The text in the field Secret of the webhook (WooCommerce > Settings > Advanced > Webhooks); an empty field becomes a generated text when the webhook is saved.",
    source: "woocommerce.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-wc-webhook-signature"],
        encoding: Encoding::Base64,
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some(
        "No timestamp is signed, headers are not covered; the ping is unsigned; the delivery id is not unique within a second.",
    ),
    handshakes: &[Handshake::FormPing { field: "webhook_id" }],
    event_type: Some(FieldLocation::Header("x-wc-webhook-topic")),
    samples: &[
        SampleWebhook {
            event_type: "order.created",
            body: r#"{"id":727,"parent_id":0,"status":"processing","currency":"USD","version":"10.3.0","date_created":"2026-11-20T10:15:03","date_created_gmt":"2026-11-20T15:15:03","date_modified_gmt":"2026-11-20T15:15:04","total":"41.90","customer_id":12,"billing":{"first_name":"Jon","last_name":"Doe","email":"jon@example.com"},"payment_method":"stripe","line_items":[{"id":315,"name":"T-Shirt","product_id":93,"quantity":1,"total":"41.90"}]}"#,
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "product.updated",
            body: r#"{"id":93,"name":"T-Shirt","slug":"t-shirt","type":"simple","status":"publish","sku":"TS-1","price":"41.90","stock_status":"instock","date_modified_gmt":"2026-11-20T14:00:00"}"#,
            ..SampleWebhook::EMPTY
        },
        SampleWebhook { event_type: "customer.deleted", body: r#"{"id":25}"#, ..SampleWebhook::EMPTY },
    ],
    ..Provider::JSON
};
