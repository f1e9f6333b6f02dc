//! WooCommerce: events of orders, products and customers.
//!
//! WooCommerce waits 60 s for a response and does not retry. It disables a webhook after more than five
//! failures in a row.

use crate::providers::{
    Encoding, FieldLocation, Handshake, HeaderSignature, Provider, SampleWebhook, SignatureScheme,
};

/// WooCommerce signs the raw body with HMAC-SHA256 and sends the signature in base64 in
/// `X-WC-Webhook-Signature`. It tests a new webhook with an unsigned form, `webhook_id=NUMBER`, and expects
/// status 200. hookbridge does not use `X-WC-Webhook-Delivery-ID`, because the deliveries of a webhook within
/// one second share it.
pub const WOOCOMMERCE: Provider = Provider {
    name: "woocommerce",
    title: "WooCommerce",
    documentation: "https://developer.woocommerce.com/docs/apis/rest-api/v2/webhooks/",
    secret_hint: "The secret of the webhook, from WooCommerce > Settings > Advanced > Webhooks; WooCommerce generates one if you enter none.",
    source: "woocommerce.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-wc-webhook-signature"],
        encoding: Encoding::Base64,
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some(
        "An attacker can replay a recorded webhook with another topic at any time, because the signature covers neither a timestamp nor headers.",
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
