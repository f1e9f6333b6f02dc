//! A stack on LocalStack: a template of the command, with the functions that cargo-lambda built.

use std::net::{SocketAddr, ToSocketAddrs as _};

use hookbridge::providers::{self, RequestUrl};
use hookbridge::secrets::Secret;
use hookbridge::serve::test_webhook::TestWebhook;
use hookbridge::template::Template;
use serde_json::{Value, json};

use super::aws::{aws, endpoint, name};
use super::raw_http::{self, Reply};
use super::server::hookbridge;
use super::{run, test_environment};

#[derive(Clone)]
pub struct Stack {
    pub name: String,
    provider: &'static str,
    pub bucket: String,
    outputs: Value,
}

impl Stack {
    /// Deploys the template of `provider`, or `event-log`, `dispatch` or a poller's.
    pub fn deploy(provider: &'static str, secret: &str, parameters: &[(&str, &str)]) -> Self {
        let bucket = name("code");
        aws(&["s3", "mb", &format!("s3://{bucket}")]);
        aws(&["s3", "sync", &test_environment("HOOKBRIDGE_TEST_ZIPS"), &format!("s3://{bucket}")]);
        let mut stack = Self { name: name(provider), provider, bucket, outputs: Value::Null };
        stack.put("create", secret, parameters);
        stack
    }

    /// Creates or updates the stack and waits until the operation completes.
    pub fn put(&mut self, verb: &str, secret: &str, parameters: &[(&str, &str)]) {
        let polled_provider =
            self.provider.strip_suffix("-poller").map(|name| providers::find_provider(name).unwrap());
        let secret_parameter = match polled_provider.and_then(|provider| provider.polling.as_ref()) {
            Some(polling) => polling.api_key_parameter.to_owned(),
            None if self.provider == "github-poller" => "GitHubApiKey".to_owned(),
            None => providers::find_provider(self.provider)
                .map_or(String::new(), providers::Provider::secret_parameter),
        };
        let base = [
            (secret_parameter.as_str(), secret),
            ("CodeBucket", &self.bucket),
            ("CodeKey", "bridge.zip"),
            ("RedriveCodeKey", "redrive.zip"),
            ("RecorderCodeKey", "recorder.zip"),
            ("FeedCodeKey", "feed.zip"),
            ("PollerCodeKey", "poller.zip"),
            ("DispatcherCodeKey", "dispatcher.zip"),
            ("SubscribersCodeKey", "subscribers.zip"),
            ("Architecture", "x86_64"),
        ];
        let text = Template::find(self.provider).unwrap().text();
        let has_parameter = |name: &str| text.contains(&format!("\n  {name}:\n"));
        let parameters: Vec<Value> = base
            .iter()
            .chain(parameters)
            .filter(|(name, _)| has_parameter(name))
            .map(|(name, value)| json!({"ParameterKey": name, "ParameterValue": value}))
            .collect();
        let parameters = Value::from(parameters).to_string();
        let verb_stack = format!("{verb}-stack");
        let stack_name = ["--stack-name", &self.name];
        let arguments =
            ["cloudformation", &verb_stack, "--template-body", &text, "--parameters", &parameters];
        aws(&[&arguments[..], &["--capabilities", "CAPABILITY_IAM"], &stack_name].concat());
        // `aws cloudformation wait` polls only every 30 s.
        let completed = format!("{}_COMPLETE", verb.to_uppercase());
        loop {
            let response = aws(&[&["cloudformation", "describe-stacks"][..], &stack_name].concat());
            let stack = &response["Stacks"][0];
            let status = stack["StackStatus"].as_str().unwrap();
            if status == completed {
                self.outputs = stack["Outputs"].clone();
                return;
            }
            assert!(status.ends_with("_IN_PROGRESS"), "{stack}");
        }
    }

    pub fn output(&self, name: &str) -> String {
        let output = self.outputs.as_array().unwrap().iter().find(|output| output["OutputKey"] == name);
        output.unwrap_or_else(|| panic!("no output {name}"))["OutputValue"].as_str().unwrap().to_owned()
    }

    pub fn resource(&self, name: &str) -> String {
        let arguments = ["cloudformation", "describe-stack-resource", "--logical-resource-id", name];
        let response = aws(&[&arguments[..], &["--stack-name", &self.name]].concat());
        response["StackResourceDetail"]["PhysicalResourceId"].as_str().unwrap().to_owned()
    }

    /// Sends a webhook to the function's URL, signed as if it had been sent to `public_url`.
    pub fn send(&self, secret: &str, body: &str, event: Option<&str>, public_url: Option<&str>) -> Reply {
        let provider = providers::find_provider(self.provider).unwrap();
        let url: RequestUrl = self.output("FunctionUrlEndpoint").parse().unwrap();
        let signed_url = public_url.map_or_else(|| url.clone(), |public_url| public_url.parse().unwrap());
        let webhook = TestWebhook {
            provider,
            event,
            body: Some(body.to_owned().into()),
            url: signed_url,
            recorded: None,
        };
        let signed = webhook.sign(&Secret::new(secret), jiff::Timestamp::now()).unwrap();
        let headers: Vec<(&str, &[u8])> =
            signed.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let path = signed.url.query.as_ref().map_or_else(|| "/".to_owned(), |query| format!("/?{query}"));
        self.post(&path, &headers, &signed.body)
    }

    /// Sends a request to the function's URL.
    pub fn post(&self, path: &str, headers: &[(&str, &[u8])], body: &[u8]) -> Reply {
        let url: RequestUrl = self.output("FunctionUrlEndpoint").parse().unwrap();
        let bytes = raw_http::request("POST", path, &url.authority, headers, body);
        raw_http::exchange(gateway(), &bytes).expect("a response")
    }

    /// Sends a request with a token to a URL of the stack; returns status and JSON.
    pub fn request(&self, url: &str, token: &str, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let url = self.output(url);
        let host = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let authorization = format!("Bearer {token}");
        let headers: [(&str, &[u8]); 2] =
            [("authorization", authorization.as_bytes()), ("content-type", b"application/json")];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = raw_http::request(method, path, &host, &headers, body.as_bytes());
        let reply = raw_http::exchange(gateway(), &request).unwrap();
        (reply.status, serde_json::from_str(&reply.body).unwrap_or_default())
    }

    /// Creates or revokes a token with `hookbridge token`.
    pub fn token(&self, flags: &[&str]) -> String {
        let mut command = hookbridge();
        command.env("AWS_ENDPOINT_URL", endpoint()).args(["token", "test", "--secret"]);
        run(command.arg(self.output("TokensSecretArn")).args(flags)).trim().to_owned()
    }

    /// All log lines of the function. LocalStack writes them to the default log group, not to the one in the template.
    pub fn log(&self) -> String {
        Self::function_log(&self.output("LambdaFunctionName"))
    }

    pub fn function_log(function: &str) -> String {
        let group = format!("/aws/lambda/{function}");
        aws(&["logs", "filter-log-events", "--log-group-name", &group]).to_string()
    }
}

pub fn gateway() -> SocketAddr {
    endpoint().trim_start_matches("http://").to_socket_addrs().unwrap().next().unwrap()
}
