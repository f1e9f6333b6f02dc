//! A storm: signed webhooks of several providers through the real function processes, while AWS throttles, delays, cuts and fails,
//! processes are killed and a secret rotates. At the end a ledger: everything that was answered 2xx is in the log and was delivered,
//! and nothing forged is.
//!
//! `scripts/soak` runs a longer storm. LocalStack, or a server of ours in memory, takes the place of AWS, and this test the place of
//! Lambda: it starts the processes and polls the queues for them.

mod cloud;
mod ledger;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use aws_sdk_sqs::types::DeleteMessageBatchRequestEntry;
use hookbridge::secrets::Secret;
use hookbridge::serve::test_webhook::{RecordedWebhook, TestWebhook};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use self::cloud::Cloud;
use self::ledger::{Ledger, PROVIDERS, Place, Webhook};
use crate::actors::aws_in_memory::AwsInMemory;
use crate::actors::cloud_function::config;
use crate::actors::database::Database;
use crate::actors::fault_proxy::{Fault, FaultProxy};
use crate::actors::front_door::{FrontDoor, Request};
use crate::actors::receiver::Receiver;
use crate::actors::run;
use crate::actors::runtime_api::RunningFunction;
use crate::actors::server::hookbridge;

/// The number of instances of each function that receives webhooks or messages.
const INSTANCES: usize = 2;
/// The provider whose secret rotates.
const ROTATING: &str = "github";

struct Storm {
    cloud: Cloud,
    proxy: FaultProxy,
    bus: String,
    spill_queue: String,
    log_queue: String,
    delivery_queue: String,
    overflow_bucket: String,
    archive_bucket: String,
    secrets: BTreeMap<&'static str, String>,
    secret_arns: BTreeMap<&'static str, String>,
    rotated: AtomicBool,
    waiting: BTreeMap<&'static str, Mutex<VecDeque<Webhook>>>,
    all_sent: AtomicBool,
    is_over: AtomicBool,
    /// The processes that may be killed, with the names of their programs.
    processes: Mutex<BTreeMap<u32, &'static str>>,
    ledger: Ledger,
}

/// A function: the name and the path of its program.
#[derive(Clone, Copy)]
struct Program(&'static str, &'static str);

const BRIDGE: Program = Program("bridge", env!("CARGO_BIN_EXE_bridge"));
const REDRIVE: Program = Program("redrive", env!("CARGO_BIN_EXE_redrive"));
const RECORDER: Program = Program("recorder", env!("CARGO_BIN_EXE_recorder"));
const DISPATCHER: Program = Program("dispatcher", env!("CARGO_BIN_EXE_dispatcher"));
const FEED: Program = Program("feed", env!("CARGO_BIN_EXE_feed"));

/// One instance of a function. When its process is killed, the next invocation starts another one, as Lambda does.
struct Instance<'s> {
    storm: &'s Storm,
    program: Program,
    environment: Vec<(String, String)>,
    process: RunningFunction,
}

impl<'s> Instance<'s> {
    fn start(storm: &'s Storm, program: Program, variables: &[(&str, &str)]) -> Self {
        let endpoint = storm.proxy.url();
        let base = [
            ("AWS_ENDPOINT_URL", endpoint.as_str()),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("EVENT_BUS_NAME", &storm.bus),
        ];
        let environment = base.iter().chain(variables).map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        let environment: Vec<_> = environment.collect();
        let process = Self::start_process(storm, program, &environment);
        Self { storm, program, environment, process }
    }

    fn start_process(storm: &Storm, program: Program, environment: &[(String, String)]) -> RunningFunction {
        let environment: Vec<(&str, &str)> = environment.iter().map(|(n, v)| (&**n, &**v)).collect();
        let process = RunningFunction::start(program.1, &environment);
        storm.processes.lock().unwrap().insert(process.pid(), program.0);
        process
    }

    /// Invokes the function; `None` if its process is killed meanwhile.
    fn invoke(&mut self, event: &Value) -> Option<Value> {
        let response = self.process.try_invoke(event, SystemTime::now() + Duration::from_secs(9));
        if response.is_none() {
            self.storm.processes.lock().unwrap().remove(&self.process.pid());
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
        let archive_url = self.archive_url();
        let variables = [
            ("PROVIDER", provider),
            ("WEBHOOK_SECRET_ARN", &self.secret_arns[provider]),
            ("SPILL_QUEUE_URL", &self.spill_queue),
            ("OVERFLOW_BUCKET", &self.overflow_bucket),
            ("SECRET_TTL_SECONDS", "5"),
            ("ARCHIVE_URL", if provider == "sparkpost" { &archive_url } else { "" }),
        ];
        let mut bridge = Instance::start(self, BRIDGE, &variables);
        loop {
            let next = self.waiting[provider].lock().unwrap().pop_front();
            let Some(webhook) = next else {
                if self.all_sent.load(Ordering::Relaxed) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(5));
                continue;
            };
            let status = self.send_once(&mut bridge, webhook);
            match (webhook.is_forged(), status) {
                (_, Some(200..300)) => self.ledger.accept(webhook),
                (true, Some(401)) => {}
                _ => {
                    std::thread::sleep(Duration::from_millis(50));
                    self.waiting[provider].lock().unwrap().push_back(webhook);
                }
            }
        }
    }

    fn send_once(&self, bridge: &mut Instance<'_>, webhook: Webhook) -> Option<u64> {
        self.ledger.send(webhook);
        let body = webhook.body();
        let provider = webhook.provider();
        let secret = match (webhook.is_forged(), provider.name) {
            (true, "standard-webhooks") => "whsec_Zm9yZ2VkZm9yZ2VkZm9yZ2Vk",
            (true, _) => "a forger's guess",
            (false, provider) => self.provider_secret(provider),
        };
        let delivery_id = format!("soak-{}", webhook.number);
        let now = jiff::Timestamp::now();
        let signed = TestWebhook {
            provider,
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

    fn archive_url(&self) -> String {
        format!("s3://{}/raw", self.archive_bucket)
    }

    /// Polls a queue and invokes the function with its messages, as Lambda's event source mapping does.
    fn pump(&self, runtime: &Handle, queue_url: &str, program: Program, variables: &[(&str, &str)]) {
        let mut function = Instance::start(self, program, variables);
        let sqs = aws_sdk_sqs::Client::new(&runtime.block_on(config(&self.cloud.url())));
        while !self.is_over.load(Ordering::Relaxed) {
            let receive = sqs.receive_message().queue_url(queue_url).max_number_of_messages(10);
            let Ok(received) = runtime.block_on(receive.wait_time_seconds(1).visibility_timeout(10).send())
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
                let delete = sqs.delete_message_batch().queue_url(queue_url).set_entries(Some(entries));
                runtime.block_on(delete.send()).unwrap();
            }
        }
    }

    /// Follows the log through the function `feed`, as a consumer does.
    fn follow_log(&self, database_url: &str) {
        let mut feed = Instance::start(self, FEED, &[("DATABASE_URL", database_url)]);
        let mut cursor = "start".to_owned();
        while !self.is_over.load(Ordering::Relaxed) {
            let query = format!("after={cursor}&limit=200&wait=1");
            let caller = json!({"iam": {"userArn": "arn:aws:iam::000000000000:user/storm"}});
            let event = json!({"rawPath": "/events", "rawQueryString": query, "headers": {},
                "requestContext": {"http": {"method": "GET"}, "authorizer": caller}});
            let Some(response) = feed.invoke(&event) else { continue };
            let body = response["body"].as_str().unwrap_or_default();
            if response["statusCode"] != 200 {
                std::thread::sleep(Duration::from_millis(50));
                continue;
            }
            let page: Page<'_> = serde_json::from_str(body).unwrap();
            page.data.iter().for_each(|event| _ = self.ledger.find(Place::Log, event.get()));
            cursor = page.cursor;
        }
    }

    /// Records the memory of the processes, and writes a line of the timeline after each `interval`.
    fn observe(&self, interval: Duration) {
        let mut last_line = Instant::now();
        while !self.is_over.load(Ordering::Relaxed) {
            for (process, program) in self.processes.lock().unwrap().clone() {
                self.ledger.add_memory(program, resident_kilobytes(process).unwrap_or_default());
            }
            if last_line.elapsed() >= interval {
                last_line += interval;
                self.ledger.add_line();
                self.ledger.write();
            }
            std::thread::sleep(Duration::from_millis(250));
        }
        self.ledger.add_line();
    }

    /// Makes AWS fail and kills processes, until the webhooks are sent.
    fn rage(&self) {
        while !self.all_sent.load(Ordering::Relaxed) {
            let operation = fastrand::choice(OPERATIONS).unwrap();
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
            if fastrand::u8(..4) == 0
                && let Some(pid) = fastrand::choice(processes.into_keys())
            {
                let _ = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status();
                self.ledger.kills.fetch_add(1, Ordering::Relaxed);
            }
            std::thread::sleep(Duration::from_millis(250));
        }
    }
}

/// The AWS requests that fail: those that a webhook waits for, and those of the recorder.
const OPERATIONS: [&str; 7] =
    ["PutEvents", "PutEvents", "PutEvents", "GetSecretValue", "SendMessage", "PutObject", "GetObject"];

/// A page of `/events`.
#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    data: Vec<&'a RawValue>,
    cursor: String,
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

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs LocalStack and PostgreSQL: run scripts/test"]
async fn nothing_is_lost_in_a_storm() {
    let webhooks = setting("SOAK_WEBHOOKS", 900);
    let duration = Duration::from_secs_f64(60.0 * setting("SOAK_MINUTES", 0.5));
    let cloud = match setting("SOAK_AWS", "localstack".to_owned()).as_str() {
        "memory" => Cloud::InMemory(AwsInMemory::start().await),
        _ => Cloud::LocalStack,
    };
    let proxy = FaultProxy::in_front_of(&cloud.url()).await;
    proxy.record_nothing();
    let database = Database::new().await;
    drop(database.log().await);
    let receiver = Receiver::start().await;
    receiver.record_nothing();
    let runtime = Handle::current();
    let storm = tokio::task::spawn_blocking(move || {
        let storm = Arc::new(Storm::new(cloud, proxy, webhooks));
        // Every fifth event fails at its first attempt.
        let (ledger_of, failed_once) = (storm.clone(), Mutex::new(BTreeSet::new()));
        receiver.respond_by(move |request| {
            let webhook = ledger_of.ledger.find(Place::Subscriber, &request.body);
            let number = webhook.map_or(1, |webhook| webhook.number);
            let fails = number.is_multiple_of(5) && failed_once.lock().unwrap().insert(number);
            (if fails { 503 } else { 200 }, vec![], String::new())
        });
        storm.run(&runtime, &database, &receiver, duration);
        storm
    });
    let storm = storm.await.unwrap();
    storm.ledger.write();
    storm.ledger.settle();
}

impl Storm {
    fn new(cloud: Cloud, proxy: FaultProxy, webhooks: usize) -> Self {
        let bus = cloud.create_bus();
        let on_the_bus = ["github.com", "stripe.com", "standardwebhooks.com"];
        // The recorder publishes the events of SparkPost's batches for the dispatcher.
        let delivered = [&on_the_bus[..], &["sparkpost.com"]].concat();
        let secrets = BTreeMap::from([
            ("github", "the old secret".to_owned()),
            ("stripe", "whsec_stripe".to_owned()),
            ("standard-webhooks", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()),
            ("sparkpost", "hooks:password".to_owned()),
        ]);
        let log_queue = cloud.create_queue_on(&bus, &on_the_bus);
        let secret_arn =
            |(provider, value): (&&'static str, &String)| (*provider, cloud.create_secret(value));
        Self {
            spill_queue: cloud.create_queue(),
            delivery_queue: cloud.create_queue_on(&bus, &delivered),
            overflow_bucket: cloud.create_bucket(None),
            archive_bucket: cloud.create_bucket(Some(&log_queue)),
            secret_arns: secrets.iter().map(secret_arn).collect(),
            rotated: AtomicBool::new(false),
            waiting: PROVIDERS.map(|provider| (provider, Mutex::default())).into(),
            all_sent: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            processes: Mutex::default(),
            ledger: Ledger::new(webhooks, matches!(cloud, Cloud::InMemory(_))),
            cloud,
            proxy,
            bus,
            log_queue,
            secrets,
        }
    }

    fn run(&self, runtime: &Handle, database: &Database, receiver: &Receiver, duration: Duration) {
        let subscriber_key = self.cloud.create_secret("a key of at least thirty-two characters");
        let mut create = hookbridge();
        create.env("AWS_ENDPOINT_URL", self.cloud.url()).env("HOOKBRIDGE_DATABASE", &database.url);
        create.args(["subscriber", "create", "soak", "--url", &receiver.url("in")]);
        run(create.args(["--allow-to", "127.0.0.0/8", "--subscriber-key-arn", &subscriber_key]));
        let archive_url = self.archive_url();
        let recorder =
            [("DATABASE_URL", database.url.as_str()), ("ARCHIVE_URL", &archive_url), ("PUBLISH", "true")];
        let dispatcher = [
            ("DATABASE_URL", database.url.as_str()),
            ("SUBSCRIBER_KEY_ARN", &subscriber_key),
            ("QUEUE_URL", &self.delivery_queue),
            ("ALLOW_TO", "127.0.0.0/8"),
        ];
        std::thread::scope(|scope| {
            let instances = PROVIDERS.iter().flat_map(|provider| [provider; INSTANCES]);
            let senders: Vec<_> = instances.map(|provider| scope.spawn(|| self.send(provider))).collect();
            scope.spawn(|| self.pump(runtime, &self.spill_queue, REDRIVE, &[]));
            for _ in 0..INSTANCES {
                scope.spawn(|| self.pump(runtime, &self.log_queue, RECORDER, &recorder));
                scope.spawn(|| self.pump(runtime, &self.delivery_queue, DISPATCHER, &dispatcher));
            }
            scope.spawn(|| self.follow_log(&database.url));
            scope.spawn(|| self.observe(duration / 20));
            scope.spawn(|| self.rage());
            scope.spawn(|| {
                std::thread::sleep(duration / 4);
                self.cloud.rotate_secret(&self.secret_arns[ROTATING], "the new secret");
                std::thread::sleep(Duration::from_secs(13).min(duration / 2));
                self.rotated.store(true, Ordering::Relaxed);
            });
            self.arrive(duration);
            self.all_sent.store(true, Ordering::Relaxed);
            senders.into_iter().for_each(|sender| sender.join().unwrap());
            self.drain(runtime, database, duration);
            self.is_over.store(true, Ordering::Relaxed);
        });
        for (key, webhook) in self.ledger.objects() {
            let object = self.cloud.object(&self.overflow_bucket, &key);
            if !webhook.is_forged() && object.is_none_or(|object| object != webhook.body()) {
                self.ledger.add_mistake(format!("the object {key} is not webhook {}", webhook.number));
            }
        }
    }

    /// Lets the webhooks arrive at a steady rate.
    fn arrive(&self, duration: Duration) {
        let start = Instant::now();
        let count = self.ledger.webhooks().count();
        for webhook in self.ledger.webhooks() {
            let due = start + duration.mul_f64(webhook.number as f64 / count as f64);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            self.waiting[webhook.provider().name].lock().unwrap().push_back(webhook);
        }
    }

    /// Waits until everything is in the log and delivered. Deliveries that wait for a retry in ten minutes become due now.
    fn drain(&self, runtime: &Handle, database: &Database, duration: Duration) {
        let make_due = "update hookbridge.deliveries set next_attempt = (extract(epoch from clock_timestamp()) * 1000000)::bigint - 1
             where next_attempt is not null";
        let genuine = self.ledger.genuine();
        let is_missing =
            || self.ledger.count(Place::Log) < genuine || self.ledger.count(Place::Subscriber) < genuine;
        let deadline = Instant::now() + Duration::from_secs(60) + duration;
        let sqs = aws_sdk_sqs::Client::new(&runtime.block_on(config(&self.cloud.url())));
        while is_missing() && Instant::now() < deadline {
            runtime.block_on(database.run(make_due));
            let wake = sqs.send_message().queue_url(&self.delivery_queue).message_body(r#"{"due":0}"#);
            runtime.block_on(wake.send()).unwrap();
            std::thread::sleep(Duration::from_secs(2));
        }
    }
}
