//! Shopify: events of orders, products, customers and apps.
//!
//! Shopify waits 5 s for a response and retries 8 times within 4 hours. After repeated failures it deletes a
//! subscription that was created with the Admin API. For up to an hour after a rotation, it may still sign
//! with the old client secret.

use crate::providers::{Encoding, FieldLocation, HeaderSignature, Provider, SampleWebhook, SignatureScheme};

/// Shopify signs the raw body with HMAC-SHA256 and sends the signature in base64 in `X-Shopify-Hmac-SHA256`.
/// The HMAC key is the app's client secret. The webhooks of Shopify's Events product (a developer preview)
/// have the same headers without `X-`.
pub const SHOPIFY: Provider = Provider {
    name: "shopify",
    title: "Shopify",
    documentation: "https://shopify.dev/docs/apps/build/webhooks/verify-deliveries",
    secret_hint: "The app's client secret, from its settings in the Dev Dashboard, or the text under Settings > Notifications > Webhooks in the admin.",
    source: "shopify.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-shopify-hmac-sha256", "shopify-hmac-sha256"],
        encoding: Encoding::Base64,
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some(
        "An attacker can replay a recorded webhook with another topic, shop and id at any time, because the signature covers neither a timestamp nor headers.",
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
