//! Measures how much longer the function takes for a batch of 350 events than a bare S3 PutObject of the same batch.

use std::time::Instant;

use aws_sdk_s3::primitives::ByteStream;
use hookbridge::archive::{Archive, S3Archive};
use hookbridge::bridge::{BridgeFunction, RefusalLogLimiter, WebhookHandler};
use hookbridge::bus::EventBridge;
use hookbridge::providers;
use hookbridge::secrets::{CacheTtls, CachedSecrets, Secret, SecretsManager};

use super::{invocation, median, stub, warm};

const ITERATIONS: usize = 1000;

pub async fn compare(aws: &stub::Aws) {
    let config = warm::stub_config(aws).await;
    // Use an IP address, because with a host name the SDK would put the bucket into the host name (virtual-hosted style).
    let config = config.to_builder().endpoint_url(aws.url.replace("localhost", "127.0.0.1")).build();
    let sparkpost = providers::find_provider("sparkpost").unwrap();
    let function = BridgeFunction {
        handlers: vec![WebhookHandler {
            provider: sparkpost,
            secrets: CachedSecrets::new(SecretsManager::new(&config, "stub".into()), CacheTtls::default()),
            next_secrets: None,
            bus: EventBridge::new(&config, "default".into()),
            max_entry_bytes: 262_144,
            overflow_store: None,
            spill_queue: None,
            archive: Some(Archive::S3(S3Archive::new(&config, "archive".into(), "raw/".into()))),
            repeat_window: None,
            event_group: None,
        }],
        public_url: None,
        function_name: "function".into(),
        refusal_log_limiter: RefusalLogLimiter::new(1),
    };
    let body = batch();
    let request = providers::WebhookRequest::post("https://x.example/".parse().unwrap(), body.clone());
    let secret = Secret::new(stub::SECRET);
    let credentials = sparkpost.signature_scheme.signature(request, &secret, jiff::Timestamp::now()).unwrap();
    let event = serde_json::json!({
        "headers": {
            "authorization": credentials,
            "content-type": "application/json",
            "x-messagesystems-batch-id": "8ae7b9c0-9f6d-11e5-aa1f-0024e8f4d9ac",
        },
        "requestContext": {"domainName": "x.example", "http": {"method": "POST"}},
        "body": body,
        "isBase64Encoded": false,
    })
    .to_string();
    let client = aws_sdk_s3::Client::new(&config);
    let (mut bridge_times, mut raw_times) = (Vec::new(), Vec::new());
    for _ in 0..ITERATIONS {
        let started = Instant::now();
        let put = client.put_object().bucket("archive").key("raw/sparkpost/1.json").if_none_match("*");
        let content = ByteStream::from(body.clone().into_bytes());
        put.content_type("application/json").body(content).send().await.unwrap();
        raw_times.push(started.elapsed().as_secs_f64() * 1e6);
        let started = Instant::now();
        let (_, line) = function.invoke(&event, &invocation()).await;
        bridge_times.push(started.elapsed().as_secs_f64() * 1e6);
        assert!(line.is_some_and(|line| line.contains("archived")));
    }
    let (bridge, raw) = (median(bridge_times), median(raw_times));
    println!(
        "batch of 350 events, {} KB: bridge {bridge:.0} us, raw PutObject {raw:.0} us (p50 of {ITERATIONS})",
        body.len() / 1000
    );
    println!("  overhead {:.0} us, wanted at most 1000", bridge - raw);
}

/// A batch of 350 events, which repeats the events of SparkPost's published sample.
fn batch() -> String {
    let sample = include_str!("../../tests/vectors/sparkpost-batch.json");
    let sample: Vec<serde_json::Value> = serde_json::from_str(sample).unwrap();
    let events: Vec<_> = sample.iter().cycle().take(350).collect();
    serde_json::to_string(&events).unwrap()
}
