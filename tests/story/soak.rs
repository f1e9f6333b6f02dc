//! A storm: signed webhooks of several providers through the real function processes, while AWS throttles, delays, cuts and fails,
//! processes are killed and a secret rotates. At the end a ledger: everything that was answered 2xx is in the log and was delivered,
//! and nothing forged is.
//!
//! `scripts/soak` runs a longer storm. LocalStack takes the place of AWS, and this test the place of Lambda: it starts the processes
//! and polls the queues for them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use aws_sdk_sqs::types::DeleteMessageBatchRequestEntry;
use hookbridge::providers::{self, Provider};
use hookbridge::secrets::Secret;
use hookbridge::serve::test_webhook::{RecordedWebhook, TestWebhook};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::actors::aws::{Queue, aws, endpoint, name, rotate, secret};
use crate::actors::cloud_function::config;
use crate::actors::database::Database;
use crate::actors::fault_proxy::{Fault, FaultProxy};
use crate::actors::front_door::{FrontDoor, Request};
use crate::actors::receiver::Receiver;
use crate::actors::run;
use crate::actors::runtime_api::RunningFunction;
use crate::actors::server::hookbridge;

const PROVIDERS: [&str; 3] = ["github", "stripe", "standard-webhooks"];
const INSTANCES: usize = 2;
/// The one whose secret rotates.
const ROTATING: &str = "github";

struct Webhook {
    provider: &'static Provider,
    number: usize,
    is_forged: bool,
}

impl Webhook {
    fn body(&self) -> String {
        let (number, time) = (self.number, jiff::Timestamp::UNIX_EPOCH);
        let text = format!("Gr\u{fc}\u{df}e \u{2713} {}", "x".repeat(number % 3000));
        match self.provider.name {
            "stripe" => json!({"id": format!("evt_{number}"), "object": "event", "type": "charge.succeeded",
                "created": time.as_second(), "soak": number, "text": text}),
            "standard-webhooks" => {
                json!({"type": "order.paid", "timestamp": time, "soak": number, "text": text})
            }
            _ => json!({"soak": number, "text": text}),
        }
        .to_string()
    }
}

/// The record of a storm.
#[derive(Default)]
struct Ledger {
    sent: AtomicUsize,
    kills: AtomicUsize,
    faults: AtomicUsize,
    /// The largest resident memory of a function process, in kB.
    memory: AtomicUsize,
    /// The webhooks that were answered 2xx, with their bodies.
    accepted: Mutex<BTreeMap<usize, String>>,
    /// Forged webhooks that were answered 2xx, and other things that must not happen.
    mistakes: Mutex<Vec<String>>,
}

struct Storm {
    endpoint: String,
    proxy: FaultProxy,
    bus: String,
    spill_queue: Queue,
    secrets: BTreeMap<&'static str, String>,
    secret_arns: BTreeMap<&'static str, String>,
    rotated: AtomicBool,
    waiting: BTreeMap<&'static str, Mutex<VecDeque<Webhook>>>,
    all_sent: AtomicBool,
    is_over: AtomicBool,
    /// The processes that may be killed.
    processes: Mutex<Vec<u32>>,
    ledger: Ledger,
}

/// One instance of a function. When its process is killed, the next invocation starts another one, as Lambda does.
struct Instance<'s> {
    storm: &'s Storm,
    program: &'static str,
    environment: Vec<(String, String)>,
    process: RunningFunction,
}

impl<'s> Instance<'s> {
    fn start(storm: &'s Storm, program: &'static str, variables: &[(&str, &str)]) -> Self {
        let base = [
            ("AWS_ENDPOINT_URL", storm.endpoint.as_str()),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("EVENT_BUS_NAME", &storm.bus),
        ];
        let environment = base.iter().chain(variables).map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        let environment: Vec<_> = environment.collect();
        let process = Self::start_process(storm, program, &environment);
        Self { storm, program, environment, process }
    }

    fn start_process(storm: &Storm, program: &str, environment: &[(String, String)]) -> RunningFunction {
        let environment: Vec<(&str, &str)> = environment.iter().map(|(n, v)| (&**n, &**v)).collect();
        let process = RunningFunction::start(program, &environment);
        storm.processes.lock().unwrap().push(process.pid());
        process
    }

    /// Invokes the function; `None` if its process is killed meanwhile.
    fn invoke(&mut self, event: &Value) -> Option<Value> {
        let response = self.process.try_invoke(event, SystemTime::now() + Duration::from_secs(9));
        if response.is_none() {
            let pid = self.process.pid();
            self.storm.processes.lock().unwrap().retain(|process| *process != pid);
            self.process = Self::start_process(self.storm, self.program, &self.environment);
        }
        response
    }
}

impl Storm {
    /// The secret with which the provider signs now.
    fn provider_secret(&self, provider: &str) -> &str {
        match provider == ROTATING && self.rotated.load(Ordering::Relaxed) {
            true => "the new secret",
            false => &self.secrets[provider],
        }
    }

    /// Sends the webhooks of a provider to one instance. What is not answered 2xx is sent again, as most providers do.
    fn send(&self, provider: &'static str) {
        let variables = [
            ("PROVIDER", provider),
            ("WEBHOOK_SECRET_ARN", &self.secret_arns[provider]),
            ("SPILL_QUEUE_URL", &self.spill_queue.url),
            ("SECRET_TTL_SECONDS", "5"),
        ];
        let mut bridge = Instance::start(self, env!("CARGO_BIN_EXE_bridge"), &variables);
        loop {
            let next = self.waiting[provider].lock().unwrap().pop_front();
            let Some(webhook) = next else {
                if self.all_sent.load(Ordering::Relaxed) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(5));
                continue;
            };
            let status = self.send_once(&mut bridge, &webhook);
            match (webhook.is_forged, status) {
                (true, Some(200..300)) => {
                    let mistake = format!("the forged webhook {} was accepted", webhook.number);
                    self.ledger.mistakes.lock().unwrap().push(mistake);
                }
                (true, Some(401)) => {}
                (false, Some(200..300)) => {
                    self.ledger.accepted.lock().unwrap().insert(webhook.number, webhook.body());
                }
                _ => {
                    std::thread::sleep(Duration::from_millis(50));
                    self.waiting[provider].lock().unwrap().push_back(webhook);
                }
            }
        }
    }

    fn send_once(&self, bridge: &mut Instance<'_>, webhook: &Webhook) -> Option<u64> {
        self.ledger.sent.fetch_add(1, Ordering::Relaxed);
        let body = webhook.body();
        let secret = match (webhook.is_forged, webhook.provider.name) {
            (true, "standard-webhooks") => "whsec_Zm9yZ2VkZm9yZ2VkZm9yZ2Vk",
            (true, _) => "a forger's guess",
            (false, provider) => self.provider_secret(provider),
        };
        let delivery_id = format!("soak-{}", webhook.number);
        let now = jiff::Timestamp::now();
        let signed = TestWebhook {
            provider: webhook.provider,
            event: None,
            body: Some(body.clone().into()),
            recorded: Some(RecordedWebhook { delivery_id: &delivery_id, time: now }),
            url: "https://x.example/".parse().unwrap(),
        }
        .sign(&Secret::new(secret), now)
        .unwrap();
        let headers: Vec<(&str, &str)> =
            signed.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let request =
            Request { method: "POST", path: "/", query: "", headers: &headers, body: body.as_bytes() };
        let response = bridge.invoke(&FrontDoor::FunctionUrl.event(&request))?;
        Some(FrontDoor::FunctionUrl.read_response(&response).0)
    }

    /// Polls a queue and invokes the function with its messages, as Lambda's event source mapping does.
    fn pump(&self, runtime: &Handle, queue: &Queue, program: &'static str, variables: &[(&str, &str)]) {
        let mut function = Instance::start(self, program, variables);
        let sqs = aws_sdk_sqs::Client::new(&runtime.block_on(config(&endpoint())));
        while !self.is_over.load(Ordering::Relaxed) {
            let receive = sqs.receive_message().queue_url(&queue.url).max_number_of_messages(10);
            let Ok(received) = runtime.block_on(receive.wait_time_seconds(1).visibility_timeout(5).send())
            else {
                continue;
            };
            let messages = received.messages.unwrap_or_default();
            if messages.is_empty() {
                continue;
            }
            let records: Vec<Value> =
                messages.iter().map(|m| json!({"messageId": m.message_id, "body": m.body})).collect();
            let Some(response) = function.invoke(&json!({"Records": records})) else { continue };
            let Some(failed) = response["batchItemFailures"].as_array() else { continue };
            let failed: BTreeSet<&str> =
                failed.iter().map(|item| item["itemIdentifier"].as_str().unwrap()).collect();
            let done = messages.iter().filter(|message| !failed.contains(message.message_id().unwrap()));
            let entries: Vec<_> = done
                .enumerate()
                .map(|(n, message)| {
                    let entry = DeleteMessageBatchRequestEntry::builder().id(n.to_string());
                    entry.set_receipt_handle(message.receipt_handle.clone()).build().unwrap()
                })
                .collect();
            if !entries.is_empty() {
                let delete = sqs.delete_message_batch().queue_url(&queue.url).set_entries(Some(entries));
                runtime.block_on(delete.send()).unwrap();
            }
        }
    }

    /// Makes AWS fail and kills processes, until the webhooks are sent.
    fn rage(&self) {
        while !self.all_sent.load(Ordering::Relaxed) {
            let operations = ["PutEvents", "PutEvents", "GetSecretValue", "SendMessage"];
            let operation = operations[fastrand::usize(..operations.len())];
            let fault = [
                Fault::Throttled,
                Fault::InternalError,
                Fault::Truncated,
                Fault::ResponseLost,
                Fault::Slow(Duration::from_secs(2)),
            ][fastrand::usize(..5)];
            let count = fastrand::usize(1..6);
            self.proxy.next(operation, std::iter::repeat_n(fault, count));
            self.ledger.faults.fetch_add(count, Ordering::Relaxed);
            let processes = self.processes.lock().unwrap().clone();
            let memory = processes.iter().filter_map(|process| resident_kilobytes(*process)).max();
            self.ledger.memory.fetch_max(memory.unwrap_or_default(), Ordering::Relaxed);
            let victim = fastrand::choice(processes);
            if fastrand::u8(..4) == 0
                && let Some(pid) = victim
            {
                let _ = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status();
                self.ledger.kills.fetch_add(1, Ordering::Relaxed);
            }
            std::thread::sleep(Duration::from_millis(250));
        }
    }
}

/// The resident memory of a process; `None` if it has ended.
fn resident_kilobytes(process: u32) -> Option<usize> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.split_whitespace().next()?.parse().ok()
}

/// A number that `scripts/soak` sets.
fn setting<T: std::str::FromStr>(name: &str, default: T) -> T {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}: {text}")))
}

/// The number of the webhook in an event's detail.
fn number_of(detail: &Value) -> Option<usize> {
    detail["soak"].as_u64().and_then(|number| usize::try_from(number).ok())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs LocalStack and PostgreSQL: run scripts/test"]
async fn nothing_is_lost_in_a_storm() {
    let webhooks = setting("SOAK_WEBHOOKS", 900);
    let duration = Duration::from_secs_f64(60.0 * setting("SOAK_MINUTES", 0.5));
    let proxy = FaultProxy::in_front_of(&endpoint()).await;
    let database = Database::new().await;
    drop(database.log().await);
    let receiver = Receiver::start().await;
    // Every fifth event fails at its first attempt.
    let failed_once = Arc::new(Mutex::new(BTreeSet::new()));
    receiver.respond_by(move |request| {
        let number = number_of(&request.event()["detail"]).unwrap_or_default();
        let fails = number.is_multiple_of(5) && failed_once.lock().unwrap().insert(number);
        (if fails { 503 } else { 200 }, vec![], String::new())
    });
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || storm(&runtime, proxy, &database, &receiver, webhooks, duration))
        .await
        .unwrap();
}

fn storm(
    runtime: &Handle,
    proxy: FaultProxy,
    database: &Database,
    receiver: &Receiver,
    webhooks: usize,
    duration: Duration,
) {
    let bus = name("soak");
    aws(&["events", "create-event-bus", "--name", &bus]);
    let pattern = json!({"source": ["github.com", "stripe.com", "standardwebhooks.com"]});
    let (log_queue, delivery_queue) = (Queue::for_rule(&bus, &pattern), Queue::for_rule(&bus, &pattern));
    let secrets = BTreeMap::from([
        ("github", "the old secret".to_owned()),
        ("stripe", "whsec_stripe".to_owned()),
        ("standard-webhooks", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()),
    ]);
    let storm = Storm {
        endpoint: proxy.url(),
        proxy,
        bus,
        spill_queue: Queue::new(),
        secret_arns: secrets.iter().map(|(provider, value)| (*provider, secret(value))).collect(),
        secrets,
        rotated: AtomicBool::new(false),
        waiting: PROVIDERS.map(|provider| (provider, Mutex::default())).into(),
        all_sent: AtomicBool::new(false),
        is_over: AtomicBool::new(false),
        processes: Mutex::default(),
        ledger: Ledger::default(),
    };
    let subscriber_key = secret("a key of at least thirty-two characters");
    let mut create = hookbridge();
    create.env("AWS_ENDPOINT_URL", endpoint()).env("HOOKBRIDGE_DATABASE", &database.url);
    create.args(["subscriber", "create", "soak", "--url", &receiver.url("in"), "--allow-to", "127.0.0.0/8"]);
    run(create.args(["--subscriber-key-arn", &subscriber_key]));
    let recorder = [("DATABASE_URL", database.url.as_str()), ("ARCHIVE_URL", "s3://none/raw")];
    let dispatcher = [
        ("DATABASE_URL", database.url.as_str()),
        ("SUBSCRIBER_KEY_ARN", &subscriber_key),
        ("QUEUE_URL", &delivery_queue.url),
        ("ALLOW_TO", "127.0.0.0/8"),
    ];
    let storm = &storm;
    std::thread::scope(|scope| {
        let senders: Vec<_> = PROVIDERS
            .iter()
            .flat_map(|provider| [provider; INSTANCES])
            .map(|provider| scope.spawn(|| storm.send(provider)))
            .collect();
        scope.spawn(|| storm.pump(runtime, &storm.spill_queue, env!("CARGO_BIN_EXE_redrive"), &[]));
        scope.spawn(|| storm.pump(runtime, &log_queue, env!("CARGO_BIN_EXE_recorder"), &recorder));
        scope.spawn(|| storm.pump(runtime, &delivery_queue, env!("CARGO_BIN_EXE_dispatcher"), &dispatcher));
        scope.spawn(|| storm.rage());
        scope.spawn(|| {
            std::thread::sleep(duration / 4);
            rotate(&storm.secret_arns[ROTATING], "the new secret");
            std::thread::sleep(Duration::from_secs(13).min(duration / 2));
            storm.rotated.store(true, Ordering::Relaxed);
        });
        let start = Instant::now();
        for number in 0..webhooks {
            let due = start + duration.mul_f64(number as f64 / webhooks as f64);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let provider = PROVIDERS[number % PROVIDERS.len()];
            let webhook = Webhook {
                provider: providers::find_provider(provider).unwrap(),
                number,
                is_forged: number % 10 == 7,
            };
            storm.waiting[provider].lock().unwrap().push_back(webhook);
        }
        storm.all_sent.store(true, Ordering::Relaxed);
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        // Deliveries that wait for a retry in ten minutes become due now.
        let make_due = "update hookbridge.deliveries set next_attempt = (extract(epoch from clock_timestamp()) * 1000000)::bigint - 1
             where next_attempt is not null";
        let genuine = (0..webhooks).filter(|number| number % 10 != 7).count();
        let drained = Instant::now() + Duration::from_secs(60) + duration;
        let logged = "select count(distinct detail::json->>'soak') from hookbridge.events";
        let is_missing = || {
            delivered(receiver).len() < genuine
                || runtime.block_on(database.number(logged)) < i64::try_from(genuine).unwrap()
        };
        while is_missing() && Instant::now() < drained {
            runtime.block_on(database.run(make_due));
            aws(&[
                "sqs",
                "send-message",
                "--queue-url",
                &delivery_queue.url,
                "--message-body",
                r#"{"due":0}"#,
            ]);
            std::thread::sleep(Duration::from_secs(2));
        }
        storm.is_over.store(true, Ordering::Relaxed);
    });
    settle(storm, runtime, database, receiver, webhooks);
}

/// The numbers of the delivered webhooks, with their details.
fn delivered(receiver: &Receiver) -> BTreeMap<usize, Value> {
    let received = receiver.received();
    let detail = |event: Value| Some((number_of(&event["detail"])?, event["detail"].clone()));
    received.iter().filter_map(|request| detail(request.event())).collect()
}

/// Compares what was answered 2xx with what is in the log and what was delivered.
fn settle(storm: &Storm, runtime: &Handle, database: &Database, receiver: &Receiver, webhooks: usize) {
    let details = runtime.block_on(database.texts("select detail from hookbridge.events"));
    let parsed = details.iter().map(|detail| serde_json::from_str::<Value>(detail).unwrap());
    let logged: BTreeMap<usize, Value> =
        parsed.filter_map(|detail| Some((number_of(&detail)?, detail))).collect();
    let delivered = delivered(receiver);
    let accepted = storm.ledger.accepted.lock().unwrap();
    let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    let (sent, kills, faults) =
        (count(&storm.ledger.sent), count(&storm.ledger.kills), count(&storm.ledger.faults));
    let (accepted_count, forged) = (accepted.len(), (0..webhooks).filter(|number| number % 10 == 7).count());
    let (rows, in_log, delivered_count) = (details.len(), logged.len(), delivered.len());
    let (requests, memory) = (receiver.received().len(), count(&storm.ledger.memory));
    let summary = format!(
        "{webhooks} webhooks, {forged} of them forged, in {sent} requests; {faults} faults, {kills} kills
{accepted_count} accepted
{in_log} in the log, in {rows} rows
{delivered_count} delivered, in {requests} requests
largest memory of a function: {memory} kB"
    );
    if let Ok(file) = std::env::var("SOAK_LEDGER") {
        std::fs::write(file, format!("{summary}\n")).unwrap();
    }
    assert!(storm.ledger.mistakes.lock().unwrap().is_empty(), "{:?}", storm.ledger.mistakes.lock().unwrap());
    assert_eq!(accepted.len(), webhooks - forged, "every genuine webhook is accepted in the end: {summary}");
    for (number, body) in accepted.iter() {
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!(logged.get(number), Some(&body), "webhook {number} in the log: {summary}");
        assert_eq!(delivered.get(number), Some(&body), "webhook {number} at the subscriber: {summary}");
    }
    assert!(
        logged.keys().chain(delivered.keys()).all(|number| number % 10 != 7),
        "nothing forged: {summary}"
    );
    assert!(kills > 5 && faults > 50, "the storm was one: {summary}");
}
