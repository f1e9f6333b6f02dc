//! Measures the speed of the function `bridge`, each time against a baseline of the same run. `scripts/bench` builds the
//! binaries and runs this benchmark.
//!
//! A local stub replaces AWS and responds at once over TLS, so that AWS's latency is not measured.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark prints, fails by panicking"
)]
#![allow(unreachable_pub, reason = "nothing is reached from outside a benchmark")]

mod batch;
mod cold_start;
mod runtime_api;
mod stub;
mod warm;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let _ = rustls::crypto::ring::default_provider().install_default();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let aws = stub::Aws::start(folder.path()).await;
        cold_start::compare(&aws).await;
        warm::compare(&aws).await;
        batch::compare(&aws).await;
    });
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A Function URL event with a GitHub webhook of 10 KB.
fn event() -> String {
    let body = format!(r#"{{"ref":"refs/heads/main","commits":"{}"}}"#, "0123456789abcdef".repeat(640));
    let github = hookbridge::providers::find_provider("github").unwrap();
    let url = "https://x.example/".parse().unwrap();
    let webhook = hookbridge::providers::RawWebhook::post(url, http::HeaderMap::new(), body.clone().into());
    let secret = hookbridge::secrets::Secret::new(stub::SECRET);
    let signature = github.signature_scheme.sign(&webhook, &secret, jiff::Timestamp::now()).unwrap();
    serde_json::json!({
        "version": "2.0",
        "rawPath": "/",
        "rawQueryString": "",
        "headers": {
            "content-type": "application/json",
            "user-agent": "GitHub-Hookshot/044aadd",
            "x-github-delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
            "x-github-event": "push",
            "x-hub-signature-256": signature,
        },
        "requestContext": {"domainName": "x.example", "http": {"method": "POST"}},
        "body": body,
        "isBase64Encoded": false,
    })
    .to_string()
}
