//! Stripe: snapshot and thin events.

use super::{
    Algorithm, Body, Encoding, Field, Next, Over, Part, Polling, Provider, Sample, Signature, Times, Types,
    Window, Written,
};

/// Stripe signs `<timestamp>.<body>` with HMAC-SHA256, in hex, and sends `t=<timestamp>,v1=<signature>`; while a
/// secret is being rolled there is a `v1` for each secret. `v0` is a test-mode leftover and never looked at.
/// The key is the whole secret, `whsec_` included.
///
/// Its own libraries refuse a timestamp more than 300 s old; one from the future is refused just so.
pub const STRIPE: Provider = Provider {
    name: "stripe",
    title: "Stripe",
    documentation: "https://docs.stripe.com/webhooks#verify-manually",
    secret_parameter: "StripeWebhookSecret",
    secret_hint: "The signing secret (whsec_...) of the webhook endpoint, from Stripe's Workbench.",
    source: "stripe.com",
    signature: Signature {
        header: "stripe-signature",
        written: Written::Pairs { timestamp: "t", signature: "v1" },
        algorithms: &[Algorithm::HmacSha256],
        encoding: Encoding::Hex,
        over: Over::Parts(&[Part::Timestamp, Part::Text("."), Part::Body]),
        window: Some(Window { past: 300, future: 300 }),
        body_hash: None,
    },
    body: Body::Json,
    event_type: Some(Field::Body("type")),
    default_type: "stripe-webhook-lambda",
    delivery_id: Some(Field::Body("id")),
    event_time: Some(Field::Body("created")),
    polling: Some(Polling {
        documentation: "https://docs.stripe.com/api/events/list",
        base: "https://api.stripe.com",
        path: "/v1/events",
        key_parameter: "StripeApiKey",
        key_hint: "A restricted key (rk_...) that may read Events and nothing else, from Stripe's Dashboard.",
        authorization_prefix: "Bearer ",
        from: "created[gte]",
        until: "created[lt]",
        times: Times::EpochSeconds,
        constant: "limit=100",
        types: Types::Each("types[]"),
        types_hint: "Stripe takes 20 at most.",
        events: "data",
        next: Next::AfterLast("starting_after"),
        kept_days: 30,
    }),
    sample: Sample {
        event_type: "charge.succeeded",
        body: r#"{
  "id": "evt_1NG8Du2eZvKYlo2CUI79vXWy",
  "object": "event",
  "api_version": "2026-10-28",
  "created": 1686089970,
  "data": {
    "object": {
      "id": "ch_3MmlLrLkdIwHu7ix0snN0B15",
      "object": "charge",
      "amount": 1099,
      "currency": "usd",
      "paid": true
    }
  },
  "livemode": false,
  "pending_webhooks": 1,
  "type": "charge.succeeded"
}"#,
        id: "1NG8Du2eZvKYlo2CUI79vXWy",
        time: "1686089970",
    },
};
