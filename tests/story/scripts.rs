//! The deployment scripts, against LocalStack.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use hookbridge::providers::{self, RequestUrl};
use hookbridge::secrets::Secret;
use hookbridge::serve::test_webhook::TestWebhook;

use crate::actors::aws::{aws, endpoint, name};
use crate::actors::database::Database;
use crate::actors::stack::gateway;
use crate::actors::{checkout, raw_http, run, test_environment};

/// Held while a script builds, because every build writes the same zips and another script may be uploading them.
static BUILD_LOCK: Mutex<()> = Mutex::new(());

fn script(name: &str) -> Command {
    let mut command = Command::new(checkout().join("scripts").join(name));
    command.env("LC_ALL", "C");
    set_script_environment(&mut command);
    command
}

/// Sets the folder and the AWS endpoint of a script. Removes the variables that cargo sets for a test, because they would make a
/// build discard its artifacts.
fn set_script_environment(command: &mut Command) {
    command.current_dir(checkout()).env("AWS_ENDPOINT_URL", endpoint());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"].iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
}

/// Runs `scripts/deploy` with the secret on standard input; returns its standard output.
fn deploy(stack: &str, secret: &str, parameters: &[&str]) -> String {
    let mut child = script("deploy")
        .args(["github", "--arch", "x86_64", "--stack", stack])
        .args(parameters)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(child.stdin.take().unwrap(), "{secret}").unwrap();
    let output = child.wait_with_output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    assert!(!error.contains("quoted"), "the secret is not printed");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Runs `scripts/deploy` on a terminal, where the secret is typed and must not be echoed.
fn deploy_on_a_terminal(stack: &str, secret: &str) -> String {
    let python = format!("{}/tools/bin/python", test_environment("HOOKBRIDGE_TEST_ENV"));
    let mut command = Command::new(python);
    command.arg("tests/python/types_secret.py").arg(secret);
    command.args(["scripts/deploy", "github", "--arch", "x86_64", "--stack", stack]);
    set_script_environment(&mut command);
    run(&mut command).trim().to_owned()
}

/// Sends a signed webhook to a function URL; returns the status of the response.
fn send_webhook(url: &str, secret: &str) -> u16 {
    let provider = providers::find_provider("github").unwrap();
    let webhook =
        TestWebhook { provider, event: None, body: None, url: url.parse().unwrap(), recorded: None };
    let signed = webhook.sign(&Secret::new(secret), jiff::Timestamp::now()).unwrap();
    let headers: Vec<(&str, &[u8])> =
        signed.headers.iter().map(|(n, v)| (n.as_str(), v.as_bytes())).collect();
    let bytes = raw_http::request("POST", "/", &signed.url.authority, &headers, &signed.body);
    let gateway = endpoint().trim_start_matches("http://").parse().unwrap();
    raw_http::exchange(gateway, &bytes).unwrap().status
}

#[test]
#[ignore = "needs LocalStack: run scripts/test"]
fn deploy_leads_from_a_clone_to_a_working_url() {
    let _building = BUILD_LOCK.lock();
    let stack = name("deployed");
    let secret = r#"a "quoted" \secret\, with, commas = and ü"#;
    let url = deploy(&stack, secret, &["LambdaInvocationThreshold=17"]);
    assert!(url.starts_with("http"), "{url}");
    assert_eq!(send_webhook(&url, secret), 202);
    // Deploys again without a secret, which keeps the current one; then with a secret, which rotates it.
    assert_eq!(deploy(&stack, "", &["LambdaInvocationThreshold=18"]), url);
    assert_eq!(send_webhook(&url, secret), 202);
    assert_eq!(deploy_on_a_terminal(&stack, "another secret"), url);
    assert_eq!(send_webhook(&url, "another secret"), 202);
    assert_eq!(send_webhook(&url, secret), 202, "the previous secret still works");
    assert_eq!(send_webhook(&url, "a guess"), 401);
    // The next secret is accepted, too, until a new secret replaces both.
    assert_eq!(deploy(&stack, "the next secret", &["--next-secret"]), url);
    assert_eq!(send_webhook(&url, "another secret"), 202);
    assert_eq!(send_webhook(&url, "the next secret"), 202);
    assert_eq!(deploy(&stack, "the next secret", &["PreviousSecretGraceSeconds=0"]), url);
    assert_eq!(send_webhook(&url, "the next secret"), 202);
    assert_eq!(send_webhook(&url, "another secret"), 401);
    let parameters = aws(&["cloudformation", "describe-stacks", "--stack-name", &stack]);
    let parameters = parameters["Stacks"][0]["Parameters"].as_array().unwrap().clone();
    let threshold = parameters.iter().find(|p| p["ParameterKey"] == "LambdaInvocationThreshold").unwrap();
    assert_eq!(threshold["ParameterValue"], "18", "an omitted parameter keeps its value");
    let printed = run(script("deploy").args(["http-api", "--function", &stack]));
    assert!(printed.trim().ends_with('/'), "the endpoint: {printed}");
    let front_door = format!("{stack}-http-api");
    let resources = aws(&["cloudformation", "describe-stack-resources", "--stack-name", &front_door]);
    assert!(resources.to_string().contains("AWS::ApiGatewayV2::Integration"), "{resources}");
}

#[test]
#[ignore = "needs LocalStack: run scripts/test"]
fn publish_uploads_everything_and_prints_a_link_per_provider() {
    let _building = BUILD_LOCK.lock();
    let bucket = name("published");
    aws(&["s3", "mb", &format!("s3://{bucket}")]);
    let printed = run(script("publish").args([&bucket, "x86_64"]));
    let listed = aws(&["s3api", "list-objects-v2", "--bucket", &bucket]);
    let keys: Vec<&str> =
        listed["Contents"].as_array().unwrap().iter().map(|object| object["Key"].as_str().unwrap()).collect();
    let zip = |function: &str| {
        let key = keys.iter().find(|key| key.contains(&format!("/{function}-x86_64-"))).expect("the zip");
        key.replace('/', "%2F")
    };
    for provider in providers::PROVIDERS {
        let template = format!("hookbridge/{}/{}.yaml", env!("CARGO_PKG_VERSION"), provider.name);
        assert!(keys.contains(&template.as_str()), "{template}");
        let link =
            printed.lines().find_map(|line| line.strip_prefix(&format!("{}: ", provider.name))).unwrap();
        assert!(link.contains("region=us-east-1#/stacks/quickcreate?templateURL=https%3A%2F%2F"), "{link}");
        assert!(link.contains(&template.replace('/', "%2F")), "{link}");
        assert!(link.contains(&format!("param_CodeBucket={bucket}")), "{link}");
        assert!(link.contains(&format!("param_CodeKey={}", zip("bridge"))), "{link}");
        let redrive = format!("param_RedriveCodeKey={}", zip("redrive"));
        assert_eq!(link.contains(&redrive), !provider.sends_batches(), "{link}");
    }
}

#[test]
#[ignore = "needs LocalStack: run scripts/test"]
fn a_failing_script_reports_the_reason() {
    let error_of = |name: &str, arguments: &[&str]| {
        let output = script(name).args(arguments).stdin(Stdio::null()).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let unknown = error_of("deploy", &["gitlub"]);
    assert!(unknown.contains("unknown template 'gitlub'; expected a provider"), "{unknown}");
    insta::assert_snapshot!(error_of("deploy", &["multi", "Provider1=github", "--stack", "no-such-stack"]), @"scripts/deploy: a new stack needs the secret of github");
    insta::assert_snapshot!(error_of("deploy", &["github", "--stack", "no-such-stack"]), @"scripts/deploy: a new stack needs the secret");
    insta::assert_snapshot!(error_of("deploy", &["stripe-poller", "DelaySecond=60"]), @"scripts/deploy: cloudformation/stripe-poller.yaml has no parameter DelaySecond");
    insta::assert_snapshot!(error_of("deploy", &["stripe-poller", "--stack", "no-such-stack"]), @"scripts/deploy: a new stack needs the API key");
    insta::assert_snapshot!(error_of("deploy", &["multi", "--next-secret"]), @"scripts/deploy: cloudformation/multi.yaml has no parameter NextSecret; enter both secrets, one on each line, as the secret");
    insta::assert_snapshot!(error_of("deploy", &["github", "--next-secret", "--stack", "no-such-stack"]), @"scripts/deploy: the stack no-such-stack does not exist; deploy it without --next-secret");
    insta::assert_snapshot!(error_of("build-functions", &["mips"]), @"scripts/build-functions: 'mips' is neither arm64 nor x86_64");
    assert!(error_of("publish", &[]).contains("usage: scripts/publish BUCKET"));
}

/// Deploys a stack with a database; returns its standard output and standard error.
fn deploy_with_database(template: &str, database: &Database, parameters: &[&str]) -> (String, String) {
    let _building = BUILD_LOCK.lock();
    let address = database.url.split_once('@').unwrap().1.split_once('?').unwrap().0.to_owned();
    let (host, rest) = address.split_once(':').unwrap();
    let (port, database_name) = rest.split_once('/').unwrap();
    let credentials = crate::actors::aws::secret(r#"{"username":"hookbridge","password":"none"}"#);
    let output = script("deploy")
        .args([template, "--arch", "x86_64", "--stack", &name(template)])
        .args([format!("DatabaseHost={host}"), format!("DatabasePort={port}")])
        .args([format!("DatabaseName={database_name}"), format!("DatabaseSecretArn={credentials}")])
        .args(parameters)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{error}");
    (String::from_utf8(output.stdout).unwrap().trim().to_owned(), error)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run scripts/test"]
async fn deploy_creates_the_event_log_stack() {
    let database = Database::new().await;
    tokio::task::spawn_blocking(move || {
        let (url, log) = deploy_with_database("event-log", &database, &[]);
        assert!(
            log.contains("ArchiveBucketName=") && log.contains("hookbridge token NAME --secret arn:"),
            "{log}"
        );
        let url: RequestUrl = url.parse().unwrap();
        let bytes = raw_http::request("GET", "/api/v1/events/message", &url.authority, &[], b"");
        assert_eq!(raw_http::exchange(gateway(), &bytes).unwrap().status, 401);
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run scripts/test"]
async fn deploy_creates_the_dispatcher_stack() {
    let database = Database::new().await;
    tokio::task::spawn_blocking(move || {
        let (output, log) = deploy_with_database("dispatch", &database, &[]);
        assert!(log.contains("Create one, from a machine that reaches the database:"), "{log}");
        assert!(
            output.contains("hookbridge subscriber create NAME")
                && output.contains("arn:aws:secretsmanager:"),
            "{output}"
        );
        assert_eq!(output.lines().count(), 1, "the stack has no public URL: {output}");
        let (output, log) = deploy_with_database("dispatch", &database, &["ApiAuth=TOKENS"]);
        assert!(log.contains("with a token (hookbridge token NAME --secret arn:"), "{log}");
        let url: RequestUrl = output.lines().nth(1).unwrap().parse().unwrap();
        let bytes = raw_http::request("GET", "/subscribers", &url.authority, &[], b"");
        assert_eq!(raw_http::exchange(gateway(), &bytes).unwrap().status, 401);
    })
    .await
    .unwrap();
}

#[test]
#[ignore = "needs Python: run scripts/test"]
fn the_recording_shows_the_demo_and_a_webhook_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("demo.svg");
    let mut command = Command::new(checkout().join("scripts/record-demo"));
    command.arg(env!("CARGO_BIN_EXE_hookbridge")).arg(&file).env("HOOKBRIDGE_LISTEN", "127.0.0.1:0");
    run(command.env_remove("HOOKBRIDGE_DATA"));
    let picture = std::fs::read_to_string(&file).unwrap();
    let committed = std::fs::read_to_string(checkout().join("docs/images/demo.svg")).unwrap();
    for picture in [picture, committed] {
        assert!(picture.matches("202 Message forwarded to Amazon EventBridge").count() >= 5, "{picture}");
        assert!(
            picture.contains("401 Invalid Signature") && picture.contains("charge.succeeded"),
            "{picture}"
        );
        assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"));
    }
}
