//! The function `bridge` in this process, with the real SDK, in front of LocalStack or of a fault proxy.

use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use hookbridge::archive::{Archive, ClaimCheckStore};
use hookbridge::bridge::{BridgeFunction, RefusalLogLimiter, WebhookHandler};
use hookbridge::bus::{EventBridge, SpillQueue};
use hookbridge::lambda;
use hookbridge::providers::{self, FieldLocation};
use hookbridge::secrets::{CacheTtls, CachedSecrets, SecretsManager};
use serde_json::{Value, json};

/// The X-Ray header of every invocation.
pub const TRACE_HEADER: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";

/// The SDK configuration of a function that sends its AWS requests to `endpoint`.
pub async fn config(endpoint: &str) -> SdkConfig {
    hookbridge::aws::function_config().await.to_builder().endpoint_url(endpoint).build()
}

pub struct CloudFunction(BridgeFunction<CachedSecrets<SecretsManager>, EventBridge>);

/// The response to an invocation, and the log line.
#[derive(Debug)]
pub struct Invocation {
    pub status: u64,
    pub body: String,
    pub headers: Value,
    pub log: Value,
    pub elapsed: Duration,
}

impl CloudFunction {
    pub async fn with_endpoint(endpoint: &str, provider: &str, secret_arn: &str) -> Self {
        Self::with_cache_ttls(endpoint, provider, secret_arn, CacheTtls::default()).await
    }

    pub async fn with_cache_ttls(
        endpoint: &str,
        provider: &str,
        secret_arn: &str,
        cache_ttls: CacheTtls,
    ) -> Self {
        let config = config(endpoint).await;
        Self(BridgeFunction {
            handlers: vec![WebhookHandler {
                provider: providers::find_provider(provider).unwrap(),
                secrets: CachedSecrets::new(SecretsManager::new(&config, secret_arn.to_owned()), cache_ttls),
                next_secrets: None,
                bus: EventBridge::new(&config, "default".into()),
                max_entry_bytes: 262_144,
                overflow_store: None,
                spill_queue: None,
                archive: None,
                repeat_window: None,
                event_group: None,
            }],
            public_url: None,
            function_name: "function".into(),
            refusal_log_limiter: RefusalLogLimiter::new(1),
        })
    }

    pub async fn with_spill_queue(mut self, endpoint: &str, queue_url: &str) -> Self {
        self.0.handlers[0].spill_queue = Some(SpillQueue::new(&config(endpoint).await, queue_url.to_owned()));
        self
    }

    /// Publishes on the bus with this ARN behind `endpoint`.
    pub async fn with_bus(mut self, endpoint: &str, arn: &str) -> Self {
        self.0.handlers[0].bus = EventBridge::new(&config(endpoint).await, arn.to_owned());
        self
    }

    pub fn with_event_group(mut self, location: FieldLocation) -> Self {
        self.0.handlers[0].event_group = Some(location);
        self
    }

    pub async fn with_overflow_bucket(mut self, endpoint: &str, bucket: &str) -> Self {
        self.0.handlers[0].overflow_store =
            Some(ClaimCheckStore::new(&config(endpoint).await, bucket.to_owned()));
        self
    }

    pub fn with_max_entry_bytes(mut self, bytes: usize) -> Self {
        self.0.handlers[0].max_entry_bytes = bytes;
        self
    }

    pub fn with_archive(mut self, archive: Archive) -> Self {
        self.0.handlers[0].archive = Some(archive);
        self
    }

    pub fn with_public_url(mut self, url: &str) -> Self {
        self.0.public_url = Some(url.parse().unwrap());
        self
    }

    /// Invokes the function with an event, and returns the response and the log line.
    pub async fn invoke_raw(&self, event: &Value) -> (Value, Option<String>) {
        let (response, line) = self.0.invoke(&event.to_string(), &invocation(Duration::from_secs(5))).await;
        (serde_json::to_value(response).unwrap(), line)
    }

    /// Invokes the function with a Function URL event and a deadline in 5 s.
    pub async fn invoke(&self, event: &Value) -> Invocation {
        self.invoke_text(&event.to_string(), Duration::from_secs(5)).await
    }

    pub async fn invoke_text(&self, event: &str, timeout: Duration) -> Invocation {
        let started = std::time::Instant::now();
        let (response, line) = self.0.invoke(event, &invocation(timeout)).await;
        let response = serde_json::to_value(response).unwrap();
        Invocation {
            status: response["statusCode"].as_u64().unwrap(),
            body: response["body"].as_str().unwrap().to_owned(),
            headers: response["headers"].clone(),
            log: line.map_or(Value::Null, |line| serde_json::from_str(&line).unwrap()),
            elapsed: started.elapsed(),
        }
    }
}

fn invocation(timeout: Duration) -> lambda::Invocation<'static> {
    lambda::Invocation {
        request_id: "request",
        trace_header: Some(TRACE_HEADER),
        deadline: SystemTime::now() + timeout,
    }
}

pub fn url_event(headers: &[(&str, &str)], body: &str) -> Value {
    let headers: serde_json::Map<String, Value> =
        headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
    json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/",
        "rawQueryString": "",
        "headers": headers,
        "requestContext": {
            "domainName": "abc.lambda-url.us-east-1.on.aws",
            "http": {"method": "POST", "path": "/", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1"},
            "requestId": "request",
        },
        "body": body,
        "isBase64Encoded": false,
    })
}
