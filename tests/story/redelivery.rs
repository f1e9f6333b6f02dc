//! GitHub's failed deliveries: by the command, by `serve`, and by the function on AWS.

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use hookbridge::poller::CheckpointStore;
use hookbridge::poller::redelivery::{Redeliverer, RedeliverySummary};
use hookbridge::secrets::Secret;
use hookbridge::template::Template;
use jiff::SignedDuration;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::actors::aws::{aws, endpoint, name, secret, text};
use crate::actors::github_api::{GithubApi, GithubFault, HOOK, TOKEN};
use crate::actors::runtime_api::RunningFunction;
use crate::actors::server::{SECRET, Server, hookbridge};
use crate::actors::stack::Stack;
use crate::actors::{checkout, run, signature, test_environment, wait_until};

const PATH: &str = "/repos/acme/demo/hooks/42/deliveries";

fn minutes(number: i64) -> SignedDuration {
    SignedDuration::from_mins(number)
}

/// Runs `hookbridge redeliver`, and returns its output, its messages and whether it succeeded.
async fn redeliver(api: &GithubApi, arguments: &[&str]) -> (String, String, bool) {
    let url = api.url();
    let arguments: Vec<String> = arguments.iter().map(|&argument| argument.into()).collect();
    tokio::task::spawn_blocking(move || {
        let mut command = hookbridge();
        command.args(["redeliver", "github", "--api", &url]).args(arguments).env("GITHUB_TOKEN", TOKEN);
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (text(output.stdout), text(output.stderr), output.status.success())
    })
    .await
    .unwrap()
}

const REPOSITORY: [&str; 4] = ["--repo", "acme/demo", "--hook", "42"];

#[tokio::test(flavor = "multi_thread")]
async fn the_command_requests_failed_deliveries_again_and_waits_for_the_results() {
    let api = GithubApi::start(PATH, |guid| if guid == "broken" { 500 } else { 200 }).await;
    api.add("too-old", minutes(25 * 60), 500);
    for n in 0..250 {
        api.add(&format!("ok-{n}"), minutes(20 * 60), 200);
        if n % 50 == 0 {
            api.add(&format!("failed-{n}"), minutes(20 * 60), if n == 0 { 0 } else { 502 });
        }
    }
    api.add("recovered", minutes(10), 500);
    api.add("recovered", minutes(9), 200);
    api.next([GithubFault::SecondaryLimit(1), GithubFault::PrimaryLimit(1)]);
    let (shown, _, succeeded) = redeliver(&api, &[&REPOSITORY[..], &["--dry-run"]].concat()).await;
    assert!(
        succeeded && shown.ends_with("5 failed deliveries found, none requested (--dry-run)\n"),
        "{shown}"
    );
    assert!(shown.contains("  failed-0    issues.opened  0 failed to connect to host\n"), "{shown}");
    assert!(api.requested_guids().is_empty());

    let (shown, messages, succeeded) = redeliver(&api, &REPOSITORY).await;
    assert_eq!(shown, "5 failed deliveries found, 5 requested again, 5 recovered\n");
    assert!(succeeded && messages.contains("requested 5 of 5 failed deliveries again"), "{messages}");
    assert_eq!(api.requested_guids().len(), 5);
    assert!(!messages.contains(TOKEN));

    api.add("broken", minutes(0), 500);
    let (shown, messages, succeeded) = redeliver(&api, &[&REPOSITORY[..], &["--json"]].concat()).await;
    assert_eq!(shown, "{\"found\":1,\"recovered\":0,\"requested\":1}\n");
    assert!(!succeeded && messages.contains("1 deliveries did not succeed"), "{messages}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_the_command_says_what_to_do() {
    let api = GithubApi::start(PATH, |_| 200).await;
    for (fault, text) in [
        (GithubFault::Status(401), "rejected the token (401 Unauthorized); it needs the permission"),
        (GithubFault::Status(403), "rejected the token (403 Forbidden)"),
        (
            GithubFault::Status(404),
            "returned 404: the webhook does not exist, or the token may not read and write it",
        ),
        (GithubFault::Status(301), "the repository or the organization was renamed or moved"),
        (GithubFault::Status(500), "returned status 500"),
    ] {
        api.next([fault]);
        let (_, messages, succeeded) = redeliver(&api, &REPOSITORY).await;
        assert!(!succeeded && messages.contains(text), "{messages}");
    }
    for (arguments, text) in [
        (&["--repo", "acme", "--hook", "1"][..], "the format is repos/OWNER/NAME/hooks/ID"),
        (&["--repo", "acme/demo"], "--hook"),
        (&["--hook", "1"], "--repo"),
        (&["--org", "acme", "--hook", "1", "--since", "4d"], "at most 72h"),
        (&["--app", "1"], "the private key of the GitHub App is not an RSA key in PEM form"),
    ] {
        let (_, messages, succeeded) = redeliver(&api, arguments).await;
        assert!(!succeeded && messages.contains(text), "{arguments:?}: {messages}");
    }
}

/// A poller with its checkpoint in a new folder.
fn poller(api: &GithubApi, folder: &tempfile::TempDir, delay: SignedDuration) -> Redeliverer {
    Redeliverer {
        hook: HOOK.parse().unwrap(),
        base_url: Some(api.url().parse().unwrap()),
        checkpoint_store: CheckpointStore::File(folder.path().join("github.json")),
        delay,
        lookback: minutes(72 * 60),
    }
}

async fn poll(poller: &Redeliverer) -> RedeliverySummary {
    let (summary, result) = poller.poll(&Secret::new(TOKEN), Instant::now() + Duration::from_secs(30)).await;
    result.unwrap();
    summary
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_delivery_is_requested_once_and_counted_until_it_recovers_or_is_lost() {
    let api = GithubApi::start(PATH, |guid| if guid.starts_with("broken") { 503 } else { 200 }).await;
    api.add("requested-by-hand", minutes(61), 500);
    api.add("broken-0", minutes(60), 500);
    (0..150).for_each(|n| api.add(&format!("ok-{n}"), minutes(50), 200));
    api.add("failed", minutes(40), 500);
    api.add("requested-by-hand", minutes(30), 200);
    api.add("recent", minutes(1), 500);
    let folder = tempfile::tempdir().unwrap();
    let poller = poller(&api, &folder, minutes(5));
    let first = poll(&poller).await;
    let expected = RedeliverySummary { found: 3, requested: 2, waiting: 3, ..RedeliverySummary::default() };
    assert_eq!(first, expected);
    assert_eq!(api.requested_guids(), ["broken-0", "failed"]);
    api.wait_for_redeliveries(2).await;
    let second = poll(&poller).await;
    let expected = RedeliverySummary { recovered: 1, waiting: 2, ..RedeliverySummary::default() };
    assert_eq!(second, expected, "nothing is found or requested twice");

    // Two days and some hours later.
    let path = folder.path().join("github.json");
    let mut checkpoint: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let old = jiff::Timestamp::now() - minutes(73 * 60);
    checkpoint["failed"]["broken-0"]["delivered_at"] = old.to_string().into();
    std::fs::write(&path, checkpoint.to_string()).unwrap();
    let third = poll(&poller).await;
    assert_eq!((third.lost, third.waiting, third.found), (1, 1, 0));
    assert_eq!(api.requested_guids().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_and_errors_lose_no_delivery() {
    let api = GithubApi::start(PATH, |_| 200).await;
    (0..240)
        .for_each(|n| api.add(&format!("delivery-{n}"), minutes(100), if n % 60 == 0 { 500 } else { 200 }));
    let folder = tempfile::tempdir().unwrap();
    let poller = poller(&api, &folder, minutes(0));
    api.next([GithubFault::Status(500)]);
    let deadline = || Instant::now() + Duration::from_secs(30);
    let (_, result) = poller.poll(&Secret::new(TOKEN), deadline()).await;
    assert!(result.unwrap_err().to_string().ends_with("returned status 500 Internal Server Error"));
    api.next([GithubFault::PrimaryLimit(2)]);
    let limited = poll(&poller).await;
    assert!(limited.has_more && limited.requested == 0, "{limited:?}");
    let requests = api.requests();
    assert!(poll(&poller).await.has_more);
    assert_eq!(api.requests(), requests, "no request before the limit ends");
    tokio::time::sleep(Duration::from_secs(3)).await;
    // Too little time for anything but the checkpoint.
    let (interrupted, result) =
        poller.poll(&Secret::new(TOKEN), Instant::now() + Duration::from_secs(4)).await;
    assert!(result.is_ok() && interrupted.has_more && interrupted.found == 0);
    // The second page fails, and the next poll continues there.
    api.next_after(1, GithubFault::PrimaryLimit(1));
    let first_page = poll(&poller).await;
    assert!(first_page.has_more && (1..4).contains(&first_page.found), "{first_page:?}");
    tokio::time::sleep(Duration::from_secs(2)).await;
    // The token may list deliveries, but not request them.
    api.refuse_requests(true);
    let (refused, result) = poller.poll(&Secret::new(TOKEN), deadline()).await;
    assert!(result.unwrap_err().to_string().contains("the token may not read and write it"));
    assert_eq!((first_page.found + refused.found, refused.requested, refused.waiting), (4, 0, 4));
    api.refuse_requests(false);
    let done = poll(&poller).await;
    assert_eq!((done.found, done.requested, done.has_more), (0, 4, false));
    api.wait_for_redeliveries(4).await;
    assert_eq!(poll(&poller).await.recovered, 4);
    let mut guids = api.requested_guids();
    guids.sort();
    guids.dedup();
    assert_eq!((guids.len(), api.requested_guids().len()), (4, 4));
    let (_, result) = poller.poll(&Secret::new("with space"), deadline()).await;
    assert!(result.unwrap_err().to_string().contains("the token is empty or contains a space"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_serve_missed_arrives() {
    let server: Arc<OnceLock<Server>> = Arc::default();
    let receiver = server.clone();
    let api = GithubApi::start(PATH, move |guid| {
        let body = json!({"guid": guid}).to_string();
        let signature = signature("github", SECRET, "https://x.example/", body.as_bytes());
        let headers: [(&str, &[u8]); 4] = [
            ("content-type", b"application/json"),
            ("x-github-event", b"issues"),
            ("x-github-delivery", guid.as_bytes()),
            ("x-hub-signature-256", signature.as_bytes()),
        ];
        let server = wait_until("the server", || receiver.get());
        if server.post("github", &headers, body.as_bytes()).status == 202 { 200 } else { 500 }
    })
    .await;
    api.add("72d3162e-cc78-11e3-81ab-4c9367dc0958", minutes(30), 502);
    let url = api.url();
    tokio::task::spawn_blocking(move || {
        let poll = format!("github={TOKEN}");
        let poll_url = format!("github={url}");
        let mut flags = vec!["--poll", &poll, "--poll-hook", HOOK, "--poll-url", &poll_url];
        flags.extend(["--poll-delay", "60", "--poll-back", "1"]);
        let server = server.get_or_init(|| Server::start_with(&flags));
        server.wait_for_line("1 failed deliveries found, 1 requested");
        let events = wait_until("the webhook", || Some(server.events()).filter(|events| !events.is_empty()));
        assert_eq!(events[0]["detail"]["guid"], "72d3162e-cc78-11e3-81ab-4c9367dc0958");
        let checkpoint = server.folder.path().join("polls/github-repos-acme-demo-hooks-42.json");
        assert!(!std::fs::read_to_string(checkpoint).unwrap().contains(TOKEN));
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the providers' SDKs: run scripts/test"]
async fn the_deliveries_of_a_github_app_are_requested_with_its_private_key() {
    let api = GithubApi::start("/app/hook/deliveries", |_| 200).await;
    api.add("failed", minutes(30), 502);
    // An independent implementation makes the key and verifies the token.
    let python = Path::new(&test_environment("HOOKBRIDGE_TEST_ENV")).join("tools/bin/python");
    let script = checkout().join("tests/python/github_app.py");
    let key = run(Command::new(&python).arg(&script));
    let url = api.url();
    let private_key = key.clone();
    let output = tokio::task::spawn_blocking(move || {
        let mut command = hookbridge();
        command.args(["redeliver", "github", "--app", "99", "--api", &url]).env("GITHUB_TOKEN", private_key);
        run(&mut command)
    });
    assert_eq!(output.await.unwrap(), "1 failed deliveries found, 1 requested again, 1 recovered\n");
    let token = api.authorizations().pop().unwrap();
    let token = token.strip_prefix("Bearer ").unwrap();
    let claims: Value =
        serde_json::from_str(&run(Command::new(python).arg(script).args([&key, token]))).unwrap();
    assert_eq!(claims["iss"], "99");
    let lifetime = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert!((1..=600).contains(&lifetime), "GitHub accepts at most ten minutes");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs LocalStack: run scripts/test"]
async fn the_stack_requests_a_failed_delivery_again() {
    let api = GithubApi::start(PATH, |_| 200).await;
    api.add("failed", minutes(30), 502);
    let url = api.url();
    tokio::task::spawn_blocking(move || {
        let parameters = [("Hook", HOOK), ("ApiUrl", &url), ("BackDays", "1")];
        let stack = Stack::deploy("github-poller", TOKEN, &parameters);
        let output_file = tempfile::NamedTempFile::new().unwrap();
        let invoke = ["lambda", "invoke", "--function-name", &stack.output("LambdaFunctionName")];
        let invoked = aws(&[&invoke[..], &[output_file.path().to_str().unwrap()]].concat());
        assert!(invoked["FunctionError"].is_null(), "{invoked}");
        let log = wait_until("the function's log", || {
            Some(stack.log()).filter(|log| log.contains("RedeliveriesRequested"))
        });
        assert!(log.contains(r#"\"RedeliveriesRequested\":1"#) && !log.contains(TOKEN), "{log}");
        let checkpoint: Value =
            serde_json::from_str(&text(&["s3", "cp", &stack.output("MarkUrl"), "-"])).unwrap();
        assert_eq!(checkpoint["failed"]["failed"]["requested"], true);
    })
    .await
    .unwrap();
    assert_eq!(api.requested_guids(), ["failed"]);
}

#[test]
fn the_template_of_the_github_poller_grants_least_privilege() {
    let template = Template::find("github-poller").unwrap().text();
    let actions: Vec<&str> =
        template.lines().filter_map(|line| line.trim().strip_prefix("Action: ")).collect();
    assert_eq!(
        actions,
        [
            "sts:AssumeRole",
            "secretsmanager:GetSecretValue",
            "[s3:GetObject, s3:PutObject]",
            "s3:ListBucket",
            "[logs:CreateLogStream, logs:PutLogEvents]",
            // The schedule.
            "lambda:InvokeFunction",
        ]
    );
    assert!(!template.contains("AWS::Lambda::Url") && !template.contains("Resource: \"*\""));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs LocalStack: run scripts/test"]
async fn the_function_reports_what_it_recovered() {
    let api = GithubApi::start(PATH, |_| 200).await;
    api.add("failed", minutes(30), 502);
    let url = api.url();
    tokio::task::spawn_blocking(move || {
        let bucket = name("checkpoints");
        aws(&["s3", "mb", &format!("s3://{bucket}")]);
        let token = secret(TOKEN);
        let variables = [
            ("AWS_ENDPOINT_URL", &*endpoint()),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("PROVIDER", "github"),
            ("HOOK", HOOK),
            ("API_KEY_SECRET_ARN", &token),
            ("API_URL", &url),
            ("MARK_URL", &format!("s3://{bucket}/polls/github.json")),
            ("BACK_DAYS", "1"),
        ];
        let function = RunningFunction::start(env!("CARGO_BIN_EXE_poller"), &variables);
        let mut lines = Vec::new();
        for invocation in 1..=2 {
            function.invoke(&json!({}), SystemTime::now() + Duration::from_secs(30)).read_to_end();
            lines = wait_until("the line", || Some(function.log_lines()).filter(|l| l.len() == invocation));
            std::thread::sleep(Duration::from_millis(500));
        }
        let metric = |line: usize, name: &str| {
            let line: Value = serde_json::from_str(&lines[line]).unwrap();
            assert!(line["_aws"].to_string().contains(name), "{line}");
            line[name].as_u64().unwrap()
        };
        assert_eq!((metric(0, "FailedDeliveries"), metric(0, "RedeliveriesRequested")), (1, 1));
        assert_eq!((metric(1, "FailedDeliveries"), metric(1, "DeliveriesRecovered")), (0, 1));
        assert_eq!((metric(1, "DeliveriesLost"), metric(1, "PollsFailed")), (0, 0));
        assert!(!lines.concat().contains(TOKEN));
    })
    .await
    .unwrap();
    assert_eq!(api.requested_guids(), ["failed"]);
}
