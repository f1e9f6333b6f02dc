//! Shopify webhooks.
//!
//! Shopify waits 5 s for a response. Retries: 8 retries over 4 hours with exponential backoff and the original
//! payload; a subscription made by the Admin API is deleted after repeated failures; any 3xx counts as failure.

use crate::providers::{Encoding, FieldLocation, HeaderSignature, Provider, SampleWebhook, SignatureScheme};

/// Shopify signs the raw body with HMAC-SHA256 keyed with the app's client secret and sends the digest as base64 in
/// `X-Shopify-Hmac-SHA256`. There is no timestamp in the signature. `X-Shopify-Topic` names the event and
/// `X-Shopify-Webhook-Id` the delivery. Shopify waits 5 seconds and retries 8 times in 4 hours; after the client
/// secret is rotated, deliveries can carry a signature of the old secret for up to an hour.
pub const SHOPIFY: Provider = Provider {
    name: "shopify",
    title: "Shopify",
    documentation: "https://shopify.dev/docs/apps/build/webhooks/verify-deliveries",
    secret_hint: "The client secret of the app (Dev Dashboard, app settings; for webhooks made in the admin it is the text under Settings > Notifications > Webhooks), used as text.",
    source: "shopify.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-shopify-hmac-sha256", "shopify-hmac-sha256"],
        encoding: Encoding::Base64,
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some(
        "No timestamp is signed and the headers (topic, shop domain, webhook id) are not covered: a captured request can be replayed, also with another topic or id.",
    ),
    event_type: Some(FieldLocation::FirstOf(&[
        FieldLocation::Header("x-shopify-topic"),
        FieldLocation::Header("shopify-topic"),
    ])),
    delivery_id: Some(FieldLocation::FirstOf(&[
        FieldLocation::Header("x-shopify-webhook-id"),
        FieldLocation::Header("shopify-webhook-id"),
    ])),
    event_time: Some(FieldLocation::Header("x-shopify-triggered-at")),
    samples: &[
        SampleWebhook {
            event_type: "orders/create",
            body: r##"{"id":450789469,"admin_graphql_api_id":"gid://shopify/Order/450789469","email":"jon@example.com","created_at":"2026-11-20T10:15:03-05:00","updated_at":"2026-11-20T10:15:04-05:00","currency":"USD","financial_status":"paid","name":"#1001","order_number":1001,"total_price":"41.90","line_items":[{"id":866550311,"title":"T-Shirt","quantity":1,"price":"41.90","sku":"TS-1"}]}"##,
            headers: &[("x-shopify-triggered-at", "2026-11-20T15:15:04.123456789Z")],
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "products/update",
            body: r#"{"id":788032119674,"title":"T-Shirt","vendor":"Example","product_type":"Shirts","status":"active","updated_at":"2026-11-20T09:00:00-05:00","variants":[{"id":642667041472,"title":"Default Title","price":"41.90","sku":"TS-1"}]}"#,
            headers: &[("x-shopify-triggered-at", "2026-11-20T14:00:00.500000000Z")],
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "app/uninstalled",
            body: r#"{"id":548380009,"name":"Example Shop","email":"owner@example.com","domain":"shop.example.com","myshopify_domain":"example.myshopify.com","country_code":"US","currency":"USD","plan_name":"basic"}"#,
            headers: &[("x-shopify-triggered-at", "2026-11-20T16:00:00.000000000Z")],
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
