//! Measures the speed of the function `bridge`, each time against a baseline of the same run. `scripts/bench` builds the
//! binaries and runs this benchmark.
//!
//! A local stub replaces AWS and responds at once over TLS, so that AWS's latency is not measured.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark prints, fails by panicking"
)]
#![allow(unreachable_pub, reason = "nothing is reached from outside a benchmark")]

mod batch;
mod cold_start;
mod cost;
mod runtime_api;
mod stub;
mod warm;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let _ = rustls::crypto::ring::default_provider().install_default();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let aws = stub::Aws::start(folder.path()).await;
        if std::env::args().any(|argument| argument == "cost") {
            return cost::measure(&aws).await;
        }
        cold_start::compare(&aws).await;
        warm::compare(&aws).await;
        batch::compare(&aws).await;
    });
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The delivery id of the webhook of [`event`].
const DELIVERY_ID: &str = "72d3162e-cc78-11e3-81ab-4c9367dc0958";

/// A Function URL event with a GitHub webhook of 10 KB.
fn event() -> String {
    let body = format!(r#"{{"ref":"refs/heads/main","commits":"{}"}}"#, "0123456789abcdef".repeat(640));
    let github = hookbridge::providers::find_provider("github").unwrap();
    let url = "https://x.example/".parse().unwrap();
    let request = hookbridge::providers::WebhookRequest::post(url, body.clone());
    let secret = hookbridge::secrets::Secret::new(stub::SECRET);
    let signature = github.signature_scheme.signature(request, &secret, jiff::Timestamp::now()).unwrap();
    serde_json::json!({
        "version": "2.0",
        "rawPath": "/",
        "rawQueryString": "",
        "headers": {
            "content-type": "application/json",
            "user-agent": "GitHub-Hookshot/044aadd",
            "x-github-delivery": DELIVERY_ID,
            "x-github-event": "push",
            "x-hub-signature-256": signature,
        },
        "requestContext": {"domainName": "x.example", "http": {"method": "POST"}},
        "body": body,
        "isBase64Encoded": false,
    })
    .to_string()
}

/// The same webhook behind the other front doors: a REST API and a load balancer.
fn events() -> [(&'static str, String); 3] {
    let function_url = event();
    let event: serde_json::Value = serde_json::from_str(&function_url).unwrap();
    let (headers, body) = (&event["headers"], &event["body"]);
    let multi_value_headers: serde_json::Map<String, serde_json::Value> = headers
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| (name.clone(), vec![value.clone()].into()))
        .collect();
    let context =
        serde_json::json!({"domainName": "x.example", "httpMethod": "POST", "path": "/", "stage": "prod"});
    let rest_api = serde_json::json!({
        "path": "/", "httpMethod": "POST", "headers": headers, "multiValueHeaders": multi_value_headers,
        "requestContext": context, "body": body, "isBase64Encoded": false,
    });
    let alb = serde_json::json!({
        "path": "/", "httpMethod": "POST", "headers": headers, "requestContext": {"elb": {"targetGroupArn": "arn:a"}},
        "queryStringParameters": {}, "body": body, "isBase64Encoded": false,
    });
    [("Function URL", function_url), ("REST API", rest_api.to_string()), ("load balancer", alb.to_string())]
}

/// An invocation with a deadline in 9 s.
fn invocation() -> hookbridge::lambda::Invocation<'static> {
    hookbridge::lambda::Invocation {
        request_id: "request",
        trace_header: None,
        deadline: std::time::SystemTime::now() + std::time::Duration::from_secs(9),
    }
}
