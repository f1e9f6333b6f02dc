//! Requests through the handler of a provider: handshakes are answered as documented and never published.

use std::time::Duration;

use hookbridge::bridge::{Outcome, WebhookHandler};
use hookbridge::providers::{self, Provider, WebhookRequest};
use hookbridge::secrets::{Secret, StaticSecret};
use jiff::Timestamp;

use crate::actors::aws::{aws, name};
use crate::actors::dispatch_harness::RecordingBus;
use crate::actors::runtime_api::RunningFunction;
use crate::actors::samples::{now, secret_of, signed_sample};

/// Handles a request with the provider's handler, as the function and `serve` do.
async fn handle(provider: &'static Provider, secret: &str, request: &WebhookRequest) -> (Outcome, String) {
    let bus = RecordingBus::default();
    let handler = WebhookHandler {
        provider,
        secrets: StaticSecret::new(Secret::new(secret)),
        next_secrets: None,
        bus: bus.clone(),
        max_entry_bytes: 262_144,
        overflow_store: None,
        spill_queue: None,
        archive: None,
        repeat_window: None,
        event_group: None,
    };
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    let record = handler.handle(request.to_raw(), None, deadline).await;
    let response = record.response();
    let headers: Vec<String> = response
        .headers
        .iter()
        .filter(|(name, _)| *name != "x-content-type-options")
        .map(|(name, value)| format!("{name}: {value}\n"))
        .collect();
    if matches!(record.outcome, Outcome::Handshake(_)) {
        assert!(bus.take_events().is_empty(), "{}: a handshake is never published", provider.name);
    }
    (
        record.outcome,
        format!("{} {}\n{}{}", response.status, response.media_type, headers.concat(), response.body),
    )
}

#[tokio::test]
async fn every_handshake_is_answered_as_documented() {
    let answer =
        async |name: &str, method: &str, query: &str, headers: &[(&str, &str)], body: &str, sign: bool| {
            let provider = providers::find_provider(name).unwrap();
            let url = format!("https://hooks.example/{query}").parse().unwrap();
            let mut request = WebhookRequest::post(url, body.to_owned());
            request.method = method.parse().unwrap();
            for (header, value) in headers {
                request.add_header(header, *value);
            }
            let secret = match name {
                "braintree" => "integration_public_key|integration_private_key".to_owned(),
                "x" | "zoom" => "secret".to_owned(),
                "meta" => "key\nverify-token=mine".to_owned(),
                _ => String::new(),
            };
            let generated = secret_of(provider);
            let (signing, verifying) = match secret.is_empty() {
                true => (generated.signing, generated.verifying),
                false => (secret.clone(), secret),
            };
            if sign {
                let signing = Secret::new(signing.as_str());
                provider.signature_scheme.sign(&mut request, &signing, Timestamp::now()).unwrap();
            }
            handle(provider, &verifying, &request).await.1
        };
    let json = &[("content-type", "application/json")][..];
    assert_eq!(
        answer(
            "slack",
            "POST",
            "",
            json,
            r#"{"type":"url_verification","token":"t","challenge":"3eZbrw1a"}"#,
            true
        )
        .await,
        "200 text/plain; charset=utf-8\n3eZbrw1a"
    );
    assert_eq!(
        answer("slack", "POST", "", json, r#"{"type":"url_verification","challenge":"3eZbrw1a"}"#, false)
            .await,
        "401 text/plain; charset=utf-8\nInvalid Signature"
    );
    assert_eq!(
        answer("discord", "POST", "", json, r#"{"version":1,"application_id":"1","type":0}"#, true).await,
        "204 text/plain; charset=utf-8\n"
    );
    assert_eq!(
        answer(
            "zoom",
            "POST",
            "",
            json,
            r#"{"event":"endpoint.url_validation","payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"}}"#,
            true
        )
        .await,
        "200 application/json\n{\"encryptedToken\":\"72cef096bfd47c0b8664df30d07721641e4abd7e885ba432204260db477a9a3e\",\"plainToken\":\"qgg8vlvZRS6UYooatFL8Aw\"}"
    );
    assert_eq!(
        answer(
            "twitch",
            "POST",
            "",
            &[("twitch-eventsub-message-type", "webhook_callback_verification")],
            r#"{"challenge":"pogchamp-kappa-360noscope-vohiyo","subscription":{}}"#,
            true
        )
        .await,
        "200 text/plain; charset=utf-8\npogchamp-kappa-360noscope-vohiyo"
    );
    assert_eq!(
        answer(
            "meta",
            "GET",
            "?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=mine",
            &[],
            "",
            false
        )
        .await,
        "200 text/plain; charset=utf-8\n1158201444"
    );
    assert_eq!(
        answer(
            "meta",
            "GET",
            "?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=yours",
            &[],
            "",
            false
        )
        .await,
        "401 text/plain; charset=utf-8\nInvalid Signature"
    );
    assert_eq!(
        answer("meta", "GET", "?hub.mode=subscribe&hub.challenge=1158201444", &[], "", false).await,
        "401 text/plain; charset=utf-8\nInvalid Signature"
    );
    assert_eq!(
        answer("meta", "GET", "?hub.challenge=%3Cscript%3E&hub.verify_token=mine", &[], "", false).await,
        "405 text/plain; charset=utf-8\nallow: GET, POST\nMethod Not Allowed"
    );
    assert_eq!(
        answer("dropbox", "GET", "?challenge=x-y_Z9", &[], "", false).await,
        "200 text/plain; charset=utf-8\nx-y_Z9"
    );
    assert_eq!(
        answer("x", "GET", "?crc_token=abc123", &[], "", false).await,
        "200 application/json\n{\"response_token\":\"sha256=WuWsgCoaXJT7aD4b+hIfn3AKJplSE/8vwcUD60PsccY=\"}"
    );
    assert_eq!(
        answer("x", "GET", "?crc_token=%7B%22a%22%3A1%7D", &[], "", false).await,
        "405 text/plain; charset=utf-8\nallow: GET, POST\nMethod Not Allowed"
    );
    // The challenge and the answer are from the tests of Braintree's SDKs.
    assert_eq!(
        answer("braintree", "GET", "?bt_challenge=20f9f8ed05f77439fe955c977e4c8a53", &[], "", false).await,
        "200 text/plain; charset=utf-8\nintegration_public_key|d9b899556c966b3f06945ec21311865d35df3ce4"
    );
    for no_challenge in ["PG5vdGlmaWNhdGlvbj4K", "20f9f8ed05f77439fe9", "20F9F8ED05F77439FE955C977E4C8A53"] {
        let query = format!("?bt_challenge={no_challenge}");
        let answer = answer("braintree", "GET", &query, &[], "", false).await;
        assert_eq!(answer, "405 text/plain; charset=utf-8\nallow: GET, POST\nMethod Not Allowed");
    }
    assert_eq!(
        answer("okta", "GET", "", &[("x-okta-verification-challenge", "ORVcoTvB2uF2")], "", false).await,
        "200 application/json\n{\"verification\":\"ORVcoTvB2uF2\"}"
    );
    assert_eq!(
        answer("asana", "POST", "", &[("x-hook-secret", "b537207f20cbfa02357cf448134da559")], "{}", false)
            .await,
        "200 text/plain; charset=utf-8\nx-hook-secret: b537207f20cbfa02357cf448134da559\n"
    );
    assert_eq!(
        answer(
            "notion",
            "POST",
            "",
            json,
            r#"{"verification_token":"secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl"}"#,
            false
        )
        .await,
        "200 text/plain; charset=utf-8\n"
    );
    assert_eq!(answer("trello", "HEAD", "", &[], "", false).await, "200 text/plain; charset=utf-8\n");
    assert_eq!(
        answer(
            "woocommerce",
            "POST",
            "",
            &[("content-type", "application/x-www-form-urlencoded")],
            "webhook_id=142",
            false
        )
        .await,
        "200 text/plain; charset=utf-8\n"
    );
    assert_eq!(
        answer(
            "woocommerce",
            "POST",
            "",
            &[("content-type", "application/x-www-form-urlencoded")],
            "webhook_id=142&a=b",
            false
        )
        .await,
        "401 text/plain; charset=utf-8\nInvalid Signature"
    );
    assert_eq!(
        answer(
            "cloudevents",
            "OPTIONS",
            "",
            &[("webhook-request-origin", "eventemitter.example.com"), ("webhook-request-rate", "120")],
            "",
            false
        )
        .await,
        "200 text/plain; charset=utf-8\nallow: POST, OPTIONS\nwebhook-allowed-origin: eventemitter.example.com\nwebhook-allowed-rate: *\n"
    );
    assert_eq!(
        answer(
            "microsoft-graph",
            "POST",
            "?validationToken=Validation%3a+Testing+client+application%0a",
            &[],
            "",
            false
        )
        .await,
        "401 text/plain; charset=utf-8\nInvalid Signature"
    );
    assert_eq!(
        answer(
            "microsoft-graph",
            "POST",
            "?validationToken=Validation%3a+Testing+client+Request-Id%3a+62f0",
            &[],
            "",
            false
        )
        .await,
        "200 text/plain; charset=utf-8\nValidation: Testing client Request-Id: 62f0"
    );
    assert_eq!(answer("azure-event-grid", "POST", "", &[("aeg-event-type", "SubscriptionValidation"), json[0]], r#"[{"id":"1","eventType":"Microsoft.EventGrid.SubscriptionValidationEvent","data":{"validationCode":"512d38b6-c7b8-40c8-89fe-f46f9e9622b6","validationUrl":"https://x.example:553/"}}]"#, true).await, "200 application/json\n{\"validationResponse\":\"512d38b6-c7b8-40c8-89fe-f46f9e9622b6\"}");
    assert_eq!(
        answer(
            "xero",
            "POST",
            "",
            json,
            r#"{"events":[],"firstEventSequence":0,"lastEventSequence":0,"entropy":"S0"}"#,
            true
        )
        .await,
        "200 text/plain; charset=utf-8\n"
    );
    assert_eq!(
        answer(
            "xero",
            "POST",
            "",
            &[json[0], ("x-xero-signature", "d3Jvbmc=")],
            r#"{"events":[],"entropy":"S0"}"#,
            false
        )
        .await,
        "401 text/plain; charset=utf-8\n"
    );
    assert_eq!(
        answer("github", "GET", "", &[], "", false).await,
        "405 text/plain; charset=utf-8\nallow: POST\nMethod Not Allowed"
    );
    assert_eq!(
        answer("meta", "GET", "", &[], "", false).await,
        "405 text/plain; charset=utf-8\nallow: GET, POST\nMethod Not Allowed"
    );
}

#[tokio::test]
async fn a_wrong_token_is_401_even_if_the_secret_is_no_key_of_the_provider_s_other_scheme() {
    let gitlab = providers::find_provider("gitlab").unwrap();
    let mut request = WebhookRequest::post("https://hooks.example/".parse().unwrap(), "{}");
    request.add_header("content-type", "application/json");
    request.add_header("x-gitlab-token", "a guess");
    let (_, response) = handle(gitlab, "my token!", &request).await;
    assert_eq!(response, "401 text/plain; charset=utf-8\nInvalid Signature");
    // Only a secret that is a key of no scheme is the operator's mistake.
    let adyen = providers::find_provider("adyen").unwrap();
    let signed = signed_sample(adyen, &adyen.samples[0], &secret_of(adyen), now());
    assert!(matches!(handle(adyen, "not hex", &signed).await.0, Outcome::SecretUnavailable(_)));
}

/// A provider that sends the secret itself, and a stack without one.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs LocalStack: run scripts/test"]
async fn the_function_stores_the_first_secret_that_a_handshake_transmits() {
    tokio::task::spawn_blocking(|| {
        let empty = aws(&["secretsmanager", "create-secret", "--name", &name("secret")]);
        let arn = empty["ARN"].as_str().unwrap();
        let stored = || {
            let arguments = ["secretsmanager", "get-secret-value", "--secret-id", arn];
            aws(&arguments)["SecretString"].as_str().unwrap().to_owned()
        };
        let function = RunningFunction::start_bridge("notion", arn);
        let post = |headers: &[(&str, &str)], body: &str| {
            function.post("/", &[&[("Content-Type", "application/json")], headers].concat(), body).0
        };
        let notion = providers::find_provider("notion").unwrap();
        let post_event = |secret: &str| {
            let body = notion.samples[0].body;
            let request = WebhookRequest::post("https://x.example/".parse().unwrap(), body);
            let signature = notion.signature_scheme.signature(request, &Secret::new(secret), now()).unwrap();
            post(&[("X-Notion-Signature", &signature)], body)
        };
        assert_eq!(post_event("guess"), 500, "without a secret, no webhook is accepted");
        assert_eq!(post(&[], r#"{"verification_token":"secret_of_notion"}"#), 200);
        assert_eq!(stored(), "secret_of_notion");
        assert_eq!(post(&[], r#"{"verification_token":"secret_of_an_attacker"}"#), 200);
        assert_eq!(stored(), "secret_of_notion", "a later handshake changes nothing");
        assert_eq!(post_event("secret_of_notion"), 202);
        assert_eq!(post_event("secret_of_an_attacker"), 401);
        let log = function.log_lines().concat();
        assert!(log.contains("stored the secret that a handshake transmitted"), "{log}");
        assert!(!log.contains("secret_of"), "the log contains no secret");
    })
    .await
    .unwrap();
}

/// Anyone can have a challenge of Braintree signed, so its answer must not be an event's signature.
#[tokio::test]
async fn a_signed_challenge_of_braintree_is_no_event() {
    let braintree = providers::find_provider("braintree").unwrap();
    let secret = "no key\npublic|private";
    // As base64, this challenge is a text.
    let challenge = "a0ca".repeat(5);
    let url = format!("https://hooks.example/?bt_challenge={challenge}").parse().unwrap();
    let request = WebhookRequest { method: "GET".parse().unwrap(), ..WebhookRequest::post(url, "") };
    let (_, answer) = handle(braintree, secret, &request).await;
    let signature = answer.lines().last().unwrap();
    assert!(signature.starts_with("public|"), "{answer}");
    let body = format!("bt_signature={}&bt_payload={challenge}", signature.replace('|', "%7C"));
    let mut request = WebhookRequest::post("https://hooks.example/".parse().unwrap(), body);
    request.add_header("content-type", "application/x-www-form-urlencoded");
    let (outcome, answer) = handle(braintree, secret, &request).await;
    assert!(matches!(outcome, Outcome::TranslationFailed(_)), "{answer}");
    assert!(answer.starts_with("400"), "{answer}");
}
