//! Rotations under load: the real function processes, forged requests, and a Secrets Manager that throttles.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::actors::aws::{endpoint, rotate, secret};
use crate::actors::fault_proxy::{Fault, FaultProxy};
use crate::actors::runtime_api::RunningFunction;
use crate::actors::signature;

const INSTANCES: usize = 3;

/// Continuous traffic through several instances of the function. Every fifth webhook is forged.
struct Traffic {
    /// The secret with which the provider signs.
    provider_secret: Mutex<&'static str>,
    /// A secret that must not be accepted any more.
    expired_secret: Mutex<Option<&'static str>>,
    is_over: AtomicBool,
    accepted: AtomicUsize,
    forged: AtomicUsize,
    expired: AtomicUsize,
    /// Genuine webhooks that were not accepted, and others that were.
    mistakes: Mutex<Vec<String>>,
}

impl Traffic {
    fn new(provider_secret: &'static str) -> Arc<Self> {
        Arc::new(Self {
            provider_secret: Mutex::new(provider_secret),
            expired_secret: Mutex::default(),
            is_over: AtomicBool::new(false),
            accepted: AtomicUsize::new(0),
            forged: AtomicUsize::new(0),
            expired: AtomicUsize::new(0),
            mistakes: Mutex::default(),
        })
    }

    /// Sends webhooks to one instance until the traffic is over.
    fn send(&self, instance: usize, variables: &[(&str, &str)]) {
        let function = RunningFunction::start_bridge_with(variables);
        let started = Instant::now();
        let mut number = 0;
        while !self.is_over.load(Ordering::Relaxed) {
            number += 1;
            let expired = *self.expired_secret.lock().unwrap();
            // While no secret can be looked up, the answer to a forged webhook is 500, because its signature may match a new secret.
            let (signing_secret, expected) = match (number % 5, expired) {
                (0, _) => ("a forger's guess", &[401, 500][..]),
                (1, Some(expired)) => (expired, &[401, 500][..]),
                _ => (*self.provider_secret.lock().unwrap(), &[202][..]),
            };
            let body = json!({"instance": instance, "number": number}).to_string();
            let signature = signature("github", signing_secret, "https://x.example/", body.as_bytes());
            let id = format!("{instance}-{number}");
            let headers = [
                ("Content-Type", "application/json"),
                ("X-GitHub-Event", "push"),
                ("X-GitHub-Delivery", id.as_str()),
                ("X-Hub-Signature-256", signature.as_str()),
            ];
            let (status, text) = function.post("/", &headers, &body);
            if !expected.contains(&status) {
                let mistake =
                    format!("after {:?}: {status} instead of {expected:?}: {text}", started.elapsed());
                self.mistakes.lock().unwrap().push(mistake);
            }
            match (number % 5, expired) {
                (0, _) => &self.forged,
                (1, Some(_)) => &self.expired,
                _ => &self.accepted,
            }
            .fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Runs `events` while the traffic flows, then ends it and checks that there was no mistake.
    fn run(self: &Arc<Self>, variables: &[(&str, &str)], events: impl FnOnce()) {
        std::thread::scope(|scope| {
            for instance in 0..INSTANCES {
                scope.spawn(move || self.send(instance, variables));
            }
            events();
            self.is_over.store(true, Ordering::Relaxed);
        });
        let mistakes = self.mistakes.lock().unwrap();
        assert!(
            mistakes.is_empty(),
            "{} mistakes: {:#?}",
            mistakes.len(),
            mistakes.iter().take(10).collect::<Vec<_>>()
        );
        let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        assert!(
            count(&self.accepted) > 500 && count(&self.forged) > 100,
            "{} webhooks",
            count(&self.accepted)
        );
    }
}

fn wait(seconds: u64) {
    std::thread::sleep(Duration::from_secs(seconds));
}

/// Every second request for a secret is throttled.
fn throttle_secrets_manager(proxy: &FaultProxy) {
    let faults = [Fault::Throttled, Fault::None].into_iter().cycle().take(2000);
    proxy.next("GetSecretValue", faults);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs LocalStack: run scripts/test"]
async fn a_rotation_under_load_refuses_nothing_genuine_and_accepts_nothing_expired() {
    let proxy = FaultProxy::in_front_of(&endpoint()).await;
    throttle_secrets_manager(&proxy);
    tokio::task::spawn_blocking(move || {
        let arn = secret("old");
        let variables = [
            ("PROVIDER", "github"),
            ("WEBHOOK_SECRET_ARN", arn.as_str()),
            ("AWS_ENDPOINT_URL", &proxy.url()),
            ("SECRET_TTL_SECONDS", "5"),
            ("PREVIOUS_SECRET_GRACE_SECONDS", "20"),
        ];
        let traffic = Traffic::new("old");
        traffic.run(&variables, || {
            wait(5);
            // The update of the stack.
            rotate(&arn, "new");
            wait(13);
            *traffic.provider_secret.lock().unwrap() = "new";
            // The grace time ends 20 s after an instance saw the new secret; all did so within 12 s.
            wait(25);
            *traffic.expired_secret.lock().unwrap() = Some("old");
            wait(4);
        });
        assert!(traffic.expired.load(Ordering::Relaxed) > 20);
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs LocalStack: run scripts/test"]
async fn with_the_next_secret_either_side_may_change_first() {
    let proxy = FaultProxy::in_front_of(&endpoint()).await;
    tokio::task::spawn_blocking(move || {
        let (current, next) = (secret("old"), secret("new"));
        let variables = [
            ("PROVIDER", "github"),
            ("WEBHOOK_SECRET_ARN", current.as_str()),
            ("NEXT_SECRET_ARN", &next),
            ("AWS_ENDPOINT_URL", &proxy.url()),
        ];
        let traffic = Traffic::new("old");
        traffic.run(&variables, || {
            wait(3);
            // From now on no instance can look up a secret, and the provider changes first.
            proxy.always("GetSecretValue", Fault::Throttled);
            *traffic.provider_secret.lock().unwrap() = "new";
            wait(5);
            *traffic.provider_secret.lock().unwrap() = "old";
            wait(2);
        });
    })
    .await
    .unwrap();
}

/// Forged requests cause lookups; the next genuine webhook with a new secret still finds it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs LocalStack: run scripts/test"]
async fn a_failed_lookup_of_a_forged_request_delays_no_genuine_webhook_for_long() {
    let proxy = FaultProxy::in_front_of(&endpoint()).await;
    tokio::task::spawn_blocking(move || {
        let arn = secret("old");
        let function = RunningFunction::start_bridge_with(&[
            ("PROVIDER", "github"),
            ("WEBHOOK_SECRET_ARN", &arn),
            ("AWS_ENDPOINT_URL", &proxy.url()),
        ]);
        let post = |secret: &str| {
            let body = r#"{"n":1}"#;
            let signature = signature("github", secret, "https://x.example/", body.as_bytes());
            let headers = [("Content-Type", "application/json"), ("X-Hub-Signature-256", signature.as_str())];
            function.post("/", &headers, body).0
        };
        assert_eq!(post("old"), 202);
        rotate(&arn, "new");
        proxy.always("GetSecretValue", Fault::InternalError);
        assert_eq!(post("guess"), 500, "the signature may match the secret that cannot be fetched");
        proxy.always("GetSecretValue", Fault::None);
        wait(3);
        assert_eq!(post("new"), 202);
        let log: Vec<Value> =
            function.log_lines().iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
        assert!(log.iter().all(|line| !line.to_string().contains("guess")));
    })
    .await
    .unwrap();
}
