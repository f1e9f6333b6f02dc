//! Webflow: events of sites, forms and collections.
//!
//! Webflow retries three times, at intervals of 10 minutes, and treats a redirect as a failure. It does not
//! sign webhooks that were created in the dashboard; create them with Webflow's API.

use crate::providers::{
    FieldLocation, HeaderSignature, Provider, SampleWebhook, SignatureScheme, SignedContent, SignedTimestamp,
    SigningPart, SuccessResponse, TimestampFormat,
};

/// Webflow signs `TIMESTAMP:BODY` with HMAC-SHA256 and sends the signature in hex in `x-webflow-signature`
/// and the timestamp, in milliseconds, in `x-webflow-timestamp`. Webflow recommends rejecting timestamps that
/// are more than 5 minutes old; hookbridge also rejects timestamps that are more than 5 minutes in the
/// future.
pub const WEBFLOW: Provider = Provider {
    name: "webflow",
    title: "Webflow",
    documentation: "https://developers.webflow.com/data/docs/working-with-webhooks#validating-request-signatures",
    secret_hint: "The secret key that Webflow's API returned when it created the webhook, or the client secret of the OAuth app that created it.",
    source: "webflow.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-webflow-signature"],
        signed_content: SignedContent::Parts(&[
            SigningPart::Timestamp,
            SigningPart::Literal(":"),
            SigningPart::Body,
        ]),
        timestamp: Some(SignedTimestamp {
            format: TimestampFormat::Milliseconds,
            ..SignedTimestamp::in_header(&["x-webflow-timestamp"])
        }),
        ..HeaderSignature::HMAC_SHA256
    }),
    event_type: Some(FieldLocation::Body("/triggerType")),
    success: SuccessResponse::OK,
    samples: &[
        SampleWebhook {
            event_type: "form_submission",
            body: r#"{"triggerType":"form_submission","payload":{"name":"Contact Us","siteId":"65427cf400e02b306eaa0001","data":{"Name":"Alice Example","email":"alice@example.com"},"schema":[{"fieldName":"email","fieldType":"FormTextInput","fieldElementId":"285042f7-0000-4000-8000-000000000001"}],"submittedAt":"2026-10-26T06:13:20.117Z","id":"6321ca84df3949bfc6750001","formId":"65429eadebe8a9f3a30f0001","formElementId":"4e038d2c-0000-4000-8000-000000000002"}}"#,
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "site_publish",
            body: r#"{"triggerType":"site_publish","payload":{"domains":["www.example.com"],"site":"65427cf400e02b306eaa0001","publishedOn":"2026-10-26T06:20:00.000Z","publishedBy":{"displayName":"Alice Example"}}}"#,
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "collection_item_changed",
            body: r#"{"triggerType":"collection_item_changed","payload":{"id":"62fe4c1b0a1b2c3d4e5f0001","siteId":"65427cf400e02b306eaa0001","workspaceId":"6258612d0a1b2c3d4e5f0001","collectionId":"61f1a3710a1b2c3d4e5f0001","fieldData":{"name":"Hello","slug":"hello"},"isArchived":false,"isDraft":false,"lastUpdated":"2026-10-26T06:25:00.000Z","createdOn":"2026-10-25T10:00:00.000Z"}}"#,
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
