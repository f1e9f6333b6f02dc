//! Measures how much longer a warm function takes for a webhook of 10 KB than a bare PutEvents call of the SDK.

use std::time::{Duration, Instant};

use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use hookbridge::bridge::{BridgeFunction, RefusalLogLimiter, RepeatWindow, WebhookHandler};
use hookbridge::bus::EventBridge;
use hookbridge::providers;
use hookbridge::secrets::{CacheTtls, CachedSecrets, SecretsManager};
use serde_json::Value;

use super::{DELIVERY_ID, events, invocation, median, stub};

const ITERATIONS: usize = 3000;

pub async fn compare(aws: &stub::Aws) {
    let config = stub_config(aws).await;
    let function = BridgeFunction {
        handlers: vec![WebhookHandler {
            provider: providers::find_provider("github").unwrap(),
            secrets: CachedSecrets::new(SecretsManager::new(&config, "stub".into()), CacheTtls::default()),
            next_secrets: None,
            bus: EventBridge::new(&config, "default".into()),
            max_entry_bytes: 262_144,
            overflow_store: None,
            spill_queue: None,
            archive: None,
            repeat_window: RepeatWindow::new(Duration::from_secs(300)),
            event_group: None,
        }],
        public_url: None,
        function_name: "function".into(),
        refusal_log_limiter: RefusalLogLimiter::new(1),
    };
    let client = aws_sdk_eventbridge::Client::new(&config);
    let events = events();
    let body = serde_json::from_str::<Value>(&events[0].1).unwrap()["body"].as_str().unwrap().to_owned();
    let entry = PutEventsRequestEntry::builder()
        .event_bus_name("default")
        .source("github.com")
        .detail_type("push")
        .resources("urn:webhook:github:72d3162e-cc78-11e3-81ab-4c9367dc0958")
        .detail(body)
        .build();
    let mut webhooks = 0;
    for (front_door, event) in &events {
        let (mut bridge_times, mut raw_times) = (Vec::new(), Vec::new());
        for _ in 0..ITERATIONS {
            let started = Instant::now();
            client.put_events().entries(entry.clone()).send().await.unwrap();
            raw_times.push(started.elapsed().as_secs_f64() * 1e6);
            // The signature does not cover the delivery id.
            webhooks += 1;
            let event = event.replace(DELIVERY_ID, &format!("{webhooks:036}"));
            let started = Instant::now();
            let (_, line) = function.invoke(&event, &invocation()).await;
            bridge_times.push(started.elapsed().as_secs_f64() * 1e6);
            assert!(line.is_some_and(|line| line.contains("published")));
        }
        let (bridge, raw) = (median(bridge_times), median(raw_times));
        println!(
            "warm webhook of 10 KB, {front_door}: bridge {bridge:.0} us, raw PutEvents {raw:.0} us (p50 of {ITERATIONS})"
        );
        println!("  overhead {:.0} us, wanted at most 40", bridge - raw);
    }
}

/// An SDK configuration that sends requests to the stub and trusts the stub's certificate.
pub async fn stub_config(aws: &stub::Aws) -> aws_config::SdkConfig {
    let roots = std::fs::read(&aws.bundle).unwrap();
    let store = aws_smithy_http_client::tls::TrustStore::empty().with_pem_certificate(roots);
    let context = aws_smithy_http_client::tls::TlsContext::builder().with_trust_store(store).build().unwrap();
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(aws_smithy_http_client::tls::Provider::Rustls(
            aws_smithy_http_client::tls::rustls_provider::CryptoMode::Ring,
        ))
        .tls_context(context)
        .build_https();
    hookbridge::aws::function_config().await.to_builder().http_client(http).endpoint_url(&aws.url).build()
}
