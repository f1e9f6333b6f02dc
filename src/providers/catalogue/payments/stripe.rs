//! Stripe: snapshot and thin events.
//!
//! While a secret rotates, the signature header has one signature `v1` for each valid secret. hookbridge ignores the
//! signature `v0`, which only test events have. Stripe's own libraries reject timestamps that are more than 300 s old;
//! hookbridge also rejects timestamps that are more than 300 s in the future.

use crate::providers::{
    FieldLocation, HeaderFormat, HeaderSignature, Pagination, PollingApi, Provider, SampleWebhook,
    SignatureFormat, SignatureScheme, SignedContent, SignedTimestamp, SigningPart, TimeFormat, TypeFilter,
};

/// Stripe signs `TIMESTAMP.BODY` with HMAC-SHA256 and sends `t=TIMESTAMP,v1=SIGNATURE` with a hex signature. The
/// HMAC key is the whole secret, including `whsec_`.
pub const STRIPE: Provider = Provider {
    name: "stripe",
    title: "Stripe",
    documentation: "https://docs.stripe.com/webhooks#verify-manually",
    secret_hint: "The signing secret (whsec_...) of the webhook endpoint, from Stripe's Workbench.",
    source: "stripe.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["stripe-signature"],
        header_format: HeaderFormat::List(","),
        signatures: &[SignatureFormat::hmac_sha256("v1=")],
        signed_content: SignedContent::Parts(&[
            SigningPart::Timestamp,
            SigningPart::Literal("."),
            SigningPart::Body,
        ]),
        timestamp: Some(SignedTimestamp::in_signature_header("t=")),
        ..HeaderSignature::HMAC_SHA256
    }),
    event_type: Some(FieldLocation::Body("/type")),
    delivery_id: Some(FieldLocation::Body("/id")),
    event_time: Some(FieldLocation::Body("/created")),
    polling: Some(PollingApi {
        documentation: "https://docs.stripe.com/api/events/list",
        base_url: "https://api.stripe.com",
        path: "/v1/events",
        api_key_parameter: "StripeApiKey",
        api_key_hint: "A restricted key (rk_...) with only the permission to read Events, from Stripe's Dashboard.",
        authorization_prefix: "Bearer ",
        from_parameter: "created[gte]",
        until_parameter: "created[lt]",
        time_format: TimeFormat::EpochSeconds,
        fixed_query: "limit=100",
        type_filter: TypeFilter::RepeatedParameter("types[]"),
        type_filter_hint: "Stripe allows at most 20.",
        events_field: "data",
        pagination: Pagination::AfterLastId("starting_after"),
        retention_days: 30,
    }),
    samples: &[SampleWebhook {
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
        id_placeholder: "1NG8Du2eZvKYlo2CUI79vXWy",
        time_placeholder: "1686089970",
        ..SampleWebhook::EMPTY
    }],
    ..Provider::JSON
};
