//! The console, used in a real browser as a person would. `tests/node/console.mjs` has the steps.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::actors::aws::{endpoint, secret};
use crate::actors::database::Database;
use crate::actors::http_api;
use crate::actors::log::{batch, new_event, now, open_sqlite};
use crate::actors::receiver::Receiver;
use crate::actors::runtime_api::RunningFunction;
use crate::actors::server::{Server, hookbridge};
use crate::actors::tcp_gate::TcpGate;
use crate::actors::{checkout, run, test_environment, wait_until};

const TOKEN: &str = "open sesame";

/// The browser with one scenario of `console.mjs`.
fn browser(scenario: &str, url: &str, options: &Value) -> Command {
    let environment = PathBuf::from(test_environment("HOOKBRIDGE_TEST_ENV"));
    let mut command = Command::new(environment.join("tools/bin/node"));
    command.env("HOOKBRIDGE_TEST_BROWSER", test_environment("HOOKBRIDGE_TEST_BROWSER"));
    command.arg(environment.join("node/console.mjs")).args([scenario, url, &options.to_string()]);
    command
}

/// Starts a scenario, and returns it with the lines that it prints.
fn start(scenario: &str, url: &str, options: &Value) -> (Child, impl Iterator<Item = String> + use<>) {
    let mut process = browser(scenario, url, options).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
    (process, lines)
}

fn url_of(server: &Server) -> String {
    format!("http://{}/", server.address)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a browser: run scripts/test"]
async fn a_person_sees_what_happened_and_acts_on_it() {
    let receiver = Receiver::start().await;
    let fails_once = std::sync::atomic::AtomicBool::new(true);
    receiver.respond_by(move |request| {
        let fails =
            request.body.contains("fails") && fails_once.swap(false, std::sync::atomic::Ordering::SeqCst);
        (if fails { 503 } else { 200 }, vec![], "<b>an answer</b>".to_owned())
    });
    tokio::task::spawn_blocking(move || {
        let server = Server::start_in(
            tempfile::tempdir().unwrap(),
            &["--token", TOKEN, "--allow-to", "127.0.0.1", "--quiet"],
        );
        let secrets = std::fs::read_to_string(server.folder.path().join("secrets.json")).unwrap();
        let secrets: Value = serde_json::from_str(&secrets).unwrap();
        let screenshots = std::env::var("CONSOLE_SCREENSHOTS").ok();
        let options = json!({"token": TOKEN, "secret": secrets["github"], "receiver": receiver.url("in"), "screenshots": screenshots});
        run(&mut browser("everything", &url_of(&server), &options));
        let received = receiver.received();
        let by_url = received.iter().filter(|request| request.path == "/in-by-url").collect::<Vec<_>>();
        assert_eq!(by_url.len(), 1);
        assert!(by_url[0].header("hookbridge-replay").starts_with("urn:hookbridge:replay:"));
    })
    .await
    .unwrap();
}

/// The picture in the documentation: `CONSOLE_SCREENSHOT=docs/images/console.png scripts/test --test story -- seen_in_the_console`
/// makes it anew.
#[test]
#[ignore = "needs a browser: run scripts/test"]
fn the_demo_is_seen_in_the_console() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start_in(tempfile::tempdir().unwrap(), &["--demo"]);
    server.wait_for_line("demo: done");
    let screenshot = std::env::var("CONSOLE_SCREENSHOT").map(|path| checkout().join(path));
    let screenshot = screenshot.unwrap_or_else(|_| folder.path().join("console.png"));
    run(&mut browser("demo", &url_of(&server), &json!({ "screenshot": screenshot })));
    assert!((10_000..200_000).contains(&std::fs::metadata(&screenshot).unwrap().len()));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a browser: run scripts/test"]
async fn a_log_of_a_hundred_thousand_events_is_paged() {
    const EVENTS: usize = 100_000;
    let folder = tempfile::tempdir().unwrap();
    let log = open_sqlite(&folder.path().join("log.db")).await;
    let time = now();
    for (n, first) in (0..EVENTS).step_by(10_000).enumerate() {
        let events = (first..first + 10_000).map(|n| new_event(&format!("many-{n}"), time)).collect();
        log.record(&batch(&n.to_string(), events)).await.unwrap();
    }
    drop(log);
    tokio::task::spawn_blocking(move || {
        let database = folder.path().join("log.db");
        let server = Server::start_with(&["--token", TOKEN, "--database", database.to_str().unwrap()]);
        run(&mut browser("manyEvents", &url_of(&server), &json!({"token": TOKEN, "events": EVENTS})));
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a browser and PostgreSQL: run scripts/test"]
async fn a_database_outage_is_shown_and_ends() {
    let database = Database::new().await;
    tokio::task::spawn_blocking(move || {
        let (scheme, rest) = database.url.split_once("://").unwrap();
        let (authority, path) = rest.split_once('/').unwrap();
        let (user, target) = authority.rsplit_once('@').unwrap();
        let gate = TcpGate::in_front_of(target);
        let url = format!("{scheme}://{user}@{}/{path}", gate.address);
        let server = Server::start_with(&["--token", TOKEN, "--database", &url]);
        let (mut process, mut lines) = start("outage", &url_of(&server), &json!({"token": TOKEN}));
        assert_eq!(lines.next().as_deref(), Some("shown"));
        gate.close();
        assert_eq!(lines.next().as_deref(), Some("failing"));
        let not_ready = (503, json!({"ready": false, "failed": ["log"]}));
        wait_until("the log to fail", || (server.get("/readyz", &[]) == not_ready).then_some(()));
        gate.open();
        assert_eq!(lines.next().as_deref(), Some("recovered"));
        assert!(process.wait().unwrap().success());
        wait_until("the server", || (server.get("/readyz", &[]).0 == 200).then_some(()));
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a browser, PostgreSQL and LocalStack: run scripts/test"]
async fn the_function_feed_has_the_console_behind_an_http_api() {
    let database = Database::new().await;
    let log = database.log().await;
    let events = (0..150).map(|n| new_event(&format!("many-{n}"), now())).collect();
    log.record(&batch("one", events)).await.unwrap();
    let tokens = secret(r#"{"tokens": []}"#);
    let mut create = hookbridge();
    create.env("AWS_ENDPOINT_URL", endpoint()).args(["token", "analyst", "--secret", &tokens]);
    let token = run(&mut create).trim().to_owned();
    let environment = [
        ("DATABASE_URL", database.url.as_str()),
        ("TOKENS_SECRET_ARN", &tokens),
        ("AWS_ENDPOINT_URL", &endpoint()),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ];
    let function = RunningFunction::start(env!("CARGO_BIN_EXE_feed"), &environment);
    let url = http_api::serve(function).await;
    tokio::task::spawn_blocking(move || {
        run(&mut browser("feed", &format!("{url}/console"), &json!({ "token": token, "stage": url })));
    })
    .await
    .unwrap();
}

#[test]
#[ignore = "needs a browser: run scripts/test"]
fn a_token_that_is_revoked_meanwhile_is_asked_for_again() {
    let mut server = Server::start_with(&["--token", TOKEN]);
    let (mut process, mut lines) = start("revokedToken", &url_of(&server), &json!({"token": TOKEN}));
    assert_eq!(lines.next().as_deref(), Some("shown"));
    server.restart_at_same_address(&["--token", "another token"]);
    assert!(process.wait().unwrap().success());
}
