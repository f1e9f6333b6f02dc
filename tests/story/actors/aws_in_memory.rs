//! A server of ours with the part of AWS that a storm uses, in memory: EventBridge, SQS, S3 and Secrets Manager. It is many times
//! as fast as LocalStack, and leaves the JSON of an event as it is.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::response::Response;
use serde_json::{Value, json};
use tokio::sync::Notify;

#[derive(Clone)]
pub struct AwsInMemory {
    pub url: String,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<CloudState>,
    /// Notified when a message arrives in a queue.
    arrived: Notify,
}

#[derive(Default)]
struct CloudState {
    /// By queue URL.
    queues: BTreeMap<String, MessageQueue>,
    rules: Vec<Rule>,
    buckets: BTreeMap<String, Bucket>,
    /// By ARN: the versions of each secret, with the time of creation.
    secrets: BTreeMap<String, Vec<(String, jiff::Timestamp)>>,
    last_id: u64,
}

/// Events of these sources go from the bus to the queue.
struct Rule {
    bus: String,
    sources: Vec<String>,
    queue_url: String,
}

#[derive(Default)]
struct MessageQueue {
    waiting: VecDeque<Message>,
    /// Received or delayed messages, by receipt handle, with the time at which they are visible again.
    invisible: BTreeMap<u64, (Message, Instant)>,
}

struct Message {
    id: u64,
    body: String,
}

#[derive(Default)]
struct Bucket {
    /// The body and the metadata headers, by key.
    objects: BTreeMap<String, (Bytes, HeaderMap)>,
    /// The queue that gets a notification of each new object.
    queue_url: Option<String>,
}

impl AwsInMemory {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let aws = Self { url, shared: Arc::default() };
        let router = Router::new().fallback(handle).with_state(aws.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        aws
    }

    /// Creates a queue and returns its URL.
    pub fn create_queue(&self) -> String {
        let mut state = self.shared.state.lock().unwrap();
        let url = format!("{}/000000000000/queue-{}", self.url, state.next_id());
        state.queues.insert(url.clone(), MessageQueue::default());
        url
    }

    /// Creates a rule that sends the events of these sources to a queue.
    pub fn create_rule(&self, bus: &str, sources: &[&str], queue_url: &str) {
        let sources = sources.iter().map(|&source| source.to_owned()).collect();
        let rule = Rule { bus: bus.to_owned(), sources, queue_url: queue_url.to_owned() };
        self.shared.state.lock().unwrap().rules.push(rule);
    }

    /// Creates a bucket. A queue gets a notification of each new object.
    pub fn create_bucket(&self, name: &str, queue_url: Option<&str>) {
        let bucket = Bucket { queue_url: queue_url.map(str::to_owned), ..Bucket::default() };
        self.shared.state.lock().unwrap().buckets.insert(name.to_owned(), bucket);
    }

    /// Reads an object as text.
    pub fn object(&self, bucket: &str, key: &str) -> Option<String> {
        let state = self.shared.state.lock().unwrap();
        let (body, _) = state.buckets[bucket].objects.get(key)?;
        Some(String::from_utf8(body.to_vec()).unwrap())
    }

    /// Adds a version to a secret, and creates the secret if it is new. Returns its ARN.
    pub fn put_secret(&self, name: &str, value: &str) -> String {
        let arn = format!("arn:aws:secretsmanager:us-east-1:000000000000:secret:{name}");
        let mut state = self.shared.state.lock().unwrap();
        state.secrets.entry(arn.clone()).or_default().push((value.to_owned(), jiff::Timestamp::now()));
        arn
    }
}

impl CloudState {
    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn send(&mut self, queue_url: &str, body: String, delay: Duration) -> Value {
        let id = self.next_id();
        let queue = self.queues.get_mut(queue_url).unwrap_or_else(|| panic!("no queue {queue_url}"));
        let message = Message { id, body };
        if delay.is_zero() {
            queue.waiting.push_back(message);
        } else {
            queue.invisible.insert(id, (message, Instant::now() + delay));
        }
        json!({"MessageId": id.to_string(), "MD5OfMessageBody": ""})
    }

    fn receive(&mut self, queue_url: &str, count: usize, visibility: Duration) -> Vec<Value> {
        let now = Instant::now();
        let mut next_id = self.last_id;
        let queue = self.queues.get_mut(queue_url).unwrap_or_else(|| panic!("no queue {queue_url}"));
        let visible = queue.invisible.extract_if(.., |_, (_, time)| *time <= now);
        queue.waiting.extend(visible.map(|(_, (message, _))| message).collect::<Vec<_>>());
        let count = count.min(queue.waiting.len());
        let received: Vec<Message> = queue.waiting.drain(..count).collect();
        let mut messages = Vec::new();
        for message in received {
            next_id += 1;
            messages.push(json!({"MessageId": message.id.to_string(), "ReceiptHandle": next_id.to_string(), "Body": message.body}));
            queue.invisible.insert(next_id, (message, now + visibility));
        }
        self.last_id = next_id;
        messages
    }

    fn delete(&mut self, queue_url: &str, receipt_handle: &Value) {
        let handle: u64 = receipt_handle.as_str().unwrap().parse().unwrap();
        self.queues.get_mut(queue_url).unwrap().invisible.remove(&handle);
    }

    /// Sends one entry of `PutEvents` to the queues of its bus, and returns its result.
    fn publish(&mut self, entry: &Value) -> Value {
        let field = |name: &str| entry[name].as_str().unwrap_or_default();
        let bus = field("EventBusName");
        let id = format!("{:08x}-0000-4000-8000-000000000000", self.next_id());
        let time = entry["Time"].as_f64().map_or_else(jiff::Timestamp::now, |seconds| {
            jiff::Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_secs_f64(seconds)
        });
        let envelope = json!({
            "version": "0", "id": id, "detail-type": field("DetailType"), "source": field("Source"),
            "account": "000000000000", "time": time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(), "region": "us-east-1",
            "resources": entry["Resources"].as_array().cloned().unwrap_or_default(),
        });
        let mut event = envelope.to_string();
        event.truncate(event.len() - 1);
        event.push_str(&format!(r#","detail":{}}}"#, field("Detail")));
        let matches = |rule: &&Rule| rule.bus == bus && rule.sources.iter().any(|s| s == field("Source"));
        let queues: Vec<String> =
            self.rules.iter().filter(matches).map(|rule| rule.queue_url.clone()).collect();
        for queue_url in queues {
            self.send(&queue_url, event.clone(), Duration::ZERO);
        }
        json!({"EventId": id})
    }

    fn secret_value(&self, request: &Value) -> Option<Value> {
        let arn = request["SecretId"].as_str()?;
        let versions = self.secrets.get(arn)?;
        let index = match request["VersionStage"].as_str() {
            Some("AWSPREVIOUS") => versions.len().checked_sub(2)?,
            _ => versions.len() - 1,
        };
        let (value, created) = &versions[index];
        Some(json!({"ARN": arn, "Name": "secret", "VersionId": index.to_string(), "SecretString": value,
            "CreatedDate": created.as_millisecond() as f64 / 1000.0}))
    }
}

async fn handle(State(aws): State<AwsInMemory>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let target = parts.headers.get("x-amz-target").and_then(|value| value.to_str().ok());
    let Some(target) = target else {
        return aws.handle_object(&parts.method, parts.uri.path(), &parts.headers, body);
    };
    let request: Value = serde_json::from_slice(&body).unwrap();
    let operation = target.rsplit('.').next().unwrap();
    aws.handle_operation(operation, &request).await
}

impl AwsInMemory {
    async fn handle_operation(&self, operation: &str, request: &Value) -> Response {
        let queue_url = request["QueueUrl"].as_str().unwrap_or_default();
        let seconds = |value: &Value| Duration::from_secs(value.as_u64().unwrap_or_default());
        let entries = || request["Entries"].as_array().unwrap();
        if operation == "ReceiveMessage" {
            return self.receive(queue_url, request).await;
        }
        let mut state = self.shared.state.lock().unwrap();
        let result = match operation {
            "PutEvents" => {
                let results: Vec<Value> = entries().iter().map(|entry| state.publish(entry)).collect();
                json!({"FailedEntryCount": 0, "Entries": results})
            }
            "GetSecretValue" => match state.secret_value(request) {
                Some(value) => value,
                None => return json_response(400, &json!({"__type": "ResourceNotFoundException"})),
            },
            "SendMessage" => {
                let body = request["MessageBody"].as_str().unwrap().to_owned();
                state.send(queue_url, body, seconds(&request["DelaySeconds"]))
            }
            "SendMessageBatch" => {
                let mut send = |entry: &Value| {
                    let body = entry["MessageBody"].as_str().unwrap().to_owned();
                    let mut result = state.send(queue_url, body, seconds(&entry["DelaySeconds"]));
                    result["Id"] = entry["Id"].clone();
                    result
                };
                json!({"Successful": entries().iter().map(&mut send).collect::<Vec<_>>(), "Failed": []})
            }
            "DeleteMessage" => {
                state.delete(queue_url, &request["ReceiptHandle"]);
                json!({})
            }
            "DeleteMessageBatch" => {
                entries().iter().for_each(|entry| state.delete(queue_url, &entry["ReceiptHandle"]));
                let deleted: Vec<Value> = entries().iter().map(|entry| json!({"Id": entry["Id"]})).collect();
                json!({"Successful": deleted, "Failed": []})
            }
            _ => panic!("the AWS in memory has no {operation}"),
        };
        drop(state);
        self.shared.arrived.notify_waiters();
        json_response(200, &result)
    }

    async fn receive(&self, queue_url: &str, request: &Value) -> Response {
        let number = |name: &str, default| request[name].as_u64().unwrap_or(default);
        let deadline = Instant::now() + Duration::from_secs(number("WaitTimeSeconds", 0));
        let count = usize::try_from(number("MaxNumberOfMessages", 1)).unwrap();
        let visibility = Duration::from_secs(number("VisibilityTimeout", 30));
        loop {
            let arrived = self.shared.arrived.notified();
            let messages = self.shared.state.lock().unwrap().receive(queue_url, count, visibility);
            if !messages.is_empty() || Instant::now() >= deadline {
                return json_response(200, &json!({"Messages": messages}));
            }
            let _ = tokio::time::timeout_at(deadline.into(), arrived).await;
        }
    }

    fn handle_object(&self, method: &Method, path: &str, headers: &HeaderMap, body: Bytes) -> Response {
        let (name, key) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
        let key = percent_encoding::percent_decode_str(key).decode_utf8().unwrap().into_owned();
        let mut state = self.shared.state.lock().unwrap();
        let Some(bucket) = state.buckets.get_mut(name) else { return s3_error(404, "NoSuchBucket") };
        if method == Method::GET {
            let Some((body, metadata)) = bucket.objects.get(&key) else { return s3_error(404, "NoSuchKey") };
            let mut response = Response::new(Body::from(body.clone()));
            *response.headers_mut() = metadata.clone();
            return response;
        }
        assert_eq!(method, Method::PUT, "{path}");
        if headers.get("if-none-match").is_some() && bucket.objects.contains_key(&key) {
            return s3_error(412, "PreconditionFailed");
        }
        let metadata = headers.iter().filter(|(name, _)| name.as_str().starts_with("x-amz-meta-"));
        let metadata = metadata.map(|(name, value)| (name.clone(), value.clone())).collect();
        bucket.objects.insert(key.clone(), (body, metadata));
        if let Some(queue_url) = bucket.queue_url.clone() {
            let object = json!({"bucket": {"name": name}, "object": {"key": key}});
            let notification = json!({"Records": [{"eventName": "ObjectCreated:Put", "s3": object}]});
            state.send(&queue_url, notification.to_string(), Duration::ZERO);
        }
        drop(state);
        self.shared.arrived.notify_waiters();
        let mut response = Response::new(Body::empty());
        response.headers_mut().insert("etag", HeaderValue::from_static("\"0\""));
        response
    }
}

fn json_response(status: u16, body: &Value) -> Response {
    let builder = Response::builder().status(status).header("content-type", "application/x-amz-json-1.1");
    builder.body(Body::from(body.to_string())).unwrap()
}

fn s3_error(status: u16, code: &str) -> Response {
    let body = format!("<Error><Code>{code}</Code><Message>made in memory</Message></Error>");
    Response::builder().status(status).body(Body::from(body)).unwrap()
}
